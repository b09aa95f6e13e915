package realtime_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// peer is a well-behaved client. Every push and ack that it gets is held against
// the catalogue's schemas, n must have no gaps and seq must not go back.
type peer struct {
	*client.Client
	t      testing.TB
	user   string
	pushes chan schema.Frame // but socket:hello, those of barriers, and
	notes  chan schema.Frame // notification:new and notification:count
	n, seq uint64            // of the last push; the reading goroutine's
}

const patience = 10 * time.Second // for what must happen

// connect opens a socket of the user and ends it with the test.
func (g *gateway) connect(t testing.TB, user string, roles ...schema.Role) *peer {
	t.Helper()
	return g.connectWith(t, user, client.Options{Token: tokenFor(t, user, roles...)})
}

func (g *gateway) connectWith(t testing.TB, user string, o client.Options) *peer {
	t.Helper()
	p, err := g.dial(t, user, o)
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	return p
}

func (g *gateway) dial(t testing.TB, user string, o client.Options) (*peer, error) {
	t.Helper()
	p := &peer{t: t, user: user, pushes: make(chan schema.Frame, 10_000), notes: make(chan schema.Frame, 10_000)}
	o.OnPush = p.onPush
	c, err := client.Dial(t.Context(), "ws://"+g.addr+"/ws", o)
	if err != nil {
		return nil, err
	}
	p.Client = c
	t.Cleanup(func() { c.Close() })
	return p, nil
}

func (p *peer) onPush(f schema.Frame) {
	if f.N != p.n+1 {
		p.t.Errorf("%s: push %d follows push %d", p.user, f.N, p.n)
	}
	if f.Seq != 0 && f.Seq < p.seq {
		p.t.Errorf("%s: a push of %d follows one of %d", p.user, f.Seq, p.seq)
	}
	p.n, p.seq = f.N, max(f.Seq, p.seq)
	event, ok := schema.Lookup(f.Event)
	if !ok || f.Time == nil {
		p.t.Errorf("%s: no push: %+v", p.user, f)
		return
	}
	if e := schema.ValidatePush(event, f.Data); e != nil {
		p.t.Errorf("%s: %s %s: %v", p.user, f.Event, f.Data, e)
	}
	if f.Event == "socket:hello" || strings.Contains(string(f.Data), barrierTarget) {
		return
	}
	switch f.Event {
	case "notification:new", "notification:count":
		p.notes <- f
	default:
		p.pushes <- f
	}
}

// do sends a command, which must succeed, and returns its ack.
func (p *peer) do(event string, data any) schema.Frame {
	p.t.Helper()
	f, err := p.Do(p.t.Context(), event, data, "")
	if err != nil {
		p.t.Fatalf("%s: %s %v: %v", p.user, event, data, err)
	}
	e, _ := schema.Lookup(event)
	if bad := schema.ValidateAck(e, f.Data); bad != nil {
		p.t.Errorf("%s: ack of %s: %s: %v", p.user, event, f.Data, bad)
	}
	if (e.Kind == schema.Fact) != (f.Seq != 0) {
		p.t.Errorf("%s: ack of %s, a %s, has seq %d", p.user, event, e.Kind, f.Seq)
	}
	return f
}

// refused sends a command that must be refused with the code.
func (p *peer) refused(code schema.Code, event string, data any) schema.Frame {
	p.t.Helper()
	f, err := p.Do(p.t.Context(), event, data, "")
	var refusal *schema.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		p.t.Errorf("%s: %s %v: %v, want %s", p.user, event, data, err, code)
	}
	return f
}

// hears returns the next push, which must be that event in that room.
func (p *peer) hears(event, room string) schema.Frame {
	p.t.Helper()
	select {
	case f := <-p.pushes:
		if f.Event != event || f.Room != room {
			p.t.Fatalf("%s heard %s in %q (%s), want %s in %q", p.user, f.Event, f.Room, f.Data, event, room)
		}
		return f
	case <-time.After(patience):
		p.t.Fatalf("%s did not hear %s in %q", p.user, event, room)
	}
	return schema.Frame{}
}

