package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// underWay is how many posts of a sender may wait for their acks: fewer than the
// facts that a server takes of one socket at a time.
const underWay = 32

// offering lets senders post at a pace, in turns.
type offering struct {
	pace
	conns []*client.Client

	acks    *operation // what was answered; what was refused for now is counted by its code
	waiting *operation // what was not, as far as it had waited

	unsent, unanswered atomic.Int64
}

// run returns when everything that was due was answered, or answerWithin has passed.
func (o *offering) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	inTime, cancel := context.WithDeadline(ctx, o.end().Add(answerWithin))
	defer cancel()
	for i, conn := range o.conns {
		s := &pacedSender{
			offering: o, conn: conn,
			slots: make(chan struct{}, underWay), failed: make(chan error, 1), owed: make(map[int]struct{}),
		}
		group.Go(func() error {
			err := s.run(inTime, i)
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return nil // counted
			}
			return err
		})
	}
	return group.Wait()
}

// pacedSender is one of the senders; each has every so many-th post.
type pacedSender struct {
	*offering
	conn   *client.Client
	slots  chan struct{} // holds one for each post under way
	failed chan error    // gets the first error of an ack

	mu   sync.Mutex
	owed map[int]struct{} // the numbers of the posts under way; guarded by mu
}

func (s *pacedSender) run(ctx context.Context, first int) error {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for n := first; s.has(n); n += len(s.conns) {
		alarm.Reset(time.Until(s.due(n)))
		if err := await(ctx, s, alarm.C, nil); err != nil {
			return err
		}
		if err := await(ctx, s, nil, s.slots); err != nil {
			s.giveUp(n)
			return err
		}
		if err := s.post(n); err != nil {
			return err
		}
	}
	for range underWay { // when all are taken, nothing is under way
		if err := await(ctx, s, nil, s.slots); err != nil {
			s.giveUp(-1)
			return err
		}
	}
	return nil
}

// await waits for the alarm or a free slot, as long as nothing goes wrong.
func await(ctx context.Context, s *pacedSender, alarm <-chan time.Time, free chan<- struct{}) error {
	select {
	case <-alarm:
	case free <- struct{}{}:
	case err := <-s.failed:
		return err
	case <-s.conn.Done():
		return cmp.Or(s.conn.Err(), net.ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *pacedSender) post(n int) error {
	s.mu.Lock()
	s.owed[n] = struct{}{}
	s.mu.Unlock()
	return s.conn.Send(postCreate, schema.PostCreate{Content: content}, "", func(f schema.Frame) {
		s.mu.Lock()
		delete(s.owed, n)
		s.mu.Unlock()
		var refusal *schema.Error
		switch err := client.AckError(f); {
		case err == nil:
			s.acks.took(time.Since(s.due(n)))
		case errors.As(err, &refusal) && refusal.Temporary:
			s.acks.fail(string(refusal.Code))
		default:
			select {
			case s.failed <- err:
			default:
			}
		}
		<-s.slots
	})
}

// giveUp measures what is under way, and what was due from post next on (-1: none),
// as far as it has waited.
func (s *pacedSender) giveUp(next int) {
	now := time.Now()
	s.mu.Lock()
	for n := range s.owed {
		s.waiting.took(now.Sub(s.due(n)))
		s.unanswered.Add(1)
	}
	s.mu.Unlock()
	for n := next; n >= 0 && s.has(n); n += len(s.conns) {
		s.waiting.took(now.Sub(s.due(n)))
		s.unsent.Add(1)
	}
}
