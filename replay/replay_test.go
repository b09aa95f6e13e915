package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// start is long ago, so that records can have any time after it.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// history is a log of some hundred records by few users about few posts, some of
// them void, with its read models.
type history struct {
	replay.Auditor
	posts []string
	all   []replay.Line // what a replay without a filter shows
}

func newHistory(t *testing.T) *history {
	t.Helper()
	dir := t.TempDir()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(dir, "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { models.Close() })
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- models.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ran })

	h := &history{Auditor: replay.Auditor{Log: log, Models: models}}
	for i := range 600 {
		h.append(t, i)
	}
	if err := models.WaitApplied(t.Context(), log.Durable()); err != nil {
		t.Fatal(err)
	}
	h.all = h.show(t, replay.Filter{})
	return h
}

// append adds the i-th record. Likes come round again and are then void.
func (h *history) append(t *testing.T, i int) uint64 {
	t.Helper()
	user := fmt.Sprintf("user-%d", i%7)
	r := eventlog.Record{
		ID: eventlog.NewID(start), Time: schema.TimeOf(start.Add(time.Duration(i) * time.Second)),
		Version: 1, Actor: schema.Actor{ID: user, Username: user},
	}
	var data any
	switch {
	case i%20 == 0:
		r.Event, data = "post:create", schema.PostCreate{Content: fmt.Sprintf("post %d", i)}
		r.Entity = "post:" + r.ID
		h.posts = append(h.posts, r.ID)
	case i%3 == 0:
		r.Event, r.Entity = "user:follow", "user:user-0"
		data = schema.UserFollow{FollowingID: "user-0", Action: schema.ActionFollow}
	default:
		post := h.posts[i%len(h.posts)]
		r.Event, r.Entity = "post:like", "post:"+post
		data = schema.PostAction{PostID: post, Action: schema.ActionLike}
	}
	var err error
	if r.Data, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	seq, err := h.Log.AppendWait(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func (h *history) show(t interface{ Fatal(...any) }, f replay.Filter) []replay.Line {
	var got []replay.Line
	err := h.Replay(context.Background(), f, func(lines []replay.Line) error {
		got = append(got, lines...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A replay shows what a reader of the whole log would pick out by hand.
func TestReplayMatchesAFullScan(t *testing.T) {
	h := newHistory(t)
	if len(h.all) != 600 {
		t.Fatalf("%d lines", len(h.all))
	}
	void := 0
	for i, l := range h.all {
		if l.Seq != uint64(i+1) {
			t.Fatalf("line %d is seq %d", i, l.Seq)
		}
		if strings.HasPrefix(l.Outcome, "void:") {
			void++
		}
	}
	if void == 0 || void == len(h.all) {
		t.Fatalf("%d of %d records are void: the history tests nothing", void, len(h.all))
	}
	rapid.Check(t, func(t *rapid.T) {
		f := replay.Filter{
			Event:  rapid.SampledFrom([]string{"", "", "post:*", "post:like", "user:follow", "post:share"}).Draw(t, "event"),
			Actor:  rapid.SampledFrom([]string{"", "", "user-0", "user-6", "nobody"}).Draw(t, "actor"),
			Entity: rapid.SampledFrom([]string{"", "", "user:user-0", "post:" + h.posts[0], "post:" + h.posts[9]}).Draw(t, "entity"),
			From:   rapid.SampledFrom([]uint64{0, 1, 257, 600, 601, 9999}).Draw(t, "from"),
			To:     rapid.SampledFrom([]uint64{0, 1, 256, 300, 600, 9999}).Draw(t, "to"),
		}
		if rapid.Bool().Draw(t, "since") {
			f.Since = start.Add(rapid.SampledFrom([]time.Duration{-time.Hour, 0, 300 * time.Second, time.Hour}).Draw(t, "since"))
		}
		if rapid.Bool().Draw(t, "until") {
			f.Until = start.Add(rapid.SampledFrom([]time.Duration{-time.Hour, 0, 300 * time.Second, time.Hour}).Draw(t, "until"))
		}
		if rapid.IntRange(0, 3).Draw(t, "of") == 0 {
			f.Of = "post:" + h.posts[rapid.IntRange(0, len(h.posts)-1).Draw(t, "post")]
		}
		var want []replay.Line
		for _, l := range h.all {
			if picked(f, l) {
				want = append(want, l)
			}
		}
		if got := h.show(t, f); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v: %d lines, want %d", f, len(got), len(want))
		}
	})
}

// picked is the filter as obvious as can be.
func picked(f replay.Filter, l replay.Line) bool {
	eventFits := f.Event == "" || f.Event == l.Event || f.Event == "post:*" && strings.HasPrefix(l.Event, "post:")
	actorFits := f.Actor == "" || f.Actor == l.Actor.ID
	entityFits := f.Entity == "" || f.Entity == l.Entity
	placeFits := l.Seq >= f.From && (f.To == 0 || l.Seq <= f.To)
	timeFits := f.Since.IsZero() || !l.Time.Go().Before(f.Since)
	untilFits := f.Until.IsZero() || !l.Time.Go().After(f.Until)
	ofFits := f.Of == "" || f.Of == l.Entity // likes and posts are told to their post alone, and to users
	return untilFits && ofFits && eventFits && actorFits && entityFits && placeFits && timeFits
}

// A follow goes on where the replay ends, without gap or repetition, and shows
// each record with its outcome.
func TestFollow(t *testing.T) {
	h := newHistory(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan replay.Line, 1000)
	followed := make(chan error, 1)
	f := replay.Filter{Actor: "user-3", From: 500}
	go func() {
		followed <- h.Follow(ctx, f, func(lines []replay.Line) error {
			for _, l := range lines {
				seen <- l
			}
			return nil
		})
	}()
	var want []uint64
	for _, l := range h.all {
		if l.Seq >= f.From && l.Actor.ID == f.Actor {
			want = append(want, l.Seq)
		}
	}
	for i := 600; i < 640; i++ {
		if seq := h.append(t, i); i%7 == 3 {
			want = append(want, seq)
		}
	}
	for _, seq := range want {
		select {
		case l := <-seen:
			if l.Seq != seq || l.Outcome == replay.Pending {
				t.Fatalf("seq %d (%s), want %d", l.Seq, l.Outcome, seq)
			}
		case err := <-followed:
			t.Fatalf("ended before seq %d: %v", seq, err)
		}
	}
	stop()
	if err := <-followed; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// What the reader refuses ends the replay.
func TestReplayStopsWithItsReader(t *testing.T) {
	h := newHistory(t)
	full := errors.New("the disk is full")
	calls := 0
	err := h.Replay(t.Context(), replay.Filter{}, func([]replay.Line) error { calls++; return full })
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Records that the read models have not reached are pending, found all the same.
func TestPending(t *testing.T) {
	dir := t.TempDir()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(dir, "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close() // never run
	h := &history{Auditor: replay.Auditor{Log: log, Models: models}}
	for i := range 10 {
		h.append(t, i)
	}
	for _, f := range []replay.Filter{{}, {Actor: "user-1"}, {Entity: "post:" + h.posts[0]}} {
		got := h.show(t, f)
		if len(got) == 0 {
			t.Errorf("%+v shows nothing", f)
		}
		for _, l := range got {
			if l.Outcome != replay.Pending {
				t.Errorf("seq %d is %s", l.Seq, l.Outcome)
			}
		}
	}
}
