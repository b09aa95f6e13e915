package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Limits on plain HTTP, which is only the way to a socket and to the figures.
const (
	maxHeaderBytes = 16 << 10 // a token of 8 KiB, cookies of the same site, and the rest
	httpTimeout    = 30 * time.Second
)

// ReadyLag is by how many records the read models may be behind on a server that takes
// clients: about a second's worth.
const ReadyLag = 10_000

// Server is the gateway. All its methods may be called concurrently.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	audit   auditor
	http    http.Server

	limiters  limiters
	addresses addresses

	hub      hub
	acks     acks
	queries  gate
	heavy    heavy
	pushes   pushQueues
	circles  circles
	presence presence
	workers  workers
	writers  writers
	tails    tails

	// Of clients that come back: who missed nothing is not kept waiting by those who
	// missed much.
	listing   turns        // whose missed pushes are being listed
	retelling turns        // whose missed pushes are being read
	retold    atomic.Int64 // bytes that are read and not queued, see resume.go

	greedy turns // sockets that have used their share, see pressure.go

	slots      atomic.Int64 // connections, with those in the handshake
	handshakes handshakes
	draining   atomic.Bool
	backlog    uint64 // the log's end when the server was made; see catchingUp

	ctx        context.Context // ends when the sockets are gone
	cancel     context.CancelFunc
	serving    atomic.Bool
	drain      sync.Once
	drained    error
	sockets    sync.WaitGroup // goroutines that read from or write to sockets
	background sync.WaitGroup // the others that Serve and Drain start
}

// Stats are live figures.
type Stats struct {
	Sockets int `json:"sockets"`
	Rooms   int `json:"rooms"`
	Users   int `json:"users"` // connected, or gone for less than the grace period
}

// New makes a server. It starts nothing: Deliver may be called from now on, and
// Serve takes clients.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, hub: newHub(), presence: newPresence(), backlog: cfg.Log.Durable()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.circles = newCircles(&s.hub)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.limiters, s.addresses.open = newLimiters(&cfg), make(map[netip.Addr]int)
	s.handshakes.since = make(map[net.Conn]time.Time)
	s.acks.open(&cfg, maxWaitingBytes)
	s.queries.open(&cfg, maxWaitingBytes)
	s.acks.waiting = make(map[string]waitingAck)
	s.writers.wake = make(chan struct{}, 1)
	s.workers.tasks = make(chan *task)
	s.greedy.slots = make(chan struct{}, greedyTurns())
	s.listing.slots, s.retelling.slots = make(chan struct{}, cfg.MaxResumesAtOnce), make(chan struct{}, cfg.MaxResumesAtOnce)
	s.tails.reading.slots, s.tails.open = make(chan struct{}, 1), make(map[*session]*tail)
	s.audit = newAuditor(cfg.Log, cfg.AuditEvery, s.log)
	var err error
	if s.metrics, err = newMetrics(s); err != nil {
		return nil, err
	}
	s.http = http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: cfg.HandshakeTimeout,
		ReadTimeout:       httpTimeout,
		WriteTimeout:      httpTimeout,
		IdleTimeout:       httpTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       s.connContext,
		ConnState:         s.onConnState,
		// net/http would answer OPTIONS * by itself, past every limit.
		DisableGeneralOptionsHandler: true,

		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", s.upgrade)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.metrics.handler)
	return mux
}

// Serve takes clients from the listener until ctx ends and the sockets are
// drained, or until Drain is called and done. It returns nil when every socket
// left in good order. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if !s.serving.CompareAndSwap(false, true) {
		return errors.New("realtime: this server serves already")
	}
	stopSignals, err := s.cfg.Log.OnSignal(s.onSignal)
	if err != nil {
		return fmt.Errorf("following signals: %w", err)
	}
	s.background.Go(func() { s.recallPresence(s.ctx) })
	s.background.Go(func() { s.runPresence(s.ctx) })
	s.background.Go(func() { s.writers.run(s.ctx) })
	s.background.Go(func() { s.sweep(s.ctx) })
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(listener) }()
	var failed, cutOff error
	select {
	case <-ctx.Done():
		cutOff = s.drainAlone(ctx)
		failed = <-served
	case failed = <-served: // the listener broke, or someone called Drain, who hears how it went
		s.drainAlone(ctx)
	}
	stopSignals()
	s.background.Wait()
	if errors.Is(failed, http.ErrServerClosed) {
		failed = nil
	}
	return errors.Join(failed, cutOff)
}

