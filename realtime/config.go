package realtime

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Config is what a Server needs and what it allows. Start from Defaults and set
// Log, Models and Auth.
type Config struct {
	Log    *eventlog.Log
	Models *projections.Models
	Auth   *Auth

	// AllowedOrigins are the origins ("https://example.com") of pages that may
	// connect, beside the server's own host; "*" allows every page. Clients that
	// send no Origin header are no browsers and are always allowed.
	AllowedOrigins []string

	MaxConnections    int // sockets at once, the ones in the handshake included
	MaxSocketsPerUser int
	MaxRoomsPerSocket int
	MaxFrameBytes     int // one message from a client, all of its fragments together
	MaxQueuedFrames   int // waiting to be written to one socket
	MaxQueuedBytes    int // waiting to be written to one socket
	MaxFactsInFlight  int // facts of one socket that wait for their ack
	MaxResume         int // missed pushes that a client is sent again
	MaxResumesAtOnce  int // of all clients, being read from the log at one time
	MaxHandshakes     int // TCP connections that have not upgraded yet; at least MaxConnections

	RateEvents int           // commands of one socket in a RateWindow; 0: no limit
	RateWindow time.Duration // a socket may save up one window's worth

	HandshakeTimeout time.Duration // until the HTTP headers have come
	ConnectTimeout   time.Duration // from the upgrade to socket:connect
	PingInterval     time.Duration // between pings on a quiet socket
	PongTimeout      time.Duration // from a ping to its pong
	WriteTimeout     time.Duration // for one write to a socket that does not read
	CloseTimeout     time.Duration // for the client's side of the closing handshake
	PresenceGrace    time.Duration // from a user's last socket to user:offline
	DrainTimeout     time.Duration // for Drain when Serve's context ends

	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: the server's figures are only at /metrics
}

// Defaults returns the limits of roomlog's design.
func Defaults() Config {
	return Config{
		MaxConnections:    1000,
		MaxSocketsPerUser: 10,
		MaxRoomsPerSocket: 128,
		MaxFrameBytes:     64 << 10,
		MaxQueuedFrames:   1024,
		MaxQueuedBytes:    1 << 20,
		MaxFactsInFlight:  64,
		MaxResume:         10_000,
		MaxResumesAtOnce:  4,
		MaxHandshakes:     1024,

		RateEvents: 100,
		RateWindow: time.Minute,

		HandshakeTimeout: 5 * time.Second,
		ConnectTimeout:   10 * time.Second,
		PingInterval:     25 * time.Second,
		PongTimeout:      10 * time.Second,
		WriteTimeout:     10 * time.Second, // as long as a pong may take: the same network is asked
		CloseTimeout:     2 * time.Second,
		PresenceGrace:    10 * time.Second,
		DrainTimeout:     30 * time.Second,
	}
}

func (c Config) check() error {
	switch {
	case c.Log == nil:
		return errors.New("realtime: Config.Log is missing")
	case c.Models == nil:
		return errors.New("realtime: Config.Models is missing")
	case c.Auth == nil:
		return errors.New("realtime: Config.Auth is missing")
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"MaxConnections", int64(c.MaxConnections)},
		{"MaxSocketsPerUser", int64(c.MaxSocketsPerUser)},
		{"MaxRoomsPerSocket", int64(c.MaxRoomsPerSocket)},
		{"MaxFrameBytes", int64(c.MaxFrameBytes)},
		{"MaxQueuedFrames", int64(c.MaxQueuedFrames)},
		{"MaxQueuedBytes", int64(c.MaxQueuedBytes)},
		{"MaxFactsInFlight", int64(c.MaxFactsInFlight)},
		{"MaxResume", int64(c.MaxResume)},
		{"MaxResumesAtOnce", int64(c.MaxResumesAtOnce)},
		{"MaxHandshakes", int64(c.MaxHandshakes)},
		{"RateWindow", int64(c.RateWindow)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"ConnectTimeout", int64(c.ConnectTimeout)},
		{"PingInterval", int64(c.PingInterval)},
		{"PongTimeout", int64(c.PongTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"CloseTimeout", int64(c.CloseTimeout)},
		{"DrainTimeout", int64(c.DrainTimeout)},
	} {
		if limit.value <= 0 {
			return fmt.Errorf("realtime: Config.%s is %d; start from Defaults()", limit.name, limit.value)
		}
	}
	if c.RateWindow < time.Millisecond {
		return errors.New("realtime: Config.RateWindow is shorter than a millisecond")
	}
	if c.RateEvents < 0 || c.PresenceGrace < 0 {
		return errors.New("realtime: Config.RateEvents and PresenceGrace must not be negative")
	}
	return nil
}
