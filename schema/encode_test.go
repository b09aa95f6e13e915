package schema_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/schema"
)

// written are a value of every type that goes over the wire or into a record.
var written = []any{
	schema.Actor{}, schema.Target{}, schema.Media{}, schema.Empty{}, schema.Page{}, schema.Time(0), schema.Code(""),
	schema.PostCreate{}, schema.PostUpdate{}, schema.PostRef{}, schema.PostAction{}, schema.PostComment{}, schema.CommentUpdate{},
	schema.CommentDelete{}, schema.PostShare{}, schema.UserFollow{}, schema.TargetAction{}, schema.CommentList{}, schema.UserPage{},
	schema.PresenceGet{}, schema.Post{}, schema.Comment{}, schema.PostCreated{}, schema.PostUpdated{}, schema.PostDeleted{},
	schema.PostLiked{}, schema.PostCommented{}, schema.CommentUpdated{}, schema.CommentDeleted{}, schema.PostShared{},
	schema.UserFollowed{}, schema.FriendRequested{}, schema.UserTyping{}, schema.UserPresence{}, schema.FeedItem{},
	schema.Profile{}, schema.Presence{},
	schema.Items[schema.FeedItem]{}, schema.Items[schema.Comment]{}, schema.Items[schema.Actor]{}, schema.Items[schema.Conversation]{},
	schema.Items[schema.Message]{}, schema.Items[schema.Notification]{}, schema.Items[schema.Report]{}, schema.Items[schema.AuditEntry]{},

	schema.ConversationCreate{}, schema.ConversationUpdate{}, schema.ConversationUpdates{}, schema.ConversationRef{},
	schema.ConversationAction{}, schema.MessageSend{}, schema.MessageRef{}, schema.MessageEdit{}, schema.MessageList{},
	schema.Conversation{}, schema.Message{}, schema.ConversationCreated{}, schema.ConversationUpdated{}, schema.ConversationDeleted{},
	schema.MessageTyping{}, schema.MessageSent{}, schema.MessageDelivered{}, schema.MessageRead{}, schema.MessageEdited{},
	schema.MessageDeleted{},

	schema.NotificationRef{}, schema.NotificationReadAll{}, schema.NotificationList{}, schema.Notification{}, schema.NotificationNew{},
	schema.NotificationRead{}, schema.NotificationsRead{}, schema.NotificationDeleted{}, schema.NotificationCount{},

	schema.AdminReport{}, schema.AdminResolveReport{}, schema.AdminContent{}, schema.AdminSuspend{}, schema.AdminReinstate{},
	schema.AdminAnnounce{}, schema.AdminReports{}, schema.AdminHistory{}, schema.AdminTail{}, schema.TailFilter{}, schema.Report{},
	schema.Reported{}, schema.ReportResolved{}, schema.ContentModerated{}, schema.UserSuspended{}, schema.UserReinstated{},
	schema.Announcement{}, schema.AdminRecord{}, schema.AuditEntry{}, schema.AdminStats{}, schema.LogStats{},
	schema.AuditNote{}, schema.AuditRebuildStep{}, schema.AuditParkedRecord{}, schema.AuditLostRecords{}, schema.AuditRestoredLog{}, schema.AuditSigned{},

	schema.Hello{}, schema.LogPosition{}, schema.Connect{}, schema.Resume{}, schema.Connected{}, schema.Refresh{}, schema.Resumed{},
	schema.Resync{}, schema.Disconnect{}, schema.Pong{}, schema.Command{}, schema.ErrorBody{}, schema.Frame{},
}

func TestAppendJSONWritesWhatMarshalDoes(t *testing.T) {
	for _, v := range written {
		typ := reflect.TypeOf(v)
		t.Run(typ.Name(), rapid.MakeCheck(func(t *rapid.T) { checkWritten(t, drawn(t, typ)) }))
	}
}

// A type that the catalogue gets is written here too.
func TestEveryTypeOfTheWireIsWritten(t *testing.T) {
	known := map[string]bool{}
	for _, v := range written {
		name, _, _ := strings.Cut(reflect.TypeOf(v).Name(), "[")
		known[name] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() || !isWritten(spec.Type) {
				return true
			}
			if found++; !known[spec.Name.Name] {
				t.Errorf("%s is not among those written here", spec.Name.Name)
			}
			return true
		})
	}
	if found < 90 {
		t.Errorf("found %d types only", found)
	}
}

// isWritten reports whether a type is a struct with names for JSON.
func isWritten(typ ast.Expr) bool {
	s, ok := typ.(*ast.StructType)
	return ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool { return f.Tag != nil })
}

