package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"roomlog/realtime/client"
)

type idleCmd struct {
	Connections int `default:"5000" placeholder:"N" help:"Connections to hold (${default})."`
	benchFlags
}

// socketsPerUser is how many sockets a server lets one user open.
const socketsPerUser = 10

const residentMemory = "process_resident_memory_bytes"

// Run measures how much more memory the server's process has resident with the
// connections than without.
func (c *idleCmd) Run(a *app) (err error) {
	if c.Connections < 1 {
		return usagef("--connections must be at least 1")
	}
	t, err := c.open(a, c.Connections+1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	first, err := t.connect(a.ctx, 1, func(int) string { return "host" }, func(int) client.Options { return client.Options{} })
	if err != nil {
		return err
	}
	defer hangUp(first)
	post, err := newPost(a.ctx, first[0])
	if err != nil {
		return err
	}
	before, err := t.settled(a.ctx)
	if err != nil {
		return err
	}
	m := measure(a.err, "idle", "connected", 0)
	defer m.finish()
	t.connects = m.operation("connect")
	conns, err := t.connect(a.ctx, c.Connections, func(i int) string { return fmt.Sprintf("idle-%d", i/socketsPerUser) },
		func(int) client.Options { return client.Options{} })
	if err != nil {
		return err
	}
	defer hangUp(conns)
	if err := joinAll(a.ctx, conns, post); err != nil {
		return err
	}
	m.finish()
	after, err := t.settled(a.ctx)
	if err != nil {
		return err
	}
	figures := []figure{
		{"mode", "idle"},
		{"bytes_per_conn", math.Round((after - before) / float64(c.Connections))},
		{"connections", c.Connections},
		{"resident_before", before},
		{"resident_after", after},
	}
	if err := c.show(a, append(figures, t.connects.total().figures("connect_")...)); err != nil {
		return err
	}
	return t.plot.write(latencyChart("roomlog bench idle: from dialling to connected",
		fmt.Sprintf("%d connections, %d at once", c.Connections, dialers), "connected", t.connects))
}

// settled returns the server's resident memory once it has stopped moving: less
// than 1 % in each quarter of a second, five seconds long (a server gives memory
// back some seconds after a wave of connections); or after a minute as it is.
func (t *target) settled(ctx context.Context) (float64, error) {
	last, err := t.metric(ctx, residentMemory)
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for calm, ticks := 0, 0; err == nil && calm < 4*5 && ticks < 4*60; ticks++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		var now float64
		now, err = t.metric(ctx, residentMemory)
		if calm++; math.Abs(now-last) > last/100 {
			calm = 0
		}
		last = now
	}
	return last, err
}
