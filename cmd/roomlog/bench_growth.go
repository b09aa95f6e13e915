package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

type growthCmd struct {
	Sizes    []int         `default:"1000,10000,100000" placeholder:"N,…" help:"Records in the log (${default}): for each a data directory is made, with a user for a hundred of them."`
	Of       string        `placeholder:"DIR" help:"Measure on a data directory that fill made with a user for a hundred records, in place of new ones. It is written to."`
	Append   string        `placeholder:"FILE" help:"Add the sizes to those in FILE, which is made where it is missing, and show all of them."`
	Plot     string        `placeholder:"FILE" help:"Write a picture of cost against records as an SVG."`
	JSON     bool          `name:"json" help:"End with one JSON object in one line."`
	Duration time.Duration `default:"3s" placeholder:"D" help:"How long to send, and to fan out (${default})."`
	Senders  int           `default:"100" placeholder:"N" help:"Who send at once (${default})."`
	Members  int           `default:"1000" placeholder:"N" help:"Sockets in the room that is fanned out to (${default})."`
	Queries  int           `default:"3000" placeholder:"N" help:"Queries of each kind (${default})."`
	Missed   int           `default:"1000" placeholder:"N" help:"Messages missed by who comes back (${default})."`
	Rest     time.Duration `default:"31s" placeholder:"D" help:"How long a log that was just written rests: its store remembers the ids of the last half minute (${default})."`
	Calm     time.Duration `default:"5s" placeholder:"D" help:"How long memory must not have moved to be measured (${default})."`
}

// growthSize is what was measured with so many records in the log, by growthMeasures.
type growthSize struct {
	Records int                `json:"records"`
	Figures map[string]float64 `json:"figures"`
}

// growth is the object that --json writes, and the content of --append.
type growth struct {
	Mode  string       `json:"mode"`
	Sizes []growthSize `json:"sizes"` // ascending
}

// growthMeasures are the rows of the table.
var growthMeasures = []struct{ name, label string }{
	{"start_ms", "start to ready, ms"},
	{"start_killed_ms", "the same after kill -9, ms"},
	{"acked_per_s", "facts acked a second"},
	{"acked_p50_ms", "a fact, p50 ms"},
	{"deliveries_per_s", "deliveries a second"},
	{"feed_p50_ms", "feed page, p50 ms"},
	{"feed_p99_ms", "feed page, p99 ms"},
	{"conversations_p50_ms", "conversation list, p50 ms"},
	{"conversations_p99_ms", "conversation list, p99 ms"},
	{"messages_p50_ms", "message page, p50 ms"},
	{"messages_p99_ms", "message page, p99 ms"},
	{"unread_p50_ms", "unread count, p50 ms"},
	{"unread_p99_ms", "unread count, p99 ms"},
	{"notifications_p50_ms", "notifications page, p50 ms"},
	{"notifications_p99_ms", "notifications page, p99 ms"},
	{"comments_p50_ms", "comments page, p50 ms"},
	{"comments_p99_ms", "comments page, p99 ms"},
	{"profile_p50_ms", "profile, p50 ms"},
	{"profile_p99_ms", "profile, p99 ms"},
	{"usual_feed_p50_ms", "feed page of a usual user, p50 ms"},
	{"usual_conversations_p50_ms", "conversation list of one, p50 ms"},
	{"usual_notifications_p50_ms", "notifications page of one, p50 ms"},
	{"asker_follows", "followed by who asks, mean"},
	{"asker_conversations", "conversations of who asks, mean"},
	{"resume_ms", "resume, p50 ms"},
	{"memory_start_mib", "own memory after start, MiB"},
	{"memory_load_mib", "own memory after load, MiB"},
	{"resident_start_mib", "resident after start, MiB"},
	{"resident_load_mib", "resident after load, MiB"},
	{"log_bytes_per_record", "log, bytes a record"},
	{"models_bytes_per_record", "read models, bytes a record"},
}

// Run measures size by size, each on a server of its own.
func (c *growthCmd) Run(a *app) (err error) {
	for _, n := range c.Sizes {
		if n < 1 {
			return usagef("--sizes must be at least 1 each")
		}
	}
	if c.Duration <= 0 || c.Senders < 1 || c.Members < 1 || c.Queries < 1 || c.Missed < 1 || c.Rest < 0 || c.Calm < 0 {
		return usagef("--duration, --senders, --members, --queries and --missed must be more than nothing, --rest and --calm not negative")
	}
	all, err := c.earlier()
	if err != nil {
		return err
	}
	plot, err := openPlot(c.Plot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plot.close()) }()
	if c.Of != "" {
		c.Sizes = []int{0} // as many as there are
	}
	for _, n := range c.Sizes {
		size, err := c.measure(a, n)
		if err != nil {
			return err
		}
		all.add(size)
		if err := c.keep(all); err != nil {
			return err
		}
	}
	if err := c.show(a, all); err != nil {
		return err
	}
	return plot.write(all.chart())
}

