package projections

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"roomlog/schema"
)

// spoilOpen changes the open file behind the models' back, all but its head.
func (w *world) spoilOpen(spoil func([]byte)) {
	w.t.Helper()
	const head = 2 * 4096 // bbolt's two meta pages
	f, err := os.OpenFile(w.path(), os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, info.Size()-head)
	if _, err := f.ReadAt(b, head); err != nil {
		w.t.Fatal(err)
	}
	spoil(b)
	if _, err := f.WriteAt(b, head); err != nil {
		w.t.Fatal(err)
	}
}

// Damaged pages that anything meets with end Run, and the next start makes the read
// models anew: a query, a check, a digest, a rebuild's comparison, a record.
func TestDamagedPagesMetWhileServing(t *testing.T) {
	spoils := map[string]func([]byte){
		"cut":   func([]byte) {}, // reading the map faults
		"zeros": func(b []byte) { clear(b) },
		"ones":  func(b []byte) { copy(b, bytes.Repeat([]byte{0xFF}, len(b))) },
		"noise": func(b []byte) {
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		},
	}
	readers := map[string]func(*world) error{
		"query": func(w *world) error {
			return w.models.View(func(v *View) error {
				_, err := v.Feed("user000001", schema.Page{})
				return err
			})
		},
		"digest": func(w *world) error {
			_, err := w.models.Digest(w.t.Context())
			return err
		},
		"rebuild": func(w *world) error {
			_, err := w.models.Rebuild(w.t.Context(), nil)
			return err
		},
		"check": func(w *world) error {
			o := w.models.Check(fact(9000, "user000001", "post:create", schema.PostCreate{Content: "hello"}))
			if o.Code != schema.Internal {
				w.t.Errorf("Check: %q", o.Code)
			}
			return w.models.Err()
		},
		"record": func(w *world) error {
			seq := w.append(fact(9001, "user000001", "post:create", schema.PostCreate{Content: "hello"}))
			return w.models.WaitApplied(w.t.Context(), seq)
		},
	}
	for kind, spoil := range spoils {
		for reader, read := range readers {
			t.Run(kind+" met by a "+reader, func(t *testing.T) {
				w := newWorld(t)
				w.append(traffic(2000, 50)...)
				w.run()
				if w.spoilOpen(spoil); kind == "cut" {
					if err := os.Truncate(w.path(), 3*4096); err != nil {
						t.Fatal(err)
					}
				}
				if err := read(w); !errors.Is(err, errDamaged) {
					t.Fatalf("the reader got %v", err)
				}
				if err := <-w.done; !errors.Is(err, errDamaged) {
					t.Errorf("Run: %v", err)
				}
				w.stop()
				w.stop = nil
				w.close()
				if aside, _ := filepath.Glob(w.path() + ".damaged-*"); len(aside) != 1 {
					t.Errorf("set aside: %q", aside)
				}
				w.run()
				w.rebuild()
				if parked := w.models.Parked(); len(parked) > 0 {
					t.Errorf("parked: %v", parked)
				}
			})
		}
	}
}

// A reader of a file that has been replaced does not bring down the new one; and a
// mistake in the program is not taken for damage.
func TestWhatIsNoDamageOfTheServedFile(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(100, 10)...)
	w.run()
	tx, err := w.models.read()
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() {
		_, err := w.models.Rebuild(t.Context(), nil) // ends with the reader
		rebuilt <- err
	}()
	for w.models.isServing(tx.DB()) {
		runtime.Gosched()
	}
	if err := w.models.condemn(tx.DB(), errDamaged); !errors.Is(err, errDamaged) || w.models.Err() != nil {
		t.Errorf("%v, %v", err, w.models.Err())
	}
	tx.Rollback()
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the mistake was swallowed")
			}
		}()
		w.models.View(func(*View) error {
			var nobody *schema.Error
			_ = nobody.Code
			return nil
		})
	}()
	if err := w.models.Err(); err != nil {
		t.Error(err)
	}
	w.rebuild()
}
