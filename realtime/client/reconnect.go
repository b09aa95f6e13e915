package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"roomlog/schema"
)

const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 30 * time.Second
	// connectTimeout bounds a try to come back: 10 s to be let in, and 30 s and more for
	// the ack of socket:connect, which may queue behind others who resume.
	connectTimeout = 45 * time.Second
)

// errSameToken ends a session whose token source has nothing better than a token
// that has expired.
var errSameToken = errors.New("the token source gave the same token again")

// run keeps the session connected until it ends.
func (s *Session) run(c *Client) {
	defer close(s.done)
	for attempt := 0; ; {
		since := time.Now()
		err := s.use(c)
		s.unsend()
		if time.Since(since) > s.ceiling(attempt) {
			attempt = 0 // it was a good connection
		}
		for c = nil; c == nil; attempt++ {
			if s.ctx.Err() != nil || final(err) && !crowded(err) {
				s.end(err)
				return
			}
			s.missing()
			if !s.rest(attempt, err) {
				s.end(nil)
				return
			}
			ctx, cancel := context.WithTimeout(s.ctx, connectTimeout)
			c, err = s.connect(ctx)
			cancel()
			if err != nil {
				s.unsend()
			}
		}
	}
}

// connect makes a connection that goes on where the session stands.
func (s *Session) connect(ctx context.Context) (*Client, error) {
	token, err := s.o.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting a token: %w", err)
	}
	before := s.token
	s.token = token
	o := Options{
		Token: token, Namespaces: s.o.Namespaces, OnFrame: s.o.OnFrame,
		HTTPHeader: s.o.HTTPHeader, TLS: s.o.TLS, NetDial: s.o.NetDial,
	}
	if at := s.Position(); at.Epoch != "" {
		o.Resume = &at
	}
	c, err := dial(ctx, s.url, o, notify{connected: s.connected, push: s.pushed})
	if token == before && tokenExpired(err) {
		err = fmt.Errorf("%w: %w", errSameToken, err)
	}
	return c, err
}

// use sends commands over a connection until it or the session ends, and returns why.
func (s *Session) use(c *Client) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		call, wait := s.next()
		if call != nil {
			var data any
			if call.data != nil {
				data = call.data
			}
			// When this fails the connection is at its end.
			if c.Send(call.event, data, call.key, func(f schema.Frame) { s.acked(call, f) }) == nil {
				continue
			}
		}
		var later <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			later = timer.C
		}
		select {
		case <-s.wake:
		case <-later:
		case <-c.Done():
			return c.Err()
		case <-s.ctx.Done():
			return c.Close()
		}
	}
}

// rest waits before a try to connect. It returns false when the session ends.
func (s *Session) rest(attempt int, err error) bool {
	wait := retryAfter(err) + s.backoff(attempt)
	s.tell(State{Status: Lost, Err: err, Wait: wait})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// missing makes up for a socket:resync that was lost with its connection: what it
// would have said is true all the same.
func (s *Session) missing() {
	s.mu.Lock()
	owed, seq := s.owed, s.cursor.Seq
	s.mu.Unlock()
	if owed {
		s.resynced(schema.Resync{Reason: schema.ResyncUnavailable, Seq: seq})
	}
}

// end fails what still waits, and says that it is over.
func (s *Session) end(err error) {
	if s.ctx.Err() != nil {
		err = nil
	}
	s.stop()
	s.mu.Lock()
	s.ended, s.err = true, err
	left := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, c := range left {
		s.settle(c, schema.Frame{}, fmt.Errorf("waiting for the ack of %s: %w", c.event, s.why()))
	}
	s.tell(State{Status: Ended, Err: err})
}

// ceiling is the longest wait before a try that follows a number of failed ones.
func (s *Session) ceiling(attempt int) time.Duration {
	least, most := cmp.Or(s.o.MinBackoff, minBackoff), cmp.Or(s.o.MaxBackoff, maxBackoff)
	if least > most>>attempt {
		return most
	}
	return least << attempt
}

// backoff draws a wait with full jitter, so that clients which were cut off at
// once do not come back at once.
func (s *Session) backoff(attempt int) time.Duration {
	return rand.N(s.ceiling(attempt) + 1)
}

// final reports whether trying again is no use.
func final(err error) bool {
	var refused *RefusedError
	var closed *CloseError
	var e *schema.Error
	switch {
	case errors.Is(err, errSameToken):
		return true
	case errors.As(err, &refused):
		switch refused.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return refused.Status < 500
	case errors.As(err, &closed):
		return !closed.Reconnect()
	case errors.As(err, &e): // of socket:connect
		return e.Code == schema.TooManySockets || !e.Temporary && e.Code != schema.TokenExpired
	}
	return false
}

// crowded reports whether the user had too many connections when the session came
// back. They may be its own, dead ones that the server has yet to find out about.
func crowded(err error) bool {
	var e *schema.Error
	return errors.As(err, &e) && e.Code == schema.TooManySockets
}

// crowdedWait is in what time a server with the usual 25 s between pings, and 10 s
// for the answer, has found out.
const crowdedWait = 35 * time.Second

// retryAfter is how long the server asked to wait.
func retryAfter(err error) time.Duration {
	var refused *RefusedError
	var closed *CloseError
	var e *schema.Error
	switch {
	case errors.As(err, &refused):
		return refused.RetryAfter
	case errors.As(err, &closed):
		return closed.RetryAfter()
	case crowded(err):
		return crowdedWait
	case errors.As(err, &e):
		return e.RetryAfter
	}
	return 0
}

func tokenExpired(err error) bool {
	var e *schema.Error
	return errors.As(err, &e) && e.Code == schema.TokenExpired
}
