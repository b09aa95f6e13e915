package projections

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// state is every projector bound to one transaction. It is for one goroutine.
type state struct {
	keys     keys
	graph    graph
	feeds    feeds
	likes    likes
	presence presence
	history  history
	tree     tree

	conversations conversations
	moderation    moderation
	notifications notifications

	bound  []*table // every projector's
	first  crew
	second crew
	text   []byte // where write writes
}

// crew is projectors that are told of records one after the other, in one goroutine. What
// becomes of a record is decided by what the first crew knows, so that the second, which
// is told of it then, may be behind. It decides what it is home to, of which the first
// hears no more. One thing the first has to ask the second, which must not be behind
// then: whether a record repeats an earlier one (see writer.load).
type crew struct {
	batch
	members []named
	parked  []ParkedRecord // since takeParked
	broken  error          // the file is damaged: nothing more can be applied
	seen    uint64         // by warm, which the compiler must not leave out
	fault   func(projector string, r *eventlog.Record) error
}

// projector is a read model: told of every record, with what its home decided.
type projector interface {
	observe(*record, *verdict) error
}

// named is a projector under its name.
type named struct {
	name string
	projector
}

// observers lists the projectors in the order they are told.
func (s *state) observers() []named { return slices.Concat(s.first.members, s.second.members) }

// tables lists every table with its bucket and how full its pages are packed.
func (s *state) tables() []*table {
	all := []struct {
		table           *table
		projector, name string
		fill            float64
	}{
		{&s.keys.answers, "keys", "answers", scattered},
		{&s.keys.queue, "keys", "queue", ascending},
		{&s.keys.clock, "keys", "clock", scattered},
		{&s.graph.users, "graph", "users", scattered},
		{&s.graph.following, "graph", "following", scattered},
		{&s.graph.follows, "graph", "follows", scattered},
		{&s.graph.followers, "graph", "followers", scattered},
		{&s.graph.blocks, "graph", "blocks", scattered},
		{&s.graph.apart, "graph", "apart", scattered},
		{&s.graph.friends, "graph", "friends", scattered},
		{&s.feeds.posts, "feeds", "posts", ascending},
		{&s.feeds.bodies, "feeds", "bodies", ascending},
		{&s.feeds.timelines, "feeds", "timelines", scattered},
		{&s.feeds.authors, "feeds", "authors", scattered},
		{&s.feeds.shares, "feeds", "shares", ascending},
		{&s.feeds.sharers, "feeds", "sharers", scattered},
		{&s.feeds.comments, "feeds", "comments", scattered},
		{&s.feeds.withheld, "feeds", "withheld", scattered},
		{&s.feeds.commentPlace, "feeds", "commentPlace", ascending},
		{&s.likes.posts, "likes", "posts", ascending},
		{&s.likes.likes, "likes", "likes", scattered},
		{&s.conversations.heads, "conversations", "heads", ascending},
		{&s.conversations.rosters, "conversations", "rosters", ascending},
		{&s.conversations.members, "conversations", "members", scattered},
		{&s.conversations.messages, "conversations", "messages", scattered},
		{&s.conversations.withheld, "conversations", "withheld", scattered},
		{&s.conversations.places, "conversations", "places", ascending},
		{&s.conversations.direct, "conversations", "direct", scattered},
		{&s.moderation.suspensions, "moderation", "suspensions", scattered},
		{&s.moderation.reports, "moderation", "reports", ascending},
		{&s.moderation.lists, "moderation", "lists", scattered},
		{&s.moderation.waiting, "moderation", "waiting", scattered},
		{&s.moderation.counts, "moderation", "counts", scattered},
		{&s.notifications.items, "notifications", "items", scattered},
		{&s.notifications.messages, "notifications", "messages", scattered},
		{&s.notifications.awaited, "notifications", "awaited", scattered},
		{&s.notifications.subjects, "notifications", "subjects", scattered},
		{&s.notifications.users, "notifications", "users", scattered},
		{&s.notifications.names, "notifications", "names", scattered},
		{&s.notifications.blocks, "notifications", "blocks", scattered},
		{&s.presence.lastSeen, "presence", "lastSeen", scattered},
		{&s.history.names, "history", "names", scattered},
		{&s.history.counts, "history", "counts", ascending},
		{&s.history.voids, "history", "voids", ascending},
		{&s.tree.leaves, "tree", "leaves", ascending},
		{&s.tree.tiles, "tree", "tiles", ascending},
		{&s.tree.spans, "tree", "spans", ascending},
	}
	for _, t := range []*table{&s.notifications.items, &s.notifications.awaited, &s.notifications.subjects, &s.notifications.names} {
		t.lists = true
	}
	tables := make([]*table, len(all))
	for i, t := range all {
		t.table.projector, t.table.name, t.table.fill, t.table.batch = t.projector, t.name, t.fill, s.batchOf(t.projector)
		tables[i] = t.table
	}
	return tables
}

