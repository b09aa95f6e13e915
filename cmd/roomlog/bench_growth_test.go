package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The short form of task growth: every figure of each size, sizes one at a time into one
// file, and all of them as a table and as a picture.
func TestBenchGrowth(t *testing.T) {
	dir := t.TempDir()
	file, plot := filepath.Join(dir, "growth.json"), filepath.Join(dir, "growth.svg")
	short := strings.Fields("bench growth --duration 200ms --senders 5 --members 5 --queries 20 --missed 30 --rest 0s --calm 0s")
	short = append(short, "--append", file)
	good(t, append(short, "--sizes", "2000")...)
	table := good(t, append(short, "--sizes", "200", "--plot", plot)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all growth
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Sizes) != 2 || all.Sizes[0].Records != 200 || all.Sizes[1].Records != 2000 {
		t.Fatalf("sizes %+v", all.Sizes)
	}
	for _, size := range all.Sizes {
		for _, m := range growthMeasures {
			mayLack := strings.HasPrefix(m.name, "usual_") || strings.HasPrefix(m.name, "memory_") && !exists("/proc/self/status")
			if size.Figures[m.name] <= 0 && !mayLack {
				t.Errorf("%s at %d is %v", m.name, size.Records, size.Figures[m.name])
			}
		}
		if len(size.Figures) > len(growthMeasures) {
			t.Errorf("figures that no row shows: %v", size.Figures)
		}
	}
	rows := lines(table)
	if len(rows) != 1+len(growthMeasures) || !slices.Equal(strings.Fields(rows[0]), []string{"records", "200", "2000", "tenfold"}) {
		t.Errorf("the table is\n%s", table)
	}
	svg, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	curves := parseSVG(t, svg).Curves
	if len(curves) != 12 || curves[0].Name != "start" {
		t.Errorf("%d curves, the first is %+v", len(curves), curves[0])
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tenfold is the factor of ten times as many records, not of all between two sizes.
func TestTenfold(t *testing.T) {
	g := &growth{}
	for _, size := range []growthSize{{100_000, map[string]float64{"a": 8}}, {1000, map[string]float64{"a": 2}}, {10_000, map[string]float64{"a": 1}}} {
		g.add(size)
	}
	if got := g.tenfold("a"); got != 2 {
		t.Errorf("from 2 to 8 in two steps is %v each", got)
	}
}
