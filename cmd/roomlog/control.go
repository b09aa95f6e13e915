package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// The control socket is how other commands talk to a running server: HTTP over
// a unix socket in the data directory, open to the server's own user only.
//
//	GET  /status?digest=     one JSON object
//	GET  /log                one JSON object: where the log ends
//	GET  /replay?filter=&follow=  one JSON line a record
//	GET  /inspect?filter=&follow= one JSON line an entry of the ADMIN stream
//	GET  /show?sight=&moment=  one JSON object: what is seen, or where to look
//	POST /rebuild?do=&keys=  one JSON line a step, the last one with the report
//	GET  /leaves?from=&count= hashes of the log's tree, one JSON array
//	POST /prove?seq=         a proof as one JSON string, base64
//	POST /rotate-key         the new key and what hands over to it, one JSON object
//
// A stream that failed half-way says why in the trailer.
const (
	controlName  = "control.sock"
	errorTrailer = "Roomlog-Error"
)

// control serves the control socket of a running server.
type control struct {
	server  http.Server
	path    string
	end     context.CancelFunc // of every request's context
	running sync.WaitGroup     // the server's goroutine and those of its connections
}

func startControl(s *Server, dir string) (*control, error) {
	path := filepath.Join(dir, controlName)
	// Whoever gets here holds the directory's lock: a socket that is there was left by a crash.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the control socket: %w", err)
	}
	listener, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket %s: %w", path, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.HandleFunc("GET "+records.path, records.handler(s))
	mux.HandleFunc("GET "+entries.path, entries.handler(s))
	mux.HandleFunc("GET /log", s.serveLogEnd)
	mux.HandleFunc("GET /show", s.serveShow)
	mux.HandleFunc("POST /rebuild", s.serveRebuild)
	mux.HandleFunc("GET /leaves", s.serveLeaves)
	mux.HandleFunc("POST /prove", s.serveProve)
	mux.HandleFunc("POST /rotate-key", s.serveRotateKey)
	requests, end := context.WithCancel(context.Background())
	c := &control{path: path, end: end}
	c.server = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnState:         c.onConnState,
	}
	// Serve returns ErrServerClosed: close is the only way out.
	c.running.Go(func() { c.server.Serve(listener) })
	return c, nil
}

// onConnState counts connections. A new one is told of by Serve itself, a closed one
// once its request has been carried out to the end.
func (c *control) onConnState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.running.Add(1)
	case http.StateClosed:
		c.running.Done()
	}
}

// close ends every request that is under way and returns when all have ended: what
// they read from is closed next.
func (c *control) close() {
	c.end()
	c.server.Close()
	c.running.Wait()
	os.Remove(c.path)
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	status, err := s.status(r.Context(), r.FormValue("digest") != "false")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(status)
}

// rebuildStep is one line of a rebuild's stream.
type rebuildStep struct {
	Progress *rebuildStatus `json:"progress,omitempty"`
	Report   *rebuildReport `json:"report,omitempty"` // in the last line only
}

// rebuildTells is how often whoever asked for a rebuild is told how far it is.
const rebuildTells = 200 * time.Millisecond

func (s *Server) serveRebuild(w http.ResponseWriter, r *http.Request) {
	what, err := rebuildRequestOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := newStream(w)
	var told time.Time
	report, err := rebuildAs(r.Context(), s.models, what, func(p *rebuildStatus) {
		if now := time.Now(); now.Sub(told) >= rebuildTells {
			told = now
			out.encode(rebuildStep{Progress: p})
			out.flush()
		}
	})
	if err == nil {
		err = out.encode(rebuildStep{Report: report})
	}
	out.end(err)
}

// stream writes JSON lines as a response whose trailer says why it ended early.
type stream struct {
	*json.Encoder
	w http.ResponseWriter
}

func newStream(w http.ResponseWriter) stream {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Trailer", errorTrailer)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return stream{encoder, w}
}

func (s stream) encode(v any) error { return s.Encode(v) }

func (s stream) flush() error { return http.NewResponseController(s.w).Flush() }

func (s stream) end(err error) {
	if err != nil {
		s.w.Header().Set(errorTrailer, strconv.Quote(err.Error()))
	}
}

// remote is a running server as its control socket shows it.
type remote struct{ http http.Client }

// dialControl returns the running server of a data directory, or nil when none
// answers there.
func dialControl(dir string) *remote {
	path := filepath.Join(dir, controlName)
	conn, err := dialUnix(context.Background(), path)
	if err != nil {
		return nil
	}
	conn.Close()
	return &remote{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) },
	}}}
}

// lines calls emit with each JSON value of a response's stream.
func (r *remote) lines(ctx context.Context, method, path string, query url.Values, emit func(json.RawMessage) error) error {
	target := url.URL{Scheme: "http", Host: "roomlog", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return fmt.Errorf("the running server does not answer on its control socket: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("the running server answered: %s", text)
	}
	for decoder := json.NewDecoder(response.Body); ; {
		var line json.RawMessage
		err := decoder.Decode(&line)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("the running server stopped half-way: %w", err)
		}
		if err := emit(line); err != nil {
			return err
		}
	}
	if quoted := response.Trailer.Get(errorTrailer); quoted != "" {
		text, _ := strconv.Unquote(quoted)
		return fmt.Errorf("the running server failed half-way: %s", text)
	}
	return nil
}