func (s *state) batchOf(projector string) *batch {
	for _, o := range s.second.members {
		if o.name == projector {
			return &s.second.batch
		}
	}
	return &s.first.batch
}

// newState binds the projectors to a transaction.
func newState(tx *bolt.Tx) *state {
	s := &state{}
	s.first.members = []named{
		{schema.HomeGraph, &s.graph},
		{schema.HomeFeeds, &s.feeds},
		{schema.HomeLikes, &s.likes},
		{schema.HomeConversations, &s.conversations},
		{schema.HomeModeration, &s.moderation},
	}
	s.second.members = []named{
		{schema.HomeNotifications, &s.notifications},
		{"presence", &s.presence},
		{"history", &s.history},
		{"tree", &s.tree},
		{"keys", &s.keys},
	}
	s.bound = s.tables()
	s.read(tx)
	return s
}

// read has the state read by a transaction.
func (s *state) read(tx *bolt.Tx) {
	for _, c := range s.crews() {
		c.tx = tx
	}
}

func (s *state) crews() [2]*crew { return [2]*crew{&s.first, &s.second} }

// broken says why nothing more can be applied, nil for nothing.
func (s *state) broken() error { return cmp.Or(s.first.broken, s.second.broken) }

// apply decides what becomes of a record at its place, the state as it stands, and tells
// the projectors.
func (s *state) apply(r *record, live bool, v *verdict) {
	s.lookUp(r, v)
	s.lead(r, v)
	s.follow(r, live, v)
}

// decide is apply without telling anybody.
func (s *state) decide(r *record, v *verdict) {
	s.lookUp(r, v)
	s.decideFirst(r, v)
	s.decideLeft(r, v)
	s.answer(r, false, v)
}

// lookUp says what becomes of a record that repeats an earlier one.
func (s *state) lookUp(r *record, v *verdict) {
	*v = verdict{}
	if r.err != nil || r.Key == "" {
		return
	}
	if !s.second.attempt("keys", r, func() error { *v = s.keys.lookUp(r); return nil }) {
		*v = void(schema.Parked)
	}
}

// lead decides a record and tells the first crew, but for what the second has to decide.
func (s *state) lead(r *record, v *verdict) {
	s.decideFirst(r, v)
	s.first.tell(r, v)
}

// follow decides what lead left, and tells the second crew.
func (s *state) follow(r *record, live bool, v *verdict) {
	s.notifications.live = live
	s.decideLeft(r, v)
	s.answer(r, live, v)
	s.second.tell(r, v)
	if v.Code == "" {
		v.Notes = v.notes
	}
}

func (s *state) decideFirst(r *record, v *verdict) {
	switch {
	case r.err != nil:
		s.first.park("log", r, r.err)
		*v = void(schema.Parked)
	case v.Code == schema.Parked:
	case s.moderation.isSuspended(r.Actor.ID, r.Time):
		*v = void(schema.Suspended) // a retry of what was done before is refused, too
	case v.Code != "":
	case r.home.isSecond():
		v.left = true
	default:
		s.decideAtHome(&s.first, r, v)
	}
}

func (s *state) decideLeft(r *record, v *verdict) {
	if v.left {
		s.decideAtHome(&s.second, r, v)
	}
}

// answer completes a verdict that is answered with what is told.
func (s *state) answer(r *record, live bool, v *verdict) {
	if v.payload == nil || v.Code != "" && v.FirstSeq == 0 {
		return
	}
	if err := s.complete(r, v, live); err != nil {
		s.second.park("keys", r, err)
	}
}

func (s *state) decideAtHome(c *crew, r *record, v *verdict) {
	ok := c.guard(r.home.projector, r, func() (err error) {
		if code := s.permit(r.event, r.Actor.ID, r.data); code != "" {
			*v = void(code)
			return nil
		}
		*v, err = r.home.decide(s, r)
		s.name(v) // now: the second crew, which answers, must not ask the graph
		return err
	})
	if !ok {
		*v = void(schema.Parked)
	}
}

