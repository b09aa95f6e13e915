package projections

import (
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

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
