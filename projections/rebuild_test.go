package projections

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// A history through the real log, with a stop in its middle: delivered as the
// oracle says, each record once, and equal to a rebuild at any batch size.
func TestHistoryThroughTheLog(t *testing.T) {
	for seed, maxBatch := range []int{1, 7, 1024} {
		records := histories(300, 300).Example(seed)
		w := newWorld(t)
		w.maxBatch = maxBatch
		w.run()
		middle := len(records) / 2
		if middle > 0 {
			w.append(records[:middle]...)
		}
		w.close() // anywhere in the first half
		w.run()
		last := w.append(records[middle:]...)
		w.outcome(last)

		want := newOracle()
		for _, r := range records {
			want.apply(r)
		}
		w.view(func(v *View) { compare(t, v, want) })
		w.mu.Lock()
		for i, a := range w.delivered {
			if i > 0 && a.Record.Seq <= w.delivered[i-1].Record.Seq {
				t.Errorf("record %d was delivered after %d", a.Record.Seq, w.delivered[i-1].Record.Seq)
			}
			if a.Outcome.Code != want.outcomes[a.Record.Seq-1] {
				t.Errorf("record %d: %q, want %q", a.Record.Seq, a.Outcome.Code, want.outcomes[a.Record.Seq-1])
			}
		}
		w.mu.Unlock()
		w.rebuild()
		w.view(func(v *View) { compare(t, v, want) })
		w.close()
		if err := w.log.Close(); err != nil {
			t.Fatal(err)
		}
		w.openLog()
		w.run()
		w.view(func(v *View) { compare(t, v, want) })
	}
}

// Without Run the read models are compared at the end of the log, however far behind
// they were, and made where there are none.
func TestRebuildAlone(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(500, 20)...)
	for name, behind := range map[string]uint64{"none": 0, "behind": 200, "up to date": last} {
		w.open()
		if err := errors.Join(w.models.load(t.Context(), 1, behind, w.models.applyBehind), w.models.settle()); err != nil {
			t.Fatal(err)
		}
		var told Progress
		report, err := w.models.Rebuild(t.Context(), func(p Progress) { told = p })
		if err != nil || !report.TookOver || !report.Equal() || report.OtherVersions || report.Records != last ||
			report.Live.Seq != last || report.Rebuilt.Seq != last || w.models.Applied() != last || told.Records != last {
			t.Errorf("%s: %+v, %v; told of %d", name, report, err, told.Records)
		}
		w.close()
		if err := errors.Join(removeAll(w.path(), w.path()+suffixOld)); err != nil {
			t.Fatal(err)
		}
	}
}

// Readers and writers notice nothing of a rebuild: no record is missed, no query
// fails, and what is served afterwards is the new file.
func TestRebuildWhileServing(t *testing.T) {
	w := newWorld(t)
	w.run()
	records := traffic(4000, 50)
	w.append(records[:1000]...)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := w.models.View(func(v *View) error {
				_, err := v.Feed("user000001", schema.Page{})
				return err
			})
			if err != nil {
				t.Errorf("a reader failed during the rebuild: %v", err)
				return
			}
		}
	})
	busy.Go(func() {
		for batch := range slices.Chunk(records[1000:], 100) {
			w.append(batch...)
		}
	})
	for range 5 {
		w.rebuild()
	}
	close(stop)
	busy.Wait()
	w.outcome(w.log.Durable())
	for i, a := range w.delivered {
		if a.Record.Seq != uint64(i+1) {
			t.Fatalf("delivery %d is of record %d", i+1, a.Record.Seq)
		}
	}
	live := w.digest()
	if report := w.rebuild(); report.Rebuilt.Total != live.Total || report.Records != uint64(len(records)) {
		t.Errorf("rebuilt %d records to %v, want %v", report.Records, report.Rebuilt, live)
	}
	w.close()
	w.run()
	if again := w.digest(); again.Total != live.Total {
		t.Errorf("after a restart: %v, want %v", again, live)
	}
}

// A rebuild finds what has changed in the file, says which rows of which read model
// differ, and leaves the file alone until it is told to take over even so.
func TestRebuildFindsAndHealsADifference(t *testing.T) {
	w := newWorld(t)
	w.run()
	post := w.must("alice", "post:create", schema.PostCreate{Content: "hello"})
	good := w.digest()
	w.close()
	w.tamper(func(tx *bolt.Tx) error {
		likes := tx.Bucket([]byte("likes"))
		return errors.Join(
			likes.Bucket([]byte("posts")).Put([]byte(post), likeable{seq: 1, count: 7, author: []byte("alice")}.encode(nil)),
			likes.Bucket([]byte("likes")).Put([]byte("a like too many"), present))
	})
	w.run()
	bad := w.digest()
	for _, o := range []RebuildOptions{{}, {CompareOnly: true, Keys: 10}, {CompareOnly: true, Accept: true, Keys: 1}} {
		report, err := w.models.RebuildWith(t.Context(), o)
		if err != nil || report.Equal() || report.TookOver || !slices.Equal(report.Differences, []string{"likes"}) {
			t.Errorf("%+v: %+v, %v", o, report, err)
		}
		if len(report.Diff) != 1 || report.Diff[0].Rows != 2 || len(report.Diff[0].Shown) != min(o.Keys, 2) {
			t.Errorf("%+v: the difference is %+v", o, report.Diff)
		}
		want := []string{
			`{"table":"likes","key":{"postSeq":6998713020962906228,"user":"oo many"},"live":{}}`,
			`{"table":"posts","key":{"post":"` + post + `"},"live":{"removed":false,"seq":1,"author":"alice","likes":7},"rebuilt":{"removed":false,"seq":1,"author":"alice","likes":0}}`,
		}
		for i, row := range report.Diff[0].Shown {
			if got, err := json.Marshal(row); err != nil || string(got) != want[i] {
				t.Errorf("the difference is %s, %v; want %s", got, err, want[i])
			}
		}
		if again := w.digest(); again.Total != bad.Total {
			t.Errorf("%+v changed what is served", o)
		}
	}
	report, err := w.models.RebuildWith(t.Context(), RebuildOptions{Accept: true})
	if err != nil || report.Equal() || !report.TookOver {
		t.Errorf("accepted: %+v, %v", report, err)
	}
	if healed := w.digest(); healed.Total != good.Total {
		t.Errorf("after the rebuild %v, want %v", healed, good)
	}
	if _, err := os.Stat(w.path() + ".old"); err != nil {
		t.Errorf("the file that differed: %v", err)
	}
	w.rebuild()
}

