package projections

import (
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

type eventRecord = eventlog.Record

func viewOf(t testing.TB, w *writer, fn func(*View)) {
	t.Helper()
	err := w.db.View(func(tx *bolt.Tx) error {
		fn(&View{tx: tx, state: newState(tx)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keyed(n int, user, key, content string, at schema.Time) eventRecord {
	r := fact(n, user, "post:create", schema.PostCreate{Content: content})
	r.Key, r.Time = key, start+at
	return r
}

const hour = schema.Time(3600 * 1000)

// A key answers a retry for 24 hours of log time, for its user alone, and for
// nothing but the same command.
func TestKeys(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	apply := func(r eventRecord) Outcome { t.Helper(); return applyAll(t, w, []eventRecord{r}, 1, true)[0] }
	first := apply(keyed(1, "alice", "k", "hello", 0))
	again := apply(keyed(2, "alice", "k", "hello", hour))
	if again.Code != schema.DuplicateKey || again.FirstSeq != 1 || string(again.Result) != string(first.Result) || again.Pushes != nil {
		t.Errorf("a retry: %+v", again)
	}
	if o := apply(keyed(3, "alice", "k", "something else", hour)); o.Code != schema.KeyReused {
		t.Errorf("another body: %q", o.Code)
	}
	other := fact(4, "alice", "post:delete", schema.PostRef{PostID: id(1)})
	other.Key = "k"
	if o := apply(other); o.Code != schema.KeyReused {
		t.Errorf("another event: %q", o.Code)
	}
	if o := apply(keyed(5, "bob", "k", "hello", hour)); o.Code != "" {
		t.Errorf("another user: %q", o.Code)
	}
	if o := apply(keyed(6, "alice", "k", "hello", 24*hour-1)); o.Code != schema.DuplicateKey {
		t.Errorf("after almost a day: %q", o.Code)
	}
	if o := apply(keyed(7, "alice", "k", "hello", 24*hour)); o.Code != "" {
		t.Errorf("after a day: %q", o.Code)
	}
	// Log time does not go back with a slow gateway's clock.
	if o := apply(keyed(8, "alice", "k", "hello", hour)); o.Code != schema.DuplicateKey || o.FirstSeq != 7 {
		t.Errorf("a retry of the new one, by a slow clock: %q of %d", o.Code, o.FirstSeq)
	}
}

// A retry is one also when a gateway of an older release wrote it.
func TestARetryOfAnotherVersion(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	retry := asVersion1(keyed(2, "alice", "k", "hello", hour))
	first := keyed(1, "alice", "k", "hello", 0)
	first.Data = []byte(`{"content":"hello","hashtags":[]}`)
	got := applyAll(t, w, []eventRecord{first, retry}, 2, true)
	if got[0].Code != "" || got[1].Code != schema.DuplicateKey || got[1].FirstSeq != 1 {
		t.Errorf("%q, then %q of %d", got[0].Code, got[1].Code, got[1].FirstSeq)
	}
}

// Only applied records are remembered: what was void may be tried again.
func TestVoidRecordsLeaveTheKeyFree(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	like := func(n int) eventRecord {
		r := fact(n, "bob", "post:like", schema.PostAction{PostID: id(2), Action: "like"})
		r.Key = "k"
		return r
	}
	got := applyAll(t, w, []eventRecord{like(1), fact(2, "alice", "post:create", schema.PostCreate{Content: "now"}), like(3), like(4)}, 4, true)
	codes := []schema.Code{got[0].Code, got[1].Code, got[2].Code, got[3].Code}
	if want := []schema.Code{schema.PostNotFound, "", "", schema.DuplicateKey}; !slices.Equal(codes, want) {
		t.Errorf("%q, want %q", codes, want)
	}
}

// What is remembered is what the last day of log time made, whatever came before.
func TestKeysAreForgotten(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	var records []eventRecord
	for i := range 500 {
		records = append(records, keyed(i+1, "alice", fmt.Sprint("k", i%60), "hello", schema.Time(i)*hour))
	}
	applyAll(t, w, records, 7, false)
	err := w.db.View(func(tx *bolt.Tx) error {
		for _, name := range []string{"answers", "queue"} {
			n := 0
			tx.Bucket([]byte("keys")).Bucket([]byte(name)).ForEach(func(_, _ []byte) error { n++; return nil })
			if n != 24 {
				t.Errorf("%d %s are kept, want the 24 of the last day", n, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A key that is used anew while forgetting lags behind is not forgotten with its
// first use.
func TestForgettingLagsBehind(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	var records []eventRecord
	for i := range 10 {
		records = append(records, keyed(i+1, "alice", fmt.Sprint("k", i), "hello", 0))
	}
	records = append(records, keyed(11, "alice", "k9", "hello", 24*hour))
	for i := range 10 {
		records = append(records, keyed(12+i, "bob", "", "hello", 24*hour))
	}
	records = append(records, keyed(22, "alice", "k9", "hello", 24*hour))
	got := applyAll(t, w, records, len(records), true)
	if o := got[10]; o.Code != "" {
		t.Errorf("used anew after a day: %q", o.Code)
	}
	if o := got[21]; o.Code != schema.DuplicateKey || o.FirstSeq != 11 {
		t.Errorf("its retry: %q of %d", o.Code, o.FirstSeq)
	}
}

// A name with more places than a chunk holds is read from anywhere in it.
func TestLongHistories(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	n := 3*chunkLength + 10
	var records []eventRecord
	for i := range n {
		records = append(records, fact(2*i+1, "alice", "post:create", schema.PostCreate{Content: "hello"}), fact(2*i+2, "alice2", "post:create", schema.PostCreate{Content: "hello"}))
	}
	applyAll(t, w, records, 100, false)
	viewOf(t, w, func(v *View) {
		for _, from := range []uint64{0, 1, 2, 2*chunkLength - 1, 2 * chunkLength, 2*chunkLength + 1, uint64(2*n - 1), uint64(2 * n)} {
			var want []uint64
			for seq := uint64(1); seq < uint64(2*n); seq += 2 {
				if seq >= from {
					want = append(want, seq)
				}
			}
			same(t, fmt.Sprint("places from ", from), slices.Collect(v.ActorSeqs("alice", from)), want)
			same(t, fmt.Sprint("room from ", from), slices.Collect(v.RoomSeqs("user:alice", from)), want)
		}
		for range v.ActorSeqs("alice", 0) {
			break // a reader may stop
		}
	})
}
