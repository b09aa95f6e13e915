package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each measurement ends with one JSON object in one line, with a server of its
// own and with one that runs, and draws what it measured.
func TestBench(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, c := range []struct {
		args   string
		want   []string // fields that are more than 0
		none   []string // fields that are 0
		curves []string
	}{
		{
			"ingest --senders 5 --duration 200ms --warmup 0s",
			[]string{"acked_per_s", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "acked", "pushes"}, nil,
			[]string{"max", "p99", "p50", "acked"},
		},
		{
			"ingest --senders 5 --rate 200 --duration 500ms --warmup 100ms",
			[]string{"acked_per_s", "p50_ms", "p999_ms", "acked", "pushes", "rate"}, []string{"refused", "unsent", "unanswered"},
			[]string{"max", "p99", "p50", "acked"},
		},
		{
			"fanout --members 5 --duration 200ms",
			[]string{"deliveries_per_s", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "members", "events", "deliveries"}, nil,
			[]string{"max", "p99", "p50", "delivered"},
		},
		{
			"fanout --members 5 --rate 100 --duration 300ms",
			[]string{"deliveries_per_s", "p50_ms", "p999_ms", "events", "deliveries", "rate"}, []string{"unsent"},
			[]string{"max", "p99", "p50", "delivered"},
		},
		{
			"mixed --users 50 --connections 20 --records 500 --duration 1s --warmup 0s --stay 200ms",
			[]string{"operations_per_s", "reads_per_s", "facts_per_s", "p50_ms", "p99_ms", "arrived", "left"}, nil,
			[]string{"max", "p99", "p50", "operations"},
		},
		{
			"mixed --users 50 --connections 20 --records 0 --duration 500ms --warmup 0s --rate 100",
			[]string{"operations_per_s", "p50_ms", "p999_ms"}, nil,
			[]string{"max", "p99", "p50", "operations"},
		},
		{
			"idle --connections 20",
			[]string{"connections", "resident_before", "resident_after", "connect_p50_ms", "connect_p99_ms"}, nil,
			[]string{"max", "p99", "p50", "connected"},
		},
		{
			"resume --connections 20 --group 5 --away 100ms",
			[]string{"all_back_s", "quiet_s", "resumed_p50_ms", "resumed_p99_ms", "push_p50_ms", "push_p999_ms", "connections", "messages"},
			[]string{"lost", "doubled"},
			[]string{"max", "p99", "p50", "heard"},
		},
	} {
		for name, server := range map[string][]string{"alone": nil, "on a running server": {"--server", s.url, "--data", s.dir}} {
			t.Run(c.args+" "+name, func(t *testing.T) {
				plot := filepath.Join(t.TempDir(), "plot.svg")
				out := good(t, slices.Concat([]string{"bench"}, strings.Fields(c.args), []string{"--json", "--plot", plot}, server)...)
				var figures map[string]any
				if len(lines(out)) != 1 || json.Unmarshal([]byte(out), &figures) != nil {
					t.Fatalf("not one JSON object in one line:\n%s", out)
				}
				for _, name := range append(c.want, c.none...) {
					if v, ok := figures[name].(float64); !ok || (v > 0) != slices.Contains(c.want, name) {
						t.Errorf("%s is %v, of %v", name, figures[name], slices.Sorted(maps.Keys(figures)))
					}
				}
				svg, err := os.ReadFile(plot)
				if err != nil {
					t.Fatal(err)
				}
				var curves []string
				for _, curve := range parseSVG(t, svg).Curves {
					curves = append(curves, curve.Name)
				}
				if strings.HasPrefix(c.args, "mixed") { // in which users may refuse each other what they race for
					curves = slices.DeleteFunc(curves, func(name string) bool { return name == "refused" })
				}
				if !slices.Equal(curves, c.curves) {
					t.Errorf("curves %q, want %q", curves, c.curves)
				}
			})
		}
	}
}

func TestBenchRefusesWhatMakesNoSense(t *testing.T) {
	for _, args := range []string{
		"ingest --senders 0", "ingest --duration 0s", "ingest --warmup -1s", "ingest --rate -1", "ingest --rate fast",
		"fanout --members 0", "fanout --duration 0s", "fanout --rate -1", "idle --connections 0",
		"resume --connections 0", "resume --group 0", "resume --group 100", "resume --rate 0", "resume --away -1s",
		"growth --sizes 0", "growth --sizes 10,many", "growth --queries 0", "growth --calm -1s", "growth --append " + t.TempDir(),
		"mixed --users 1", "mixed --connections 0", "mixed --users 10 --connections 21", "mixed --stay 0s", "mixed --rate -1", "mixed --records -1",
		"ingest --plot " + filepath.Join(t.TempDir(), "missing", "plot.svg"),
	} {
		if r := roomlog(t, append([]string{"bench"}, strings.Fields(args)...)...); r.code != exitUsage || len(lines(r.stderr)) != 1 || r.out != "" {
			t.Errorf("bench %s: exit code %d, said\n%s%s", args, r.code, r.out, r.stderr)
		}
	}
}

// A measurement that fails leaves no empty picture, and a picture that was there as
// it was.
func TestBenchThatFailsDrawsNothing(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old.svg"), filepath.Join(dir, "fresh.svg")
	if err := os.WriteFile(old, []byte("<svg/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, plot := range []string{old, fresh} {
		r := roomlog(t, "bench", "idle", "--server", "ws://127.0.0.1:1/ws", "--data", dir, "--plot", plot)
		if r.code != exitFailed {
			t.Errorf("exit code %d\n%s", r.code, r.stderr)
		}
	}
	if was, err := os.ReadFile(old); err != nil || string(was) != "<svg/>" {
		t.Errorf("the old picture is %q, %v", was, err)
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("the new picture: %v", err)
	}
}

// A load that is refused what no race explains is no measurement.
func TestBenchMixedFails(t *testing.T) {
	s := serve(t, t.TempDir(), "--rate-events", "20")
	r := roomlog(t, "bench", "mixed", "--users", "10", "--connections", "5", "--warmup", "0s", "--server", s.url, "--data", s.dir)
	if r.code != 1 || !strings.Contains(r.stderr, "RATE_LIMITED") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
