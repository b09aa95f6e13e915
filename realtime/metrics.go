package realtime

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the gateway's figures for Prometheus.
type metrics struct {
	handler http.Handler
	events  *prometheus.CounterVec
	acks    prometheus.Histogram
	pushes  prometheus.Counter
	closes  *prometheus.CounterVec
	refused *prometheus.CounterVec
	limited *prometheus.CounterVec
	slowed  *prometheus.CounterVec
	resumes *prometheus.CounterVec
	resumed prometheus.Counter

	newsDropped prometheus.Counter
}

func newMetrics(s *Server) (*metrics, error) {
	registerer := s.cfg.Registerer
	if registerer == nil {
		registerer = prometheus.NewRegistry()
	}
	gatherer, ok := registerer.(prometheus.Gatherer)
	if !ok {
		gatherer = prometheus.DefaultGatherer
	}
	m := &metrics{
		handler: promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_events_total", Help: "Commands answered, by event and outcome: ok or the error code.",
		}, []string{"event", "outcome"}),
		acks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roomlog_ack_seconds", Help: "From a fact's frame to its ack: durable, applied and queued for the sender.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
		}),
		pushes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roomlog_pushes_total", Help: "Pushes queued, one for each socket.",
		}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_closes_total", Help: "Sockets that the server closed, by close code; 4008 were too slow.",
		}, []string{"code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_refused_connections_total", Help: "Connections refused before the upgrade, by reason.",
		}, []string{"reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_rate_limited_total", Help: "What came too often and was refused, by limit: socket, user, connect, post, report, upgrade or control.",
		}, []string{"limit"}),
		slowed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_slowed_total", Help: "What sockets that press were made to wait for: pause, after a refusal, or turn, after most of what they may do at once.",
		}, []string{"by"}),
		resumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_resumes_total", Help: "Clients that asked for what they missed, by outcome: resumed or why they were told to read anew.",
		}, []string{"outcome"}),
		resumed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roomlog_resumed_pushes_total", Help: "Missed pushes that clients were sent again.",
		}),
		newsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roomlog_presence_dropped_total", Help: "Pushes of who comes and goes that sockets were not sent, for they had half a queue to read.",
		}),
	}
	gauge := func(name, help string, value func(Stats) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(s.Stats())) })
	}
	for _, c := range []prometheus.Collector{
		m.events, m.acks, m.pushes, m.closes, m.refused, m.limited, m.slowed, m.resumes, m.resumed, m.newsDropped,
		gauge("roomlog_sockets", "Open sockets.", func(st Stats) int { return st.Sockets }),
		gauge("roomlog_rooms", "Rooms with at least one socket.", func(st Stats) int { return st.Rooms }),
		gauge("roomlog_users", "Users with at least one socket.", func(st Stats) int { return st.Users }),
		queueFigures{s},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roomlog_ready", Help: "1 while /readyz says that this server should be sent clients.",
		}, func() float64 {
			if s.Unready() != "" {
				return 0
			}
			return 1
		}),
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

// event counts a command; name is "" for one that the catalogue does not know.
func (m *metrics) event(name, outcome string) {
	if name == "" {
		name = "unknown"
	}
	m.events.WithLabelValues(name, outcome).Inc()
}

func (m *metrics) acked(after time.Duration) { m.acks.Observe(after.Seconds()) }

func (m *metrics) closed(code uint16) { m.closes.WithLabelValues(strconv.Itoa(int(code))).Inc() }