// notified returns the next notification that the peer hears of.
func (p *peer) notified() schema.Notification {
	p.t.Helper()
	return as[schema.NotificationNew](p.t, p.hearsNote("notification:new")).Notification
}

// counts checks that the next thing the peer hears of their notifications is how
// many are unread.
func (p *peer) counts(want int) {
	p.t.Helper()
	if got := as[schema.NotificationCount](p.t, p.hearsNote("notification:count")).Count; got != want {
		p.t.Fatalf("%s: %d unread notifications, want %d", p.user, got, want)
	}
}

func (p *peer) hearsNote(event string) schema.Frame {
	p.t.Helper()
	select {
	case f := <-p.notes:
		if f.Event != event || f.Room != "user:"+p.user {
			p.t.Fatalf("%s heard %s in %q (%s), want %s", p.user, f.Event, f.Room, f.Data, event)
		}
		return f
	case <-time.After(patience):
		p.t.Fatalf("%s did not hear %s", p.user, event)
	}
	return schema.Frame{}
}

// noNotes checks that nothing about notifications is on its way.
func (p *peer) noNotes() {
	p.t.Helper()
	p.bar()
	select {
	case f := <-p.notes:
		p.t.Errorf("%s heard %s: %s", p.user, f.Event, f.Data)
	default:
	}
}

const barrierTarget = "barrier-"

// bar sends a fact that no peer hears of and waits for its ack: what the log has
// before it has been pushed by then.
func (p *peer) bar() {
	p.t.Helper()
	p.do("user:block", schema.TargetAction{TargetID: barrierTarget + strconv.FormatInt(time.Now().UnixNano(), 36), Action: "block"})
}

// heardNothing checks that no push is on its way.
func (p *peer) heardNothing() {
	p.t.Helper()
	p.bar()
	select {
	case f := <-p.pushes:
		p.t.Errorf("%s heard %s in %q: %s", p.user, f.Event, f.Room, f.Data)
	default:
	}
}

// closedWith waits until the server has closed the socket with the code.
func (p *peer) closedWith(code schema.CloseCode) *client.CloseError {
	p.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		p.t.Fatalf("%s: still open, want %d", p.user, code)
	}
	var closed *client.CloseError
	if !errors.As(p.Err(), &closed) || closed.Code != code {
		p.t.Fatalf("%s: closed with %v, want %d", p.user, p.Err(), code)
	}
	return closed
}

// as decodes a frame's data.
func as[T any](t testing.TB, f schema.Frame) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(f.Data, &v); err != nil {
		t.Fatalf("%s: %v", f.Data, err)
	}
	return v
}

// post publishes a post and returns its id.
func (p *peer) post(content string) string {
	p.t.Helper()
	return as[schema.PostCreated](p.t, p.do("post:create", schema.PostCreate{Content: content})).Post.ID
}

// postMany publishes n posts, at most as many as may be in flight, at once.
func (p *peer) postMany(n int, content string) {
	p.t.Helper()
	acks := make(chan schema.Frame, n)
	for range n {
		if err := p.Send("post:create", schema.PostCreate{Content: content}, "", func(f schema.Frame) { acks <- f }); err != nil {
			p.t.Fatal(err)
		}
	}
	for range n {
		select {
		case f := <-acks:
			if f.Error != nil {
				p.t.Fatalf("%s: post:create: %+v", p.user, f.Error)
			}
		case <-time.After(patience):
			p.t.Fatalf("%s: no ack", p.user)
		}
	}
}

func (p *peer) comment(postID, content string) string {
	p.t.Helper()
	return as[schema.PostCommented](p.t, p.do("post:comment", schema.PostComment{PostID: postID, Content: content})).Comment.ID
}

func (p *peer) follow(user string) {
	p.t.Helper()
	p.do("user:follow", schema.UserFollow{FollowingID: user, Action: "follow"})
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}
