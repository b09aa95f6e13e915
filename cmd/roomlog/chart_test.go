package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// drawn is what a test reads of an SVG.
type drawn struct {
	Texts []struct {
		Class string  `xml:"class,attr"`
		Y     float64 `xml:"y,attr"`
		Words string  `xml:",chardata"`
	} `xml:"text"`
	Curves []struct {
		Name string `xml:"title"`
		Path struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
		Marks []struct {
			X float64 `xml:"cx,attr"`
			Y float64 `xml:"cy,attr"`
		} `xml:"circle"`
	} `xml:"g"`
}

func draw(t *testing.T, c chart) drawn {
	t.Helper()
	var out bytes.Buffer
	if err := c.svg(&out); err != nil {
		t.Fatal(err)
	}
	return parseSVG(t, out.Bytes())
}

func parseSVG(t *testing.T, svg []byte) drawn {
	t.Helper()
	var d drawn
	if err := xml.Unmarshal(svg, &d); err != nil {
		t.Fatalf("%v in\n%s", err, svg)
	}
	return d
}

func (d drawn) words(class string) (found []string) {
	for _, text := range d.Texts {
		if slices.Contains(strings.Fields(text.Class), class) {
			found = append(found, text.Words)
		}
	}
	return found
}

func TestChartOfGrowth(t *testing.T) {
	d := draw(t, chart{
		Title: "Cost & size", Note: "2 cores",
		X: axis{Label: "records", Log: true},
		Panels: []panel{{
			Y: axis{Label: "ms", Log: true},
			Series: []series{
				{"feed <page>", []point{{1e3, 0.1}, {1e4, 0.1}, {1e5, 0.2}, {1e6, 0.2}}},
				{"start-up", []point{{1e3, 1}, {1e4, 10}, {1e5, 100}, {1e6, 1000}}},
			},
		}},
	})
	if got := d.words("title"); !slices.Equal(got, []string{"Cost & size"}) {
		t.Errorf("titles %q", got)
	}
	if got := d.words("name"); !slices.Equal(got, []string{"start-up", "feed <page>"}) {
		t.Errorf("names, from above, %q", got)
	}
	if got := d.words("tick"); !slices.Equal(got, []string{"0.1", "1", "10", "100", "1 k", "1 k", "10 k", "100 k", "1 M"}) {
		t.Errorf("ticks %q", got)
	}
	if len(d.Curves) != 2 || d.Curves[1].Name != "start-up" || len(d.Curves[1].Marks) != 4 {
		t.Fatalf("curves %+v", d.Curves)
	}
	// What grows as the records do is a straight line between two logarithmic axes.
	marks := d.Curves[1].Marks
	for i := 1; i < len(marks); i++ {
		dx, dy := marks[i].X-marks[i-1].X, marks[i].Y-marks[i-1].Y
		if math.Abs(dx-(marks[1].X-marks[0].X)) > 0.2 || math.Abs(dy-(marks[1].Y-marks[0].Y)) > 0.2 || dx <= 0 || dy >= 0 {
			t.Errorf("step %d goes by %.1f, %.1f", i, dx, dy)
		}
	}
}

// What cannot be shown is a gap, not a line to nowhere.
func TestChartHasGaps(t *testing.T) {
	d := draw(t, chart{Panels: []panel{{
		Y:      axis{Log: true},
		Series: []series{{"p99", []point{{1, 5}, {2, 6}, {3, 0}, {4, math.NaN()}, {5, 7}}}, {"never", []point{{1, 0}}}},
	}}})
	if len(d.Curves) != 1 || strings.Count(d.Curves[0].Path.D, "M") != 2 || len(d.Curves[0].Marks) != 3 {
		t.Errorf("curves %+v", d.Curves)
	}
	if strings.Contains(d.Curves[0].Path.D, "N") || strings.Contains(d.Curves[0].Path.D, "Inf") {
		t.Errorf("path %q", d.Curves[0].Path.D)
	}
}

// A chart without anything to show is a chart still.
func TestChartOfNothing(t *testing.T) {
	for _, log := range []bool{false, true} {
		d := draw(t, chart{Title: "Nothing", X: axis{Log: log}, Panels: []panel{{Y: axis{Log: log}}}})
		if len(d.Curves) != 0 || len(d.words("tick")) == 0 {
			t.Errorf("%+v", d)
		}
	}
}

// Names of curves that end in one place lie below each other, within the panel.
func TestChartNamesLieApart(t *testing.T) {
	var same []series
	for i := range 8 {
		same = append(same, series{strconv.Itoa(i), []point{{0, 0}, {10, 0}}})
	}
	d := draw(t, chart{Panels: []panel{{Y: axis{Zero: true}, Series: same}, {Series: same}}})
	for i, last := 0, 0.0; i < len(d.Texts); i++ {
		if !strings.HasPrefix(d.Texts[i].Class, "name") {
			last = 0
			continue
		}
		if y := d.Texts[i].Y; last > 0 && y-last < labelHeight-0.01 {
			t.Errorf("%s is %.1f below the one above it", d.Texts[i].Words, y-last)
		} else {
			last = y
		}
	}
}

func TestAxisFits(t *testing.T) {
	for _, c := range []struct {
		name         string
		axis         axis
		values       []float64
		ticks        []float64
		first, lasts string // how they are written
	}{
		{"seconds", axis{}, []float64{1, 10}, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "1", "10"},
		{"rate", axis{Zero: true}, []float64{9000, 14000}, []float64{0, 2000, 4000, 6000, 8000, 10000, 12000, 14000}, "0", "14 k"},
		{"tight", axis{Tight: true}, []float64{1.5, 9.3}, []float64{2, 3, 4, 5, 6, 7, 8, 9}, "2", "9"},
		{"tight decades", axis{Log: true, Tight: true}, []float64{200, 3e6}, []float64{1e3, 1e4, 1e5, 1e6}, "1 k", "1 M"},
		{"few decades", axis{Log: true}, []float64{3, 40}, []float64{2, 5, 10, 20, 50}, "2", "50"},
		{"many decades", axis{Log: true}, []float64{0.3, 7000}, []float64{0.1, 1, 10, 100, 1000, 10000}, "0.1", "10 k"},
		{"one value", axis{Log: true}, []float64{10}, []float64{5, 10, 20}, "5", "20"},
		{"one value, linear", axis{}, []float64{4}, []float64{0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4}, "0", "4"},
		{"millions", axis{Zero: true}, []float64{2e6}, []float64{0, 5e5, 1e6, 1.5e6, 2e6}, "0", "2 M"},
	} {
		s := c.axis.fit(c.values, 0, 100)
		if !slices.EqualFunc(s.ticks, c.ticks, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("%s: ticks %v, want %v", c.name, s.ticks, c.ticks)
			continue
		}
		if tickWords(s.ticks[0]) != c.first || tickWords(s.ticks[len(s.ticks)-1]) != c.lasts {
			t.Errorf("%s: from %q to %q", c.name, tickWords(s.ticks[0]), tickWords(s.ticks[len(s.ticks)-1]))
		}
		for _, v := range c.values {
			if at := s.at(v); at < -1e-9 || at > 100+1e-9 {
				t.Errorf("%s: %v lies at %v", c.name, v, at)
			}
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestChartSaysThatItWasNotWritten(t *testing.T) {
	if err := (chart{}).svg(fullDisk{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v", err)
	}
}
