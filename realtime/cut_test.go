package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/projections"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// TestRandomConversationsWithCuts lets random users talk, post, come into
// conversations and go, each from devices whose connections are cut after any
// number of bytes, and come back by themselves. Then each device is held against
// the log: it heard everything that it had to, once and in the order of the log,
// and nothing that it was not to hear.
//
// What a device had to hear: what its user was entitled to at the record's place
// and still is; while it was away it may have been told less, as of when it came
// back. What it may hear: what its user was entitled to at the record's place.
func TestRandomConversationsWithCuts(t *testing.T) {
	g := openGateway(t, nil)
	history := 0
	rapid.Check(t, func(rt *rapid.T) {
		history++
		p := newPlot(t, rt, g, history)
		defer p.close()
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			p.playRound()
		}
		p.ringBells()
		p.checkDevices()
		p.checkConversations()
	})
}

// plot is a history under way.
type plot struct {
	t       *testing.T
	rt      *rapid.T
	gateway *gateway
	users   []string
	devices []*device
	from    uint64 // the first record that truth has not read yet
	truth   *truth
}

// device is one of a user's, over all its connections.
type device struct {
	user    string
	cutter  *cutter
	session *client.Session

	mu    sync.Mutex
	heard []schema.Frame
	acked map[uint64]bool // places of what it sent itself
	bell  chan struct{}   // closed at the last push of the history
}

func newPlot(t *testing.T, rt *rapid.T, g *gateway, history int) *plot {
	p := &plot{t: t, rt: rt, gateway: g, from: g.log.Durable() + 1, truth: newTruth()}
	for u := range rapid.IntRange(2, 4).Draw(rt, "users") {
		user := fmt.Sprintf("c%d.%d", history, u)
		p.users = append(p.users, user)
		for range rapid.IntRange(1, 2).Draw(rt, "devices") {
			// The handshake alone is some 500 bytes.
			cuts := rapid.SliceOfN(rapid.IntRange(1, 6000), 0, 8).Draw(rt, "cuts")
			d := &device{user: user, cutter: newCutter(t, g.addr, nil), acked: map[uint64]bool{}, bell: make(chan struct{})}
			p.devices = append(p.devices, d)
			session, err := client.Open(t.Context(), d.cutter.url(), client.SessionOptions{
				Token:      func(context.Context) (string, error) { return tokenFor(t, user), nil },
				OnPush:     d.onPush,
				OnResync:   func(r schema.Resync) { t.Errorf("%s: resync %+v", user, r) },
				MinBackoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond,
			})
			if err != nil {
				rt.Fatalf("%s: %v", user, err)
			}
			d.session = session
			d.cutter.mu.Lock()
			d.cutter.cuts = cuts
			d.cutter.mu.Unlock()
		}
	}
	for _, d := range p.devices[:2] {
		c := p.newGroup(d.user)
		f, err := d.session.Do(t.Context(), c.event, c.data)
		if err != nil {
			rt.Fatalf("%s: %v", d.user, err)
		}
		d.acked[f.Seq] = true
	}
	p.readLog()
	return p
}

func (p *plot) close() {
	for _, d := range p.devices {
		if d.session != nil {
			d.session.Close()
		}
		d.cutter.close()
	}
}

