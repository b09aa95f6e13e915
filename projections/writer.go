package projections

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"roomlog/eventlog"
	"roomlog/schema"
)

// writer applies records to one file, a batch at a time. It is for one goroutine
// at a time.
//
// apply commits a batch before it returns: what follows may be told to clients.
// load, for records that nobody waits for, gathers what it decides in memory until it
// is much, and then decides on while that is written, on two cores at once. Rows of
// what is being written are read from memory meanwhile (table.behind), so what is
// decided is the same. A row that changes a hundred times is written once, and one that
// comes and goes never. Much at once is written as a whole file (whole.go). The second crew
// (state.go) is one batch behind the first, in a goroutine of its own.
type writer struct {
	db      *bolt.DB
	state   *state
	at      checkpoint    // of what is committed
	decided checkpoint    // at, or further while loading
	loading *loading      // what is decided and not yet being written; nil: nothing
	behind  *loading      // what is being written; nil: nothing
	second  chan followed // of the last batch that the first crew led, while the second follows; nil: none
	retries *retries      // nil: to be made from the file

	most    int     // bytes that a load may gather, about, and a quarter more while as much is written
	written *volume // nil: nobody asks

	path  string         // of db, where whole.go puts another; "": it does not
	serve func(*bolt.DB) // has readers given that one instead of db; nil: there are none

	replaced errgroup.Group // closes the files whose place another took; close waits for it
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

func (o *batchOutcome) add(other *batchOutcome) {
	o.records += other.records
	o.applied += other.applied
	o.duplicate += other.duplicate
	o.void += other.void
	o.parked += other.parked
	o.park = append(o.park, other.park...)
}

func newWriter(db *bolt.DB, at checkpoint, most int, fault func(string, *eventlog.Record) error) *writer {
	w := &writer{db: db, state: newState(nil), at: at, decided: at, most: most}
	for _, c := range w.state.crews() {
		c.fault, c.keeps = fault, true
	}
	return w
}

// close closes the file, and all those that were replaced, once their readers are done.
func (w *writer) close() error {
	w.giveBack()
	return errors.Join(w.db.Close(), w.replaced.Wait())
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
	w.retries = nil
	w.state.read(tx)
	if err := w.applyAll(records, live, verdicts, &outcome); err != nil {
		return nil, outcome, err
	}
	at := w.after(records)
	if err := w.write(tx, (*table).current, at, outcome.park); err != nil {
		return nil, outcome, err
	}
	w.at, w.decided = at, at
	w.forget()
	return verdicts, outcome, nil
}

// applyAll has records applied, in the buffers, and counts what becomes of them.
func (w *writer) applyAll(records []record, live bool, verdicts []verdict, outcome *batchOutcome) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s := w.state
	for i := range records {
		s.apply(&records[i], live, &verdicts[i])
		if err := s.broken(); err != nil {
			return err
		}
		outcome.count(verdicts[i].Code)
	}
	for _, c := range s.crews() {
		outcome.park = append(outcome.park, c.takeParked()...)
	}
	return nil
}

// after returns the checkpoint behind records.
func (w *writer) after(records []record) checkpoint {
	at, last := w.decided, &records[len(records)-1]
	at.Seq, at.ID = last.Seq, last.ID
	return at
}

func (t *table) current() *buffer  { return &t.buffer }
func (t *table) previous() *buffer { return &t.behind }

// write commits every table's buffer with the checkpoint behind it.
func (w *writer) write(tx *bolt.Tx, buffer func(*table) *buffer, at checkpoint, parked []ParkedRecord) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, t := range w.state.bound {
		b := buffer(t)
		if len(b.marked) == 0 {
			continue
		}
		rows, size, err := t.flush(b, t.bucketIn(tx))
		if err != nil {
			return err
		}
		w.written.add(t.projector, rows, size)
	}
	park, err := parkedRows(parked)
	if err != nil {
		return err
	}
	for key, row := range park {
		if err := tx.Bucket([]byte(bucketParked)).Put([]byte(key), row); err != nil {
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

// parkedRows returns the rows of parked records by their keys.
func parkedRows(parked []ParkedRecord) (map[string][]byte, error) {
	rows := map[string][]byte{}
	for _, p := range parked {
		row, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		rows[string(seqKey(p.Seq))+p.Projector] = row
	}
	return rows, nil
}

// failed, deferred, ends a batch that panicked or has an error.
func (w *writer) failed(err *error, tx *bolt.Tx) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errDamaged, p)
	}
	if *err == nil {
		return
	}
	if _, behind := w.await(); behind != nil && !errors.Is(*err, behind) {
		*err = errors.Join(*err, behind)
	}
	w.abandon()
	tx.Rollback()
}

// forget drops what the tables have buffered.
func (w *writer) forget() {
	for _, t := range w.state.bound {
		t.forget()
		t.behind.forget()
		t.stored = nil
		t.release()
	}
	for _, c := range w.state.crews() {
		c.settle()
		c.inDB, c.parked, c.broken = false, nil, nil
	}
	w.state.keys.young.reset(false, 0)
}

// giveBack frees what forget keeps for the next batch beside the heap.
func (w *writer) giveBack() {
	for _, t := range w.state.bound {
		t.giveBack()
		t.behind.giveBack()
	}
}
