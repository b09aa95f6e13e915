package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
	"roomlog/testdata"
)

type demoCmd struct {
	Server  string        `placeholder:"URL" help:"A running server to play on, such as ${server}; without it the demo starts one of its own in a temporary folder."`
	Timeout time.Duration `default:"1m" placeholder:"D" help:"How long to look for a server that went away (${default})."`
	minting
}

// Help is shown by roomlog demo --help.
func (c *demoCmd) Help() string {
	return `Every speaker is a user with a socket of their own. A scene is a post of its first
speaker; those who meet in it follow each other; speeches are comments, in order,
with typing before them; at the end the listeners like the scene.

Every command has a key that follows from its place in the play. So a demo that was
stopped, or lost its server, plays on where it was without doing anything twice.

A server given with --server limits it as anyone: one started with --rate-events 0
plays in seconds what takes minutes at the default rate.`
}

// Run plays the play and shows what the read models then say.
func (c *demoCmd) Run(a *app) error {
	scenes, err := readPlay("hamlet", testdata.Hamlet)
	if err != nil {
		return err
	}
	if c.Server != "" {
		return c.play(a, scenes)
	}
	dir, err := os.MkdirTemp("", "roomlog-demo-")
	if err != nil {
		return fmt.Errorf("cannot make a folder for the demo's server: %w", err)
	}
	c.Data, c.AuthSecretFile = dir, ""
	s, err := NewServer(a.ctx, unlimited(dir), a.warnings())
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	c.Server = s.URL()
	ctx, stop := context.WithCancel(context.WithoutCancel(a.ctx)) // the server outlives the players
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx, func() {}) }()
	err = c.play(a, scenes)
	stop()
	return errors.Join(err, <-served, s.Close(), os.RemoveAll(dir))
}

// unlimited is a server for oneself: any free port, no rate limit.
func unlimited(dir string) serverConfig {
	return serverConfig{
		Data: dir, Listen: "127.0.0.1:0", Fsync: "group", Replicas: 1,
		MaxConnections: 1000, RateEvents: 0, RateWindow: time.Minute,
		PresenceGrace: time.Second, DrainTimeout: 30 * time.Second,
	}
}

// company is all players, and what they have done together.
type company struct {
	players            map[*role]*player
	heard, lost, known atomic.Int64
	posts              []string // of the scenes, in order
}

func (c *demoCmd) play(a *app, scenes []*scene) error {
	troupe := &company{players: map[*role]*player{}}
	defer func() {
		for _, p := range troupe.players {
			p.leave()
		}
	}()
	total := 0
	for _, s := range scenes {
		total += s.commands()
		for _, r := range s.cast {
			if troupe.players[r] == nil {
				troupe.players[r] = c.player(r, troupe)
			}
		}
	}
	if err := troupe.players[scenes[0].cast[0]].connect(a.ctx); err != nil {
		return err // no server to begin with is not one that went away
	}
	start := time.Now()
	bar := newProgress(a.err, "hamlet", "commands")
	done := 0
	bar.set(0, int64(total))
	for _, s := range scenes {
		err := troupe.perform(a.ctx, s, func(n int) { done += n; bar.set(int64(done), int64(total)) })
		if err != nil {
			bar.finish()
			return err
		}
	}
	bar.finish()
	took := time.Since(start)
	fmt.Fprintf(a.out, "played %d commands of %d users in %.1f s (%.0f/s): %d pushes heard, %d connections lost, %d commands known from an earlier run\n\n",
		total, len(troupe.players), took.Seconds(), float64(total)/took.Seconds(), troupe.heard.Load(), troupe.lost.Load(), troupe.known.Load())
	return troupe.tables(a, scenes)
}

func (c *demoCmd) player(r *role, troupe *company) *player {
	return &player{
		role: r,
		dial: func(ctx context.Context, id realtime.Identity, o client.Options) (*client.Client, error) {
			return c.dial(ctx, c.Server, id, o)
		},
		timeout: c.Timeout,
		heard:   &troupe.heard,
		lost:    &troupe.lost,
		known:   &troupe.known,
	}
}

// commands is how many facts a scene is: who meets, the post, the speeches, the likes.
func (s *scene) commands() int { return len(s.meetings) + 1 + len(s.speeches) + len(s.cast) - 1 }

// perform plays one scene. Comments go one after the other, for the log must have
// them in the order of the play; what has no order among the players goes at once.
func (t *company) perform(ctx context.Context, s *scene, step func(int)) error {
	if err := t.each(ctx, s, func(ctx context.Context, p *player) error { return p.greet(ctx, s) }); err != nil {
		return err
	}
	step(len(s.meetings))
	author := t.players[s.cast[0]]
	var created schema.PostCreated
	frame, err := author.do(ctx, "post:create", schema.PostCreate{Content: s.title}, s.key)
	if err == nil {
		err = decode(frame, &created)
	}
	if err != nil {
		return err
	}
	step(1)
	post := created.Post.ID
	t.posts = append(t.posts, post)
	if err := t.each(ctx, s, func(ctx context.Context, p *player) error { return p.join(ctx, post) }); err != nil {
		return err
	}
	for _, speech := range s.speeches {
		p := t.players[speech.by]
		p.typing()
		if _, err := p.do(ctx, "post:comment", schema.PostComment{PostID: post, Content: speech.text}, speech.key); err != nil {
			return err
		}
		step(1)
	}
	err = t.each(ctx, s, func(ctx context.Context, p *player) error {
		if p == author {
			return nil
		}
		return p.like(ctx, s, post)
	})
	step(len(s.cast) - 1)
	return err
}

// each lets all who are in the scene act at once.
func (t *company) each(ctx context.Context, s *scene, act func(context.Context, *player) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range s.cast {
		group.Go(func() error { return act(ctx, t.players[r]) })
	}
	return group.Wait()
}

// greet follows those whom the player meets in the scene for the first time.
func (p *player) greet(ctx context.Context, s *scene) error {
	for _, m := range s.meetings {
		if m.follower != p.role {
			continue
		}
		follow := schema.UserFollow{FollowingID: m.followed.id, Action: schema.ActionFollow}
		_, err := p.do(ctx, "user:follow", follow, s.key+":f:"+m.followed.id)
		if err != nil && !hasCode(err, schema.AlreadyFollowing) {
			return err
		}
	}
	return nil
}

func (p *player) like(ctx context.Context, s *scene, post string) error {
	_, err := p.do(ctx, "post:like", schema.PostAction{PostID: post, Action: schema.ActionLike}, s.key+":like")
	if hasCode(err, schema.AlreadyLiked) {
		return nil
	}
	return err
}

func hasCode(err error, code schema.Code) bool {
	var answer *schema.Error
	return errors.As(err, &answer) && answer.Code == code
}
