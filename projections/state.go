package projections

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"

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
	batch  batch
	parked []ParkedRecord // of this transaction
	broken error          // the file is damaged: nothing more can be applied
	text   []byte         // where push writes before it knows how long it becomes
	fault  func(projector string, r *eventlog.Record) error
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
func (s *state) observers() [10]named {
	return [...]named{
		{schema.HomeGraph, &s.graph},
		{schema.HomeFeeds, &s.feeds},
		{schema.HomeLikes, &s.likes},
		{schema.HomeConversations, &s.conversations},
		{schema.HomeModeration, &s.moderation},
		{schema.HomeNotifications, &s.notifications},
		{"presence", &s.presence},
		{"history", &s.history},
		{"tree", &s.tree},
		{"keys", &s.keys},
	}
}

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
		t.table.projector, t.table.name, t.table.fill, t.table.batch = t.projector, t.name, t.fill, &s.batch
		tables[i] = t.table
	}
	return tables
}

// newState binds the projectors to a transaction.
func newState(tx *bolt.Tx) *state {
	s := &state{batch: batch{tx: tx}}
	s.bound = s.tables()
	return s
}

// decide says what becomes of a record at its place, the state as it stands.
func (s *state) decide(r *record, live bool) verdict {
	if r.err != nil {
		s.park("log", r, r.err)
		return void(schema.Parked)
	}
	v, ok := s.guard("keys", r, s.keys.lookup)
	switch {
	case !ok:
		return v
	case s.moderation.isSuspended(r.Actor.ID, r.Time):
		return void(schema.Suspended) // a retry of what was done before is refused, too
	case v.Code != "":
		return v
	}
	v, _ = s.guard(r.home.projector, r, func(r *record) (verdict, error) {
		if code := s.permit(r.event, r.Actor.ID, r.data); code != "" {
			return void(code), nil
		}
		v, err := r.home.decide(s, r)
		if err == nil && (v.Code == "" || v.FirstSeq != 0) {
			err = s.complete(r, &v, live)
		}
		return v, err
	})
	return v
}

// complete writes the answer, where somebody waits for it or a retry may, and
// the push, where there is somebody to push to.
func (s *state) complete(r *record, v *verdict, live bool) error {
	if !live && r.Key == "" && v.FirstSeq == 0 {
		return nil
	}
	p, err := s.push(r, v)
	if err != nil {
		return err
	}
	if v.Result = p.Data; p.Own != nil {
		v.Result = p.Own
	}
	if live && v.Code == "" {
		p.Users = s.conversations.participants(v.participantsOf)
		v.Pushes = []Push{p}
	}
	return nil
}

// push encodes what a verdict tells.
func (s *state) push(r *record, v *verdict) (Push, error) {
	s.name(v)
	p := Push{Event: r.Event, Rooms: v.rooms, FollowersOf: v.followersOf, Except: v.except, Apart: v.apart, Evicted: v.evicted, Closed: v.closed, Suspended: v.suspended}
	var err error
	if s.text, err = schema.AppendJSON(s.text[:0], v.payload); err != nil {
		return p, fmt.Errorf("writing the answer: %w", err)
	}
	p.Data = bytes.Clone(s.text)
	if v.own != nil {
		if s.text, err = schema.AppendJSON(s.text[:0], v.own); err != nil {
			return p, fmt.Errorf("writing the answer: %w", err)
		}
		p.Own = bytes.Clone(s.text)
	}
	return p, nil
}

// name fills in how the users go by whom a home knows by their ids alone.
func (s *state) name(v *verdict) {
	for _, a := range v.named {
		u, _ := s.graph.user(a.ID)
		*a = u.actor(a.ID)
	}
}

// apply decides a record and tells every projector.
func (s *state) apply(r *record, live bool) verdict {
	s.notifications.live = live
	v := s.decide(r, live)
	for _, o := range s.observers() {
		if r.home != nil && o.name == r.home.projector || r.err != nil && o.name == "keys" {
			continue
		}
		s.guard(o.name, r, func(r *record) (verdict, error) { return verdict{}, o.observe(r, &v) })
	}
	if v.Code == "" {
		v.Notes = v.notes
	}
	return v
}

// guard runs one projector on one record. When that fails, what it wrote for the
// record is taken back and the record is parked.
func (s *state) guard(projector string, r *record, run func(*record) (verdict, error)) (v verdict, ok bool) {
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = s.panicked(p)
			}
		}()
		if v, err = run(r); err == nil && s.fault != nil {
			err = s.fault(projector, &r.Record)
		}
		return err
	}()
	if err != nil {
		s.batch.rollback()
		s.park(projector, r, err)
		return void(schema.Parked), false
	}
	s.batch.settle()
	return v, true
}

// panicked tells a projector's failure from a damaged file, which ends the batch.
func (s *state) panicked(p any) error {
	if why, ok := damageIn(p); ok || s.batch.inDB {
		s.broken = fmt.Errorf("%w: %s", errDamaged, cmp.Or(why, wordsOf(p)))
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

func (s *state) park(projector string, r *record, err error) {
	s.parked = append(s.parked, ParkedRecord{Seq: r.Seq, ID: r.ID, Event: r.Event, Projector: projector, Error: err.Error()})
}
