package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

type benchCmd struct {
	Ingest ingestCmd `cmd:"" help:"Acked facts a second, of senders who wait for each ack."`
	Fanout fanoutCmd `cmd:"" help:"Pushes delivered a second to one room."`
	Resume resumeCmd `cmd:"" help:"Connections that are cut at once and come back: how long until each was told what it missed."`
	Idle   idleCmd   `cmd:"" help:"Memory of the server for an idle connection that has joined a room."`
	Growth growthCmd `cmd:"" hidden:"" help:"How cost grows with the number of records in the log: all of the above, start-up, queries and memory, size by size."`
	Mixed  mixedCmd  `cmd:"" help:"A day of a social network: users arrive, read, write, idle and leave."`
	Fill   fillCmd   `cmd:"" help:"Write a large and lifelike log into a new data directory, for the others to be measured on."`
}

// benchFlags are what every measurement takes.
type benchFlags struct {
	Server string `placeholder:"URL" help:"A running server, its limits off; without it the measurement starts one in a process and a folder of its own."`
	JSON   bool   `name:"json" help:"End with one JSON object in one line."`
	Plot   string `placeholder:"FILE" help:"Write a picture of times and rate, second by second, as an SVG."`
	minting

	fill func(dir string) error // into the data directory of a server that is started here; nil: nothing
}

// dialers is how many connections are made at once: fewer than the handshakes
// that a server takes at once.
const dialers = 64

// target is the server that is measured.
type target struct {
	url  string
	auth minting
	plot plotFile

	process *exec.Cmd // nil: not ours
	dir     string

	connects *operation // how long each connection of connect takes; nil: not asked
}

// open returns the server to measure, started with room for that many connections
// unless --server names one.
func (b *benchFlags) open(a *app, connections int) (*target, error) {
	plot, err := openPlot(b.Plot)
	if err != nil {
		return nil, err
	}
	t := &target{url: b.Server, auth: b.minting, plot: plot}
	if b.Server == "" {
		err = t.start(a, connections, b.fill)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// start starts a server in a folder of its own, which fill, if any, has filled.
func (t *target) start(a *app, connections int, fill func(dir string) error) (err error) {
	if t.dir, err = os.MkdirTemp("", "roomlog-bench-"); err != nil {
		return fmt.Errorf("cannot make a folder for the server: %w", err)
	}
	if fill != nil {
		if err := fill(t.dir); err != nil {
			return err
		}
	}
	return t.serve(a, t.dir, connections, "--log-level", "warn")
}

// serve starts a server on a data directory, and returns once it takes clients.
func (t *target) serve(a *app, data string, connections int, flags ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program to start a server with: %w", err)
	}
	t.auth = minting{Data: data, AuthIssuer: t.auth.AuthIssuer, AuthAudience: t.auth.AuthAudience}
	process := exec.Command(exe, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--rate-events", "0",
		"--max-connections", strconv.Itoa(connections)}, flags...)...)
	process.Stderr = a.err
	out, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start a server: %w", err)
	}
	t.process, t.url = process, ""
	lines := bufio.NewScanner(out)
	for t.url == "" && lines.Scan() {
		_, t.url, _ = strings.Cut(lines.Text(), "ready at ")
	}
	if t.url == "" {
		return errors.New("the server did not start")
	}
	return nil
}

// close stops the server, if it is ours, and closes the plot.
func (t *target) close() error {
	err := t.plot.close()
	if t.process != nil {
		t.process.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, t.process.Wait())
	}
	if t.dir != "" {
		err = errors.Join(err, os.RemoveAll(t.dir))
	}
	return err
}

// connect makes n connections, each with its user and options.
func (t *target) connect(ctx context.Context, n int, user func(i int) string, options func(i int) client.Options) ([]*client.Client, error) {
	conns := make([]*client.Client, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for i := range n {
		group.Go(func() (err error) {
			start := time.Now()
			conns[i], err = t.auth.dial(ctx, t.url, realtime.Identity{Actor: schema.Actor{ID: user(i)}}, options(i))
			if err == nil && t.connects != nil {
				t.connects.took(time.Since(start))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		hangUp(conns)
		return nil, err
	}
	return conns, nil
}

func hangUp(conns []*client.Client) {
	var group errgroup.Group
	group.SetLimit(dialers)
	for _, c := range conns {
		if c != nil {
			group.Go(c.Close)
		}
	}
	group.Wait()
}

// newPost publishes a post and returns its id.
func newPost(ctx context.Context, c *client.Client) (string, error) {
	frame, err := c.Do(ctx, "post:create", schema.PostCreate{Content: "A post to gather around."}, "")
	if err != nil {
		return "", err
	}
	var created schema.PostCreated
	err = decode(frame, &created)
	return created.Post.ID, err
}

// metric reads one figure of the server's /metrics.
func (t *target) metric(ctx context.Context, name string) (float64, error) {
	url := "http" + strings.TrimSuffix(strings.TrimPrefix(t.url, "ws"), "/ws") + "/metrics"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("cannot read the server's figures: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("the server's figures have no %s", name), lines.Err())
}

// figure is one line of a measurement.
type figure struct {
	name  string
	value any
}

// show prints figures, as one JSON object or as a table.
func (b *benchFlags) show(a *app, figures []figure) error {
	if !b.JSON {
		out := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, f := range figures {
			if v, ok := f.value.(float64); ok {
				f.value = strconv.FormatFloat(v, 'f', 2, 64)
			}
			fmt.Fprintf(out, "%s\t%v\n", f.name, f.value)
		}
		return out.Flush()
	}
	var line strings.Builder
	for i, f := range figures {
		value, err := json.Marshal(f.value)
		if err != nil {
			return err
		}
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(&line, "%s%q:%s", sep, f.name, value)
	}
	_, err := fmt.Fprintln(a.out, line.String()+"}")
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
