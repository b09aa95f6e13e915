package projections

import "github.com/prometheus/client_golang/prometheus"

// rebuildFigures show Rebuilding to Prometheus. All are 0 while none goes on, and of
// the read models there are none then.
type rebuildFigures struct {
	now            func() (Progress, bool)
	running        *prometheus.Desc
	records, of    *prometheus.Desc
	rate, left     *prometheus.Desc
	written, bytes *prometheus.Desc // by read model
}

func newRebuildFigures(now func() (Progress, bool)) *rebuildFigures {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("roomlog_rebuild_"+name, help, labels, nil)
	}
	return &rebuildFigures{
		now:     now,
		running: desc("running", "1 while the read models are rebuilt, or have much to catch up at start."),
		records: desc("records", "Place in the log up to which the rebuild is."),
		of:      desc("target", "Place in the log up to which it is to be."),
		rate:    desc("rate", "Records a second since it began."),
		left:    desc("seconds_left", "At that rate."),
		written: desc("rows", "Rows that it has written of each read model.", "projector"),
		bytes:   desc("bytes", "Bytes of these, keys and values.", "projector"),
	}
}

// Describe implements prometheus.Collector.
func (f *rebuildFigures) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.running, f.records, f.of, f.rate, f.left, f.written, f.bytes} {
		descs <- d
	}
}

// Collect implements prometheus.Collector: all figures are of one moment.
func (f *rebuildFigures) Collect(metrics chan<- prometheus.Metric) {
	p, running := f.now()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	on := 0.0
	if running {
		on = 1
	}
	gauge(f.running, on)
	gauge(f.records, float64(p.Records))
	gauge(f.of, float64(p.Of))
	gauge(f.rate, p.Rate)
	gauge(f.left, p.ETA.Seconds())
	for _, m := range p.Models {
		gauge(f.written, float64(m.Rows), m.Name)
		gauge(f.bytes, float64(m.Bytes), m.Name)
	}
}
