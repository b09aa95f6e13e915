package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// lines are what a replay shows, and how many records it read for them.
func linesOf(t *testing.T, a replay.Auditor, f replay.Filter) (all []replay.Line, read int64) {
	t.Helper()
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	a.Reads = new(atomic.Int64)
	err := a.Replay(t.Context(), f, func(lines []replay.Line) error {
		all = append(all, lines...)
		return nil
	})
	if err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	return all, a.Reads.Load()
}

func seqsOf(lines []replay.Line) []uint64 {
	seqs := []uint64{}
	for _, l := range lines {
		seqs = append(seqs, l.Seq)
	}
	return seqs
}

// naming are the places of the records that name an id in any way: as their own, as
// what they are about, in their data; or as their actor. That is what the whole history
// of it is at least. For users there is more, which they were only told of. A void
// record has made nothing, no report either.
func naming(all []replay.Line, id string) []uint64 {
	seqs, there := []uint64{}, false
	for _, r := range all {
		var data struct {
			MessageID string        `json:"messageId"`
			Target    schema.Target `json:"target"`
		}
		if json.Unmarshal(r.Data, &data) != nil {
			panic("no data")
		}
		_, entity, _ := strings.Cut(r.Entity, ":")
		made := r.Outcome == replay.Applied && (r.ID == id || data.Target.ID == id)
		there = there || made
		if made || entity == id || r.Actor.ID == id || there && data.MessageID == id {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

// The history of an id is found by the index: a handful of records are read for it, of
// whatever the log holds.
func TestOfIsTheWholeHistoryWithoutAScan(t *testing.T) {
	c := tell(t, 3, 250, nil)
	all, _ := linesOf(t, c.Auditor, replay.Filter{})
	none := "01JDQ100000000000000000000"
	for kind, ids := range map[string][]string{
		"post": c.posts, "comment": c.comments, "conversation": c.conversations, "message": c.messages, "report": c.reports, "none": {none},
	} {
		for _, id := range ids {
			got, read := linesOf(t, c.Auditor, replay.Filter{Of: id})
			want := naming(all, id)
			if kind != "conversation" && kind != "post" && !slices.Equal(seqsOf(got), want) {
				t.Errorf("%s %s: %v, want %v", kind, id, seqsOf(got), want)
			}
			extra := 0
			for _, l := range got { // what a room was told of, though it is about something else
				if !slices.Contains(want, l.Seq) {
					if extra++; l.Outcome != replay.Applied {
						t.Errorf("%s %s has record %d, %s", kind, id, l.Seq, l.Outcome)
					}
				}
			}
			if len(got)-extra != len(want) {
				t.Errorf("%s %s: %v, without some of %v", kind, id, seqsOf(got), want)
			}
			if most := int64(len(got) + 4); kind != "message" && read > most || kind == "message" && read > 120 {
				t.Errorf("%s %s: %d records were read for %d lines", kind, id, read, len(got))
			}
			if kind == "none" {
				continue
			}
			typed, _ := linesOf(t, c.Auditor, replay.Filter{Of: kind + ":" + id})
			if !reflect.DeepEqual(typed, got) {
				t.Errorf("%s:%s shows %v, without its kind %v", kind, id, seqsOf(typed), seqsOf(got))
			}
		}
	}
	for _, user := range people {
		got, _ := linesOf(t, c.Auditor, replay.Filter{Of: user})
		told, _ := linesOf(t, c.Auditor, replay.Filter{Room: "user:" + user})
		want := append(naming(all, user), seqsOf(told)...)
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(seqsOf(got), want) || len(want) == 250 {
			t.Errorf("%s: %v, want %v", user, seqsOf(got), want)
		}
	}
}

// A notification's history begins with what made it.
func TestOfANotification(t *testing.T) {
	c := tell(t, 3, 100, nil)
	var newest string
	err := c.Models.View(func(v *projections.View) error {
		newest = v.NewestNotification("alice")
		return nil
	})
	if err != nil || newest == "" {
		t.Fatalf("alice has notification %q, %v", newest, err)
	}
	r := eventlog.Record{ID: chronicleID(101), Time: schema.TimeOf(start), Event: "notification:delete", Version: 1,
		Actor: schema.Actor{ID: "alice"}, Entity: "notification:" + newest, Data: json.RawMessage(`{"notificationId":"` + newest + `"}`)}
	seq, err := c.Log.AppendWait(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got, read := linesOf(t, c.Auditor, replay.Filter{Of: newest})
	if len(got) != 2 || got[1].Seq != seq || got[1].Outcome != replay.Applied || got[0].Event == "notification:delete" || read > 4 {
		t.Errorf("%d records were read for %+v", read, got)
	}
}

// A room has what it was told of: the lines that a replay of all marks as applied and
// the read models list for it.
func TestRooms(t *testing.T) {
	c := tell(t, 5, 300, nil)
	all, _ := linesOf(t, c.Auditor, replay.Filter{})
	rooms := []string{"admin", "public"}
	for kind, ids := range map[string][]string{"user:": people, "post:": c.posts, "conversation:": c.conversations} {
		for _, id := range ids {
			rooms = append(rooms, kind+id)
		}
	}
	shown := 0
	for _, room := range rooms {
		var want []uint64
		err := c.Models.View(func(v *projections.View) error {
			for _, l := range all {
				if v.WasTold(room, l.Seq) {
					want = append(want, l.Seq)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, read := linesOf(t, c.Auditor, replay.Filter{Room: room})
		if !slices.Equal(seqsOf(got), want) && len(got)+len(want) > 0 || read != int64(len(got)) {
			t.Errorf("%s: %v (%d read), want %v", room, seqsOf(got), read, want)
		}
		for _, l := range got {
			if shown++; l.Outcome != replay.Applied {
				t.Errorf("%s was told of record %d, which is %s", room, l.Seq, l.Outcome)
			}
		}
		both, _ := linesOf(t, c.Auditor, replay.Filter{Room: room, Actor: "alice", Event: "post:*", Until: start.Add(200 * time.Second)})
		want = want[:0]
		for _, l := range got {
			if l.Actor.ID == "alice" && strings.HasPrefix(l.Event, "post:") && l.Seq <= 200 {
				want = append(want, l.Seq)
			}
		}
		if !slices.Equal(seqsOf(both), want) && len(both)+len(want) > 0 {
			t.Errorf("%s, posts by alice: %v, want %v", room, seqsOf(both), want)
		}
	}
	if shown < 100 {
		t.Errorf("%d lines: the history tests nothing", shown)
	}
}

// Void and parked records say why, also while they are followed in a room of theirs.
func TestReasons(t *testing.T) {
	c := tell(t, 1, 5, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, followed := make(chan replay.Line, 10), make(chan error, 1)
	go func() {
		followed <- c.Follow(ctx, replay.Filter{Of: "zoe"}, func(lines []replay.Line) error {
			for _, l := range lines {
				seen <- l
			}
			return nil
		})
	}()
	append := func(id int, version int) uint64 {
		seq, err := c.Log.AppendWait(t.Context(), eventlog.Record{
			ID: chronicleID(id), Time: schema.TimeOf(start), Event: "post:like", Version: version, Actor: schema.Actor{ID: "zoe"},
			Entity: "post:" + chronicleID(999_999), Data: json.RawMessage(fmt.Sprintf(`{"postId":%q,"action":"like"}`, chronicleID(999_999))),
		})
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	void, parked := append(1000, 1), append(1001, 99)
	if err := c.Models.WaitApplied(t.Context(), parked); err != nil {
		t.Fatal(err)
	}
	for seq, want := range map[uint64]struct{ outcome, reason string }{
		void:   {"void:POST_NOT_FOUND", "void: no such post"},
		parked: {"parked", "parked by log: post:like is of version 99"},
	} {
		got, _ := linesOf(t, c.Auditor, replay.Filter{From: seq, To: seq})
		if len(got) != 1 || got[0].Outcome != want.outcome || len(got[0].Reasons()) != 1 || !strings.HasPrefix(got[0].Reasons()[0], want.reason) {
			t.Errorf("%+v: %q", got, got[0].Reasons())
		}
	}
	for _, want := range []uint64{void, parked} {
		select {
		case l := <-seen:
			if l.Seq != want || l.Outcome == replay.Pending || len(l.Reasons()) != 1 {
				t.Errorf("followed %+v, want %d", l, want)
			}
		case err := <-followed:
			t.Fatalf("the follow ended: %v", err)
		}
	}
	stop()
	<-followed
}

// The lines of a replay as CloudEvents come back as the records that they are of.
func TestLinesAsCloudEvents(t *testing.T) {
	c := tell(t, 2, 60, nil)
	got, _ := linesOf(t, c.Auditor, replay.Filter{CloudEvents: true})
	for i, l := range got {
		r, err := eventlog.ParseCloudEvent(l.CloudEvent)
		if err != nil {
			t.Fatalf("%s: %v", l.CloudEvent, err)
		}
		want := c.replayed[i]
		if r.Seq != l.Seq || r.ID != want.ID || r.Event != want.Event || r.Actor != want.Actor || r.Entity != want.Entity || r.Time != want.Time || string(r.Data) != string(want.Data) {
			t.Errorf("%+v came back as %+v", want, r)
		}
		if !strings.Contains(string(l.CloudEvent), `"outcome":"`+l.Outcome+`"`) {
			t.Errorf("%s does not say that it is %s", l.CloudEvent, l.Outcome)
		}
	}
	if len(got) != 60 {
		t.Errorf("%d lines", len(got))
	}
}
