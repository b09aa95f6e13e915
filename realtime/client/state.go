package client

import "time"

// Status is what a session is doing.
type Status uint8

// A session is Connected, then Lost and CatchingUp and CaughtUp (or Resynced) as
// often as it takes, and at last Ended.
const (
	Connected  Status = iota + 1 // live for the first time, from Seq on
	CatchingUp                   // there again: what was missed after From follows
	CaughtUp                     // Count missed pushes after From and up to Seq came; live
	Resynced                     // missed pushes cannot be had; live from Seq on
	Lost                         // no connection because of Err; the next try is after Wait
	Ended                        // for good because of Err; nil after Close
)

func (s Status) String() string {
	switch s {
	case Connected:
		return "connected"
	case CatchingUp:
		return "catching up"
	case CaughtUp:
		return "caught up"
	case Resynced:
		return "resynced"
	case Lost:
		return "lost"
	case Ended:
		return "ended"
	}
	return "unknown"
}

// State is what SessionOptions.OnState is told. Places are those in the log.
type State struct {
	Status Status
	From   uint64
	Seq    uint64
	Count  int
	Err    error
	Wait   time.Duration
}