// None of them is left to encoding/json but what holds JSON itself.
func TestAppendJSONAllocatesNothing(t *testing.T) {
	b := make([]byte, 0, 64<<10)
	for _, v := range written {
		full := reflect.New(reflect.TypeOf(v)).Elem()
		fill(full, func(v reflect.Value) {
			switch v.Kind() {
			case reflect.String:
				v.SetString("Words, <words>, wörds.")
			case reflect.Int, reflect.Int64:
				v.SetInt(1_795_456_800_000)
			case reflect.Slice:
				v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			case reflect.Pointer:
				v.Set(reflect.New(v.Type().Elem()))
			}
		})
		v = full.Interface()
		switch v.(type) {
		case schema.AdminRecord, schema.AuditEntry, schema.Items[schema.AuditEntry], schema.Command, schema.Frame:
			continue
		}
		if n := testing.AllocsPerRun(10, func() { schema.AppendJSON(b, v) }); n > 0 {
			t.Errorf("%T: %v allocations", v, n)
		}
	}
}

// drawn returns any value of a type.
func drawn(t *rapid.T, typ reflect.Type) any {
	v := reflect.New(typ).Elem()
	fill(v, func(v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[json.RawMessage]():
			v.SetBytes(rapid.SampledFrom([][]byte{nil, nil, {}, []byte(`{"a" : "<\u2028` + "\u2028" + `>"}`), []byte(` [1.50, null ]`), []byte("{"), []byte("\"\xff\"")}).Draw(t, "raw"))
		case v.Type() == reflect.TypeFor[schema.Time]():
			v.SetInt(rapid.OneOf(rapid.SampledFrom([]int64{0, -1, 999, math.MinInt64, math.MaxInt64}), rapid.Int64Range(-100_000_000_000_000, 300_000_000_000_000)).Draw(t, "time"))
		case v.Kind() == reflect.String:
			v.SetString(text().Draw(t, "text"))
		case v.Kind() == reflect.Bool:
			v.SetBool(rapid.Bool().Draw(t, "bool"))
		case v.CanInt():
			v.SetInt(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "int"))
		case v.CanUint():
			v.SetUint(rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "uint"))
		case v.Kind() == reflect.Slice:
			if n := rapid.IntRange(-1, 3).Draw(t, "length"); n >= 0 {
				v.Set(reflect.MakeSlice(v.Type(), n, n))
			}
		case v.Kind() == reflect.Pointer:
			if rapid.Bool().Draw(t, "there") {
				v.Set(reflect.New(v.Type().Elem()))
			}
		}
	})
	if rapid.Bool().Draw(t, "pointer") {
		return v.Addr().Interface()
	}
	return v.Interface()
}

// fill sets every part of a value, the outer ones first.
func fill(v reflect.Value, set func(reflect.Value)) {
	if v.Kind() != reflect.Struct {
		set(v)
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() != reflect.Uint8 {
				fill(v.Index(i), set)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), set)
		}
	}
}

