package realtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"roomlog/schema"
)

const (
	drainPause    = 100 * time.Millisecond // between batches, give or take half of it
	smallestBatch = 20                     // sockets that are told to leave at once
)

// Drain ends the server in good order: new connections are refused, sockets are
// told to leave in batches (so that not all of them reconnect elsewhere at the
// same moment), each after the acks of what it sent. When ctx ends first, the
// rest is cut off, and Drain returns an error that says how many. Only the first
// call drains; others wait for it. Deliver must go on being called meanwhile.
func (s *Server) Drain(ctx context.Context) error {
	s.drain.Do(func() {
		s.drained = s.leave(ctx)
		s.stop()
	})
	return s.drained
}

// leave tells every socket to go and waits until all are gone.
func (s *Server) leave(ctx context.Context) error {
	s.draining.Store(true)
	if !s.hub.close() {
		return nil
	}
	open := s.hub.all(nil)
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	size := batchSize(ctx, len(open))
	for len(open) > 0 {
		n := min(size, len(open))
		for _, session := range open[:n] {
			session.leave()
		}
		open = open[n:]
		if len(open) == 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(drainPause/2 + rand.N(drainPause)):
		}
	}
	gone := make(chan struct{})
	s.background.Go(func() {
		s.sockets.Wait()
		close(gone)
	})
	for _, done := range []<-chan struct{}{gone, s.acks.whenNone()} {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("drain: %d sockets and %d acks cut off: %w", s.Stats().Sockets, s.acks.count(), ctx.Err())
		}
	}
	return nil
}

// batchSize spreads the sockets over at most a third of the time that is left.
func batchSize(ctx context.Context, sockets int) int {
	batches := 50
	if deadline, ok := ctx.Deadline(); ok {
		batches = max(1, min(batches, int(time.Until(deadline)/3/drainPause)))
	}
	return max(smallestBatch, (sockets+batches-1)/batches)
}

// stop cuts off what is left and waits for every goroutine of the sockets.
func (s *Server) stop() {
	for _, session := range s.hub.all(nil) {
		session.out.finish(false)
	}
	s.cancel()
	s.http.Close()
	s.sockets.Wait()
	s.workers.stop()
	s.audit.flush()
}

// leave closes the socket once its facts are acked; it takes no new ones.
func (s *session) leave() {
	s.draining.Store(true)
	if s.inFlight.Load() == 0 {
		s.closeAfter(schema.CloseShuttingDown, comeBackAfter())
	}
}

// comeBackAfter is how long one client of a server that shuts down should wait.
func comeBackAfter() time.Duration {
	return 500*time.Millisecond + rand.N(4500*time.Millisecond)
}
