package realtime

import (
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"roomlog/eventlog"
	"roomlog/schema"
)

// upgrade makes a WebSocket of a request, after every check that does not need
// one. The session gets a goroutine of its own, and nothing of net/http: when
// this function returns, the request's buffers and its goroutine's stack go.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		s.refuseBusy(w, r, 10, "draining", "the server is shutting down")
		return
	}
	if s.catchingUp() {
		s.refuseBusy(w, r, s.comeBackWithin(), "catching-up", "the server is starting: its read models are not up to date yet")
		return
	}
	for _, name := range []string{"Authorization", "Origin", "Sec-Websocket-Key", "Sec-Websocket-Version"} {
		// A proxy before us may have gone by the other one.
		if len(r.Header[name]) > 1 {
			s.refuse(w, r, http.StatusBadRequest, "handshake", "the header "+name+" is given twice")
			return
		}
	}
	if !s.allowsOrigin(r) {
		s.refuse(w, r, http.StatusForbidden, "origin", "pages of this origin may not connect; see --allowed-origins")
		return
	}
	if !validNonce(r.Header.Get("Sec-WebSocket-Key")) && r.Header.Get("Upgrade") != "" {
		s.refuse(w, r, http.StatusBadRequest, "handshake", "Sec-WebSocket-Key is not 16 bytes in base64")
		return
	}
	if s.slots.Add(1) > int64(s.cfg.MaxConnections) {
		s.slots.Add(-1)
		s.refuseBusy(w, r, 10, "full", "as many connections as this server takes are open")
		return
	}
	from, forwarded := s.caller(r)
	var ours, ok bool
	if forwarded && s.cfg.tooMany(s.addresses.enter(from)) {
		s.refuseAddress(w, r)
	} else if ours, ok = s.accept(w, r, from); ok {
		return
	}
	s.slots.Add(-1)
	if ours || forwarded { // else net/http has the connection that was counted, and tells onConnState
		s.addresses.leave(from)
	}
}

// accept does the rest of the upgrade for a request that has a slot. ours says that
// net/http has no more to do with the connection, ok that a session came of it.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, from netip.Addr) (ours, ok bool) {
	identity, refusal := s.bearer(r)
	if refusal != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		s.refuse(w, r, http.StatusUnauthorized, "token", refusal.Message)
		return false, false
	}
	if identity != nil {
		if refusal := s.takeOf(s.limiters.connects, identity.Actor.ID, time.Now()); refusal != nil {
			s.refuseFor(w, r, refusal.RetryAfter, "rate", "too many connections of this user; wait before the next one")
			return false, false
		}
	}
	upgrader := ws.HTTPUpgrader{
		Timeout:  s.cfg.HandshakeTimeout,
		Protocol: func(offered string) bool { return offered == schema.Subprotocol },
	}
	conn, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.log.Debug("handshake refused", "remote", r.RemoteAddr, "error", err)
		s.turnedAway(rejection(err), "handshake")
		if conn != nil {
			conn.Close()
		}
		return conn != nil, false
	}
	// Frames that the client sent without waiting for the handshake's end; newSession
	// copies them.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	session := newSession(s, eventlog.NewID(time.Now()), conn, ahead, identity)
	session.from = from
	if !s.start(session) {
		conn.Close()
		return true, false
	}
	return true, true
}

// rejection is the code of a request that the upgrader refused, unless its connection
// broke first.
func rejection(err error) string {
	var rejected *ws.ConnectionRejectedError
	if errors.As(err, &rejected) {
		return httpCode(rejected.StatusCode())
	}
	return cutOff
}

// bearer verifies the handshake's token; nil, nil when it carries none.
func (s *Server) bearer(r *http.Request) (*Identity, *schema.Error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, schema.NewError(schema.InvalidToken, "the Authorization header is not a Bearer token")
	}
	identity, refusal := s.verify(strings.TrimSpace(token))
	if refusal != nil {
		return nil, refusal
	}
	return &identity, nil
}

// allowsOrigin guards users of browsers against pages of other sites: those carry
// the site's Origin (RFC 6455, 10.2). Other clients send none.
func (s *Server) allowsOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.cfg.AllowedOrigins, "*") {
		return true
	}
	if slices.ContainsFunc(s.cfg.AllowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func validNonce(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, reason, message string) {
	s.log.Debug("connection refused", "reason", reason, "remote", r.RemoteAddr)
	s.turnedAway(httpCode(status), reason)
	http.Error(w, message, status)
}

// turnedAway counts and notes a connection that was refused.
func (s *Server) turnedAway(code, reason string) {
	s.metrics.refused.WithLabelValues(reason).Inc()
	s.audit.note(schema.AuditRefused, auditEntry{Code: code, Detail: reason})
}

func httpCode(status int) string { return "HTTP_" + strconv.Itoa(status) }

// cutOff is the code of a connection that was closed without an answer.
const cutOff = "CUT_OFF"

// refuseBusy asks the client to come back within so many seconds, each at another
// moment. A server that starts is ready soon, and who was cut off is waiting.
func (s *Server) refuseBusy(w http.ResponseWriter, r *http.Request, seconds int, reason, message string) {
	w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(seconds)))
	s.refuse(w, r, http.StatusServiceUnavailable, reason, message)
}
