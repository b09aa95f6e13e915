package schema_test

import (
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"roomlog/schema"
)

const anID = "01JDQ0G6ZK8V7T5M3N2B1A0C9D"

func TestRoomNames(t *testing.T) {
	for _, c := range []struct{ name, typ, id string }{
		{schema.RoomAdmin, "admin", ""},
		{schema.RoomPublic, "public", ""},
		{schema.UserRoom("auth0|alice:1"), "user", "auth0|alice:1"},
		{schema.PostRoom(anID), "post", anID},
		{schema.ConversationRoom(anID), "conversation", anID},
	} {
		typ, id, ok := schema.ParseRoom(c.name)
		if !ok || typ != c.typ || id != c.id {
			t.Errorf("%s is %q %q %v", c.name, typ, id, ok)
		}
	}
	for _, name := range []string{"", "admin:", "public:x", "lobby", "user:", "user:a b", "post:", "post:1", "post:" + strings.ToLower(anID), "conversation:" + anID + "0", "Post:" + anID} {
		if _, _, ok := schema.ParseRoom(name); ok {
			t.Errorf("%q is no room", name)
		}
	}
}

func TestUserIDs(t *testing.T) {
	for id, valid := range map[string]bool{
		"a": true, "!": true, "~": true, "auth0|5f7c": true, "a@b.example": true, strings.Repeat("x", 128): true,
		"": false, "a b": false, "a\"": false, "a\\": false, "ä": false, "a\n": false, "\x7f": false, strings.Repeat("x", 129): false,
	} {
		if schema.ValidUserID(id) != valid {
			t.Errorf("%q: %v", id, !valid)
		}
	}
}

// FuzzValidID holds ValidID against the ULID library: valid is what it parses and
// writes back the same.
func FuzzValidID(f *testing.F) {
	for _, id := range []string{anID, strings.ToLower(anID), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "80000000000000000000000000", "01JDQ0G6ZK8V7T5M3N2B1A0C9I", "", "0"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		parsed, err := ulid.ParseStrict(id)
		if want := err == nil && parsed.String() == id; schema.ValidID(id) != want {
			t.Errorf("ValidID(%q) is not %v", id, want)
		}
	})
}
