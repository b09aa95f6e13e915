package projections

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Every table has a describer, and no describer is of a table that is gone.
func TestEveryTableIsDescribed(t *testing.T) {
	tables := map[string]bool{}
	for _, table := range newState(nil).bound {
		name := table.projector + "/" + table.name
		tables[name] = true
		if d := describers[name]; d.key == nil || d.value == nil {
			t.Errorf("nobody describes the rows of %s", name)
		}
	}
	for name := range describers {
		if !tables[name] {
			t.Errorf("there is no table %s", name)
		}
	}
}

// dump is every row of a file, in fields: "likes/posts {…}" → {…}.
func dump(t testing.TB, tx *bolt.Tx) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, table := range newState(nil).bound {
		name := table.projector + "/" + table.name
		err := table.bucketIn(tx).ForEach(func(k, v []byte) error {
			key, value := describe(table.projector, table.name, k, v)
			if len(key) > 0 && key[0].Name == "key" || len(value) > 0 && value[0].Name == "value" {
				t.Errorf("a row of %s could not be described: %q %q", name, k, v)
			}
			named := name + " " + string(asJSON(key))
			if rows[named] != "" {
				t.Errorf("two rows of %s go by the name %s", name, named)
			}
			rows[named] = string(asJSON(value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// Whatever the projectors write can be described; no two rows have the same key then,
// and what people read comes back from JSON as it was.
func TestWhateverIsWrittenIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for seed := range 4 {
		w := bare(t, fmt.Sprintf("%s/%d.db", t.TempDir(), seed))
		applyAll(t, w, append(histories(100, 100).Example(seed), moderated(101)...), 64, false)
		err := w.db.View(func(tx *bolt.Tx) error {
			for name, value := range dump(t, tx) {
				table, key, _ := strings.Cut(name, " ")
				seen[table] = true
				for _, text := range []string{key, value} {
					var f Fields
					if err := json.Unmarshal([]byte(text), &f); err != nil || string(asJSON(f)) != text {
						t.Errorf("%s came back as %s, %v", text, asJSON(f), err)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen["tree/tiles"], seen["tree/spans"] = true, true // of 256 and 65,536 records, and like leaves
	for name := range describers {
		if !seen[name] {
			t.Errorf("no row of %s was described: the histories test nothing of it", name)
		}
	}
}

// moderated are records, the first of them the nth, that leave a row in every table of
// which moderators make use.
func moderated(n int) []eventlog.Record {
	post, comment, talk, message := id(n), id(n+1), id(n+2), id(n+3)
	about := schema.Target{Type: schema.TargetPost, ID: post}
	return []eventlog.Record{
		fact(n, "alice", "post:create", schema.PostCreate{Content: "hello"}),
		fact(n+1, "bob", "post:comment", schema.PostComment{PostID: post, Content: "hello yourself"}),
		fact(n+2, "yorick", "conversation:create", schema.ConversationCreate{Type: schema.ConversationGroup, Participants: []string{"osric"}, Name: "the graves"}),
		fact(n+3, "yorick", "message:send", schema.MessageSend{ConversationID: talk, Content: "spam", MessageType: schema.MessageText}),
		fact(n+4, "erin", "admin:report", schema.AdminReport{Target: about, Reason: "rude"}),
		fact(n+5, "dave", "admin:report", schema.AdminReport{Target: about, Reason: "rude"}),
		fact(n+6, "mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: id(n + 4), Resolution: schema.ResolutionDismissed}),
		fact(n+7, "mod", "admin:remove", schema.AdminContent{Target: schema.Target{Type: schema.TargetComment, ID: comment}, Reason: "rude"}),
		fact(n+8, "mod", "admin:remove", schema.AdminContent{Target: schema.Target{Type: schema.TargetMessage, ID: message, ConversationID: talk}, Reason: "spam"}),
		fact(n+9, "mod", "admin:suspend", schema.AdminSuspend{UserID: "mallory", Reason: "spam"}),
	}
}

// What cannot be a row of its table is shown as it is.
func TestDamagedRowsAreShownAsTheyAre(t *testing.T) {
	for name := range describers {
		projector, table, _ := strings.Cut(name, "/")
		for _, b := range [][]byte{{}, {0}, {0xff}, []byte("0123456"), []byte(strings.Repeat("\xff", 40))} {
			key, value := describe(projector, table, b, b)
			if key == nil || value == nil {
				t.Errorf("%s: %q is shown as %v, %v", name, b, key, value)
			}
		}
	}
	key, value := describe("likes", "posts", []byte("p"), []byte{0xff})
	if fmt.Sprint(key) != `post "p"` || fmt.Sprint(value) != `value "\"\\xff\""` {
		t.Errorf("shown as %v and %v", key, value)
	}
}

func TestFields(t *testing.T) {
	f := Fields{{"z", 1}, {"a", "<&>"}, {"inner", Fields{{"b", nil}}}}
	if got := string(asJSON(f)); got != `{"z":1,"a":"<&>","inner":{"b":null}}` {
		t.Errorf("as JSON %s", got)
	}
	if got := f.String(); got != `z 1, a "<&>", inner {"b":null}` {
		t.Errorf("as text %s", got)
	}
	var none, empty Fields
	for text, of := range map[string]*Fields{"null": &none, "{}": &empty} {
		if err := json.Unmarshal([]byte(text), of); err != nil {
			t.Fatal(err)
		}
	}
	if none != nil || empty == nil {
		t.Errorf("null is %v, {} is %v", none, empty)
	}
	for _, text := range []string{"[]", `{"a":}`, `{"a"`, "3"} {
		if err := json.Unmarshal([]byte(text), &empty); err == nil {
			t.Errorf("%s was read as %v", text, empty)
		}
	}
	for _, c := range []struct {
		before, after Fields
		want          string
	}{
		{Fields{{"a", 1}, {"b", "x"}}, Fields{{"a", 2}, {"b", "x"}, {"c", true}}, `a 1 → 2, c - → true`},
		{nil, Fields{{"a", 1}}, "new  a 1"},
		{nil, Fields{}, "new"},
		{Fields{{"a", 1}}, nil, "gone  a 1"},
	} {
		if got := c.before.Changed(c.after); got != c.want {
			t.Errorf("%v to %v is %q, want %q", c.before, c.after, got, c.want)
		}
	}
	if _, err := json.Marshal(struct{ F Fields }{f}); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(Fields{}.maybe("a", "").at("b", 0), Fields{}) {
		t.Error("what is empty was told")
	}
}
