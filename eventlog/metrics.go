package eventlog

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the log's figures for Prometheus. The zero value records nothing.
type metrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector // those that are registered
	records    prometheus.Histogram
	commits    prometheus.Histogram
	fsyncs     prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer, l *Log) (metrics, error) {
	if registerer == nil {
		return metrics{}, nil
	}
	m := metrics{
		registerer: registerer,
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "roomlog_log_group_records",
			Help:    "Records made durable together by one group commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "roomlog_log_commit_seconds",
			Help:    "Time of one group commit, from the queue to the answers.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 14),
		}),
		fsyncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "roomlog_log_fsync_seconds",
			Help:    "Time that a group commit spends on fsync.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
	}
	for _, c := range []prometheus.Collector{
		m.records, m.commits, m.fsyncs,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roomlog_log_durable_seq",
			Help: "The durable sequence: everything up to it is on disk.",
		}, func() float64 { return float64(l.Durable()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roomlog_log_failed",
			Help: "1 when the log takes no records any more.",
		}, func() float64 {
			if l.Err() != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roomlog_log_refusing",
			Help: "1 while the log takes no records: it failed, its disk has less than the reserve left, or NATS does not answer.",
		}, func() float64 {
			if l.Refusal() != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roomlog_log_free_bytes",
			Help: "Space left on the log's disk; below 67108864 it takes no records. Of a log in NATS, -1.",
		}, func() float64 {
			if l.server == nil {
				return -1
			}
			free, err := l.cfg.FreeSpace(l.cfg.Dir)
			if err != nil {
				return -1
			}
			return float64(free)
		}),
	} {
		if err := registerer.Register(c); err != nil {
			m.unregister()
			return metrics{}, fmt.Errorf("registering the log's metrics: %w", err)
		}
		m.collectors = append(m.collectors, c)
	}
	return m, nil
}

func (m *metrics) group(records int, took time.Duration) {
	if m.registerer != nil {
		m.records.Observe(float64(records))
		m.commits.Observe(took.Seconds())
	}
}

func (m *metrics) sync(took time.Duration) {
	if m.registerer != nil {
		m.fsyncs.Observe(took.Seconds())
	}
}

func (m *metrics) unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}
