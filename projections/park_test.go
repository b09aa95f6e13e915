package projections

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// A projector that panics or fails on a record leaves no trace of it; the others
// have it, a restart and a rebuild agree, and the next record is applied.
func TestAProjectorThatFailsIsIsolated(t *testing.T) {
	for projector := range versions {
		for name, fail := range map[string]func() error{
			"panics": func() error { panic("index out of range") },
			"fails":  func() error { return errors.New("no such thing") },
		} {
			t.Run(projector+" "+name, func(t *testing.T) { failing(t, projector, fail) })
		}
	}
}

// failing lets a projector fail on the comment with the content "poison", after it
// has written its rows.
func failing(t *testing.T, projector string, fail func() error) {
	w := newWorld(t)
	w.fault = func(p string, r *eventlog.Record) error {
		if p == projector && string(r.Data) == poison {
			return fail()
		}
		return nil
	}
	w.run()
	post := w.must("alice", "post:create", schema.PostCreate{Content: "hello"})
	before := w.digest()
	w.n++
	r := fact(w.n, "bob", "post:comment", schema.PostComment{PostID: post})
	r.Data, r.Key = []byte(poison), "k"
	seq := w.append(r)
	o := w.outcome(seq)
	home := projector == "feeds"
	if (o.Code == schema.Parked) != home || (o.Code == "") != !home || home && o.Pushes != nil {
		t.Errorf("outcome %q", o.Code)
	}
	after := w.digest()
	changed := []string{}
	for p, sum := range after.Projections {
		if sum != before.Projections[p] {
			changed = append(changed, p)
		}
	}
	slices.Sort(changed)
	want := slices.DeleteFunc([]string{"feeds", "graph", "history", "keys", "notifications", "presence", "tree"}, func(p string) bool {
		return p == projector || home && p != "history" && p != "keys" && p != "tree"
	})
	if !slices.Equal(changed, want) {
		t.Errorf("%v changed, want %v", changed, want)
	}
	parked := w.models.Parked()
	if len(parked) != 1 || parked[0].Seq != seq || parked[0].Projector != projector || parked[0].ID != r.ID || parked[0].Event != r.Event || parked[0].Error == "" {
		t.Errorf("parked %+v", parked)
	}
	w.must("bob", "post:like", schema.PostAction{PostID: post, Action: "like"})
	w.rebuild()
	w.close()
	w.run()
	w.rebuild()
	if again := w.models.Parked(); !slices.Equal(again, parked) {
		t.Errorf("after restart and rebuild parked %+v, want %+v", again, parked)
	}
	w.view(func(v *View) {
		if code := v.Outcome(seq); projector != "history" && (code == schema.Parked) != home {
			t.Errorf("the history says %q", code)
		}
	})
}

const poison = `{"postId":"01JDQ000000000000000000001","content":"poison"}`

// What a projector panics with may be what somebody wrote: neither the server's log
// nor the ADMIN stream nor the list of parked records has it.
func TestParkingTellsNothingOfWhatUsersWrote(t *testing.T) {
	const content = "nEEdle"
	for name, fail := range map[string]func(*eventlog.Record){
		"a text":          func(r *eventlog.Record) { panic(string(r.Data)) },
		"an error":        func(r *eventlog.Record) { panic(fmt.Errorf("bad record %s", r.Data)) },
		"a value":         func(r *eventlog.Record) { panic(*r) },
		"a runtime error": func(r *eventlog.Record) { _ = r.Data[len(r.Data)] },
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			w := newWorld(t)
			w.logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			w.fault = func(p string, r *eventlog.Record) error {
				if p == schema.HomeFeeds {
					fail(r)
				}
				return nil
			}
			w.run()
			w.refused(schema.Parked, "alice", "post:create", schema.PostCreate{Content: content})
			w.rebuild()
			said := text(w.models.Parked())
			w.close()
			for deadline := time.Now().Add(patience); !strings.Contains(said, schema.AuditParked); {
				if time.Now().After(deadline) {
					t.Fatal("the ADMIN stream has nothing of the parked record")
				}
				for r, err := range w.log.ReadAdmin(t.Context(), 1) {
					if err != nil {
						t.Fatal(err)
					}
					said += text(r.AdminEntry())
				}
			}
			if said += logged.String(); strings.Contains(said, content) || !strings.Contains(said, "a record is parked") {
				t.Errorf("said\n%s", said)
			}
		})
	}
}

// Of the records around a parked one in the same batch none is lost.
func TestParkingWithinABatch(t *testing.T) {
	w := newWorld(t)
	records := traffic(300, 10)
	bad := map[string]bool{records[100].ID: true, records[101].ID: true, records[299].ID: true}
	w.fault = func(p string, r *eventlog.Record) error {
		if bad[r.ID] && p == homes[r.Event].projector {
			panic("bad record")
		}
		return nil
	}
	w.append(records...)
	w.run()
	if parked := w.models.Parked(); len(parked) != len(bad) {
		t.Errorf("parked %+v", parked)
	}
	w.view(func(v *View) {
		for i, r := range records {
			if code := v.Outcome(uint64(i + 1)); (code == schema.Parked) != bad[r.ID] {
				t.Errorf("record %d: %q", i+1, code)
			}
		}
	})
	w.rebuild()
}

// An id names one thing for ever: a record that comes under one that is taken is parked,
// and what bears the id stays as it was.
func TestIDsAreGivenOnce(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	group := p.group("alice", "bob")
	comment, _ := p.must("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})
	message := p.says("bob", group, "a message")
	report := p.reports("bob", onPost(post))
	for _, again := range []struct {
		id, event string
		data      any
	}{
		{post, "post:create", schema.PostCreate{Content: "another"}},
		{group, "conversation:create", schema.ConversationCreate{Type: "group", Name: "Another", Participants: []string{"carol"}}},
		{comment, "post:comment", schema.PostComment{PostID: post, Content: "another"}},
		{message, "message:send", words(group, "another")},
		{report, "admin:report", schema.AdminReport{Target: onUser("bob"), Reason: "another"}},
	} {
		p.n++
		r := fact(p.n, "alice", again.event, again.data)
		r.ID = again.id
		if o := applyAll(p, p.w, []eventlog.Record{r}, 1, true)[0]; o.Code != schema.Parked {
			t.Errorf("%s under an id that is taken: %q", again.event, o.Code)
		}
	}
	if _, said := p.sees("bob", group); !slices.Equal(said, []string{"a message"}) {
		t.Errorf("bob sees %v", said)
	}
	viewOf(t, p.w, func(v *View) {
		if all, err := v.Comments("bob", schema.CommentList{PostID: post}); err != nil || len(all.Items) != 1 || all.Items[0].Content != "a comment" {
			t.Errorf("comments: %+v, %v", all, err)
		}
	})
}
