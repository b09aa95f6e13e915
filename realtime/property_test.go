package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// TestRandomSessions lets random users send random commands over real sockets,
// several at once, and then holds everything against the log, which is the only
// truth: what was acked is there once and in order, the read models equal a
// rebuild, the counts equal the sets behind them, and each socket was pushed
// exactly what concerned it.
func TestRandomSessions(t *testing.T) {
	g := openGateway(t, nil)
	g.server.CircleAll() // which must make no difference
	history := 0
	rapid.Check(t, func(rt *rapid.T) {
		history++
		w := newWorld(t, rt, g, history)
		defer w.close()
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			w.changeRooms()
			w.playRound()
		}
		w.checkCounts()
		w.checkRebuild()
	})
}

// world is a few users with a few sockets each, and the model of what the log
// made of their commands: slow, obvious, and independent of the projectors.
type world struct {
	rt      *rapid.T
	gateway *gateway
	users   []string
	sockets []*member
	from    uint64 // the first record that the model has not read yet

	posts    map[string]*modelPost
	follows  map[[2]string]bool // follower, followed
	blocks   map[[2]string]bool // blocker, blocked
	postIDs  []string           // also deleted ones: what commands may name
	comments []modelComment     // likewise
}

// member is one socket with everything it has heard.
type member struct {
	user  string
	conn  *client.Client
	rooms map[string]bool

	mu     sync.Mutex
	pushes []schema.Frame
	acks   []ack
}

type ack struct {
	order int // of the command on its socket
	event string
	frame schema.Frame
}

func newWorld(t *testing.T, rt *rapid.T, g *gateway, history int) *world {
	w := &world{rt: rt, gateway: g, posts: map[string]*modelPost{}, follows: map[[2]string]bool{}, blocks: map[[2]string]bool{}}
	w.from = g.log.Durable() + 1
	for u := range rapid.IntRange(2, 4).Draw(rt, "users") {
		user := fmt.Sprintf("u%d.%d", history, u)
		w.users = append(w.users, user)
		for range rapid.IntRange(1, 2).Draw(rt, "sockets") {
			m := &member{user: user, rooms: map[string]bool{"user:" + user: true}}
			conn, err := client.Dial(t.Context(), "ws://"+g.addr+"/ws", client.Options{Token: tokenFor(t, user), OnPush: m.onPush})
			if err != nil {
				rt.Fatalf("%s: %v", user, err)
			}
			m.conn = conn
			w.sockets = append(w.sockets, m)
		}
	}
	return w
}

func (w *world) close() {
	for _, m := range w.sockets {
		m.conn.Close()
	}
}

func (m *member) onPush(f schema.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pushes = append(m.pushes, f)
}

func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acks, m.pushes = nil, nil
}

// changeRooms lets sockets join and leave post rooms, one after the other, so
// that who is in which room is certain during the round that follows.
func (w *world) changeRooms() {
	if len(w.postIDs) == 0 {
		return
	}
	for _, m := range w.sockets {
		for range rapid.IntRange(0, 2).Draw(w.rt, "joins") {
			id := rapid.SampledFrom(w.postIDs).Draw(w.rt, "room")
			event := rapid.SampledFrom([]string{"post:join", "post:join", "post:leave"}).Draw(w.rt, "join or leave")
			_, err := m.conn.Do(context.Background(), event, schema.PostRef{PostID: id}, "")
			switch {
			case event == "post:leave" && err == nil:
				delete(m.rooms, "post:"+id)
			case err == nil:
				m.rooms["post:"+id] = true
			}
		}
	}
}

type command struct {
	event string
	data  any
	key   string
}

func (w *world) drawCommand() command {
	user := func() string { return rapid.SampledFrom(w.users).Draw(w.rt, "target") }
	if len(w.postIDs) == 0 {
		return command{event: "post:create", data: schema.PostCreate{Content: "first #post"}}
	}
	post := rapid.SampledFrom(w.postIDs).Draw(w.rt, "post")
	key := rapid.SampledFrom([]string{"", "", "", "k1", "k2"}).Draw(w.rt, "key")
	text := rapid.SampledFrom([]string{"words", "wörter", "#tag and more", "言葉"}).Draw(w.rt, "text")
	switch rapid.IntRange(0, 12).Draw(w.rt, "command") {
	case 0, 1:
		return command{"post:create", schema.PostCreate{Content: text}, key}
	case 2:
		return command{"post:update", schema.PostUpdate{PostID: post, Content: text}, key}
	case 3:
		return command{"post:delete", schema.PostRef{PostID: post}, key}
	case 4, 5, 6:
		return command{"post:like", schema.PostAction{PostID: post, Action: w.pick(schema.ActionLike, schema.ActionLike, schema.ActionUnlike)}, key}
	case 7, 8:
		return command{"post:comment", schema.PostComment{PostID: post, Content: text}, key}
	case 9:
		if len(w.comments) == 0 {
			return command{"post:share", schema.PostShare{PostID: post}, key}
		}
		c := rapid.SampledFrom(w.comments).Draw(w.rt, "comment")
		if rapid.Bool().Draw(w.rt, "edit") {
			return command{"comment:update", schema.CommentUpdate{PostID: c.post, CommentID: c.id, Content: text}, key}
		}
		return command{"comment:delete", schema.CommentDelete{PostID: c.post, CommentID: c.id}, key}
	case 10:
		return command{"post:share", schema.PostShare{PostID: post}, key}
	case 11:
		return command{"user:follow", schema.UserFollow{FollowingID: user(), Action: w.pick(schema.ActionFollow, schema.ActionFollow, schema.ActionUnfollow)}, key}
	default:
		if w.pick("request", "request", "block") == "block" {
			return command{"user:block", schema.TargetAction{TargetID: user(), Action: w.pick(schema.ActionBlock, schema.ActionUnblock)}, key}
		}
		return command{"user:friend-request", schema.TargetAction{TargetID: user(),
			Action: w.pick(schema.ActionSend, schema.ActionAccept, schema.ActionDecline, schema.ActionCancel)}, key}
	}
}