// text generates strings of pieces some of which have to be escaped.
func text() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"hamlet", "01JDQ0G6ZK8V7T5M3N2B1A0C9D", "<", ">", "&", `"`, `\`, "'", "/", "\x7f", "\u2028", "\u2029", "\u2027", "\ufffd", "ö", "€", "😀", "\xff", "\xe2\x80", "\xed\xa0\x80", "\b\f\n\r\t", "\x00", "\x1f"}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 4), func(pieces []string) string { return strings.Join(pieces, "") })
}

type tb interface {
	Helper()
	Fatalf(string, ...any)
}

// checkWritten compares a value with what encoding/json makes of it.
func checkWritten(t tb, v any) {
	t.Helper()
	want, wantErr := json.Marshal(v)
	got, err := schema.AppendJSON([]byte("before"), v)
	if string(got) != "before"+string(want) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%#v:\n%s, %v, not\n%s, %v", v, got, err, want, wantErr)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	wantErr = e.Encode(v)
	want = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if got, err := schema.Encode(v); !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%#v:\n%s, %v, not\n%s, %v", v, got, err, want, wantErr)
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "hamlet", "12345678", "1234567\"", "<b>&amp;</b>", "\u2028\u2029", "\xff\xe2\x80", "\x00\x1f\x7f", "wörds, 😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkWritten(t, s)
		for i := range 8 { // in every place of a word
			checkWritten(t, "01234567"[i:]+s+"01234567"[:i])
		}
	})
}

// Every byte, in every place of a word.
func TestAppendJSONOfEveryByte(t *testing.T) {
	for c := range 256 {
		for i := range 16 {
			s := []byte("0123456789abcdef")
			s[i] = byte(c)
			checkWritten(t, string(s))
			checkWritten(t, string(s[:i+1]))
		}
	}
}

// The types that the catalogue has none of are as encoding/json has them.
func TestAppendJSONOfOtherTypes(t *testing.T) {
	moment, number := time.Unix(1_795_456_800, 0).UTC(), 7
	for _, v := range []any{
		nil, 1.5, math.Inf(1), []byte("bytes"), []byte(nil), [2]int{1, 2}, map[string]int{"b": 1, "a<": 2}, moment, &moment, json.Number("1.50"), []any{1, "a", nil},
		make(chan int), (*schema.Actor)(nil), &number, []*int{&number, nil}, [][]string{nil, {}, {"a"}}, uint8(3), uintptr(4), int8(-5), true, byValue{1}, &byValue{1},
		byPointer{1}, &byPointer{1}, []byPointer{{1}}, struct{ P byPointer }{}, &struct {
			P byPointer `json:"p"`
		}{}, node{Next: &node{Name: "<"}}, failing{}, struct {
			F failing `json:"f"`
		}{}, []failing{{}}, (*failing)(nil),
		struct {
			A int      `json:"a,string"`
			B int      `json:"-"`
			D int      `json:"d,omitempty"`
			E node     `json:"e,omitempty"`
			F [0]int   `json:"f,omitempty"`
			G float64  `json:"g,omitempty"`
			H any      `json:"h,omitempty"`
			I []string `json:"i,omitempty,omitzero"`
			j int
		}{j: 1},
		struct {
			A int            `json:"a"`
			B int            `json:"-"`
			F [0]int         `json:"f,omitempty"`
			G float64        `json:"g,omitempty"`
			M map[string]int `json:"m,omitempty"`
			H any            `json:"h,omitempty"`
			E node           `json:"e,omitempty"`
			Z node           `json:"z,omitzero"`
			U uint32         `json:"u,omitempty"`
			j int
		}{j: 1},
		struct {
			Untagged int
			Same     int `json:"same,omitempty"`
		}{}, struct {
			A int `json:"a<b"`
		}{}, struct {
			inner
			A int `json:"b"`
		}{inner{1, 2}, 3}, struct {
			A int `json:"name"`
			node
		}{}, struct {
			*node
		}{}, struct {
			*node
		}{&node{}}, struct {
			node `json:"node"`
			A    int `json:"a"`
		}{}, struct {
			inner
			A int `json:"a"`
		}{inner{1, 2}, 3}, struct {
			schema.Code
		}{"X"}, struct {
			schema.Time
			A int `json:"a"`
		}{}, struct {
			A moments `json:"a,omitzero"`
		}{}, struct {
			A time.Time `json:"a,omitzero"`
		}{},
	} {
		checkWritten(t, v)
	}
}

type byValue struct{ n int }

func (byValue) MarshalJSON() ([]byte, error) { return []byte(`[ "by value" ]`), nil }

type byPointer struct{ n int }

func (*byPointer) MarshalText() ([]byte, error) { return []byte(`by pointer`), nil }

type failing struct{}

func (failing) MarshalText() ([]byte, error) { return nil, fs.ErrInvalid }

type node struct {
	Name string  `json:"name"`
	Next *node   `json:"next,omitempty"`
	Many []*node `json:"many,omitempty"`
}

type inner struct {
	A int `json:"b"`
	C int `json:"c"`
}

type moments []int

func (m moments) IsZero() bool { return true }

func BenchmarkAppendJSON(b *testing.B) {
	const id, other = "01JDQ0G6ZK8V7T5M3N2B1A0C9D", "01JDQ0G6ZK8V7T5M3N2B1A0C9E"
	const at = schema.Time(1_795_456_800_123)
	author, unread := schema.Actor{ID: "hamlet", Username: "Hamlet"}, 3
	words := strings.Repeat("Words, words, words. ", 8)
	foreign := strings.Repeat("Wörter, „Wörter“. ", 8)
	for _, c := range []struct {
		name string
		v    any
	}{
		{"PostLiked", schema.PostLiked{PostID: id, UserID: "hamlet", Username: "Hamlet", Action: "like", LikesCount: 17}},
		{"PostCreated", schema.PostCreated{Post: schema.Post{ID: id, Author: author, Content: words, Media: []schema.Media{}, Hashtags: []string{"words"}, CreatedAt: at}}},
		{"PostCommented", schema.PostCommented{PostID: id, CommentsCount: 17, Comment: schema.Comment{ID: other, Author: author, Content: words, CreatedAt: at}}},
		{"MessageSent", schema.MessageSent{ConversationID: id, Message: schema.Message{ID: other, Sender: author, Content: words, MessageType: "text", Media: []schema.Media{}, CreatedAt: at}}},
		{"MessageSentForeign", schema.MessageSent{ConversationID: id, Message: schema.Message{ID: other, Sender: author, Content: foreign, MessageType: "text", Media: []schema.Media{}, CreatedAt: at}}},
		{"MessageRead", schema.MessageRead{MessageID: id, ConversationID: other, ReadBy: "hamlet", ReadAt: at, UnreadCount: &unread}},
		{"UserFollowed", schema.UserFollowed{FollowerID: "hamlet", FollowerUsername: "Hamlet", FollowingID: "ophelia", FollowingUsername: "Ophelia", Action: "follow", FollowersCount: 17}},
	} {
		b.Run(c.name+"/append", func(b *testing.B) {
			text := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				text, _ = schema.AppendJSON(text[:0], c.v)
			}
		})
		b.Run(c.name+"/marshal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				json.Marshal(c.v)
			}
		})
	}
}
