package realtime

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"roomlog/eventlog"
)

// queues are all places where load gathers, here and in the log: none of them is
// without a bound. What is called after bytes counts these, the others what they are
// called after. Tables are among them, since they grow with load too.
func (s *Server) queues() []eventlog.Queue {
	cfg := &s.cfg
	facts, factsBytes, factsLimit := s.acks.stands()
	queries, _, queriesLimit := s.queries.stands()
	connections := cfg.MaxConnections + cfg.MaxHandshakes
	all := append(s.cfg.Log.Queues(), []eventlog.Queue{
		{Name: "facts", Length: facts, Bound: factsLimit},
		{Name: "facts_bytes", Length: factsBytes, Bound: maxWaitingBytes},
		{Name: "unapplied", Length: max(0, int(cfg.Log.Durable())-int(cfg.Models.Applied())), Bound: cfg.MaxWaiting},
		{Name: "queries", Length: queries, Bound: queriesLimit},
		{Name: "commands", Length: s.workers.busy(), Bound: cfg.MaxConnections},
		{Name: "turns", Length: int(s.greedy.waiting.Load()), Bound: cfg.MaxConnections},
		{Name: "pushes_bytes", Length: int(s.heavy.bytes.Load()), Bound: cfg.MaxQueuedBytesInAll},
		{Name: "writers", Length: s.writers.count(), Bound: cfg.MaxConnections},
		{Name: "circles", Length: s.circles.count(), Bound: maxCircled},
		{Name: "socket_frames", Length: int(s.pushes.frames.Load()), Bound: cfg.MaxQueuedFrames},
		{Name: "socket_bytes", Length: int(s.pushes.bytes.Load()), Bound: cfg.MaxQueuedBytes},
		{Name: "resumes_listing", Length: int(s.listing.waiting.Load()), Bound: cfg.MaxConnections},
		{Name: "resumes_reading", Length: int(s.retelling.waiting.Load()), Bound: cfg.MaxConnections},
		{Name: "resumes_bytes", Length: int(s.retold.Load()), Bound: maxRetoldBytes + cfg.MaxConnections*leastChunkBytes},
		{Name: "tails", Length: s.tails.count(), Bound: cfg.MaxTails},
		{Name: "tails_reading", Length: int(s.tails.reading.waiting.Load()), Bound: cfg.MaxTails},
		{Name: "handshakes", Length: s.handshakes.count(), Bound: connections},
		{Name: "addresses", Length: s.addresses.count(), Bound: connections},
		{Name: "audit", Length: s.audit.count(), Bound: maxTallies},
	}...)
	for _, l := range []interface{ stands() eventlog.Queue }{
		s.limiters.users, s.limiters.connects, s.limiters.posts, s.limiters.reports, s.limiters.upgrades,
	} {
		all = append(all, l.stands())
	}
	return append(all, s.crowd()...)
}

// crowd is what the hub keeps for sockets and users, who have metrics of their own.
func (s *Server) crowd() []eventlog.Queue {
	cfg, h := &s.cfg, &s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	return []eventlog.Queue{
		{Name: "resumes_held", Length: h.held, Bound: cfg.MaxConnections * cfg.MaxQueuedFrames / 2},
		{Name: "arrivals", Length: len(h.arrived.ids), Bound: max(maxArrived, 2*(cfg.MaxConnections+maxLeaving))},
		{Name: "presence_news", Length: len(s.presence.changed), Bound: cfg.MaxConnections + maxLeaving},
		{Name: "presence_leaving", Length: len(s.presence.leaving), Bound: maxLeaving},
		{Name: "presence_seen", Length: len(s.presence.lastSeen), Bound: maxRemembered},
	}
}

var (
	queueLabel  = []string{"queue"}
	queueLength = prometheus.NewDesc("roomlog_queue_length", "What waits in each of the places where load gathers.", queueLabel, nil)
	queueBound  = prometheus.NewDesc("roomlog_queue_bound", "How much may wait there; of facts and queries at the pace that the server keeps.", queueLabel, nil)
)

// queueFigures are the metrics of the queues.
type queueFigures struct{ of *Server }

func (f queueFigures) Describe(descs chan<- *prometheus.Desc) {
	descs <- queueLength
	descs <- queueBound
}

func (f queueFigures) Collect(metrics chan<- prometheus.Metric) {
	for _, q := range f.of.queues() {
		metrics <- prometheus.MustNewConstMetric(queueLength, prometheus.GaugeValue, float64(q.Length), q.Name)
		metrics <- prometheus.MustNewConstMetric(queueBound, prometheus.GaugeValue, float64(q.Bound), q.Name)
	}
}

// pushQueues is what waits at the socket that has most of it, as of the last sweep.
type pushQueues struct{ frames, bytes atomic.Int64 }

// fullest is what a sweep has found so far.
type fullest struct{ frames, bytes int }

func (f *fullest) add(waiting load) {
	f.frames, f.bytes = max(f.frames, waiting.frames), max(f.bytes, waiting.bytes)
}