// complete writes the answer, where somebody waits for it or a retry may, and
// the push, where there is somebody to push to. Unless live the answer is in room that
// the next one takes: what keeps it copies it.
func (s *state) complete(r *record, v *verdict, live bool) (err error) {
	switch {
	case live && v.Code == "":
		var p Push
		if p, err = s.push(r, v); err != nil {
			return err
		}
		if v.Result = p.Data; p.Own != nil {
			v.Result = p.Own
		}
		p.Users = s.conversations.participants(v.participantsOf)
		v.Pushes = []Push{p}
	case live || r.Key != "" || v.FirstSeq != 0:
		answer := v.payload
		if v.own != nil {
			answer = v.own
		}
		if v.Result, err = s.write(answer); live {
			v.Result = bytes.Clone(v.Result)
		}
	}
	return err
}

// push encodes what a verdict tells, to be kept.
func (s *state) push(r *record, v *verdict) (Push, error) {
	s.name(v)
	p := Push{
		Event: r.Event, Rooms: append([]string(nil), v.rooms...), FollowersOf: v.followersOf, Except: s.conversations.later(v.of),
		Apart: v.apart, Evicted: v.evicted, Closed: v.closed, Suspended: v.suspended,
	}
	text, err := s.write(v.payload)
	p.Data = bytes.Clone(text)
	if err == nil && v.own != nil {
		text, err = s.write(v.own)
		p.Own = bytes.Clone(text)
	}
	return p, err
}

// write encodes what somebody is told, in the room of what it encoded before.
func (s *state) write(payload any) (json.RawMessage, error) {
	var err error
	if s.text, err = schema.AppendJSON(s.text[:0], payload); err != nil {
		return nil, fmt.Errorf("writing the answer: %w", err)
	}
	return s.text, nil
}

// name fills in how the users go by whom a home knows by their ids alone.
func (s *state) name(v *verdict) {
	for i := range v.named {
		if a := &v.named[i]; a.Username == "" {
			u, _ := s.graph.user(a.ID)
			*a = u.actor(a.ID)
		}
	}
}

// tell tells the projectors of a record, but for its home. One that fails does not keep
// the others from hearing of it.
func (c *crew) tell(r *record, v *verdict) {
	for told := 0; told < len(c.members); {
		told = c.tellFrom(told, r, v)
	}
}

// tellFrom tells projectors until one panics. It returns the next that is to be told.
func (c *crew) tellFrom(next int, r *record, v *verdict) (told int) {
	told = next
	defer func() {
		if p := recover(); p != nil {
			c.failed(c.members[told].name, r, c.panicked(p))
			told++
		}
	}()
	for ; told < len(c.members); told++ {
		o := &c.members[told]
		if r.home != nil && o.name == r.home.projector || r.err != nil && o.name == "keys" {
			continue
		}
		err := o.observe(r, v)
		if err == nil && c.fault != nil {
			err = c.fault(o.name, &r.Record)
		}
		if err != nil {
			c.failed(o.name, r, err)
			continue
		}
		c.settle()
	}
	return told
}

// guard runs one projector on one record.
func (c *crew) guard(projector string, r *record, run func() error) (ok bool) {
	return c.attempt(projector, r, func() error {
		err := run()
		if err == nil && c.fault != nil {
			err = c.fault(projector, &r.Record)
		}
		return err
	})
}

func (c *crew) attempt(projector string, r *record, run func() error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.failed(projector, r, c.panicked(p))
			ok = false
		}
	}()
	if err := run(); err != nil {
		c.failed(projector, r, err)
		return false
	}
	c.settle()
	return true
}

// failed takes back what a projector wrote for a record, which is parked.
func (c *crew) failed(projector string, r *record, err error) {
	c.rollback()
	c.park(projector, r, err)
}

// panicked tells a projector's failure from a damaged file, which ends the batch.
func (c *crew) panicked(p any) error {
	if why, ok := damageIn(p); ok || c.inDB {
		c.broken = fmt.Errorf("%w: %s", errDamaged, cmp.Or(why, wordsOf(p)))
	}
	return fmt.Errorf("panic: %s", wordsOf(p))
}

// wordsOf says what a panic was without what users may have written, which neither
// the server's log nor the ADMIN stream is to have: the runtime's own words have none.
func wordsOf(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// takeParked returns the records that were parked since it was called last.
func (c *crew) takeParked() (parked []ParkedRecord) {
	parked, c.parked = c.parked, nil
	return parked
}

func (c *crew) park(projector string, r *record, err error) {
	c.parked = append(c.parked, ParkedRecord{Seq: r.Seq, ID: r.ID, Event: r.Event, Projector: projector, Error: err.Error()})
}
