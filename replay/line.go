package replay

import (
	"encoding/json"
	"fmt"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// Outcomes of a record, as lines show them. A void record has its code after
// the prefix: "void:POST_NOT_FOUND".
const (
	Applied    = "applied"
	Parked     = "parked"  // its home failed on it; operators have been told
	Pending    = "pending" // the read models have not reached it yet
	Unknown    = "unknown" // there are no read models to ask, only a proof of the record
	voidPrefix = "void:"
)

// Line is one record as an auditor sees it.
type Line struct {
	Seq       uint64           `json:"seq"`
	Time      schema.Time      `json:"time"`
	ID        string           `json:"id"`
	Event     string           `json:"event"`
	Namespace schema.Namespace `json:"namespace"`
	Actor     schema.Actor     `json:"actor"`
	Entity    string           `json:"entity"`
	Version   int              `json:"version"`
	Data      json.RawMessage  `json:"data"`
	Outcome   string           `json:"outcome"`

	Void   *Void    `json:"void,omitempty"`   // why it has no effect
	Parked []Parker `json:"parked,omitempty"` // who failed on it: of an applied record, others than its home

	CloudEvent json.RawMessage      `json:"cloudevent,omitempty"` // the record in that form, when it was asked for and has one
	Changes    []projections.Change `json:"changes,omitzero"`     // what it changed, when that was asked for: nil if not
}

// Void says why a record has no effect.
type Void struct {
	Code    schema.Code `json:"code"`
	Message string      `json:"message"` // what its sender was told
}

// Parker is a projector that failed on a record.
type Parker struct {
	Projector string `json:"projector"` // "log": nobody could read it
	Error     string `json:"error"`
}

// Reasons says in words why a record is void or parked, a line each.
func (l *Line) Reasons() (all []string) {
	if l.Void != nil {
		all = append(all, "void: "+l.Void.Message) // its code is the outcome
	}
	for _, p := range l.Parked {
		all = append(all, fmt.Sprintf("parked by %s: %s", p.Projector, p.Error))
	}
	return all
}

// Proven shows a record that a proof proves. What the log's order made of it, a proof
// does not tell.
func Proven(r *eventlog.Record) Line { return stated(r, Unknown) }

// stated is what a record itself says.
func stated(r *eventlog.Record, outcome string) Line {
	return Line{
		Seq:       r.Seq,
		Time:      r.Time,
		ID:        r.ID,
		Event:     r.Event,
		Namespace: schema.NamespaceOf(r.Event),
		Actor:     r.Actor,
		Entity:    r.Entity,
		Version:   r.Version,
		Data:      r.Data,
		Outcome:   outcome,
	}
}

func lineOf(v *projections.View, r *eventlog.Record) Line {
	l := stated(r, Pending)
	if r.Seq > v.Seq() {
		return l
	}
	for _, p := range v.Parked(r.Seq) {
		l.Parked = append(l.Parked, Parker{p.Projector, p.Error})
	}
	switch code := v.Outcome(r.Seq); code {
	case "":
		l.Outcome = Applied
	case schema.Parked:
		l.Outcome = Parked
	default:
		l.Outcome = voidPrefix + string(code)
		l.Void = &Void{code, schema.NewError(code, "").Message}
	}
	return l
}

// cloudEvent gives the line its record as a CloudEvent with one extension more: the
// outcome. A message that is no record has no such form.
func (l *Line) cloudEvent(r *eventlog.Record) {
	text, err := r.CloudEvent()
	if err != nil {
		return
	}
	outcome, err := json.Marshal(l.Outcome)
	if err != nil {
		return
	}
	l.CloudEvent = append(append(append([]byte(`{"outcome":`), outcome...), ','), text[1:]...)
}
