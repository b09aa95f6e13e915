package client_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"roomlog/schema"
)

func TestMain(m *testing.M) {
	// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
	// its own waiting for an answer, for 30 seconds at most.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// scripted is a server that does what a test says, for what the real one never does.
type scripted struct {
	URL string
	wg  sync.WaitGroup
}

// serve starts a server that upgrades every connection, greets it, and calls
// script in the connection's own goroutine.
func serve(t testing.TB, script func(*peer)) *scripted {
	t.Helper()
	return serveHello(t, schema.Hello{SocketID: "S1", Protocol: schema.Protocol, PingInterval: 25000, Log: schema.LogPosition{Epoch: "E1"}}, script)
}

func serveHello(t testing.TB, hello schema.Hello, script func(*peer)) *scripted {
	t.Helper()
	return serveRaw(t, func(conn net.Conn) {
		p := &peer{Conn: conn}
		up := ws.Upgrader{
			Protocol: func(b []byte) bool { p.subprotocol = string(b); return p.subprotocol == schema.Subprotocol },
			OnHeader: func(k, v []byte) error {
				if string(k) == "Authorization" {
					p.authorization = string(v)
				}
				return nil
			},
		}
		if _, err := up.Upgrade(conn); err != nil {
			return
		}
		p.br = bufio.NewReader(conn)
		p.push("socket:hello", hello)
		script(p)
	})
}

func serveRaw(t testing.TB, handle func(net.Conn)) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{URL: fmt.Sprintf("ws://%s/ws", ln.Addr())}
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.wg.Wait()
	})
	return s
}

// peer is the server's end of one connection.
type peer struct {
	net.Conn
	br            *bufio.Reader
	subprotocol   string
	authorization string
	n             uint64
}

// next returns the next frame of the client, unmasked; ok is false at the end.
func (p *peer) next() (f ws.Frame, ok bool) {
	h, err := ws.ReadHeader(p.br)
	if err != nil {
		return f, false
	}
	if err := ws.CheckHeader(h, ws.StateServerSide); err != nil {
		panic(err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.br, payload); err != nil {
		return f, false
	}
	return ws.UnmaskFrameInPlace(ws.Frame{Header: h, Payload: payload}), true
}

// command returns the next command of the client; ok is false when it closes.
func (p *peer) command() (c schema.Command, ok bool) {
	for {
		f, ok := p.next()
		if !ok {
			return c, false
		}
		switch f.Header.OpCode {
		case ws.OpText:
			if err := json.Unmarshal(f.Payload, &c); err != nil {
				panic(err)
			}
			return c, true
		case ws.OpClose:
			p.frame(ws.NewCloseFrame(f.Payload))
			return c, false
		}
	}
}

func (p *peer) frame(f ws.Frame) { ws.WriteFrame(p.Conn, f) }

func (p *peer) text(format string, args ...any) {
	p.frame(ws.NewTextFrame(fmt.Appendf(nil, format, args...)))
}

func (p *peer) push(event string, data any) {
	p.n++
	p.text(`{"event":%q,"n":%d,"time":"2026-11-23T18:00:00.000Z","data":%s}`, event, p.n, encode(data))
}

// record pushes a record of the log.
func (p *peer) record(seq uint64) {
	p.n++
	p.text(`{"event":"post:create","room":"user:alice","seq":%d,"n":%d,"data":{}}`, seq, p.n)
}

// connect answers socket:connect as one who begins, and returns what it asked for.
func (p *peer) connect(seq uint64) (c schema.Connect) {
	cmd, ok := p.command()
	if !ok {
		return c
	}
	if err := json.Unmarshal(cmd.Data, &c); err != nil {
		panic(err)
	}
	p.ack(cmd.ID, schema.Connected{User: schema.Actor{ID: "alice"}, Rooms: []string{"user:alice"}, Seq: seq})
	return c
}

func (p *peer) ack(id json.RawMessage, data any) {
	p.text(`{"id":%s,"ok":true,"data":%s}`, id, encode(data))
}

func (p *peer) fail(id json.RawMessage, code schema.Code) {
	p.text(`{"id":%s,"ok":false,"error":{"code":%q,"message":"no","temporary":true,"timestamp":"2026-11-23T18:00:00.000Z","retryAfterMs":1500}}`, id, code)
}

func (p *peer) close(code ws.StatusCode, reason string) {
	p.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// echo acks every command with its own data until the client closes.
func (p *peer) echo() {
	for {
		c, ok := p.command()
		if !ok {
			return
		}
		data := c.Data
		if data == nil {
			data = json.RawMessage("{}")
		}
		p.ack(c.ID, data)
	}
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
