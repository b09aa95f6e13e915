package realtime

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

var adminSignals = map[string]command{
	"admin:tail": act(followLog),
}

var adminQueries = map[string]command{
	"admin:stats": query(func(s *session, v *projections.View, _ *schema.Empty) (any, error) {
		log, live := s.server.cfg.Log, s.server.Stats()
		return schema.AdminStats{
			Sockets: live.Sockets, Users: live.Users, Rooms: live.Rooms, OpenReports: v.OpenReports(),
			Log: schema.LogStats{Epoch: log.Epoch(), First: log.First(), Durable: log.Durable(), Applied: v.Seq()},
		}, nil
	}),
	// It reads a stream: too slow for the view that a query has.
	"admin:history": act(func(s *session, c *call, p *schema.AdminHistory) {
		s.waitForFacts()
		page, err := s.server.history(p)
		if err != nil {
			c.failWith(err)
			return
		}
		c.ok(mustJSON(page))
	}),
}

// What one page of admin:history may cost.
const (
	historyScan    = 1024 // records that are looked at; the page ends early after them
	historyChunk   = 128
	historyTimeout = 5 * time.Second
	historyPage    = 20 // entries, when the client does not say how many
)

// history returns a page of the ADMIN stream.
func (s *Server) history(q *schema.AdminHistory) (page schema.Items[schema.AuditEntry], err error) {
	ctx, cancel := context.WithTimeout(s.ctx, historyTimeout)
	defer cancel()
	page.Items = []schema.AuditEntry{}
	before, _ := strconv.ParseUint(q.Before, 10, 64) // the schema lets in nothing else; 0 for ""
	limit := q.Limit
	if limit == 0 {
		limit = historyPage
	}
	scanned := 0
	for scanned < historyScan {
		records, err := s.cfg.Log.AdminBefore(ctx, before, historyChunk)
		if err != nil {
			return page, err
		}
		for i := range records {
			r := &records[i]
			if len(page.Items) == limit {
				page.Next = strconv.FormatUint(before, 10)
				return page, s.decided(ctx, page.Items)
			}
			if matchesHistory(q, r) {
				page.Items = append(page.Items, r.AdminEntry())
			}
			before = r.Seq
		}
		if len(records) < historyChunk {
			return page, s.decided(ctx, page.Items)
		}
		scanned += len(records)
	}
	page.Next = strconv.FormatUint(before, 10)
	return page, s.decided(ctx, page.Items)
}

// matchesHistory holds a fact against a filter, or what a note says of a user and a
// command.
func matchesHistory(q *schema.AdminHistory, r *eventlog.Record) bool {
	event, actor := r.Event, r.Actor.ID
	if r.Origin == 0 && (q.Event != "" || q.Actor != "") {
		var noted schema.AuditNote
		if json.Unmarshal(r.Data, &noted) == nil {
			actor = noted.User
			if event != q.Event {
				event = noted.Event
			}
		}
	}
	return (q.Event == "" || q.Event == event) && (q.Actor == "" || q.Actor == actor)
}

// decided says which of the facts are void. It waits until all are applied.
func (s *Server) decided(ctx context.Context, entries []schema.AuditEntry) error {
	var last uint64
	for i := range entries {
		last = max(last, entries[i].LogSeq)
	}
	if last == 0 {
		return nil
	}
	if err := s.cfg.Models.WaitApplied(ctx, last); err != nil {
		return err
	}
	return s.cfg.Models.View(func(v *projections.View) error {
		for i := range entries {
			entries[i].Code = v.Outcome(entries[i].LogSeq) // of a note, whose place is 0, none
		}
		return nil
	})
}