// drainAlone is Drain with the time that the configuration allows.
func (s *Server) drainAlone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	return s.Drain(ctx)
}

// Stats returns live figures.
func (s *Server) Stats() Stats {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return Stats{Sockets: len(s.hub.sockets), Rooms: len(s.hub.rooms), Users: len(s.hub.users)}
}

// ready answers whether this server should be sent clients.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if why := s.Unready(); why != "" {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Unready returns why this server should not be sent clients, "" when it should: it
// shuts down, the log or the read models failed, the log takes no records for now (it
// answers queries all the same), or the read models are catching up.
func (s *Server) Unready() string {
	if s.draining.Load() {
		return "shutting down"
	}
	if err := s.cfg.Log.Err(); err != nil {
		s.log.Error("not ready: the log", "error", err)
		return "the log takes no records"
	}
	if err := s.cfg.Models.Err(); err != nil {
		s.log.Error("not ready: the read models", "error", err)
		return "the read models take no records"
	}
	if err := s.cfg.Log.Refusal(); errors.Is(err, eventlog.ErrFull) {
		return fmt.Sprintf("the log takes no records, what is in it is served: %v", err)
	} else if err != nil {
		s.log.Error("not ready: the log", "error", err)
		return "the log takes no records for now, what is in it is served"
	}
	behind := int64(s.cfg.Log.Durable()) - int64(s.cfg.Models.Applied())
	if p, running := s.cfg.Models.Rebuilding(); running && s.catchingUp() {
		what := "making the read models anew"
		if p.From > 0 {
			what = "catching up"
		}
		left := ""
		if p.Rate > 0 {
			left = fmt.Sprintf(", %s left", p.ETA.Round(time.Second))
		}
		return fmt.Sprintf("%s: %d of %d records%s", what, p.Records, p.Of, left)
	}
	if behind > ReadyLag || s.catchingUp() {
		return fmt.Sprintf("catching up: the read models are %d records behind", behind)
	}
	return ""
}

// catchingUp reports whether the read models have yet to reach what the log held
// when the server was made. Until then they are no answer to anyone: acked facts
// are missing from them, and commands that build on those would be refused.
func (s *Server) catchingUp() bool { return s.cfg.Models.Applied() < s.backlog }

// comeBackWithin is how many seconds a client should wait of a server that starts: it
// is ready soon, unless it makes the read models anew.
func (s *Server) comeBackWithin() int {
	p, _ := s.cfg.Models.Rebuilding()
	return max(1, min(30, int(p.ETA.Seconds())))
}

// start makes a session one of the server's sockets. It returns false when the
// server takes none any more.
func (s *Server) start(session *session) bool {
	if !s.enlist(session) {
		return false
	}
	session.hello() // here, where the stack is deep already and goes in a moment
	go session.run()
	return true
}

func (s *Server) enlist(session *session) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.closed {
		return false
	}
	s.hub.sockets[session.id] = session
	s.sockets.Add(1)
	return true
}

// forget takes a socket that closes out of its rooms.
func (s *Server) forget(session *session, reason string) {
	h := &s.hub
	h.mu.Lock()
	for _, seat := range session.seats {
		h.stand(seat)
	}
	session.seats = nil
	delete(h.sockets, session.id)
	user := session.userID()
	if session.joined.Load() && h.rooms[schema.UserRoom(user)] == nil {
		s.depart(user, schema.TimeOf(time.Now()))
	}
	h.mu.Unlock()
	if !session.joined.Load() {
		return
	}
	code := schema.CloseCode(session.code.Load())
	if code != 0 {
		reason = code.Reason()
	}
	session.record("socket:disconnect", "user:"+user, schema.Disconnect{UserID: user, Reason: reason, Reconnect: code.Reconnect()})
}
