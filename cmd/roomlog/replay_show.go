package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roomlog/projections"
	"roomlog/replay"
)

// showing is what a running server says of a sight.
type showing struct {
	Seq     uint64          `json:"seq"`               // of the moment that was asked for
	Durable uint64          `json:"durable"`           // up to where its files may be read
	Seen    json.RawMessage `json:"seen,omitempty"`    // none: its read models stand elsewhere
	Refused string          `json:"refused,omitempty"` // why nothing can be seen
}

// show shows the read models as of a moment.
func (c *replayCmd) show(a *app) error {
	sight := replay.Sight{What: c.Show, As: c.As, Limit: c.Limit, Page: c.Page}
	moment, err := replay.ParseMoment(c.At, time.Now())
	if err = errors.Join(err, sight.Validate()); err != nil {
		return usageError(err)
	}
	var seen any
	if server := c.server(); server != nil {
		seen, err = c.showLive(a, server, sight, moment)
	} else {
		seen, err = c.showStopped(a, sight, moment)
	}
	if err != nil {
		return err
	}
	if c.Format == formatJSON {
		return printJSON(a.out, seen)
	}
	return printTree(a.out, seen)
}

// showLive asks the running server, and looks at the past by its files.
func (c *replayCmd) showLive(a *app, server *remote, sight replay.Sight, moment replay.Moment) (any, error) {
	now, err := server.show(a.ctx, sight, moment)
	if err != nil {
		return nil, err
	}
	switch {
	case now.Refused != "":
		return nil, errors.New(now.Refused)
	case now.Seen != nil:
		return now.Seen, nil
	}
	log, err := c.openFiles(a, now.Durable)
	if err != nil {
		return nil, err
	}
	r := &reading{Auditor: replay.Auditor{Log: log}}
	return r.see(a, sight, now.Seq)
}

func (c *replayCmd) showStopped(a *app, sight replay.Sight, moment replay.Moment) (any, error) {
	r, err := c.openReading(a)
	if err != nil {
		return nil, err
	}
	at, err := r.Place(a.ctx, moment)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r.see(a, sight, at)
}

// see looks at the read models as of a place, and closes them.
func (r *reading) see(a *app, sight replay.Sight, at uint64) (seen replay.Seen, err error) {
	if err = r.at(a, at); err == nil {
		seen, _, err = r.Show(a.ctx, sight, at)
	}
	return seen, errors.Join(err, r.close())
}

func (r *remote) show(ctx context.Context, sight replay.Sight, moment replay.Moment) (now showing, err error) {
	query := url.Values{}
	for name, value := range map[string]any{"sight": sight, "moment": moment} {
		text, err := json.Marshal(value)
		if err != nil {
			return now, err
		}
		query.Set(name, string(text))
	}
	err = r.lines(ctx, "GET", "/show", query, func(text json.RawMessage) error { return json.Unmarshal(text, &now) })
	return now, err
}

// serveShow answers from the read models as they are. It makes no others.
func (s *Server) serveShow(w http.ResponseWriter, r *http.Request) {
	var sight replay.Sight
	var moment replay.Moment
	err := errors.Join(json.Unmarshal([]byte(r.FormValue("sight")), &sight), json.Unmarshal([]byte(r.FormValue("moment")), &moment))
	if err == nil {
		err = sight.Validate()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now, err := s.showing(r.Context(), sight, moment)
	if err != nil {
		now.Refused = err.Error()
	}
	out := newStream(w)
	out.end(out.encode(now))
}

func (s *Server) showing(ctx context.Context, sight replay.Sight, moment replay.Moment) (now showing, err error) {
	a := s.auditor()
	now.Durable = s.log.Durable()
	if now.Seq, err = a.Place(ctx, moment); err != nil {
		return now, err
	}
	if moment == (replay.Moment{}) {
		if err := s.models.WaitApplied(ctx, now.Seq); err != nil {
			return now, fmt.Errorf("wait for the read models: %w", err)
		}
		now.Seq = 0 // wherever they have come to
	}
	seen, ok, err := a.Show(ctx, sight, now.Seq)
	if err != nil || !ok {
		return now, err
	}
	now.Seen, err = json.Marshal(seen)
	return now, err
}

// printTree writes a value for people: a line a field, what is in it further in.
func printTree(out io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var fields projections.Fields
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	var b strings.Builder
	treeOf(&b, "", fields)
	_, err = io.WriteString(out, b.String())
	return err
}

func treeOf(b *strings.Builder, indent string, fields projections.Fields) {
	for _, f := range fields {
		value := f.Value.(json.RawMessage) // as they come from JSON
		var inner projections.Fields
		var list []json.RawMessage
		var text string
		switch {
		case value[0] == '{' && json.Unmarshal(value, &inner) == nil && len(inner) > 0:
			fmt.Fprintf(b, "%s%s\n", indent, plain(f.Name))
			treeOf(b, indent+"  ", inner)
		case value[0] == '[' && json.Unmarshal(value, &list) == nil && len(list) > 0 && list[0][0] == '{':
			fmt.Fprintf(b, "%s%s\n", indent, plain(f.Name))
			for i, item := range list {
				var of projections.Fields
				if json.Unmarshal(item, &of) == nil {
					fmt.Fprintf(b, "%s  %d\n", indent, i+1)
					treeOf(b, indent+"    ", of)
				}
			}
		case json.Unmarshal(value, &text) == nil && value[0] == '"':
			fmt.Fprintf(b, "%s%s  %s\n", indent, plain(f.Name), plain(text))
		default:
			fmt.Fprintf(b, "%s%s  %s\n", indent, plain(f.Name), plain(string(value)))
		}
	}
}
