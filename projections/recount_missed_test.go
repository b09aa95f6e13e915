package projections

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"roomlog/schema"
)

// What notifies and moderates comes out of the real log as it was recounted, with a
// stop in its middle, at any batch size, and out of a rebuild too; who is there is
// told the same.
func TestRecountThroughTheLog(t *testing.T) {
	dir, drawn := t.TempDir(), 0
	for seed, maxBatch := range []int{1, 7, 1024} {
		g := rapid.Custom(func(rt *rapid.T) *gossip {
			drawn++ // again and again when one fails
			g := newGossip(rt, bare(t, filepath.Join(dir, fmt.Sprint(drawn))))
			for len(g.records) < 250 {
				g.act()
			}
			return g
		}).Example(seed)
		want := ofRecords(digestOf(t, g.w.db))
		w := newWorld(t)
		w.maxBatch = maxBatch
		w.run()
		w.append(g.records[:100]...)
		w.close() // anywhere before
		w.run()
		w.outcome(w.append(g.records[100:]...))
		if got := ofRecords(w.digest()); !reflect.DeepEqual(got, want) {
			t.Errorf("in batches of %d: %v, want %v", maxBatch, got, want)
		}
		for _, a := range w.delivered {
			i := a.Record.Seq - 1
			if a.Outcome.Code != g.codes[i] || !reflect.DeepEqual(a.Outcome.Notes, g.told[i]) {
				t.Errorf("record %d: %q and %s, want %q and %s", i+1, a.Outcome.Code, text(a.Outcome.Notes), g.codes[i], text(g.told[i]))
			}
		}
		w.rebuild()
		if got := ofRecords(w.digest()); !reflect.DeepEqual(got, want) {
			t.Errorf("rebuilt: %v, want %v", got, want)
		}
	}
}

// ofRecords leaves out what depends on how the log stores them.
func ofRecords(d Digest) map[string]string {
	delete(d.Projections, "tree")
	return d.Projections
}

// compareAtTheEnd asks for what is too dear to be asked after every record.
func (g *gossip) compareAtTheEnd() {
	if len(g.records) == 0 {
		return
	}
	err := g.w.db.View(func(tx *bolt.Tx) error {
		v := &View{tx: tx, state: newState(tx)}
		g.compareDocket(v)
		for _, user := range cast {
			for _, after := range []int{0, g.roll(len(g.records)), max(0, len(g.records)-10)} {
				g.compareMissed(v, user, uint64(after))
			}
		}
		return nil
	})
	if err != nil {
		g.Fatal(err)
	}
}

// compareMissed has a user come back who heard everything up to a place: they are
// told every notification since then that is there, but for those of conversations
// which they have left; and for the sake of nothing else they are told a record as
// one that only notified them.
func (g *gossip) compareMissed(v *View, user string, after uint64) {
	upTo := uint64(len(g.records))
	missed, ok := v.Missed(user, []string{schema.UserRoom(user)}, after, upTo, len(g.records))
	if !ok {
		g.Fatalf("%s missed more than there is after %d", user, after)
	}
	var got, want []schema.Notification
	for i, seq := range missed.Seqs {
		if seq <= after || seq > upTo || i > 0 && seq <= missed.Seqs[i-1] {
			g.Fatalf("%s missed %v after %d", user, missed.Seqs, after)
		}
		got = append(got, v.NotesOf(user, g.records[seq-1])...)
	}
	for _, n := range g.want.visible(user) {
		if n.seq > after && (n.Conversation == "" || g.want.talks[n.Conversation].since[user] < n.seq && g.want.talks[n.Conversation].since[user] != 0) {
			shown := n.Notification
			shown.Sender = v.actor(n.Sender.ID)
			want = append(want, shown)
		}
	}
	for _, all := range [][]schema.Notification{got, want} {
		slices.SortFunc(all, func(a, b schema.Notification) int { return cmp.Compare(a.ID, b.ID) })
	}
	same(g.T, user+" is notified again of", got, want)
	for seq := range missed.Notified {
		made := func(n *recountNote) bool { return n.Recipient == user && n.seq == seq }
		if told := v.state.history.has(schema.UserRoom(user), asRoom, seq); told || !slices.ContainsFunc(g.want.notes, made) {
			g.Fatalf("%s is told record %d as one that notified them; told besides: %v", user, seq, told)
		}
	}
}

// tryAgain sends one of the latest records that have a key once more.
func (g *gossip) tryAgain() {
	for _, old := range slices.Backward(g.records[max(0, len(g.records)-8-g.roll(8)):]) {
		if old.Key != "" {
			r := old
			r.ID, r.Time, r.Seq = id(len(g.records)+1), start+schema.Time(len(g.records)+1)*1000, uint64(len(g.records)+1)
			g.sends(r)
			return
		}
	}
}
