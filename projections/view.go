package projections

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// View is the read models at one position of the log. It is for one goroutine,
// and no longer valid when the function it was given to returns. Errors of its
// queries are *schema.Error.
type View struct {
	tx    *bolt.Tx
	state *state
}

// View runs fn on the read models as they are now. It returns fn's error, or why
// the file could not be read.
func (m *Models) View(fn func(*View) error) error {
	tx, err := m.read()
	if err != nil {
		return fmt.Errorf("reading the read models: %w", err)
	}
	defer tx.Rollback()
	s := states.Get().(*state)
	defer s.release()
	s.read(tx)
	err = reading(func() error { return fn(&View{tx: tx, state: s}) })
	if errors.Is(err, errDamaged) {
		return m.condemn(tx.DB(), err)
	}
	return err
}

// states are unbound: binding some twenty tables anew would cost more than most
// queries and checks do.
var states = sync.Pool{New: func() any { return newState(nil) }}

// release forgets what the transaction left behind.
func (s *state) release() {
	for _, t := range s.bound {
		t.forget()
		t.giveBack() // pools let go of what they hold
		t.release()
	}
	for _, c := range s.crews() {
		c.settle()
		c.tx, c.inDB, c.parked, c.broken, c.fault = nil, false, nil, nil, nil
	}
	states.Put(s)
}

// Check says what would become of r if it were the log's next record. Nothing is
// written and no pushes are made. It is advice: only the log's order decides.
func (m *Models) Check(r eventlog.Record) Outcome {
	if r.ID == "" {
		r.ID = unborn
	}
	if e, ok := schema.Lookup(r.Event); ok && r.Version == 0 {
		r.Version = e.Version
	}
	outcome := Outcome{Code: schema.Internal}
	err := m.View(func(v *View) error {
		r.Seq = m.Applied() + 1
		rec := decode(r)
		for _, c := range v.state.crews() {
			c.fault = m.fault
		}
		var decided verdict
		v.state.decide(&rec, &decided)
		outcome = decided.Outcome
		outcome.Result = bytes.Clone(outcome.Result)
		return v.state.broken()
	})
	if err != nil {
		m.cfg.Logger.Error("a record could not be checked", "event", r.Event, "error", err)
		return Outcome{Code: schema.Internal}
	}
	return outcome
}

// pastEnd is after every place of the log.
const pastEnd = math.MaxUint64

// unborn stands for the id of a record that has none yet.
const unborn = "00000000000000000000000000"

// Seq returns the place of the last record that the view shows.
func (v *View) Seq() uint64 {
	at, err := readCheckpoint(v.tx)
	if err != nil {
		panic(damage(err.Error()))
	}
	return at.Seq
}

// Origin tells views apart that are of different files: what changed from one of a file
// to the next Deliver was told, but not what differs in a file that took over, as after a
// rebuild. It is comparable, and says nothing else.
func (v *View) Origin() any { return v.tx.DB() }

// PostExists reports whether a post is there.
func (v *View) PostExists(postID string) bool {
	_, ok := v.state.feeds.post(postID)
	return ok
}

// Follows reports whether one user follows another, and since which place in the
// log.
func (v *View) Follows(follower, followed string) (since uint64, ok bool) {
	row := v.state.graph.following.get(pair(follower, followed))
	if row == nil {
		return 0, false
	}
	return seqOf(row), true
}

// FollowersOf yields the followers of a user, each with the place since which they
// follow, who followed first first.
func (v *View) FollowersOf(userID string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		prefix := owned(userID)
		for key, follower := range v.state.graph.followers.scan(prefix, prefix) {
			if !yield(string(follower), seqOf(key)) {
				return
			}
		}
	}
}

// FollowersCount returns how many users follow a user.
func (v *View) FollowersCount(userID string) int {
	u, _ := v.state.graph.user(userID)
	return int(u.followers)
}

// Apart reports whether a block keeps two users apart, whosever it is, and since
// which place in the log.
func (v *View) Apart(a, b string) (since uint64, ok bool) {
	row := v.state.graph.apart.get(pair(a, b))
	if row == nil {
		return 0, false
	}
	return seqOf(row), true
}

// ApartFrom yields those whom a block keeps apart from a user, each with the place
// since which it does.
func (v *View) ApartFrom(userID string) iter.Seq2[string, uint64] {
	return v.withPlaces(&v.state.graph.apart, userID)
}

// ApartCount returns how many a block keeps apart from a user.
func (v *View) ApartCount(userID string) int {
	u, _ := v.state.graph.user(userID)
	return int(u.apart)
}

// withPlaces yields the others of a table whose rows are user, other → place.
func (v *View) withPlaces(t *table, user string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		prefix := owned(user)
		for key, row := range t.scan(prefix, prefix) {
			if !yield(string(key[len(prefix):]), seqOf(row)) {
				return
			}
		}
	}
}

// Permit returns why a user may not send an event with such data as of now, as far
// as schema's permissions go.
func (v *View) Permit(e *schema.Event, user string, data any) schema.Code {
	return v.state.permit(e, user, data)
}

// Suspended reports whether a user is suspended at a time.
func (v *View) Suspended(user string, at schema.Time) bool {
	return v.state.moderation.isSuspended(user, at)
}

// Blocked reports whether either of two users blocks the other.
func (v *View) Blocked(a, b string) bool { return v.state.graph.isBlocked(a, b) }

// User returns a user whom the log knows. One whom others only named goes by
// their id.
func (v *View) User(userID string) (schema.Actor, bool) {
	u, ok := v.state.graph.user(userID)
	return u.actor(userID), ok
}

// LastSeen returns the time of a user's latest applied fact.
func (v *View) LastSeen(userID string) (schema.Time, bool) {
	return v.state.presence.seen(userID)
}

// ActorSeqs yields the places, from one on, of what a user sent, void ones too.
func (v *View) ActorSeqs(userID string, from uint64) iter.Seq[uint64] {
	return v.state.history.seqs(schema.UserRoom(userID), asActor, from)
}

// EntitySeqs yields the places, from one on, of the records about an entity
// ("post:01J…"), void ones too.
func (v *View) EntitySeqs(entity string, from uint64) iter.Seq[uint64] {
	return v.state.history.seqs(entity, asEntity, from)
}

// RoomSeqs yields the places, from one on, of the applied records that a room was
// told of. A post is listed for its author's room only: who wants what a user was
// told as a follower merges the rooms of those they follow.
func (v *View) RoomSeqs(room string, from uint64) iter.Seq[uint64] {
	return v.state.history.seqs(room, asRoom, from)
}

// Outcome returns "" for a record that was applied, and otherwise why not. What it
// says of a place past Seq means nothing.
func (v *View) Outcome(seq uint64) schema.Code { return v.state.history.code(seq) }
