package realtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// command is how one event of the catalogue is carried out: as one of a fact, a
// query, or something of the connection itself.
type command struct {
	// complete fills in what the gateway adds to a fact: r has its ID and Actor;
	// complete sets Entity, and may change data, the decoded payload.
	complete func(r *eventlog.Record, data any)
	// query answers from a view of the read models, which is held only meanwhile:
	// what it returns must not point into it, and is bounded by the page limits.
	query func(s *session, v *projections.View, data any) (any, error)
	// act does the rest: signals, and what concerns the socket.
	act func(s *session, c *call, data any)
}

// commands has an entry for every event that a client may send.
var commands = merge(
	socialFacts, socialQueries, socialSignals,
	messagingFacts, messagingQueries, messagingSignals,
	notificationFacts, notificationQueries,
	adminFacts, adminReportQueries, adminQueries, adminSignals,
	connectionCommands,
)

func merge(tables ...map[string]command) map[string]command {
	all := make(map[string]command)
	for _, table := range tables {
		for name, c := range table {
			if _, twice := all[name]; twice {
				panic("realtime: two commands for " + name)
			}
			all[name] = c
		}
	}
	return all
}

// fact, query and act make a command of functions that know the payload's type.
// schema.Decode returns a pointer to it.
func fact[T any](complete func(r *eventlog.Record, data *T)) command {
	return command{complete: func(r *eventlog.Record, data any) { complete(r, data.(*T)) }}
}

func query[T any](answer func(s *session, v *projections.View, data *T) (any, error)) command {
	return command{query: func(s *session, v *projections.View, data any) (any, error) { return answer(s, v, data.(*T)) }}
}

func act[T any](do func(s *session, c *call, data *T)) command {
	return command{act: func(s *session, c *call, data any) { do(s, c, data.(*T)) }}
}

// call is one command being carried out: it answers exactly once.
type call struct {
	session *session
	id      json.RawMessage // nil: no ack is wanted
	event   string          // "" until the catalogue knows it
	key     string
	began   time.Time
}

// ok acks the command with data, {} for nil.
func (c *call) ok(data json.RawMessage) { c.ack(0, false, data) }

func (c *call) ack(seq uint64, duplicate bool, data json.RawMessage) {
	c.session.server.metrics.event(c.event, "ok")
	if c.id != nil {
		c.session.answer(appendAck(nil, c.id, seq, duplicate, data))
	}
}

// fail answers with the error: as an ack, or as an error push when the frame had no id.
func (c *call) fail(e *schema.Error) {
	s := c.session
	s.server.metrics.event(c.event, string(e.Code))
	s.server.audit.refused(s, c.event, e)
	if c.id != nil {
		s.answer(appendErrorAck(nil, c.id, e, time.Now()))
		return
	}
	s.tell("error", errorBody(e, time.Now()))
}

// failWith is fail for an error that may be the server's own: then the client
// is told no more than that.
func (c *call) failWith(err error) {
	c.fail(c.session.server.refusal(err))
}

// refusal is what clients are told of an error: no more than INTERNAL when it is the
// server's own.
func (s *Server) refusal(err error) *schema.Error {
	var known *schema.Error
	if !errors.As(err, &known) {
		s.log.Error("a command failed", "error", err)
		known = schema.NewError(schema.Internal, "")
	}
	return known
}

// outcome answers a fact with what the projections made of it at seq. What an
// earlier record has done already is as good as done by this one.
func (c *call) outcome(seq uint64, o *projections.Outcome) {
	switch {
	case o.Code == "":
		c.ack(seq, false, o.Result)
	case o.FirstSeq != 0:
		c.ack(o.FirstSeq, true, o.Result)
	default:
		c.fail(schema.NewError(o.Code, ""))
	}
}

