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

	bound    []*table // every projector's
	deciding crew
	noting   crew
	text     []byte // where write writes
}

// crew is projectors that are told of records one after the other, in one goroutine.
// There are two of them: those by which it is decided what becomes of a record, and
// those that only note what was decided, which may be done behind the first ones' back.
type crew struct {
	batch
	members []named
	parked  []ParkedRecord // of this transaction
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
func (s *state) observers() []named { return slices.Concat(s.deciding.members, s.noting.members) }

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
	for _, o := range s.noting.members {
		if o.name == projector {
			return &s.noting.batch
		}
	}
	return &s.deciding.batch
}

// newState binds the projectors to a transaction.
func newState(tx *bolt.Tx) *state {
	s := &state{}
	s.deciding.members = []named{
		{schema.HomeGraph, &s.graph},
		{schema.HomeFeeds, &s.feeds},
		{schema.HomeLikes, &s.likes},
		{schema.HomeConversations, &s.conversations},
		{schema.HomeModeration, &s.moderation},
		{schema.HomeNotifications, &s.notifications},
		{"keys", &s.keys},
	}
	s.noting.members = []named{
		{"presence", &s.presence},
		{"history", &s.history},
		{"tree", &s.tree},
	}
	s.bound = s.tables()
	s.read(tx)
	return s
}

// read has the state read by a transaction.
func (s *state) read(tx *bolt.Tx) {
	s.deciding.begin(tx)
	s.noting.begin(tx)
}

func (c *crew) begin(tx *bolt.Tx) { c.tx, c.parked, c.broken = tx, nil, nil }

// decide says what becomes of a record at its place, the state as it stands.
func (s *state) decide(r *record, live bool, v *verdict) {
	c := &s.deciding
	if r.err != nil {
		c.park("log", r, r.err)
		*v = void(schema.Parked)
		return
	}
	ok := c.guard("keys", r, func() (err error) {
		*v, err = s.keys.lookup(r)
		return err
	})
	switch {
	case !ok:
		*v = void(schema.Parked)
		return
	case s.moderation.isSuspended(r.Actor.ID, r.Time):
		*v = void(schema.Suspended) // a retry of what was done before is refused, too
		return
	case v.Code != "":
		return
	}
	ok = c.guard(r.home.projector, r, func() (err error) {
		if code := s.permit(r.event, r.Actor.ID, r.data); code != "" {
			*v = void(code)
			return nil
		}
		*v, err = r.home.decide(s, r)
		if err == nil && (v.Code == "" || v.FirstSeq != 0) {
			err = s.complete(r, v, live)
		}
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
		s.name(v)
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

// apply decides a record, which v then says, and tells the projectors of it by which
// others are decided.
func (s *state) apply(r *record, live bool, v *verdict) {
	s.notifications.live = live
	s.decide(r, live, v)
	s.deciding.tell(r, v)
	if v.Code == "" {
		v.Notes = v.notes
	}
}

// note tells the other ones.
func (s *state) note(r *record, v *verdict) { s.noting.tell(r, v) }

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
		c.end(o.name, r, err)
	}
	return told
}

// guard runs one projector on one record.
func (c *crew) guard(projector string, r *record, run func() error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.failed(projector, r, c.panicked(p))
			ok = false
		}
	}()
	return c.end(projector, r, run())
}

// end ends one projector's work on one record.
func (c *crew) end(projector string, r *record, err error) (ok bool) {
	if err == nil && c.fault != nil {
		err = c.fault(projector, &r.Record)
	}
	if err != nil {
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

func (c *crew) park(projector string, r *record, err error) {
	c.parked = append(c.parked, ParkedRecord{Seq: r.Seq, ID: r.ID, Event: r.Event, Projector: projector, Error: err.Error()})
}
