package projections

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// writer applies records to one file, a batch at a time. It is for one goroutine
// at a time.
//
// apply commits a batch before it returns: what follows may be told to clients.
// applyBehind, for batches that nobody waits for, decides one batch while the one
// before it is being written, on two cores at once. The rows of that one are read
// from memory meanwhile (table.behind), so what is decided is the same.
type writer struct {
	db     *bolt.DB
	state  *state
	at     checkpoint // of what is committed
	behind *writing   // nil: nothing is being written

	written *volume // nil: nobody asks
}

// writing is a decided batch on its way to the file.
type writing struct {
	at      checkpoint
	outcome batchOutcome
	reads   *bolt.Tx // what it was decided by; its rows point into it
	done    chan error
}

// batchOutcome is what became of a batch.
type batchOutcome struct {
	records                          int
	applied, duplicate, void, parked int
	park                             []ParkedRecord
}

func (o *batchOutcome) count(code schema.Code) {
	o.records++
	switch code {
	case "":
		o.applied++
	case schema.DuplicateKey:
		o.duplicate++
	case schema.Parked:
		o.parked++
	default:
		o.void++
	}
}

func newWriter(db *bolt.DB, at checkpoint, fault func(string, *eventlog.Record) error) *writer {
	w := &writer{db: db, state: newState(nil), at: at}
	w.state.fault, w.state.batch.keeps = fault, true
	return w
}

// prepare makes the buckets of an empty file, with a checkpoint before the first
// record.
func (w *writer) prepare() error {
	return w.db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketMeta, bucketParked} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		for _, t := range w.state.bound {
			top, err := tx.CreateBucketIfNotExists([]byte(t.projector))
			if err != nil {
				return err
			}
			if _, err := top.CreateBucketIfNotExists([]byte(t.name)); err != nil {
				return err
			}
		}
		return putCheckpoint(tx, w.at)
	})
}

// apply applies a batch in one transaction and returns what became of each record,
// and of all. After an error the file stands where it was.
func (w *writer) apply(records []record, live bool) (verdicts []verdict, outcome batchOutcome, err error) {
	if _, err := w.settle(); err != nil {
		return nil, outcome, err
	}
	tx, err := w.db.Begin(true)
	if err != nil {
		return nil, outcome, fmt.Errorf("writing the read models: %w", err)
	}
	defer w.failed(&err, tx)
	verdicts = make([]verdict, len(records))
	outcome, err = w.decide(tx, records, live, func(i int, v verdict) { verdicts[i] = v })
	if err != nil {
		return nil, outcome, err
	}
	at := w.after(records)
	if err := w.write(tx, (*table).current, at, outcome.park); err != nil {
		return nil, outcome, err
	}
	w.at = at
	w.forget()
	return verdicts, outcome, nil
}

// applyBehind decides a batch and begins to write it. It returns what became of the
// batch before, which is committed by then, nil for none. After an error the file
// stands at w.at, and nothing is being written.
func (w *writer) applyBehind(records []record) (written *batchOutcome, err error) {
	reads, err := w.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("reading the read models: %w", err)
	}
	if reads.Size() > initialMap/2 {
		// bbolt would wait for this very reader before it maps more.
		reads.Rollback()
		_, outcome, err := w.apply(records, false)
		return &outcome, err
	}
	defer w.failed(&err, reads)
	outcome, err := w.decide(reads, records, false, func(int, verdict) {})
	if err != nil {
		return nil, err
	}
	at := w.after(records)
	if written, err = w.settle(); err != nil {
		return nil, err
	}
	for _, t := range w.state.bound {
		t.buffer, t.behind = t.behind, t.buffer
		t.release()
	}
	b := &writing{at: at, outcome: outcome, reads: reads, done: make(chan error, 1)}
	w.behind = b
	go func() { b.done <- w.writeBehind(b) }() // settle waits for it
	return written, nil
}

// settle waits for the batch that is being written, and returns what became of it,
// nil for none. After an error nothing is left of it.
func (w *writer) settle() (*batchOutcome, error) {
	b := w.behind
	if b == nil {
		return nil, nil
	}
	err := <-b.done
	w.behind = nil
	for _, t := range w.state.bound {
		t.behind.forget()
	}
	b.reads.Rollback()
	if err != nil {
		return nil, err
	}
	w.at = b.at
	return &b.outcome, nil
}

// decide has every projector told of the records, in the buffers.
func (w *writer) decide(tx *bolt.Tx, records []record, live bool, emit func(int, verdict)) (outcome batchOutcome, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see damage.go
	s := w.state
	s.batch.tx, s.parked, s.broken = tx, nil, nil
	for i := range records {
		v := s.apply(&records[i], live)
		if s.broken != nil {
			return outcome, s.broken
		}
		outcome.count(v.Code)
		emit(i, v)
	}
	outcome.park = s.parked
	return outcome, nil
}

// after returns the checkpoint behind records.
func (w *writer) after(records []record) checkpoint {
	at, last := w.at, &records[len(records)-1]
	at.Seq, at.ID = last.Seq, last.ID
	return at
}

func (t *table) current() *buffer  { return &t.buffer }
func (t *table) previous() *buffer { return &t.behind }

func (w *writer) writeBehind(b *writing) (err error) {
	tx, err := w.db.Begin(true)
	if err != nil {
		return fmt.Errorf("writing the read models: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
		if err != nil {
			tx.Rollback()
		}
	}()
	return w.write(tx, (*table).previous, b.at, b.outcome.park)
}

// write commits every table's buffer with the checkpoint behind it.
func (w *writer) write(tx *bolt.Tx, buffer func(*table) *buffer, at checkpoint, parked []ParkedRecord) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, t := range w.state.bound {
		b := buffer(t)
		if len(b.dirty) == 0 {
			continue
		}
		if err := t.flush(b, t.bucketIn(tx)); err != nil {
			return err
		}
		w.written.add(t.projector, b.dirty)
	}
	for _, p := range parked {
		row, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketParked)).Put(append(seqKey(p.Seq), p.Projector...), row); err != nil {
			return err
		}
	}
	if err := putCheckpoint(tx, at); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing the read models: %w", err)
	}
	return nil
}

// failed, deferred, ends a batch that panicked or has an error.
func (w *writer) failed(err *error, tx *bolt.Tx) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errDamaged, p)
	}
	if *err == nil {
		return
	}
	if _, behind := w.settle(); behind != nil && !errors.Is(*err, behind) {
		*err = errors.Join(*err, behind)
	}
	w.forget()
	tx.Rollback()
}

// forget drops what the tables have buffered of the batch at hand.
func (w *writer) forget() {
	for _, t := range w.state.bound {
		t.buffer.forget()
		t.release()
	}
	w.state.batch.settle()
	w.state.batch.inDB = false
}
