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

// loading is what was decided in one go, on its way to the file.
type loading struct {
	at       checkpoint
	outcome  batchOutcome
	reads    *bolt.Tx // what it is decided by
	follows  *bolt.Tx // the same as reads, for the second crew
	held     int      // bytes that the tables of the second crew hold
	gathered int      // bytes that those of both do
	done     chan error
	whole    bool // it is written as a whole file, which then takes db's place
}

func (l *loading) close() error { return errors.Join(l.reads.Rollback(), l.follows.Rollback()) }

// followed is what came of a batch that the second crew followed.
type followed struct {
	outcome batchOutcome
	held    int
	err     error
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

// load decides a batch. It returns what became of records that were written since the
// last call, nil for none; Settle has the rest written. After an error the file
// stands at w.at, and nothing is being written.
func (w *writer) load(records []record) (written *batchOutcome, err error) {
	l, err := w.beginLoad()
	if err != nil {
		return nil, err
	}
	if l == nil {
		_, outcome, err := w.apply(records, false)
		return &outcome, err
	}
	defer w.failed(&err, l.reads)
	verdicts := make([]verdict, len(records))
	led, err := w.lead(l, records, verdicts)
	if err != nil {
		return nil, err
	}
	if err := w.awaitSecond(); err != nil {
		return nil, err
	}
	l.at = w.after(records)
	w.decided = l.at
	done := make(chan followed, 1)
	w.second = done
	go func() { // awaitSecond waits for it
		var f followed
		f.err = w.follow(records[led:], verdicts[led:], &f.outcome)
		f.held = w.held(&w.state.second)
		done <- f
	}()
	l.gathered = w.held(&w.state.first) + l.held
	if l.gathered < w.most && (w.behind == nil || l.gathered+w.behind.gathered < w.most+w.most/4) {
		return nil, nil
	}
	return w.writeLoaded(false)
}

// lead has the first crew lead, and records decided with the second where they have to
// be. It returns up to where the second has followed already.
func (w *writer) lead(l *loading, records []record, verdicts []verdict) (led int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see damage.go
	s := w.state
	for i := range records {
		if i%warmGroup == 0 {
			group := records[i:min(i+warmGroup, len(records))]
			w.retries.warm(group)
			s.warm(group)
		}
		if r := &records[i]; !w.asksSecond(r) {
			s.lead(r, &verdicts[i])
		} else {
			if err := w.awaitSecond(); err != nil {
				return led, err
			}
			if err := w.follow(records[led:i], verdicts[led:i], &l.outcome); err != nil {
				return led, err
			}
			if err := w.applyAll(records[i:i+1], false, verdicts[i:i+1], &l.outcome); err != nil {
				return led, err
			}
			led = i + 1
		}
		if s.first.broken != nil {
			return led, s.first.broken
		}
	}
	l.outcome.park = append(l.outcome.park, s.first.takeParked()...)
	return led, nil
}

// asksSecond reports whether the first crew cannot lead a record without the second.
func (w *writer) asksSecond(r *record) bool {
	return r.err == nil && r.Key != "" && w.retries.may(r)
}

// awaitSecond waits until the second crew has followed.
func (w *writer) awaitSecond() error {
	if w.second == nil {
		return nil
	}
	f := <-w.second
	w.second = nil
	w.loading.held = f.held
	w.loading.outcome.add(&f.outcome)
	return f.err
}

// held is how much the buffers of a crew hold of what is not being written, about.
func (w *writer) held(c *crew) (sum int) {
	for _, t := range w.state.bound {
		if t.batch == &c.batch {
			sum += t.held()
		}
	}
	if c == &w.state.second {
		sum += w.state.keys.young.size()
	}
	return sum
}

// beginLoad returns what is being decided, nil where a batch has to be written at once.
func (w *writer) beginLoad() (*loading, error) {
	if w.loading != nil {
		return w.loading, nil
	}
	reads, err := w.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("reading the read models: %w", err)
	}
	if reads.Size() > initialMap/2 {
		// bbolt would wait for this very reader before it maps more.
		return nil, reads.Rollback()
	}
	follows, err := w.db.Begin(false)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the read models: %w", err), reads.Rollback())
	}
	if w.decided.Seq == 0 { // the file has no rows but those that this writer will write
		for _, t := range w.state.bound {
			t.stored = &filter{}
		}
	}
	if w.retries == nil {
		w.retries = newRetries(&w.state.keys.answers, reads)
	}
	w.state.read(follows)
	w.state.first.tx = reads
	w.state.keys.begin()
	w.loading = &loading{reads: reads, follows: follows, done: make(chan error, 1)}
	return w.loading, nil
}

