package projections

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/schema"
)

// grow adds leaves to a writer's tree in batches of random sizes; the places of gaps
// have no record.
func grow(t *testing.T, w *writer, leaves []tlog.Hash, gaps map[uint64]bool, rng *rand.Rand, most int) {
	t.Helper()
	for next := 0; next < len(leaves); {
		tx, err := w.db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		w.state.read(tx)
		at := w.at
		for end := min(next+1+rng.IntN(most), len(leaves)); next < end || gaps[uint64(next)]; next++ {
			at.Seq = uint64(next) + 1
			if gaps[at.Seq] {
				continue
			}
			if err := w.state.tree.observe(&record{Record: eventlog.Record{Seq: at.Seq}, leaf: leaves[next]}, nil); err != nil {
				t.Fatal(err)
			}
			w.state.second.settle()
		}
		if err := w.write(tx, (*table).current, at, nil); err != nil {
			t.Fatal(err)
		}
		w.at = at
		w.forget()
	}
}

// viewing runs fn on what a writer wrote.
func viewing(t *testing.T, w *writer, fn func(*View)) {
	t.Helper()
	tx, err := w.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	s := newState(tx)
	fn(&View{tx: tx, state: s})
}

// Roots and proofs of the tree are those of another implementation, at random sizes,
// however the records were batched; and so are its rows.
func TestTreeIsThatOfRFC6962(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	size := uint64(1<<16 + 1 + rng.IntN(600))
	leaves, gaps := make([]tlog.Hash, size), map[uint64]bool{}
	for range 20 {
		for first, n := 1+rng.Uint64N(size-400), 1+rng.IntN(1+rng.IntN(300)); n > 0; n-- {
			gaps[first] = true
			first++
		}
	}
	gaps[1] = true
	other := testonly.New(rfc6962.DefaultHasher)
	for i := range leaves {
		leaf := fmt.Append(nil, "record ", i)
		leaves[i] = tlog.RecordHash(leaf)
		if gaps[uint64(i)+1] {
			leaves[i] = MissingLeaf(uint64(i) + 1)
		}
		other.Append(leaves[i][:])
	}
	w, again := bare(t, filepath.Join(t.TempDir(), "a.db")), bare(t, filepath.Join(t.TempDir(), "b.db"))
	grow(t, w, leaves, gaps, rng, 7000)
	grow(t, again, leaves, gaps, rng, 20000)
	if a, b := digestOf(t, w.db), digestOf(t, again.db); a.Total != b.Total {
		t.Errorf("the rows depend on the batches: %v and %v", a, b)
	}
	viewing(t, w, func(v *View) {
		for _, n := range append([]uint64{1, 255, 256, 257, 1 << 16, size}, sizes(rng, size, 30)...) {
			root, err := v.TreeRoot(n)
			if err != nil || string(root[:]) != string(other.HashAt(n)) {
				t.Fatalf("size %d: root %v, %v; want %x", n, root, err, other.HashAt(n))
			}
			seq := 1 + rng.Uint64N(n)
			path, err := v.ProveRecord(n, seq)
			if err == nil {
				err = proof.VerifyInclusion(rfc6962.DefaultHasher, seq-1, n, leaves[seq-1][:], bytesOf(path), other.HashAt(n))
			}
			if err != nil {
				t.Fatalf("record %d in %d: %v", seq, n, err)
			}
			older := 1 + rng.Uint64N(n)
			between, err := v.ProveTree(n, older)
			if err == nil {
				err = proof.VerifyConsistency(rfc6962.DefaultHasher, older, n, bytesOf(between), other.HashAt(older), other.HashAt(n))
			}
			if err != nil {
				t.Fatalf("from %d to %d: %v", older, n, err)
			}
		}
		if _, err := v.TreeRoot(size + 1); err == nil {
			t.Error("there is a root past the last record")
		}
		if root, err := v.TreeRoot(0); err != nil || string(root[:]) != string(rfc6962.DefaultHasher.EmptyRoot()) {
			t.Errorf("the empty tree: %v, %v", root, err)
		}
		for _, seq := range []uint64{0, size + 1} {
			if _, err := v.ProveRecord(size, seq); err == nil {
				t.Errorf("place %d is in the tree", seq)
			}
		}
	})
}

func sizes(rng *rand.Rand, most uint64, n int) (sizes []uint64) {
	for range n {
		sizes = append(sizes, 1+rng.Uint64N(most))
	}
	return sizes
}

func bytesOf[H ~[32]byte](hashes []H) [][]byte {
	b := make([][]byte, len(hashes))
	for i := range hashes {
		b[i] = hashes[i][:]
	}
	return b
}

// The leaves are those of the records as the log has them, void ones and those that
// nobody can read too, and a rebuild comes to the same ones.
func TestTreeIsOfTheLogsRecords(t *testing.T) {
	w := newWorld(t)
	w.run()
	records := traffic(300, 3)
	unknown := fact(9000, "alice", "post:create", schema.PostCreate{Content: "from the future"})
	unknown.Version = 99
	last := w.append(append(records, unknown)...)
	w.outcome(last)
	w.rebuild()
	other := testonly.New(rfc6962.DefaultHasher)
	codes := map[schema.Code]bool{}
	for r, err := range w.log.Read(t.Context(), 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		other.AppendData(r.Leaf())
	}
	w.view(func(v *View) {
		for seq := range last {
			codes[v.Outcome(seq+1)] = true
		}
		root, err := v.TreeRoot(last)
		if err != nil || string(root[:]) != string(other.Hash()) {
			t.Errorf("root %v, %v; want %x", root, err, other.Hash())
		}
	})
	if !codes[""] || !codes[schema.Parked] || len(codes) < 3 {
		t.Errorf("outcomes %v: the test tests little", slices.Collect(maps.Keys(codes)))
	}
}
