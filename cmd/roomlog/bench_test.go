package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Each measurement ends with one JSON object in one line, with a server of its
// own and with one that runs.
func TestBench(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, c := range []struct {
		args string
		want []string // fields that are more than 0
	}{
		{"ingest --senders 5 --duration 200ms --warmup 0s", []string{"acked_per_s", "p50_ms", "p99_ms", "max_ms", "acked", "pushes"}},
		{"fanout --members 5 --duration 200ms", []string{"deliveries_per_s", "members", "events", "deliveries"}},
		{"idle --connections 20", []string{"connections", "resident_before", "resident_after"}},
	} {
		for name, server := range map[string][]string{"alone": nil, "on a running server": {"--server", s.url, "--data", s.dir}} {
			t.Run(c.args+" "+name, func(t *testing.T) {
				out := good(t, append(append([]string{"bench"}, strings.Fields(c.args+" --json")...), server...)...)
				var figures map[string]any
				if len(lines(out)) != 1 || json.Unmarshal([]byte(out), &figures) != nil {
					t.Fatalf("not one JSON object in one line:\n%s", out)
				}
				for _, name := range c.want {
					if v, ok := figures[name].(float64); !ok || v <= 0 {
						t.Errorf("%s is %v, of %v", name, figures[name], slices.Sorted(maps.Keys(figures)))
					}
				}
			})
		}
	}
}