// writeLoaded begins to write what was decided, once what came before it is written. After
// the last of a load nothing is looked up in what is written.
func (w *writer) writeLoaded(last bool) (written *batchOutcome, err error) {
	if err := w.awaitSecond(); err != nil {
		return nil, err
	}
	w.state.keys.keep()
	w.loading.close() // or a file that is replaced would stay open for it
	if written, err = w.await(); err != nil {
		return nil, err
	}
	for _, t := range w.state.bound {
		if !last {
			t.noteStored(&t.buffer)
			t.chain() // for nothing of it changes any more
		}
		t.behind.forget()
		t.buffer, t.behind = t.behind, t.buffer
		t.release()
	}
	l := w.loading
	w.loading, w.behind = nil, l
	go func() { l.done <- w.writeBehind(l) }() // await waits for it
	return written, nil
}

// await waits for what is being written, and returns what became of it, nil for
// nothing. After an error nothing is left of it.
func (w *writer) await() (*batchOutcome, error) {
	l := w.behind
	if l == nil {
		return nil, nil
	}
	err := <-l.done
	w.behind = nil
	if err == nil && l.whole {
		err = w.replace(l)
	}
	if err != nil {
		return nil, err
	}
	w.at = l.at
	return &l.outcome, nil
}

// settle has all that was decided written, and returns what became of it, nil for
// nothing.
func (w *writer) settle() (written *batchOutcome, err error) {
	if w.loading == nil && w.behind == nil {
		return nil, nil
	}
	if w.loading != nil {
		if written, err = w.writeLoaded(true); err != nil {
			w.abandon()
			return nil, err
		}
	}
	last, err := w.await()
	w.forget()
	w.giveBack()
	if err != nil {
		w.decided = w.at
		return nil, err
	}
	if written == nil {
		return last, nil
	}
	written.add(last)
	return written, nil
}

// abandon gives up what was decided and not written.
func (w *writer) abandon() {
	if w.loading != nil {
		w.awaitSecond()
		w.loading.close()
		w.loading = nil
	}
	w.decided = w.at
	w.forget()
	w.giveBack()
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

// follow has the second crew follow.
func (w *writer) follow(records []record, verdicts []verdict, outcome *batchOutcome) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s := w.state
	for i := range records {
		if i%warmGroup == 0 {
			s.warmSecond(records[i:min(i+warmGroup, len(records))])
		}
		s.follow(&records[i], false, &verdicts[i])
		if s.second.broken != nil {
			return s.second.broken
		}
		outcome.count(verdicts[i].Code)
	}
	outcome.park = append(outcome.park, s.second.takeParked()...)
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

// writeBehind writes what was decided, as a whole file or in one transaction.
func (w *writer) writeBehind(l *loading) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	tx, err := w.db.Begin(true)
	if err != nil {
		return fmt.Errorf("writing the read models: %w", err)
	}
	l.whole = w.replaces(tx)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
		if l.whole || err != nil {
			tx.Rollback()
		}
	}()
	if l.whole {
		return w.writeWhole(tx, l)
	}
	return w.write(tx, (*table).previous, l.at, l.outcome.park)
}

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
