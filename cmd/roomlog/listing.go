package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"roomlog/replay"
	"roomlog/schema"
)

// listing is a stream as a command shows it, line by line: F chooses the lines, L is
// one. A running server reads them out over its control socket; what a stopped server
// left, or a log in NATS, the command reads by itself.
type listing[F, L any] struct {
	path         string // on the control socket
	read, follow reader[F, L]
}

// reader calls a function with lines, oldest first.
type reader[F, L any] func(replay.Auditor, context.Context, F, func([]L) error) error

var (
	records = listing[replay.Filter, replay.Line]{"/replay", replay.Auditor.Replay, replay.Auditor.Follow}
	entries = listing[replay.AdminFilter, schema.AuditEntry]{"/inspect", replay.Auditor.Inspect, replay.Auditor.InspectFollow}
)

func (l listing[F, L]) reader(follow bool) reader[F, L] {
	if follow {
		return l.follow
	}
	return l.read
}

// show prints the lines of what server or files have; when it follows, each as it comes.
func (l listing[F, L]) show(a *app, c source, filter F, follow bool, print func(io.Writer, *L) error) error {
	return printing(a, follow, print, func(emit func([]L) error) error {
		if server := dialControl(c.Data); server != nil {
			return l.live(a.ctx, server, filter, follow, emit)
		}
		return l.stopped(a, c, filter, follow, emit)
	})
}

// printing runs what emits lines and prints them; when it follows, each as it comes.
func printing[L any](a *app, follow bool, print func(io.Writer, *L) error, run func(emit func([]L) error) error) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	err := run(func(lines []L) error {
		for i := range lines {
			if err := print(out, &lines[i]); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		return out.Flush()
	})
	if follow && a.ctx.Err() != nil {
		return nil // that is how a follow ends
	}
	return errors.Join(err, out.Flush())
}

// live asks the running server.
func (l listing[F, L]) live(ctx context.Context, server *remote, filter F, follow bool, emit func([]L) error) error {
	text, err := json.Marshal(filter)
	if err != nil {
		return err
	}
	query := url.Values{"filter": {string(text)}, "follow": {strconv.FormatBool(follow)}}
	return server.lines(ctx, "GET", l.path, query, func(text json.RawMessage) error {
		var line [1]L
		if err := json.Unmarshal(text, &line[0]); err != nil {
			return fmt.Errorf("the running server sent a line of another kind: %w", err)
		}
		return emit(line[:])
	})
}

// handler is the running server's side.
func (l listing[F, L]) handler(s *Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var filter F
		if err := json.Unmarshal([]byte(r.FormValue("filter")), &filter); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := newStream(w)
		read := l.reader(r.FormValue("follow") == "true")
		out.end(read(s.auditor(), r.Context(), filter, func(lines []L) error {
			for i := range lines {
				if err := out.encode(&lines[i]); err != nil {
					return err
				}
			}
			return out.flush()
		}))
	}
}

// stopped reads what a stopped server left, or a log in NATS.
func (l listing[F, L]) stopped(a *app, c source, filter F, follow bool, emit func([]L) error) error {
	if follow && c.NATSURL == "" {
		return usagef("no server runs on %s, so there is nothing to follow: start it, or leave --follow out", c.Data)
	}
	o, err := c.openOffline(a.ctx, a.warnings())
	if err != nil {
		return err
	}
	if err = o.catchUp(a.ctx); err == nil {
		err = l.reader(follow)(o.auditor(), a.ctx, filter, emit)
	}
	return errors.Join(err, o.close())
}

func printJSON(out io.Writer, line any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}
