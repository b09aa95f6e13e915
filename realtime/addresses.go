package realtime

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// addresses counts connections by where they come from, from the TCP accept on for
// as long as they live. Behind a trusted proxy it is the sockets that are counted, by
// the address that the proxy saw. All methods may be called concurrently.
//
// The zero address stands for those that are not counted: connections from this
// machine, which are its own tools' or a proxy's that nobody named, and would be
// everybody's; and the connections of trusted proxies themselves.
type addresses struct {
	mu   sync.Mutex
	open map[netip.Addr]int
}

// enter counts a connection and returns how many there are now, with this one.
func (a *addresses) enter(from netip.Addr) int {
	if !from.IsValid() {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[from]++
	return a.open[from]
}

func (a *addresses) leave(from netip.Addr) {
	if !from.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[from]--; a.open[from] == 0 {
		delete(a.open, from)
	}
}

func (a *addresses) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

// siteBits is how much of an IPv6 address counts: whoever has one has the 2^64 of
// the same site (RFC 6177).
const siteBits = 64

// counted is what an address is counted by.
func counted(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, siteBits).Masked().Addr()
	}
	return a
}

// peer returns by what a connection is counted as long as nothing but its own
// address is known.
func (s *Server) peer(address string) netip.Addr {
	at, err := netip.ParseAddrPort(address)
	if err != nil || at.Addr().Unmap().IsLoopback() || s.trusts(at.Addr()) {
		return netip.Addr{}
	}
	return counted(at.Addr())
}

func (s *Server) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// caller returns by what a request is counted: its connection's address, or, when
// a trusted proxy says so, the one that the proxy was asked from.
func (s *Server) caller(r *http.Request) (from netip.Addr, forwarded bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !s.trusts(at.Addr()) {
		return s.peer(r.RemoteAddr), false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	last := at.Addr()
	// Each proxy adds the address that it was asked from at the end: what stands
	// before the first that is not trusted, anybody may have written.
	for _, hop := range slices.Backward(hops) {
		a, ok := hopAddress(hop)
		if !ok {
			break
		}
		last = a
		if !s.trusts(a) {
			break
		}
	}
	if last.Unmap().IsLoopback() {
		return netip.Addr{}, false
	}
	return counted(last), true
}

// hopAddress reads one address of X-Forwarded-For; some proxies add the port.
func hopAddress(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if at, err := netip.ParseAddrPort(hop); err == nil {
		return at.Addr(), true
	}
	a, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return a, err == nil
}

// maxTurnedAway is how many connections of an address that has too many are told so
// at one time; the others are cut off before they have said anything.
const maxTurnedAway = 8

// tooMany reports whether so many connections are more than an address may have.
func (c *Config) tooMany(connections int) bool {
	return c.MaxPerAddress > 0 && connections > c.MaxPerAddress
}

// arrival is a connection as it was accepted, in the contexts of its requests.
type arrival struct {
	conn    net.Conn
	crowded bool          // its address has as many connections as it may
	wait    time.Duration // its address has come as often as it may: until it may again
	paid    bool          // its first request, which the arrival stands for, is to come
}

type arrivalKey struct{}

// connContext counts a connection that was just accepted: the session, or onConnState,
// counts it off its address again. One too many is told so by guard; of those who go on
// then it is closed here, before TLS has cost anything.
func (s *Server) connContext(ctx context.Context, conn net.Conn) context.Context {
	from := s.peer(conn.RemoteAddr().String())
	n := s.addresses.enter(from)
	a := &arrival{conn: conn, crowded: s.cfg.tooMany(n), paid: from.IsValid()}
	if a.paid {
		a.wait = s.comesTooOften(from)
	}
	reason := ""
	switch {
	case a.crowded && n > s.cfg.MaxPerAddress+maxTurnedAway:
		reason = "address"
	case a.wait > 0 && s.limiters.upgrades.goesOn(from):
		reason = "rate"
	}
	if reason != "" {
		s.turnedAway(cutOff, reason)
		conn.Close()
	}
	return context.WithValue(ctx, arrivalKey{}, a)
}

// comesTooOften takes one of the connections and requests that an address may make. It
// returns for how long the address must wait, 0 when it may.
func (s *Server) comesTooOften(from netip.Addr) (wait time.Duration) {
	if wait = s.limiters.upgrades.take(from, time.Now()); wait > 0 {
		s.metrics.limited.WithLabelValues(s.limiters.upgrades.name).Inc()
	}
	return wait
}

// guard notes that a connection's headers have come, and answers those of addresses
// that have had their share.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := r.Context().Value(arrivalKey{}).(*arrival)
		s.handshakes.asked(a.conn)
		if from, _ := s.caller(r); from.IsValid() && !a.paid {
			a.wait = s.comesTooOften(from)
		}
		a.paid = false // the requests of a connection come one after the other
		switch {
		case a.crowded:
			s.refuseAddress(w, r)
		case a.wait > 0:
			s.refuseFor(w, r, a.wait, "rate", "too many connections or requests from this address; wait before the next one")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// crowdedWait is when an address that has as many connections as it may should try
// again: there is no telling when one of them ends.
const crowdedWait = 10 * time.Second

func (s *Server) refuseAddress(w http.ResponseWriter, r *http.Request) {
	s.refuseFor(w, r, crowdedWait, "address", "as many connections as one address may have are open")
}

// refuseFor answers that a caller has had its share.
func (s *Server) refuseFor(w http.ResponseWriter, r *http.Request, wait time.Duration, reason, message string) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
	w.Header().Set("Connection", "close")
	s.refuse(w, r, http.StatusTooManyRequests, reason, message)
}
