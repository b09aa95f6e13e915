package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// chart is a picture of curves: panels below each other over one x axis. It is
// written as an SVG that follows the reader's choice of light or dark, without
// fonts, scripts or anything else from elsewhere.
type chart struct {
	Title  string
	Note   string // below the title: what was measured, where and when
	X      axis
	Panels []panel
}

// panel is one plot of a chart.
type panel struct {
	Y      axis
	Series []series // at most eight can be told apart
	Height int      // in pixels of the plot itself; 0: 240
}

// series is one curve, named beside its end. It has a gap where a point cannot be
// shown: NaN, or not more than 0 on a logarithmic axis.
type series struct {
	Name   string
	Points []point // in order of X
}

type point struct{ X, Y float64 }

// Sizes in pixels.
const (
	chartWidth   = 860
	panelHeight  = 240
	marginLeft   = 64
	marginTop    = 34 // above a panel: its y axis is named there
	marginBottom = 30 // below a panel: numbers
	labelHeight  = 15 // the least between two names of curves
	letterWidth  = 8  // of the names' font, about
	markedPoints = 24 // a curve of up to so many points shows each
)

// chartStyle has the colours, near the palette of Okabe and Ito, which people with any
// colour vision can tell apart; the second four curves are dashed besides.
const chartStyle = `
.page{fill:#ffffff;stroke:#d0d7de}.ink{fill:#1f2328}.soft{fill:#59636e}.grid{stroke:#d8dee4}.fine{stroke:#eff2f5}.frame{stroke:#818b98}
.s0{color:#0072b2}.s1{color:#c75300}.s2{color:#00805c}.s3{color:#b0568c}.s4{color:#b42318}.s5{color:#997700}.s6{color:#59636e}.s7{color:#7a3fb0}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.soft{fill:#9198a1}.grid{stroke:#30363d}.fine{stroke:#1c2229}.frame{stroke:#656c76}
.s0{color:#4ea8ff}.s1{color:#ff8a3d}.s2{color:#2fc08f}.s3{color:#e58fc1}.s4{color:#ff7b72}.s5{color:#e3c23a}.s6{color:#9198a1}.s7{color:#b98aef}
}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
.title{font-size:17px;font-weight:600}.tick{font-size:12px}
line{stroke-width:1}.curve{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}.s4 .curve,.s5 .curve,.s6 .curve,.s7 .curve{stroke-dasharray:7 3}.mark{fill:currentColor}.name{fill:currentColor;font-weight:600}
`

// svg writes the chart.
func (c chart) svg(w io.Writer) error {
	var xs []float64
	longest := 0
	for _, p := range c.Panels {
		for _, s := range p.Series {
			longest = max(longest, utf8.RuneCountInString(s.Name))
			for _, at := range s.Points {
				xs = append(xs, at.X)
			}
		}
	}
	right := float64(chartWidth - 24 - longest*letterWidth)
	x := c.X.fit(xs, marginLeft, right)
	var body bytes.Buffer
	top := 16.0
	for _, line := range []struct{ class, words string }{{"title ink", c.Title}, {"soft", c.Note}} {
		if line.words != "" {
			top += 20
			drawText(&body, line.class, "start", 16, top-4, line.words)
		}
	}
	for _, p := range c.Panels {
		top += marginTop
		bottom := top + float64(cmp.Or(p.Height, panelHeight))
		p.draw(&body, c.X, x, top, bottom)
		top = bottom + marginBottom
	}
	drawText(&body, "soft", "middle", (marginLeft+right)/2, top+8, c.X.Label)
	height := int(top) + 22
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img">
<title>%[3]s</title>
<style>%[4]s</style>
<rect class="page" x="0.5" y="0.5" width="%[5]d" height="%[6]d" rx="8"/>
%[7]s</svg>
`, chartWidth, height, html.EscapeString(c.Title), chartStyle, chartWidth-1, height-1, body.String())
	return err
}

func (p panel) draw(w io.Writer, xAxis axis, x scale, top, bottom float64) {
	var ys []float64
	for _, s := range p.Series {
		for _, at := range s.Points {
			if xAxis.shows(at.X) {
				ys = append(ys, at.Y)
			}
		}
	}
	y := p.Y.fit(ys, bottom, top)
	drawText(w, "soft", "start", 16, top-14, p.Y.Label)
	for _, v := range y.between {
		drawLine(w, "fine", x.begin, y.at(v), x.end, y.at(v))
	}
	for _, v := range x.between {
		drawLine(w, "fine", x.at(v), top, x.at(v), bottom)
	}
	for _, v := range y.ticks {
		drawLine(w, "grid", x.begin, y.at(v), x.end, y.at(v))
		drawText(w, "soft tick", "end", x.begin-8, y.at(v)+4, tickWords(v))
	}
	for _, v := range x.ticks {
		drawLine(w, "grid", x.at(v), top, x.at(v), bottom)
		drawText(w, "soft tick", "middle", x.at(v), bottom+18, tickWords(v))
	}
	drawLine(w, "frame", x.begin, bottom, x.end, bottom)
	var names []label
	for i, s := range p.Series {
		last, shown := s.draw(w, i, func(at point) (float64, float64, bool) {
			return x.at(at.X), y.at(at.Y), xAxis.shows(at.X) && p.Y.shows(at.Y)
		})
		if shown {
			names = append(names, label{s.Name, i, last})
		}
	}
	spread(names, top, bottom)
	for _, n := range names {
		drawText(w, fmt.Sprintf("name s%d", n.colour%8), "start", x.end+10, n.y+4, n.name)
	}
}

// draw draws the curve and returns the height at which it ends.
func (s series) draw(w io.Writer, colour int, place func(point) (x, y float64, shown bool)) (last float64, any bool) {
	var path strings.Builder
	var marks []point
	pen := "M"
	for _, at := range s.Points {
		x, y, shown := place(at)
		if !shown {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, y)
		pen = "L"
		marks = append(marks, point{x, y})
	}
	if len(marks) == 0 {
		return 0, false
	}
	fmt.Fprintf(w, `<g class="s%d"><title>%s</title><path class="curve" d="%s"/>`, colour%8, html.EscapeString(s.Name), path.String())
	if len(marks) <= markedPoints {
		for _, m := range marks {
			fmt.Fprintf(w, `<circle class="mark" cx="%.1f" cy="%.1f" r="3"/>`, m.X, m.Y)
		}
	}
	fmt.Fprintln(w, "</g>")
	return marks[len(marks)-1].Y, true
}

// label is the name of a curve and the height at which it is written.
type label struct {
	name   string
	colour int
	y      float64
}

// spread moves names apart that would lie on each other, the highest first.
func spread(names []label, top, bottom float64) {
	slices.SortStableFunc(names, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	least := top
	for i := range names {
		names[i].y = math.Max(names[i].y, least)
		least = names[i].y + labelHeight
	}
	most := bottom
	for i := len(names) - 1; i >= 0; i-- {
		names[i].y = math.Min(names[i].y, most)
		most = names[i].y - labelHeight
	}
}

func drawText(w io.Writer, class, anchor string, x, y float64, words string) {
	fmt.Fprintf(w, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`+"\n", class, anchor, x, y, html.EscapeString(words))
}

func drawLine(w io.Writer, class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(w, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
}
