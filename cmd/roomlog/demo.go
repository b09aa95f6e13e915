package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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
	return `Every speaker is a user with a session of their own. Those who meet in a scene
follow each other; its first speaker announces it in a post, which the others like.
The scene itself is a group conversation, and its speeches are messages, in order,
with typing before them. A speech that is marked as an aside is a direct message: to
the one whom the mark names ("[Aside to GUILDENSTERN]"), else ("[Aside]") to the
audience, a user too.

Before a player speaks they have read what was said. Who spoke among the last ten of a
scene reads it to its end; the others had gone: it is delivered to them, and unread.

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
		return c.company().play(a, scenes)
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
	err = c.company().play(a, scenes)
	stop()
	return errors.Join(err, <-served, s.Close(), os.RemoveAll(dir))
}

// unlimited is a server for oneself: any free port, no rate limit.
func unlimited(dir string) serverConfig {
	return serverConfig{
		Data: dir, Listen: "127.0.0.1:0", Fsync: "group", Replicas: 1,
		MaxConnections: 1000, MaxResume: 10_000, MaxWait: time.Second, RateEvents: 0, RateWindow: time.Minute,
		PresenceGrace: time.Second, DrainTimeout: 30 * time.Second,
	}
}

// company returns players for the server, none of them connected.
func (c *demoCmd) company() *company {
	return &company{
		players: map[*role]*player{},
		timeout: c.Timeout,
		hear:    func(*role, schema.Frame) {},
		open: func(ctx context.Context, r *role, o client.SessionOptions) (*client.Session, error) {
			id := realtime.Identity{Actor: schema.Actor{ID: r.id, Username: r.name}}
			o.Token = func(context.Context) (string, error) { return c.token(id, tokenLife) }
			return open(ctx, c.Server, o)
		},
	}
}
