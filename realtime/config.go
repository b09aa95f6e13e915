package realtime

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
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

	// TrustedProxies are the networks of reverse proxies in front of this server:
	// of a request from one, the last address in X-Forwarded-For that is not a
	// proxy's is taken for the client's. Nobody else's header is looked at.
	TrustedProxies []netip.Prefix

	MaxConnections      int // sockets at once, the ones in the handshake included
	MaxPerAddress       int // connections of one IPv4 address or one IPv6 /64; 0: no limit. Those from this machine do not count
	MaxSocketsPerUser   int
	MaxRoomsPerSocket   int
	MaxFrameBytes       int // one message from a client, all of its fragments together
	MaxQueuedFrames     int // waiting to be written to one socket
	MaxQueuedBytes      int // waiting to be written to one socket
	MaxQueuedBytesInAll int // waiting to be written to all sockets, not counting 16 KiB for each
	MaxFactsInFlight    int // facts of one socket that wait for their ack
	MaxWaiting          int // facts of all sockets that wait for their ack, and queries that are carried out; of each, see gate.go
	MaxResume           int // missed pushes that a client is sent again
	MaxResumesAtOnce    int // of all clients, being read from the log at one time
	MaxTails            int // sockets that follow the log at one time
	MaxHandshakes       int // TCP connections beyond MaxConnections: in their handshakes, or told that there is no room

	// What is allowed in a RateWindow; 0: no limit. Each may save up one window's
	// worth. RateEvents 0 turns all of them off.
	RateEvents     int // commands of one socket
	RateUserEvents int // commands of one user, over all sockets, those closed since too
	RateConnects   int // sockets that one user connects
	RatePosts      int // posts, comments and shares of one user
	RateReports    int // reports of one user
	RateUpgrades   int // connections of one address, counted as for MaxPerAddress, and HTTP requests after a connection's first
	RateWindow     time.Duration
	RateControls   int // pings and pongs of one socket in a minute, which pings of ours bring about too

	MaxWait          time.Duration // for the ack of a fact, and the answer to a query, as far as can be told: what would take longer is refused
	HandshakeTimeout time.Duration // until the HTTP headers have come
	MessageTimeout   time.Duration // from a message's first byte to its last
	ConnectTimeout   time.Duration // from the upgrade to socket:connect
	PingInterval     time.Duration // between pings on a quiet socket
	PongTimeout      time.Duration // from a ping to its pong
	WriteTimeout     time.Duration // for one write to a socket that does not read
	CloseTimeout     time.Duration // for the client's side of the closing handshake
	PresenceGrace    time.Duration // from a user's last socket to user:offline
	DrainTimeout     time.Duration // for Drain when Serve's context ends
	AuditEvery       time.Duration // from a refusal that moderators are told of to the count of those like it

	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: the server's figures are only at /metrics
}

// Defaults returns the limits of roomlog's design.
func Defaults() Config {
	return Config{
		MaxConnections:      1000,
		MaxPerAddress:       100, // a tenth, and an office behind one address
		MaxSocketsPerUser:   10,
		MaxRoomsPerSocket:   128,
		MaxFrameBytes:       64 << 10,
		MaxQueuedFrames:     1024,
		MaxQueuedBytes:      1 << 20,
		MaxQueuedBytesInAll: 256 << 20,
		MaxFactsInFlight:    64,
		MaxWaiting:          8192, // as many as the log's queue takes
		MaxResume:           10_000,
		MaxResumesAtOnce:    4,
		MaxTails:            32,
		MaxHandshakes:       1024,

		RateEvents:     100,
		RateUserEvents: 300, // three busy devices
		RateConnects:   60,  // all ten sockets six times over
		RatePosts:      60,
		RateReports:    10,
		RateUpgrades:   300, // everyone of a full address three times over
		RateWindow:     time.Minute,
		RateControls:   120,

		MaxWait:          time.Second, // people take what is slower for broken
		HandshakeTimeout: 5 * time.Second,
		MessageTimeout:   30 * time.Second, // 64 KiB at 18 kbit/s
		ConnectTimeout:   10 * time.Second,
		PingInterval:     25 * time.Second,
		PongTimeout:      10 * time.Second,
		WriteTimeout:     10 * time.Second, // as long as a pong may take: the same network is asked
		CloseTimeout:     2 * time.Second,
		PresenceGrace:    10 * time.Second,
		DrainTimeout:     30 * time.Second,
		AuditEvery:       time.Minute,
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
		{"MaxQueuedBytesInAll", int64(c.MaxQueuedBytesInAll)},
		{"MaxFactsInFlight", int64(c.MaxFactsInFlight)},
		{"MaxWaiting", int64(c.MaxWaiting)},
		{"MaxResume", int64(c.MaxResume)},
		{"MaxResumesAtOnce", int64(c.MaxResumesAtOnce)},
		{"MaxTails", int64(c.MaxTails)},
		{"MaxHandshakes", int64(c.MaxHandshakes)},
		{"RateWindow", int64(c.RateWindow)},
		{"MaxWait", int64(c.MaxWait)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"MessageTimeout", int64(c.MessageTimeout)},
		{"ConnectTimeout", int64(c.ConnectTimeout)},
		{"PingInterval", int64(c.PingInterval)},
		{"PongTimeout", int64(c.PongTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"CloseTimeout", int64(c.CloseTimeout)},
		{"DrainTimeout", int64(c.DrainTimeout)},
		{"AuditEvery", int64(c.AuditEvery)},
	} {
		if limit.value <= 0 {
			return fmt.Errorf("realtime: Config.%s is %d; start from Defaults()", limit.name, limit.value)
		}
	}
	if c.RateWindow < time.Millisecond {
		return errors.New("realtime: Config.RateWindow is shorter than a millisecond")
	}
	if min(c.RateEvents, c.RateUserEvents, c.RateConnects, c.RatePosts, c.RateReports, c.RateUpgrades, c.RateControls) < 0 {
		return errors.New("realtime: none of the rates in Config may be negative")
	}
	if c.MaxPerAddress < 0 || c.PresenceGrace < 0 {
		return errors.New("realtime: Config.MaxPerAddress and PresenceGrace must not be negative")
	}
	return nil
}

// rate is one of the rates, as RateEvents lets it be.
func (c *Config) rate(events int) int {
	if c.RateEvents == 0 {
		return 0
	}
	return events
}