// handle carries out one message. The order of the checks is part of the wire:
// frame, rate, event, kind, connected, role, data; then what the command says.
func (s *session) handle(message *buffer) {
	s.handling.Lock()
	defer s.handling.Unlock()
	if s.out.isSealed() {
		return // whatever comes after the close frame is not heard
	}
	c := call{session: s, began: time.Now()}
	defer func() {
		if p := recover(); p != nil { // one client's command must not end everyone's server
			s.server.log.Error("command panicked", "event", c.event, "panic", wordsOf(p), "stack", string(debug.Stack()))
			c.fail(schema.NewError(schema.Internal, ""))
		}
	}()
	frame, bad := schema.ParseCommand(message.bytes)
	if bad != nil && bad.Code == schema.BadFrame {
		c.fail(bad)
		s.close(schema.CloseBadFrames)
		return
	}
	c.id = slices.Clone(frame.ID) // the frame's buffer is used again
	refusal := s.spend(frame.Event, c.began)
	if s.refused = refusal != nil; s.refused {
		c.fail(refusal)
		if s.rate.goesOn(s.server.cfg.RateEvents) {
			s.close(schema.CloseTooManyEvents)
		}
		return
	}
	if bad != nil {
		c.fail(bad)
		return
	}
	event, data, refusal := s.admit(&c, &frame)
	if refusal != nil {
		c.fail(refusal)
		switch refusal.Code {
		case schema.TokenExpired, schema.TooManySockets, schema.Suspended:
			s.close(closeFor(refusal.Code)) // after the answer: nothing follows a close frame
		}
		return
	}
	c.key = frame.Key
	s.carryOut(&c, event, data)
}

