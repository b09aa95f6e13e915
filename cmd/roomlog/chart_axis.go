package main

import (
	"math"
	"slices"
	"strconv"
)

// axis is one of the two of a panel. The zero value is linear and fits the data.
type axis struct {
	Label string // with its unit, such as "latency, ms"
	Log   bool   // what is not more than 0 is left out then
	Zero  bool   // a linear axis begins at 0
	Tight bool   // it ends where the data does, not at the next whole step
}

// scale is an axis that was fitted to its data, and lies between two pixels.
type scale struct {
	log            bool
	least, most    float64 // of the axis; their logarithms when log
	begin, end     float64 // pixels
	ticks, between []float64
}

// shows reports whether the axis has a place for v.
func (a axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || !a.Log)
}

// fit makes the scale for values, with whole steps at both ends of it unless it is
// tight.
func (a axis) fit(values []float64, begin, end float64) scale {
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if a.shows(v) {
			least, most = min(least, v), max(most, v)
		}
	}
	switch {
	case least > most: // nothing to show
		least, most = 1, 10
	case a.Zero && !a.Log:
		least, most = min(least, 0), max(most, 0)
	}
	s := scale{log: a.Log, begin: begin, end: end}
	if a.Log {
		s.fitLog(least, most)
	} else {
		s.fitLinear(least, most)
	}
	if a.Tight && least < most {
		s.tighten(least, most)
	}
	return s
}

// wholeDecades is how many decades an axis has whose ticks are decades alone.
const wholeDecades = 3

func (s *scale) fitLog(least, most float64) {
	steps := []float64{1, 2, 5, 10}
	if math.Log10(most/least) >= wholeDecades {
		steps = []float64{1, 10}
	}
	low, high := math.Pow10(int(math.Floor(math.Log10(least)))), math.Pow10(int(math.Floor(math.Log10(most))))
	from, to := low, high*10
	for _, step := range steps {
		if low*step <= least*(1+1e-9) {
			from = low * step
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if high*steps[i] >= most*(1-1e-9) {
			to = high * steps[i]
		}
	}
	if from == to {
		from, to = from/2, to*2
	}
	s.least, s.most = math.Log10(from), math.Log10(to)
	for decade := low / 10; decade <= to*(1+1e-9); decade *= 10 {
		for digit := 1.0; digit < 10; digit++ {
			v := decade * digit
			if v < from*(1-1e-9) || v > to*(1+1e-9) {
				continue
			}
			if digit == 1 || len(steps) == 4 && (digit == 2 || digit == 5) {
				s.ticks = append(s.ticks, v)
			} else {
				s.between = append(s.between, v)
			}
		}
	}
}

func (s *scale) fitLinear(least, most float64) {
	if least == most {
		least, most = min(least, 0), max(most, 1)
	}
	step := math.Pow10(int(math.Floor(math.Log10(most - least))))
	switch steps := (most - least) / step; { // from 1 to 10; four to ten are wanted
	case steps < 2:
		step /= 5
	case steps < 5:
		step /= 2
	}
	first, last := math.Floor(least/step+1e-9), math.Ceil(most/step-1e-9)
	s.least, s.most = first*step, last*step
	for i := first; i <= last; i++ {
		s.ticks = append(s.ticks, i*step)
	}
}

// tighten lets the scale end at two values within it.
func (s *scale) tighten(least, most float64) {
	outside := func(v float64) bool { return v < least*(1-1e-9) || v > most*(1+1e-9) }
	s.ticks, s.between = slices.DeleteFunc(s.ticks, outside), slices.DeleteFunc(s.between, outside)
	if s.log {
		least, most = math.Log10(least), math.Log10(most)
	}
	s.least, s.most = least, most
}

// at returns the pixel of v.
func (s scale) at(v float64) float64 {
	if s.log {
		v = math.Log10(v)
	}
	return s.begin + (v-s.least)/(s.most-s.least)*(s.end-s.begin)
}

// tickWords writes a number short: 0.5, 20, 5,000 as 5 k, 3 M.
func tickWords(v float64) string {
	unit := ""
	switch size := math.Abs(v); {
	case size >= 1e9:
		v, unit = v/1e9, " G"
	case size >= 1e6:
		v, unit = v/1e6, " M"
	case size >= 1e3:
		v, unit = v/1e3, " k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + unit
}
