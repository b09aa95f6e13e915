package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	Rate     int           `placeholder:"N" help:"Post so many times a second over all senders, whether acks come or not; times then count from when a post was due."`
	Duration time.Duration `default:"10s" placeholder:"D" help:"How long to measure (${default})."`
	Warmup   time.Duration `default:"2s" placeholder:"D" help:"How long to load before measuring (${default})."`
	benchFlags
}

// content is about as long as a post is.
var content = strings.Repeat("All the world's a stage. ", 8)

// Run measures durable, applied and pushed facts: every sender has one follower,
// so that each ack goes with one push.
func (c *ingestCmd) Run(a *app) (err error) {
	if c.Senders < 1 || c.Duration <= 0 || c.Warmup < 0 || c.Rate < 0 {
		return usagef("--senders and --duration must be more than nothing, --warmup and --rate not negative")
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
	if c.Warmup > 0 {
		if _, err := c.load(a, "warm-up", conns, c.Warmup); err != nil {
			return err
		}
	}
	pushes.Store(0)
	r, err := c.load(a, "ingest", conns, c.Duration)
	if err != nil {
		return err
	}
	if err := c.show(a, r.figures(c, pushes.Load())); err != nil {
		return err
	}
	if r.unsent+r.unanswered > 0 {
		fmt.Fprintf(a.err, "roomlog: %d posts were due and not sent, %d not answered %s after the end; they are in the times as far as they had waited: give a lower --rate\n",
			r.unsent, r.unanswered, answerWithin)
	}
	return t.plot.write(r.chart(c))
}

// ingested is what came of a load.
type ingested struct {
	*measurement
	acks    *operation
	seconds float64

	unsent, unanswered int64 // of an open loop
}

const postCreate = "post:create"

// load lets everyone post for that long.
func (c *ingestCmd) load(a *app, name string, conns []*client.Client, d time.Duration) (*ingested, error) {
	r := &ingested{measurement: measure(a.err, name, "acked", d)}
	defer r.finish()
	r.acks = r.operation(postCreate)
	var err error
	if c.Rate > 0 {
		o := &offering{pace: pace{r.start, d, c.Rate}, conns: conns, acks: r.acks, waiting: r.operation("waiting")}
		err = o.run(a.ctx)
		r.unsent, r.unanswered = o.unsent.Load(), o.unanswered.Load()
	} else {
		err = postInTurns(a.ctx, conns, d, r.acks)
	}
	r.seconds = time.Since(r.start).Seconds()
	r.finish()
	if err == nil && r.acks.total().Count == 0 {
		err = errors.New("nothing was acked in that time: give a longer --duration")
	}
	return r, err
}

// postInTurns lets everyone post, wait for the ack and post again.
func postInTurns(ctx context.Context, conns []*client.Client, d time.Duration, acks *operation) error {
	end := time.Now().Add(d)
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range conns {
		group.Go(func() error {
			for now := time.Now(); now.Before(end); {
				if _, err := conn.Do(ctx, postCreate, schema.PostCreate{Content: content}, ""); err != nil {
					return err
				}
				acked := time.Now()
				acks.took(acked.Sub(now))
				now = acked
			}
			return nil
		})
	}
	return group.Wait()
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

func (r *ingested) figures(c *ingestCmd, pushes int64) []figure {
	acks := r.acks.total()
	figures := []figure{{"mode", "ingest"}, {"acked_per_s", float64(acks.Count) / r.seconds}}
	figures = append(figures, r.total().figures("")...)
	figures = append(figures, figure{"senders", c.Senders}, figure{"acked", acks.Count}, figure{"pushes", pushes}, figure{"seconds", r.seconds})
	if c.Rate > 0 {
		figures = append(figures, figure{"rate", c.Rate}, figure{"refused", acks.refusals()}, figure{"unsent", r.unsent}, figure{"unanswered", r.unanswered})
		for _, code := range slices.Sorted(maps.Keys(acks.Failed)) {
			figures = append(figures, figure{"refused_" + strings.ToLower(code), acks.Failed[code]})
		}
	}
	return figures
}

func (r *ingested) chart(c *ingestCmd) chart {
	loop := "each waits for its ack"
	if c.Rate > 0 {
		loop = fmt.Sprintf("%d posts a second in all", c.Rate)
	}
	return latencyChart("roomlog bench ingest: from post to ack", fmt.Sprintf("%d senders, %s", c.Senders, loop), "acked", r.acks)
}
