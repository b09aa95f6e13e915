package realtime

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// handshakes are the TCP connections that have not been upgraded, from the accept on.
// All methods may be called concurrently.
type handshakes struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time // zero: it has asked for something, in time
}

func (h *handshakes) enter(conn net.Conn) (now int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since[conn] = time.Now()
	return len(h.since)
}

func (h *handshakes) asked(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since[conn] = time.Time{}
}

// leave forgets a connection and returns for how long it has asked for nothing, 0 if
// it has.
func (h *handshakes) leave(conn net.Conn) (silent time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.since[conn]
	delete(h.since, conn)
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}

func (h *handshakes) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.since)
}

// onConnState bounds the TCP connections, and so the open files: all sockets may be in
// their handshakes at once, and so many more as are told that there is no room. Those who
// open many and send their headers slowly get no further than this. net/http closes
// who took too long without a word; it is counted here.
func (s *Server) onConnState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.handshakes.enter(conn)+int(s.slots.Load()) > s.cfg.MaxConnections+s.cfg.MaxHandshakes {
			s.turnedAway(cutOff, "handshakes")
			conn.Close()
		}
	case http.StateHijacked: // the session counts its address off
		s.handshakes.leave(conn)
	case http.StateClosed:
		if s.handshakes.leave(conn) >= s.cfg.HandshakeTimeout {
			s.turnedAway(cutOff, "timeout")
		}
		s.addresses.leave(s.peer(conn.RemoteAddr().String()))
	}
}
