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

const (
	// underWay is how many posts of a sender may wait for their acks: fewer than
	// the facts that a server takes of one socket at a time.
	underWay = 32

	// answerWithin is how long what was due may still be sent and answered when the
	// time is over.
	answerWithin = 10 * time.Second
)

// offering lets senders post at a fixed rate, whatever the server makes of it (an
// open loop). Each post is due at a time that was fixed before the first was sent,
// and its time counts from then: a server that stalls pays for every post that was
// due meanwhile, as it would with users who know nothing of each other. A loop that
// waits for an ack and then measures the next leaves those out (coordinated omission).
type offering struct {
	start  time.Time
	length time.Duration
	rate   int // posts a second, over all senders
	conns  []*client.Client

	acks    *operation // what was answered; what was refused for now is counted by its code
	waiting *operation // what was not, as far as it had waited

	unsent, unanswered atomic.Int64
}

// run returns when everything that was due was answered, or answerWithin has passed
// since the end.
func (o *offering) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	inTime, cancel := context.WithDeadline(ctx, o.start.Add(o.length+answerWithin))
	defer cancel()
	for i, conn := range o.conns {
		s := &pacedSender{
			offering: o, conn: conn,
			slots: make(chan struct{}, underWay), failed: make(chan error, 1), due: make(map[int]time.Time),
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

// dueAt returns when post n of all is due, counted from 0.
func (o *offering) dueAt(n int) time.Time {
	return o.start.Add(time.Duration(n/o.rate)*time.Second + time.Duration(n%o.rate)*time.Second/time.Duration(o.rate))
}

// pacedSender is one of the senders; each has every so many-th post.
type pacedSender struct {
	*offering
	conn   *client.Client
	slots  chan struct{} // holds one for each post under way
	failed chan error    // gets the first error of an ack

	mu  sync.Mutex
	due map[int]time.Time // of the posts under way, by number; guarded by mu
}

func (s *pacedSender) run(ctx context.Context, first int) error {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for n := first; s.dueAt(n).Sub(s.start) < s.length; n += len(s.conns) {
		alarm.Reset(time.Until(s.dueAt(n)))
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
	due := s.dueAt(n)
	s.mu.Lock()
	s.due[n] = due
	s.mu.Unlock()
	return s.conn.Send(postCreate, schema.PostCreate{Content: content}, "", func(f schema.Frame) {
		s.mu.Lock()
		delete(s.due, n)
		s.mu.Unlock()
		var refusal *schema.Error
		switch err := client.AckError(f); {
		case err == nil:
			s.acks.took(time.Since(due))
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
	for _, due := range s.due {
		s.waiting.took(now.Sub(due))
		s.unanswered.Add(1)
	}
	s.mu.Unlock()
	for n := next; n >= 0 && s.dueAt(n).Sub(s.start) < s.length; n += len(s.conns) {
		s.waiting.took(now.Sub(s.dueAt(n)))
		s.unsent.Add(1)
	}
}
