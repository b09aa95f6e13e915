package main

import "time"

// pace is a fixed rate: when what is sent is due, decided before the first is sent,
// whatever the server makes of it (an open loop). Times that count from then are free
// of coordinated omission: a server that stalls pays for everything that was due
// meanwhile, as it would with users who know nothing of each other. A loop that waits
// for an answer and then measures the next leaves that out.
type pace struct {
	start  time.Time
	length time.Duration
	rate   int // a second; 0: none, and nothing has a time at which it is due
}

// due returns when number n is due, counted from 0.
func (p pace) due(n int) time.Time {
	return p.start.Add(time.Duration(n/p.rate)*time.Second + time.Duration(n%p.rate)*time.Second/time.Duration(p.rate))
}

// has reports whether number n is due before the end.
func (p pace) has(n int) bool { return p.due(n).Sub(p.start) < p.length }

// end is when no more is due.
func (p pace) end() time.Time { return p.start.Add(p.length) }

// answerWithin is how long what was due may still be sent and answered after the end.
const answerWithin = 10 * time.Second
