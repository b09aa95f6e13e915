package realtime

import (
	"runtime"
	"time"

	"roomlog/schema"
)

// A server that hurries for everybody is slow for everybody: a command passes through
// many goroutines on its way to the log and back, and in each it waits for the
// processor behind all others. So those who press are read less from, and press upon
// themselves alone:
//
//   - Who was refused for coming too often, or was closed for a fault of theirs and
//     sends on, is not read from for refusedPause.
//   - Who has used their share, a good part of what they may do at once, is greedy. The
//     commands of all who are greedy are carried out one after the other, with rests
//     between them, a fact up to its ack. So is told again what they missed who missed
//     much, or were told much in the last minute already.
//
// Nobody else waits for any of them. Who keeps to the rates is never greedy, and who
// is, is slowed down only as far as others are too: a server has hundreds of commands
// a second for them.

const (
	// refusedPause makes refusals cost next to nothing: 50 a second and socket, where
	// one that is answered at once draws tens of thousands.
	refusedPause = 20 * time.Millisecond
	// longestRest is about what the most work takes that is done in a turn. If it took
	// longer it was waiting, which leaves the processors to others too.
	longestRest = 20 * time.Millisecond
	// shareOf is which part of a window's worth of events is a share: as much as a
	// client asks for when it starts, and more than one who keeps to the rate ever has
	// outstanding.
	shareOf = 4
	// largeAnswer is more bytes than a page of what people write has: who was answered
	// so much is greedy with the next command, however few they were.
	largeAnswer = 64 << 10
)

// greedyTurns is how many greedy sockets are served at one time.
func greedyTurns() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// carryOutInTurn has a message carried out, and returns when the socket may be read
// from again. It is run's.
func (s *session) carryOutInTurn(message *buffer) {
	server := s.server
	// Who has not joined can have nothing done but connect, which has turns of its own:
	// taken within another, they would never come.
	if !s.greedy || !s.joined.Load() {
		server.workers.do(s, message)
	} else {
		s.queues.Store(true)
		if !server.inTurn(func() { server.workers.do(s, message) }, s.waitForFacts) {
			message.free()
		}
		s.queues.Store(false)
	}
	if s.refused || s.faulty() {
		s.pause()
	}
}

func (s *session) pause() {
	s.server.metrics.slowed.WithLabelValues("pause").Inc()
	time.Sleep(refusedPause)
}

// inTurn does something for a greedy socket in its turn, and rests for as long: half
// of the time of a turn's processor is everybody else's. The turn ends with settled. It
// returns false when the server ends first.
func (s *Server) inTurn(do, settled func()) bool {
	if !s.greedy.take(s.ctx) {
		return false
	}
	defer s.greedy.end()
	s.metrics.slowed.WithLabelValues("turn").Inc()
	began := time.Now()
	do()
	time.Sleep(min(time.Since(began), longestRest))
	settled()
	return true
}

// faulty reports whether the server closed the socket for what the client did.
func (s *session) faulty() bool {
	code := s.code.Load()
	return code != 0 && code != uint32(schema.CloseShuttingDown)
}

// usedShare reports whether so many events are more than a share of those allowed.
func usedShare(spent float64, events int) bool {
	return events > 0 && spent > float64(events)/shareOf
}