func (w *world) pick(from ...string) string { return rapid.SampledFrom(from).Draw(w.rt, "pick") }

// playRound lets every socket pipeline a few commands at the same time, waits
// for all acks, and checks what the round left behind.
func (w *world) playRound() {
	var wg sync.WaitGroup
	for _, m := range w.sockets {
		m.forget()
		n := rapid.IntRange(0, 6).Draw(w.rt, "commands")
		commands := make([]command, n)
		for i := range commands {
			commands[i] = w.drawCommand()
		}
		wg.Add(n)
		go func() {
			for i, c := range commands {
				err := m.conn.Send(c.event, c.data, c.key, func(f schema.Frame) {
					m.mu.Lock()
					m.acks = append(m.acks, ack{i, c.event, f})
					m.mu.Unlock()
					wg.Done()
				})
				if err != nil {
					wg.Done()
				}
			}
		}()
	}
	wg.Wait()
	records := w.readLog()
	applied := w.checkAcks(records)
	w.checkPushes(applied)
}

// readLog returns the records of the round.
func (w *world) readLog() []eventlog.Record {
	var records []eventlog.Record
	for r, err := range w.gateway.log.Read(context.Background(), w.from, 0) {
		if err != nil {
			w.rt.Fatalf("reading the log: %v", err)
		}
		records = append(records, r)
		w.from = r.Seq + 1
	}
	return records
}

// checkAcks holds the acks against the log: each acked fact is there once, by
// that user, and the acks of a socket are in log order. It returns the records
// that were applied.
func (w *world) checkAcks(records []eventlog.Record) []eventlog.Record {
	bySeq := map[uint64]eventlog.Record{}
	ids := map[string]bool{}
	for _, r := range records {
		if ids[r.ID] {
			w.rt.Fatalf("record %s is in the log twice", r.ID)
		}
		ids[r.ID] = true
		bySeq[r.Seq] = r
	}
	ok := map[uint64]bool{}
	for _, m := range w.sockets {
		last := uint64(0)
		for _, a := range m.acks {
			if a.frame.OK == nil || !*a.frame.OK || a.frame.Duplicate {
				continue
			}
			r, found := bySeq[a.frame.Seq]
			switch {
			case !found:
				w.rt.Fatalf("%s of %s was acked at %d, where the log has nothing of this round", a.event, m.user, a.frame.Seq)
			case r.Event != a.event || r.Actor.ID != m.user:
				w.rt.Fatalf("%s of %s was acked at %d, where the log has %s of %s", a.event, m.user, a.frame.Seq, r.Event, r.Actor.ID)
			case ok[r.Seq]:
				w.rt.Fatalf("record %d was acked twice as a first try", r.Seq)
			case a.frame.Seq <= last:
				w.rt.Fatalf("%s got the ack of %d after that of %d", m.user, a.frame.Seq, last)
			}
			ok[r.Seq], last = true, a.frame.Seq
		}
	}
	return slices.DeleteFunc(records, func(r eventlog.Record) bool { return !ok[r.Seq] })
}

// checkCounts asks over a socket for every count and compares it with the set
// behind it.
func (w *world) checkCounts() {
	asker := w.sockets[0].conn
	for id, p := range w.posts {
		frame, err := asker.Do(context.Background(), "post:get", schema.PostRef{PostID: id}, "")
		if p.deleted {
			if err == nil {
				w.rt.Fatalf("post %s was deleted and is still there", id)
			}
			continue
		}
		var got schema.Post
		if err != nil || json.Unmarshal(frame.Data, &got) != nil {
			w.rt.Fatalf("post:get: %v", err)
		}
		if *got.LikesCount != len(p.likes) || *got.CommentsCount != len(p.comments) || *got.SharesCount != len(p.shares) {
			w.rt.Fatalf("post %s: likes, comments, shares are %d, %d, %d and should be %d, %d, %d", id,
				*got.LikesCount, *got.CommentsCount, *got.SharesCount, len(p.likes), len(p.comments), len(p.shares))
		}
	}
	for _, u := range w.users {
		var followers int
		for edge, on := range w.follows {
			if on && edge[1] == u {
				followers++
			}
		}
		frame, err := asker.Do(context.Background(), "user:get", map[string]string{"userId": u}, "")
		if err != nil {
			continue // nobody by that name has appeared in the log
		}
		var got schema.Profile
		if json.Unmarshal(frame.Data, &got) != nil || got.FollowersCount != followers {
			w.rt.Fatalf("%s has %d followers and should have %d", u, got.FollowersCount, followers)
		}
	}
}

// checkRebuild builds the read models anew from the log and compares digests.
func (w *world) checkRebuild() {
	report, err := w.gateway.models.Rebuild(context.Background(), nil)
	if err != nil {
		w.rt.Fatalf("rebuild: %v", err)
	}
	if !report.Equal() {
		w.rt.Fatalf("live and rebuilt read models differ: %+v", report)
	}
}
