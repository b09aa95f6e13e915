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

type crowded struct{} // of a connection's context

// onConn counts a connection that was just accepted, and marks it when it is one
// too many: guard answers it. onConnState, or the session, counts it off again.
func (s *Server) onConn(ctx context.Context, conn net.Conn) context.Context {
	n := s.addresses.enter(s.peer(conn.RemoteAddr().String()))
	if !s.cfg.tooMany(n) {
		return ctx
	}
	if n > s.cfg.MaxPerAddress+maxTurnedAway {
		s.turnedAway(cutOff, "address")
		conn.Close()
	}
	return context.WithValue(ctx, crowded{}, true)
}

// guard answers connections of addresses that have too many.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(crowded{}) != nil {
			s.refuseAddress(w, r)
			return
		}
		next.ServeHTTP(w, r)
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
