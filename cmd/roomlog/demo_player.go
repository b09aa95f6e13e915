package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// Bounds of the wait before a player who lost the server looks for it again.
const (
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
)

// player is a user of the demo. Their session comes back by itself when the
// connection is lost, hears what it missed, and repeats what was not acked under
// the same key, so that nothing happens twice. It is for one goroutine at a time.
type player struct {
	role    *role
	company *company
	session *client.Session
	hasRead map[*talk]string // the message up to which they said so
	gone    *time.Timer      // runs while the server is looked for; of state
}

// do carries out one command, however often the connection is lost, and fills
// answer with what its ack says.
func (p *player) do(ctx context.Context, event string, data any, key string, answer any) error {
	f, err := p.session.DoKey(ctx, event, data, key)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", p.role.name, event, err)
	}
	p.done(f)
	if answer == nil {
		return nil
	}
	return decode(f, answer)
}

func decode(frame schema.Frame, v any) error {
	if err := json.Unmarshal(frame.Data, v); err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	return nil
}

// done counts a command that was carried out.
func (p *player) done(f schema.Frame) {
	if f.Seq != 0 {
		p.company.facts.Add(1)
	}
	if f.Duplicate {
		p.company.known.Add(1)
	}
	p.company.hear(p.role, f)
}

// pushed takes what the server tells the player.
func (p *player) pushed(f schema.Frame) {
	p.company.heard.Add(1)
	p.company.hear(p.role, f)
}

// state follows the connection: when it does not come back in time, the play ends.
func (p *player) state(s client.State) {
	switch s.Status {
	case client.Lost:
		if p.gone == nil {
			p.company.lost.Add(1)
			p.gone = time.AfterFunc(p.company.timeout, func() {
				p.company.fail(fmt.Errorf("%s lost the server, which stayed away for %s: %w", p.role.name, p.company.timeout, s.Err))
			})
		}
	case client.Connected, client.CaughtUp, client.Resynced, client.Ended:
		if p.gone != nil {
			p.gone.Stop()
			p.gone = nil
		}
	}
}

// greet follows those whom the player meets in the scene for the first time.
func (p *player) greet(ctx context.Context, s *scene) error {
	for _, m := range s.meetings {
		if m.follower != p.role {
			continue
		}
		follow := schema.UserFollow{FollowingID: m.followed.id, Action: schema.ActionFollow}
		err := p.do(ctx, "user:follow", follow, s.key+":f:"+m.followed.id, nil)
		if err != nil && !hasCode(err, schema.AlreadyFollowing) {
			return err
		}
	}
	return nil
}

// say reads what was said last and sends a message, with typing around it.
func (p *player) say(ctx context.Context, k *talk, s speech) error {
	p.read(k)
	p.typing(k, schema.ActionStart)
	send := schema.MessageSend{ConversationID: k.id, Content: s.text, MessageType: schema.MessageText}
	var sent schema.MessageSent
	err := p.do(ctx, "message:send", send, s.key, &sent)
	p.typing(k, schema.ActionStop)
	k.last = message{sent.Message.ID, s.key, p}
	return err
}

// typing is told or it is not: nobody waits for it.
func (p *player) typing(k *talk, action string) {
	p.session.Send("message:typing", schema.ConversationAction{ConversationID: k.id, Action: action}, "", nil)
}

// read marks the last message as read, without waiting for the ack.
func (p *player) read(k *talk) {
	if k.last.by == nil || k.last.by == p || p.hasRead[k] == k.last.id {
		return
	}
	p.hasRead[k] = k.last.id
	err := p.session.Send("message:read", k.lastRef(), k.last.key+":read", func(f schema.Frame, err error) {
		switch {
		case err == nil:
			p.done(f)
		case !markedBefore(err):
			p.company.fail(fmt.Errorf("%s, message:read: %w", p.role.name, err))
		}
	})
	if err != nil {
		p.company.fail(err)
	}
}

// exit ends a scene for the player: who stayed reads to its end, to the others the
// rest is only delivered. All but the one who posted it like the scene.
func (p *player) exit(ctx context.Context, s *scene, k *talk) error {
	if s.staysUntilTheEnd(p.role) {
		p.read(k)
	} else {
		err := p.do(ctx, "message:delivered", k.lastRef(), s.key+":delivered", nil)
		if err != nil && !markedBefore(err) {
			return err
		}
	}
	if err := p.session.Leave(ctx, schema.ConversationRoom(k.id)); err != nil {
		return err
	}
	if p == k.members[0] {
		return nil
	}
	err := p.do(ctx, "post:like", schema.PostAction{PostID: k.post, Action: schema.ActionLike}, s.key+":like", nil)
	if hasCode(err, schema.AlreadyLiked) {
		return nil
	}
	return err
}

// lastRef is the last message as markers name it.
func (k *talk) lastRef() schema.MessageRef {
	return schema.MessageRef{ConversationID: k.id, MessageID: k.last.id}
}

// markedBefore reports whether a marker was there or further on, set by someone
// who plays along as the same user.
func markedBefore(err error) bool {
	return hasCode(err, schema.AlreadyRead) || hasCode(err, schema.AlreadyDelivered)
}

func hasCode(err error, code schema.Code) bool {
	var answer *schema.Error
	return errors.As(err, &answer) && answer.Code == code
}
