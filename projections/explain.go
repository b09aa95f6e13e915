package projections

import (
	"bytes"
	"fmt"

	"roomlog/eventlog"
)

// Change is a row that a record changed, as people can read it.
type Change struct {
	Model  string `json:"model"`
	Table  string `json:"table"`
	Key    Fields `json:"key"`
	Before Fields `json:"before,omitzero"` // nil: there was no such row
	After  Fields `json:"after,omitzero"`  // nil: there is none any more
}

// Explain returns the rows that r changes, read model by read model in the order in
// which they are told of it, when it is the next record to be applied. Nothing is written. A record that some read models are
// behind of, or that they have applied, is an error: the rows before it are not known.
func (m *Models) Explain(r eventlog.Record) (changes []Change, err error) {
	err = m.View(func(v *View) error {
		if at := v.Seq(); r.Seq <= at || m.Applied()+1 < r.Seq {
			return fmt.Errorf("what record %d changes cannot be told by read models at %d", r.Seq, at)
		}
		rec := decode(r)
		s := v.state
		for _, c := range s.crews() {
			c.fault = m.fault
		}
		s.apply(&rec, false, new(verdict))
		if err := s.broken(); err != nil {
			return err
		}
		for _, o := range s.observers() {
			for _, t := range s.bound {
				if t.projector == o.name {
					changes = t.changes(changes)
				}
			}
		}
		return nil
	})
	return changes, err
}

// changes appends the rows that differ from those in the file, in the order of their
// keys.
func (t *table) changes(all []Change) []Change {
	for _, r := range t.inOrder() {
		key, now := t.key(r), t.value(r)
		before := t.lookup(key)
		if !t.is(r, dirty) || bytes.Equal(before, now) && (before == nil) == (now == nil) {
			continue
		}
		c := Change{Model: t.projector, Table: t.name}
		c.Key, c.Before = describe(t.projector, t.name, key, before)
		_, c.After = describe(t.projector, t.name, key, now)
		all = append(all, c)
	}
	return all
}
