package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// lateSpeakers is how many of a scene's last speeches make who spoke them stay,
// and read, to its end.
const lateSpeakers = 10

// company is all players, and what they have done together.
type company struct {
	open    func(context.Context, *role, client.SessionOptions) (*client.Session, error)
	timeout time.Duration // for which a player looks for a server that went away
	// hear gets what a player is pushed, and the acks of what they do. It is
	// called by many at once.
	hear func(*role, schema.Frame)
	fail context.CancelCauseFunc // ends the play; of play

	players map[*role]*player
	talks   []*talk // in the order in which they began

	facts, heard, lost, known atomic.Int64
}

// talk is a conversation that players are in.
type talk struct {
	id, title string
	post      string    // that announced the scene; "" of asides
	members   []*player // the first one made it
	last      message
}

// message is a speech that was sent.
type message struct {
	id  string
	key string
	by  *player
}

// play plays the scenes and shows what the read models then say.
func (t *company) play(a *app, scenes []*scene) (err error) {
	ctx, stop := context.WithCancelCause(a.ctx)
	t.fail = stop
	defer func() {
		t.leave()
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		stop(nil)
	}()
	if err := t.enter(ctx, scenes); err != nil {
		return err
	}
	total, done := 0, 0
	for _, s := range scenes {
		total += len(s.speeches)
	}
	start := time.Now()
	bar := newProgress(a.err, "hamlet", "speeches")
	bar.set(0, int64(total))
	for _, s := range scenes {
		if err := t.perform(ctx, s, func() { done++; bar.set(int64(done), int64(total)) }); err != nil {
			bar.finish()
			return err
		}
	}
	bar.finish()
	took := time.Since(start).Seconds()
	fmt.Fprintf(a.out, "played %d speeches of %d users in %.1f s: %d facts (%.0f/s, %d of them known from an earlier run), %d pushes heard, %d connections lost\n\n",
		total, len(t.players), took, t.facts.Load(), float64(t.facts.Load())/took, t.known.Load(), t.heard.Load(), t.lost.Load())
	return t.tables(ctx, a.out)
}

// enter connects all players, and those whom they speak to.
func (t *company) enter(ctx context.Context, scenes []*scene) error {
	var roles []*role
	for _, s := range scenes {
		roles = append(roles, s.cast...)
		for _, speech := range s.speeches {
			if speech.to != nil {
				roles = append(roles, speech.to)
			}
		}
	}
	for _, r := range roles {
		if t.players[r] != nil {
			continue
		}
		p := &player{role: r, company: t, hasRead: map[*talk]string{}}
		session, err := t.open(ctx, r, client.SessionOptions{
			OnPush:     p.pushed,
			OnState:    p.state,
			MinBackoff: minRetry,
			MaxBackoff: maxRetry,
		})
		if err != nil {
			return err // no server to begin with is not one that went away
		}
		p.session = session
		t.players[r] = p
	}
	return nil
}

// leave disconnects all players.
func (t *company) leave() {
	var group errgroup.Group
	for p := range maps.Values(t.players) {
		group.Go(p.session.Close)
	}
	group.Wait()
}

// perform plays one scene. Speeches go one after the other, for the log must have
// them in the order of the play; what has no order among the players goes at once.
func (t *company) perform(ctx context.Context, s *scene, spoken func()) error {
	if err := t.each(ctx, s, func(ctx context.Context, p *player) error { return p.greet(ctx, s) }); err != nil {
		return err
	}
	var created schema.PostCreated
	err := t.players[s.cast[0]].do(ctx, "post:create", schema.PostCreate{Content: s.title}, s.key+":post", &created)
	if err != nil {
		return err
	}
	group := schema.ConversationCreate{Type: schema.ConversationGroup, Name: s.title}
	for _, r := range s.cast[1:] {
		group.Participants = append(group.Participants, r.id)
	}
	stage, err := t.gather(ctx, s.title, s.key, group, s.cast...)
	if err != nil {
		return err
	}
	stage.post = created.Post.ID
	for _, speech := range s.speeches {
		if err := t.speak(ctx, stage, speech); err != nil {
			return err
		}
		spoken()
	}
	return t.each(ctx, s, func(ctx context.Context, p *player) error { return p.exit(ctx, s, stage) })
}

// gather brings players together in a conversation that the first of them makes.
func (t *company) gather(ctx context.Context, title, key string, data schema.ConversationCreate, roles ...*role) (*talk, error) {
	k := &talk{title: title}
	for _, r := range roles {
		k.members = append(k.members, t.players[r])
	}
	var created schema.ConversationCreated
	if err := k.members[0].do(ctx, "conversation:create", data, key, &created); err != nil {
		return nil, err
	}
	k.id = created.Conversation.ID
	t.talks = append(t.talks, k)
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range k.members {
		group.Go(func() error { return p.session.Join(ctx, schema.ConversationRoom(k.id)) })
	}
	return k, group.Wait()
}

// speak sends a speech to the scene, or an aside to the one it is for, who reads
// it at once.
func (t *company) speak(ctx context.Context, stage *talk, s speech) error {
	by := t.players[s.by]
	if s.to == nil {
		return by.say(ctx, stage, s)
	}
	title := s.by.name + " to " + s.to.name
	i := slices.IndexFunc(t.talks, func(k *talk) bool { return k.title == title })
	if i < 0 {
		i = len(t.talks)
		direct := schema.ConversationCreate{Type: schema.ConversationDirect, Participants: []string{s.to.id}}
		if _, err := t.gather(ctx, title, s.key+":aside", direct, s.by, s.to); err != nil {
			return err
		}
	}
	if err := by.say(ctx, t.talks[i], s); err != nil {
		return err
	}
	t.players[s.to].read(t.talks[i])
	return nil
}

// each lets all who are in the scene act at once.
func (t *company) each(ctx context.Context, s *scene, act func(context.Context, *player) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range s.cast {
		group.Go(func() error { return act(ctx, t.players[r]) })
	}
	return group.Wait()
}

// staysUntilTheEnd reports whether a role is among the scene's last speakers.
func (s *scene) staysUntilTheEnd(r *role) bool {
	last := s.speeches[max(0, len(s.speeches)-lateSpeakers):]
	return slices.ContainsFunc(last, func(l speech) bool { return l.by == r })
}
