package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"roomlog/schema"
)

type mixedCmd struct {
	Users       int           `default:"10000" placeholder:"N" help:"Users there are; a few of them do most (${default})."`
	Connections int           `default:"200" placeholder:"N" help:"Users that are there at once: who leaves makes room for another (${default})."`
	Duration    time.Duration `default:"20s" placeholder:"D" help:"How long to measure (${default})."`
	Warmup      time.Duration `default:"5s" placeholder:"D" help:"How long to load before measuring (${default})."`
	Stay        time.Duration `default:"15s" placeholder:"D" help:"How long a user is there, on average (${default})."`
	Rate        float64       `default:"0" placeholder:"N" help:"Operations a second of all users together, each timed from when it was due; 0: each user waits for an ack, and does the next (${default})."`
	Records     int           `default:"100000" placeholder:"N" help:"Facts of these users before, in the log of a server that is started here (${default})."`
	benchFlags
}

// Run measures a day of a social network.
func (c *mixedCmd) Run(a *app) (err error) {
	switch {
	case c.Users < 2 || c.Connections < 1 || c.Connections > maxOwnSockets*c.Users:
		return usagef("--users must be at least 2, --connections from 1 to %d for each of them", maxOwnSockets)
	case c.Duration <= 0 || c.Stay <= 0 || c.Warmup < 0 || c.Rate < 0 || c.Records < 0:
		return usagef("--duration and --stay must be more than nothing, --warmup, --rate and --records not negative")
	}
	people := newSociety(1, c.Users, max(c.Records, 1), time.Now())
	c.fill = func(dir string) error { return people.fill(a, dir, c.Records) }
	t, err := c.open(a, 2*c.Connections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	day := &day{}
	load := newMixedLoad(t, people, c.Connections, c.Stay, c.Rate, day.record)
	ended := make(chan error, 1)
	go func() { ended <- load.run(a.ctx) }()
	if err := during(c.Warmup, ended); err != nil {
		return err
	}
	before := load.visits()
	m := measure(a.err, "mixed", "operations", c.Duration)
	defer m.finish()
	day.now.Store(m)
	err = during(c.Duration, ended)
	m.finish()
	day.visits = load.visits().since(before)
	if err != nil {
		return err
	}
	close(load.over)
	if err := <-ended; err != nil {
		return err
	}
	if err := c.report(a, day); err != nil {
		return err
	}
	loop := "one thing after another each"
	if c.Rate > 0 {
		loop = fmt.Sprintf("%.0f operations/s in all, timed from when each was due", c.Rate)
	}
	return t.plot.write(latencyChart("roomlog bench mixed: from an operation to its ack",
		fmt.Sprintf("%d of %d users at once, %s", c.Connections, c.Users, loop), "operations", m))
}

// during waits, or returns why a load ended before.
func during(d time.Duration, ended <-chan error) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-ended:
		return err
	}
}

// day is what was measured of a load.
type day struct {
	now    atomic.Pointer[measurement] // nil: not yet
	reads  atomic.Int64
	facts  atomic.Int64
	visits visits
}

func (d *day) record(o outcome) {
	m := d.now.Load()
	switch {
	case m == nil:
		return
	case o.code != "":
		m.operation(o.event).fail(string(o.code))
		return
	case o.kind == schema.Query:
		d.reads.Add(1)
	case o.kind == schema.Fact:
		d.facts.Add(1)
	}
	m.operation(o.event).took(o.took)
}

// operationFigures are the figures of one event in JSON.
type operationFigures struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (c *mixedCmd) report(a *app, d *day) error {
	m := d.now.Load()
	total, seconds := m.total(), m.elapsed().Seconds()
	figures := []figure{
		{"mode", "mixed"},
		{"operations_per_s", float64(total.Count) / seconds},
		{"reads_per_s", float64(d.reads.Load()) / seconds},
		{"facts_per_s", float64(d.facts.Load()) / seconds},
		{"pushes_per_s", float64(d.visits.pushes) / seconds},
	}
	figures = append(figures, total.figures("")...)
	figures = append(figures, []figure{
		{"behind_ms", milliseconds(d.visits.behind)},
		{"users", c.Users},
		{"connections", c.Connections},
		{"arrived", d.visits.arrived},
		{"left", d.visits.left},
		{"cut", d.visits.cut},
		{"resumed", d.visits.resumed},
		{"resynced", d.visits.resynced},
		{"overloaded", d.visits.turnedAway},
		{"seconds", seconds},
	}...)
	if !c.JSON {
		if err := c.show(a, figures); err != nil {
			return err
		}
		return m.table(a.out)
	}
	operations := map[string]operationFigures{}
	for _, op := range m.operations() {
		t := op.total()
		operations[op.name] = operationFigures{t.Count, milliseconds(t.P50), milliseconds(t.P99), milliseconds(t.Most)}
	}
	return c.show(a, append(figures, figure{"operations", operations}, figure{"errors", total.Failed}))
}

// table writes the operations, and what was refused, for people.
func (m *measurement) table(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	seconds := m.elapsed().Seconds()
	fmt.Fprintln(table, "\noperation\tcount\tper s\tp50 ms\tp99 ms\tmax ms\t  refused")
	for _, op := range m.operations() {
		t := op.total()
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%.2f\t%.2f\t%.2f\t", op.name, t.Count, float64(t.Count)/seconds,
			milliseconds(t.P50), milliseconds(t.P99), milliseconds(t.Most))
		for _, code := range slices.Sorted(maps.Keys(t.Failed)) {
			fmt.Fprintf(table, "  %d %s", t.Failed[code], code)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