// wordsOf says what a panic was without what a client may have sent: the runtime's
// own words have none of it.
func wordsOf(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// admit checks that the event may be sent here and now, and returns its payload.
func (s *session) admit(c *call, frame *schema.Command) (*schema.Event, any, *schema.Error) {
	event, known := schema.Lookup(frame.Event)
	if !known {
		return nil, nil, schema.NewError(schema.UnknownEvent, "")
	}
	c.event = event.Name
	if event.Kind == schema.Push {
		return nil, nil, schema.NewError(schema.NotACommand, "")
	}
	if event.Name != connectEvent {
		if refusal := s.authorise(event, c.began); refusal != nil {
			return nil, nil, refusal
		}
	}
	if refusal := schema.Validate(event, frame.Data); refusal != nil {
		return nil, nil, refusal
	}
	data, err := schema.Decode(event, frame.Data)
	if err != nil {
		return nil, nil, schema.NewError(schema.InvalidField, err.Error())
	}
	return event, data, nil
}

// authorise checks that the socket is connected, its token still good, and that
// the token has a role for the event. A socket that came with a token in its
// handshake is connected by its first command.
func (s *session) authorise(event *schema.Event, now time.Time) *schema.Error {
	identity := s.identity.Load()
	if identity == nil {
		return schema.NewError(schema.NotConnected, "")
	}
	if !now.Before(identity.Expires) {
		return schema.NewError(schema.TokenExpired, "")
	}
	if !s.joined.Load() {
		if refusal := s.connectQuietly(); refusal != nil {
			return refusal
		}
	}
	if !event.Permits(identity.Roles) {
		return schema.NewError(schema.NotPermitted, "")
	}
	return nil
}

func (s *session) carryOut(c *call, event *schema.Event, data any) {
	do := commands[event.Name]
	switch {
	case do.complete != nil:
		s.submit(c, event, data, do.complete)
	case do.query != nil:
		s.ask(c, event, data, do.query)
	case event.Namespace() == schema.Connection:
		do.act(s, c, data)
	default:
		if err := s.permitted(event, data); err != nil {
			c.failWith(err)
			return
		}
		do.act(s, c, data)
	}
}

// ask answers a query, after the socket's own facts that were sent before it: a
// client that does not wait for its acks reads its writes too. The answer is
// encoded after the view is closed.
func (s *session) ask(c *call, event *schema.Event, data any, query func(*session, *projections.View, any) (any, error)) {
	s.waitForFacts()
	if wait := s.enterQueries(); wait > 0 {
		s.turnAway(c, wait)
		return
	}
	defer s.leaveQueries()
	var answer any
	err := s.server.cfg.Models.View(func(v *projections.View) (err error) {
		if err = permit(v, event, s.userID(), data); err == nil {
			answer, err = query(s, v, data)
		}
		return err
	})
	if err != nil {
		c.failWith(err)
		return
	}
	encoded := mustJSON(answer)
	s.greedy = s.greedy || s.server.cfg.RateEvents > 0 && len(encoded) > largeAnswer
	c.ok(encoded)
}

// turnAway answers what a gate did not let in. The socket is read slowly from then on,
// see pressure.go: who does not wait as asked presses upon themselves.
func (s *session) turnAway(c *call, wait time.Duration) {
	s.refused = true
	c.fail(overloaded(wait))
}

func (s *session) enterQueries() (wait time.Duration) {
	g := &s.server.queries
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.enter(&s.sender.queries, 0, now)
}

func (s *session) leaveQueries() {
	g := &s.server.queries
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(&s.sender.queries, 0)
	g.did(1, now)
}

// permitted reports why the user may not send a signal as of now. Of facts the
// projections ask the same, at the record's place.
func (s *session) permitted(event *schema.Event, data any) error {
	return s.server.cfg.Models.View(func(v *projections.View) error { return permit(v, event, s.userID(), data) })
}

func permit(v *projections.View, event *schema.Event, user string, data any) error {
	if code := v.Permit(event, user, data); code != "" {
		return schema.NewError(code, "")
	}
	return nil
}

// busyFacts is how many facts that wait for their acks make a server a busy one.
const busyFacts = 256

// submit gives a fact to the log; Deliver answers it. The record's data is what
// the client sent, encoded again, so that nothing is in the log that the payload
// type does not know.
func (s *session) submit(c *call, event *schema.Event, data any, complete func(*eventlog.Record, any)) {
	server := s.server
	r := eventlog.Record{
		Time:    schema.TimeOf(c.began),
		ID:      eventlog.NewID(c.began),
		Event:   event.Name,
		Version: event.Version,
		Actor:   s.identity.Load().Actor,
		Key:     c.key,
		Socket:  s.id,
	}
	complete(&r, data)
	r.Data = mustJSON(data)
	inFlight := s.inFlight.Add(1) // past this nothing may panic: it would never land
	if s.unacked.Add(1) > int32(server.cfg.MaxFactsInFlight) {
		s.unacked.Add(-1)
		c.fail(schema.NewError(schema.TooManyInFlight, ""))
		s.landed() // the others may have landed meanwhile, and left it to this one to say so
		return
	}
	if s.draining.Load() {
		s.unacked.Add(-1)
		c.fail(schema.NewError(schema.ShuttingDown, ""))
		s.landed()
		return
	}
	waiting, wait := server.acks.add(r.ID, waitingAck{session: s, id: c.id, event: c.event, began: c.began, bytes: len(r.Data)})
	if wait > 0 {
		s.unacked.Add(-1)
		s.turnAway(c, wait)
		s.landed()
		return
	}
	// With nothing of this socket under way, a command that cannot succeed is
	// refused without using up a place in the log. Otherwise only the log's order
	// can tell; and a busy server leaves it to the log too, which has to decide
	// anyway (measured: the check is a third of what a command costs here).
	if inFlight == 1 && waiting <= busyFacts {
		if o := server.cfg.Models.Check(r); o.Code != "" {
			server.acks.take(r.ID)
			s.unacked.Add(-1)
			c.outcome(0, &o)
			s.landed()
			return
		}
	}
	lost := func(err error) {
		if w, ok := server.acks.take(r.ID); ok {
			w.failed(err)
		}
	}
	// Append would wait while its queue is full, which with what the gate lets in it is
	// not: Config.MaxWaiting is no more than it takes.
	err := server.cfg.Log.Append(server.ctx, r, func(_ uint64, err error) {
		if err != nil {
			lost(err)
		}
	})
	if err != nil {
		lost(err)
	}
}
