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
	Fill   fillCmd   `cmd:"" help:"Write a large and lifelike log into a new data directory, for the others to be measured on."`
}

// benchFlags are what every measurement takes.
type benchFlags struct {
	Server string `placeholder:"URL" help:"A running server, its limits off; without it the measurement starts one in a process and a folder of its own."`
	JSON   bool   `name:"json" help:"End with one JSON object in one line."`
	minting
}

// dialers is how many connections are made at once: fewer than the handshakes
// that a server takes at once.
const dialers = 64

// target is the server that is measured.
type target struct {
	url  string
	auth minting

	process *exec.Cmd // nil: not ours
	dir     string
}

// open returns the server to measure, started with room for that many connections
// unless --server names one.
func (b *benchFlags) open(a *app, connections int) (*target, error) {
	if b.Server != "" {
		return &target{url: b.Server, auth: b.minting}, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program to start a server with: %w", err)
	}
	dir, err := os.MkdirTemp("", "roomlog-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the server: %w", err)
	}
	t := &target{dir: dir, auth: minting{Data: dir, AuthIssuer: b.AuthIssuer, AuthAudience: b.AuthAudience}}
	t.process = exec.Command(exe, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--rate-events", "0",
		"--max-connections", strconv.Itoa(connections), "--log-level", "warn")
	t.process.Stderr = a.err
	out, err := t.process.StdoutPipe()
	if err == nil {
		err = t.process.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start a server: %w", err), os.RemoveAll(dir))
	}
	lines := bufio.NewScanner(out)
	for t.url == "" && lines.Scan() {
		_, t.url, _ = strings.Cut(lines.Text(), "ready at ")
	}
	if t.url == "" {
		return nil, errors.Join(errors.New("the server did not start"), t.close())
	}
	return t, nil
}

// close stops the server, if it is ours.
func (t *target) close() error {
	if t.process == nil {
		return nil
	}
	t.process.Process.Signal(syscall.SIGTERM)
	return errors.Join(t.process.Wait(), os.RemoveAll(t.dir))
}

// connect makes n connections, each with its user and options.
func (t *target) connect(ctx context.Context, n int, user func(i int) string, options func(i int) client.Options) ([]*client.Client, error) {
	conns := make([]*client.Client, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for i := range n {
		group.Go(func() (err error) {
			conns[i], err = t.auth.dial(ctx, t.url, realtime.Identity{Actor: schema.Actor{ID: user(i)}}, options(i))
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