func (d *device) onPush(f schema.Frame) {
	if f.Seq == 0 {
		return // signals have no place in the log
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if strings.Contains(string(f.Data), barrierTarget) {
		close(d.bell)
		return
	}
	d.heard = append(d.heard, f)
}

// playRound lets every device send a few commands at once.
func (p *plot) playRound() {
	var answers sync.WaitGroup
	for _, d := range p.devices {
		commands := make([]command, rapid.IntRange(0, 6).Draw(p.rt, "commands"))
		for i := range commands {
			commands[i] = p.drawCommand(d.user)
		}
		for _, c := range commands {
			answers.Add(1)
			err := d.session.Send(c.event, c.data, "", func(f schema.Frame, err error) {
				if err == nil {
					d.mu.Lock()
					d.acked[f.Seq] = true
					d.mu.Unlock()
				}
				answers.Done()
			})
			if err != nil {
				p.rt.Fatalf("%s: %v", d.user, err)
			}
		}
	}
	answers.Wait()
	p.readLog()
}

// drawCommand draws what a user may mostly do, and sometimes may not.
func (p *plot) drawCommand(user string) command {
	pick := func(from []string) string { return rapid.SampledFrom(from).Draw(p.rt, "pick") }
	someone := func() string { return pick(p.users) }
	text := func() string { return rapid.StringMatching(`[a-zé言]{1,12}`).Draw(p.rt, "text") }
	conversations := p.truth.conversationIDs
	if own := p.truth.conversationsOf(user); len(own) > 0 && rapid.IntRange(0, 7).Draw(p.rt, "own") > 0 {
		conversations = own
	}
	post := func() schema.PostRef {
		return schema.PostRef{PostID: pick(append(slices.Clone(p.truth.postIDs), strings.Repeat("0", 26)))}
	}
	id := pick(conversations)
	said := p.truth.conversations[id].messageIDs
	message := schema.MessageRef{ConversationID: id, MessageID: pick(append(slices.Clone(said), id))}
	update := func(u schema.ConversationUpdates) command {
		return command{event: "conversation:update", data: schema.ConversationUpdate{ConversationID: id, Updates: u}}
	}
	// Small numbers are drawn more often.
	switch rapid.IntRange(0, 24).Draw(p.rt, "kind") {
	case 1, 2, 3:
		return command{event: "message:read", data: message}
	case 4, 5:
		return update(schema.ConversationUpdates{AddParticipants: []string{someone()}})
	case 6, 7:
		return update(schema.ConversationUpdates{RemoveParticipants: []string{pick([]string{someone(), user})}})
	case 8, 9:
		return command{event: "message:edit", data: schema.MessageEdit{ConversationID: id, MessageID: message.MessageID, Content: text()}}
	case 10, 11:
		return command{event: "message:delete", data: message}
	case 12, 13, 14:
		return command{event: "message:join", data: schema.ConversationRef{ConversationID: id}}
	case 15:
		return command{event: "message:leave", data: schema.ConversationRef{ConversationID: id}}
	case 16:
		return command{event: "message:delivered", data: message}
	case 17:
		return command{event: "post:create", data: schema.PostCreate{Content: text()}}
	case 18:
		return command{event: "user:follow", data: schema.UserFollow{FollowingID: someone(), Action: pick([]string{"follow", "follow", "unfollow"})}}
	case 19:
		return command{event: "post:like", data: schema.PostAction{PostID: post().PostID, Action: "like"}}
	case 20:
		return command{event: "post:delete", data: post()}
	case 21:
		return command{event: "conversation:create", data: schema.ConversationCreate{Type: "direct", Participants: []string{someone()}}}
	case 22:
		return p.newGroup(user)
	case 23:
		return command{event: "conversation:delete", data: schema.ConversationRef{ConversationID: id}}
	}
	return command{event: "message:send", data: schema.MessageSend{ConversationID: id, Content: text(), MessageType: "text"}}
}

func (p *plot) newGroup(user string) command {
	others := slices.DeleteFunc(slices.Clone(p.users), func(u string) bool { return u == user })
	others = others[:rapid.IntRange(1, len(others)).Draw(p.rt, "others")]
	return command{event: "conversation:create", data: schema.ConversationCreate{Type: "group", Name: "Group", Participants: others}}
}

// readLog moves the truth on to the end of the log.
func (p *plot) readLog() {
	end := p.gateway.log.Durable()
	if err := p.gateway.models.WaitApplied(context.Background(), end); err != nil {
		p.rt.Fatal(err)
	}
	err := p.gateway.models.View(func(v *projections.View) error {
		for r, err := range p.gateway.log.Read(context.Background(), p.from, end) {
			if err != nil {
				return err
			}
			if v.Outcome(r.Seq) == "" {
				p.truth.apply(p.rt, r)
			}
		}
		return nil
	})
	if err != nil {
		p.rt.Fatalf("reading the log: %v", err)
	}
	p.from = end + 1
}

// ringBells lets every user do one last thing elsewhere, which all their devices
// are told of after everything else.
func (p *plot) ringBells() {
	for _, user := range p.users {
		elsewhere, err := client.Dial(p.rt.Context(), "ws://"+p.gateway.addr+"/ws", client.Options{Token: tokenFor(p.t, user)})
		if err != nil {
			p.rt.Fatal(err)
		}
		_, err = elsewhere.Do(p.rt.Context(), "user:block", schema.TargetAction{TargetID: barrierTarget + user, Action: "block"}, "")
		elsewhere.Close()
		if err != nil {
			p.rt.Fatal(err)
		}
	}
	for _, d := range p.devices {
		select {
		case <-d.bell:
		case <-time.After(patience):
			p.rt.Fatalf("%s stands at %+v after %d cuts and heard no more", d.user, d.session.Position(), d.cutter.cut)
		}
	}
	p.readLog()
}

// checkDevices holds what each device heard against the truth.
func (p *plot) checkDevices() {
	for _, d := range p.devices {
		d.mu.Lock()
		heard := map[uint64]schema.Frame{}
		last := uint64(0)
		for _, f := range d.heard {
			if f.Seq <= last {
				p.rt.Fatalf("%s heard %d %s after %d:%s", d.user, f.Seq, f.Event, last, seqs(d.heard))
			}
			heard[f.Seq], last = f, f.Seq
		}
		for _, told := range p.truth.told {
			f, ok := heard[told.seq]
			must, may := told.to(d.user)
			switch {
			case ok && !may:
				p.rt.Fatalf("%s heard %d %s, which was not for it: %s", d.user, f.Seq, f.Event, f.Data)
			case !ok && must && !d.acked[told.seq]:
				p.rt.Fatalf("%s (%d cuts) did not hear %d %s %s:%s", d.user, d.cutter.cut, told.seq, told.event, told.data, seqs(d.heard))
			case ok && !must && told.event == "message:send" && f.Event == "notification:new":
				// The message is gone, and its notification stands for those before it.
				if !strings.Contains(string(f.Data), `"recipient":"`+d.user+`"`) {
					p.rt.Fatalf("%s heard of a notification for another: %d %s", d.user, f.Seq, f.Data)
				}
			case ok && (f.Event != told.event || told.content != "" && !strings.Contains(string(f.Data), told.content)):
				p.rt.Fatalf("%s heard of %d %s %s, want %s", d.user, f.Seq, f.Event, f.Data, told.content)
			}
			delete(heard, told.seq)
		}
		for _, f := range heard {
			p.rt.Fatalf("%s heard %d %s, which tells nobody anything", d.user, f.Seq, f.Event)
		}
		d.mu.Unlock()
	}
}

// checkConversations asks for every user's conversations and messages and
// compares them, and the unread counts, with the truth.
func (p *plot) checkConversations() {
	for _, d := range p.devices {
		ask := func(event string, data, answer any) {
			f, err := d.session.Do(p.rt.Context(), event, data)
			if err == nil {
				err = json.Unmarshal(f.Data, answer)
			}
			if err != nil {
				p.rt.Fatalf("%s: %s: %v", d.user, event, err)
			}
		}
		var list schema.Items[schema.Conversation]
		ask("conversation:list", schema.Page{Limit: 100}, &list)
		listed := map[string]schema.Conversation{}
		for _, c := range list.Items {
			listed[c.ID] = c
		}
		for id, c := range p.truth.conversations {
			got, ok := listed[id]
			if ok != c.listedFor(d.user) {
				p.rt.Fatalf("%s: %s in the list: %v", d.user, id, ok)
			}
			if !ok {
				continue
			}
			delete(listed, id)
			if want := c.unread(d.user); *got.UnreadCount != want {
				p.rt.Fatalf("%s: %s has %d unread, a recount %d", d.user, id, *got.UnreadCount, want)
			}
			var want, ids []string
			for _, m := range slices.Backward(c.messages) {
				if c.shows(d.user, m) {
					want = append(want, m.id+" "+m.content)
				}
			}
			for before := ""; ; {
				var page schema.Items[schema.Message]
				ask("message:list", schema.MessageList{ConversationID: id, Page: schema.Page{Before: before, Limit: 3}}, &page)
				for _, m := range page.Items {
					ids = append(ids, m.ID+" "+m.Content)
				}
				if before = page.Next; before == "" {
					break
				}
			}
			if !slices.Equal(ids, want) {
				p.rt.Fatalf("%s sees %q in %s, want %q", d.user, ids, id, want)
			}
		}
		if len(listed) > 0 {
			p.rt.Fatalf("%s has conversations that are none: %+v", d.user, listed)
		}
	}
}
