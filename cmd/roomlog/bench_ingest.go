package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime/client"
	"roomlog/schema"
)

type ingestCmd struct {
	Senders  int           `default:"1000" placeholder:"N" help:"Users who each post, wait for the ack and post again (${default})."`
	Duration time.Duration `default:"10s" placeholder:"D" help:"How long to measure (${default})."`
	Warmup   time.Duration `default:"2s" placeholder:"D" help:"How long to load before measuring (${default})."`
	benchFlags
}

// content is about as long as a post is.
var content = strings.Repeat("All the world's a stage. ", 8)

// Run measures durable, applied and pushed facts: every sender has one follower,
// so that each ack goes with one push.
func (c *ingestCmd) Run(a *app) (err error) {
	if c.Senders < 1 || c.Duration <= 0 || c.Warmup < 0 {
		return usagef("--senders and --duration must be more than nothing")
	}
	t, err := c.open(a, c.Senders+1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	var pushes atomic.Int64
	user := func(i int) string { return fmt.Sprintf("sender-%d", i%c.Senders) }
	conns, err := t.connect(a.ctx, c.Senders, user, func(int) client.Options {
		return client.Options{OnFrame: func(frame []byte) {
			if strings.HasPrefix(string(frame[:min(len(frame), 24)]), `{"event":"post:create"`) {
				pushes.Add(1)
			}
		}}
	})
	if err != nil {
		return err
	}
	defer hangUp(conns)
	if err := followInRing(a.ctx, conns, user); err != nil {
		return err
	}
	if _, err := c.load(a.ctx, conns, c.Warmup); err != nil {
		return err
	}
	pushes.Store(0)
	start := time.Now()
	waits, err := c.load(a.ctx, conns, c.Duration)
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	slices.Sort(waits)
	return c.show(a, []figure{
		{"mode", "ingest"},
		{"acked_per_s", float64(len(waits)) / seconds},
		{"p50_ms", milliseconds(waits[len(waits)/2])},
		{"p99_ms", milliseconds(waits[len(waits)*99/100])},
		{"max_ms", milliseconds(waits[len(waits)-1])},
		{"senders", c.Senders},
		{"acked", len(waits)},
		{"pushes", pushes.Load()},
		{"seconds", seconds},
	})
}

// followInRing lets everyone follow the one before them. A follow that stands
// from an earlier measurement is as good.
func followInRing(ctx context.Context, conns []*client.Client, user func(int) string) error {
	if len(conns) == 1 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, conn := range conns {
		group.Go(func() error {
			follow := schema.UserFollow{FollowingID: user(i + 1), Action: schema.ActionFollow}
			_, err := conn.Do(ctx, "user:follow", follow, "")
			if hasCode(err, schema.AlreadyFollowing) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// load lets everyone post for that long, and returns how long each ack took.
func (c *ingestCmd) load(ctx context.Context, conns []*client.Client, d time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(d)
	waits := make([][]time.Duration, len(conns))
	group, ctx := errgroup.WithContext(ctx)
	for i, conn := range conns {
		group.Go(func() error {
			for now := time.Now(); now.Before(end); {
				if _, err := conn.Do(ctx, "post:create", schema.PostCreate{Content: content}, ""); err != nil {
					return err
				}
				acked := time.Now()
				waits[i] = append(waits[i], acked.Sub(now))
				now = acked
			}
			return nil
		})
	}
	err := group.Wait()
	all := slices.Concat(waits...)
	if err == nil && d > 0 && len(all) == 0 {
		err = errors.New("nothing was acked in that time: give a longer --duration")
	}
	return all, err
}
