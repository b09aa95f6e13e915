package projections

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the runner. Outcome is applied, duplicate, void or parked.
type metrics struct {
	registerer prometheus.Registerer
	applied    prometheus.Gauge
	records    *prometheus.CounterVec
	parked     *prometheus.CounterVec
	batchSize  prometheus.Histogram
	batchTime  prometheus.Histogram
	more       []prometheus.Collector // that ask when they are asked
}

func newMetrics(reg prometheus.Registerer, models *Models) (*metrics, error) {
	m := &metrics{
		registerer: reg,
		more: []prometheus.Collector{
			newRebuildFigures(models.Rebuilding),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "roomlog_projections_parked", Help: "Records that are parked, each once for every projector that failed on it.",
			}, func() float64 { return float64(len(models.Parked())) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "roomlog_projections_failed", Help: "1 when nothing is applied any more.",
			}, func() float64 {
				if models.Err() != nil {
					return 1
				}
				return 0
			}),
		},
		applied: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "roomlog_projections_applied_seq", Help: "Place of the last record in the read models."}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_projections_records_total", Help: "Records that reached the read models, by what became of them."}, []string{"outcome"}),
		parked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomlog_projections_parked_total", Help: "Records that a projector failed on."}, []string{"projector"}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roomlog_projections_batch_records", Help: "Records in one transaction.", Buckets: prometheus.ExponentialBuckets(1, 4, 7)}),
		batchTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roomlog_projections_batch_seconds", Help: "Time of one transaction.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 12)}),
	}
	for i, c := range m.collectors() {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			for _, done := range m.collectors()[:i] {
				reg.Unregister(done)
			}
			return nil, fmt.Errorf("registering the read models' metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return append(m.more, m.applied, m.records, m.parked, m.batchSize, m.batchTime)
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}