// earlier reads what was measured before.
func (c *growthCmd) earlier() (*growth, error) {
	all := &growth{Mode: "growth"}
	if c.Append == "" {
		return all, nil
	}
	text, err := os.ReadFile(c.Append)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, all)
	}
	if err != nil {
		return nil, usagef("cannot read --append %s: %w", c.Append, err)
	}
	return all, nil
}

func (c *growthCmd) keep(all *growth) error {
	if c.Append == "" {
		return nil
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(c.Append, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write --append %s: %w", c.Append, err)
	}
	return nil
}

// add puts a size in its place, and in the place of what was measured of it before.
func (g *growth) add(size growthSize) {
	i, found := slices.BinarySearchFunc(g.Sizes, size.Records, func(s growthSize, n int) int { return cmp.Compare(s.Records, n) })
	if found {
		g.Sizes[i] = size
		return
	}
	g.Sizes = slices.Insert(g.Sizes, i, size)
}

// tenfold is by what a figure is multiplied, on average, when there are ten times as many
// records; NaN of a single size.
func (g *growth) tenfold(name string) float64 {
	first, last := g.Sizes[0], g.Sizes[len(g.Sizes)-1]
	decades := math.Log10(float64(last.Records) / float64(first.Records))
	if decades == 0 {
		return math.NaN()
	}
	return math.Pow(last.Figures[name]/first.Figures[name], 1/decades)
}

func (c *growthCmd) show(a *app, all *growth) error {
	if c.JSON {
		line, err := json.Marshal(all)
		if err == nil {
			_, err = fmt.Fprintf(a.out, "%s\n", line)
		}
		return err
	}
	longest := 0
	for _, m := range growthMeasures {
		longest = max(longest, len(m.label))
	}
	out := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%-*s\t", longest, "records")
	for _, size := range all.Sizes {
		fmt.Fprintf(out, "%d\t", size.Records)
	}
	fmt.Fprint(out, "tenfold\t\n")
	for _, m := range growthMeasures {
		fmt.Fprintf(out, "%-*s\t", longest, m.label)
		for _, size := range all.Sizes {
			v, measured := size.Figures[m.name]
			if !measured {
				fmt.Fprint(out, "\t")
				continue
			}
			fmt.Fprintf(out, "%s\t", threeDigits(v))
		}
		if factor := all.tenfold(m.name); factor > 0 {
			fmt.Fprintf(out, "×%.2f", factor)
		}
		fmt.Fprint(out, "\t\n")
	}
	return out.Flush()
}

// threeDigits writes a figure with no more digits than it is worth.
func threeDigits(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// chart shows what each thing costs against the records in the log.
func (g *growth) chart() chart {
	curve := func(name, figure string, cost func(float64) float64) series {
		s := series{Name: name}
		for _, size := range g.Sizes {
			if v, measured := size.Figures[figure]; measured {
				s.Points = append(s.Points, point{float64(size.Records), cost(v)})
			}
		}
		return s
	}
	same := func(v float64) float64 { return v }
	each := func(perSecond float64) float64 { return 1e6 / perSecond }
	return chart{
		Title: "roomlog bench growth: what the number of records in the log changes",
		Note:  "p50 of queries over real sockets, one at a time, by users as busy as Zipf's law has them",
		X:     axis{Label: "records in the log", Log: true},
		Panels: []panel{
			{Y: axis{Label: "milliseconds", Log: true}, Height: 300, Series: []series{
				curve("start", "start_ms", same), curve("start after kill -9", "start_killed_ms", same),
				curve("resume", "resume_ms", same), curve("feed page", "feed_p50_ms", same),
				curve("conversation list", "conversations_p50_ms", same), curve("message page", "messages_p50_ms", same),
				curve("notifications page", "notifications_p50_ms", same), curve("unread count", "unread_p50_ms", same),
			}},
			{Y: axis{Label: "microseconds each", Log: true}, Height: 160, Series: []series{
				curve("a fact acked", "acked_per_s", each), curve("a push delivered", "deliveries_per_s", each),
			}},
			{Y: axis{Label: "MiB of memory", Log: true}, Height: 160, Series: []series{
				curve("own, after start", "memory_start_mib", same), curve("own, after load", "memory_load_mib", same),
			}},
		},
	}
}

// figuresOf runs another measurement and returns its figures.
func figuresOf(a *app, run func(*app) error) (map[string]any, error) {
	var out bytes.Buffer
	sub := *a
	sub.out = &out
	if err := run(&sub); err != nil {
		return nil, err
	}
	var figures map[string]any
	if err := json.Unmarshal(out.Bytes(), &figures); err != nil {
		return nil, fmt.Errorf("reading the figures of a measurement: %w", err)
	}
	return figures, nil
}