// tamper changes the closed file behind the models' back.
func (w *world) tamper(change func(*bolt.Tx) error) {
	w.t.Helper()
	db, err := bolt.Open(w.path(), 0o600, nil)
	if err == nil {
		err = errors.Join(db.Update(change), db.Close())
	}
	if err != nil {
		w.t.Fatalf("tampering: %v", err)
	}
}

// Without Run, a rebuild brings the read models to the end of the log, and shows
// how far it is.
func TestRebuildWithoutRun(t *testing.T) {
	w := newWorld(t)
	w.open()
	last := w.append(traffic(500, 10)...)
	var steps []Progress
	report, err := w.models.Rebuild(t.Context(), func(p Progress) { steps = append(steps, p) })
	if err != nil || report.Records != last || w.models.Applied() != last {
		t.Fatalf("rebuilt %d records, applied %d of %d: %v", report.Records, w.models.Applied(), last, err)
	}
	if len(steps) == 0 || steps[len(steps)-1].Records != last || steps[len(steps)-1].Of != last {
		t.Errorf("progress %+v", steps)
	}
	w.follow()
	w.outcome(w.append(fact(1000, "alice", "post:create", schema.PostCreate{Content: "more"})))
	if len(w.delivered) != 1 {
		t.Errorf("%d records were delivered, want the one after the rebuild", len(w.delivered))
	}
	w.rebuild()
}

// A rebuild that is given up leaves the served file alone, and the next one goes on
// where it was; only one goes on at a time.
func TestRebuildGivenUp(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(loadBatch+100, 10)...)
	w.run()
	before := w.digest()
	ctx, cancel := context.WithCancel(t.Context())
	done := false
	_, err := w.models.Rebuild(ctx, func(p Progress) {
		if _, err := w.models.Rebuild(t.Context(), nil); !errors.Is(err, ErrRebuilding) {
			t.Errorf("a second rebuild: %v", err)
		}
		if err := w.models.Commit(); !errors.Is(err, ErrRebuilding) {
			t.Errorf("a commit: %v", err)
		}
		if err := w.models.Rollback(t.Context(), nil); !errors.Is(err, ErrRebuilding) {
			t.Errorf("a rollback: %v", err)
		}
		if done = p.Records > 0; done {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a rebuild whose context ended: %v", err)
	}
	if after := w.digest(); after.Total != before.Total {
		t.Errorf("it changed the served file")
	}
	var first Progress
	report, err := w.models.Rebuild(t.Context(), func(p Progress) {
		if first.Stage == "" {
			first = p
		}
	})
	if err != nil || !report.TookOver || report.Records != last || first.From < loadBatch {
		t.Errorf("the next one began at %d: %+v, %v", first.From, report, err)
	}
	if _, err := os.Stat(w.path() + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file: %v", err)
	}
}

// Someone deletes the file of a server that runs: a rebuild puts it back.
func TestRebuildOfADeletedFile(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.append(traffic(100, 10)...)
	w.outcome(w.log.Durable())
	before := w.digest()
	if err := os.Remove(w.path()); err != nil {
		t.Fatal(err)
	}
	w.rebuild()
	w.close()
	w.open()
	if again := w.digest(); again.Total != before.Total || w.models.Applied() != before.Seq {
		t.Errorf("after a restart %v, want %v", again, before)
	}
}

// What Check says is what then happens, for every fact of random histories.
func TestCheckAgreesWithTheLog(t *testing.T) {
	w := newWorld(t)
	w.run()
	for _, r := range histories(200, 200).Example(3) {
		said := w.models.Check(r)
		if got := w.outcome(w.append(r)); got.Code != said.Code || got.FirstSeq != said.FirstSeq {
			t.Fatalf("%s %s: %q at %d, Check said %q at %d", r.Event, r.Data, got.Code, got.FirstSeq, said.Code, said.FirstSeq)
		}
	}
	before := w.digest()
	for _, r := range histories(200, 200).Example(4) {
		if o := w.models.Check(r); o.Pushes != nil {
			t.Errorf("Check makes pushes: %v", o.Pushes)
		}
	}
	if after := w.digest(); after.Total != before.Total {
		t.Error("Check wrote something")
	}
	if o := w.models.Check(eventlog.Record{Event: "post:like", Actor: schema.Actor{ID: "alice"}, Data: []byte(`{"postId":"` + id(999_999) + `","action":"like"}`)}); o.Code != schema.PostNotFound {
		t.Errorf("a record without id and version: %q", o.Code)
	}
}
