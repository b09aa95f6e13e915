package client_test

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// A server that says nothing for longer than it promised is pinged, and then given up.
func TestSilentServerIsLost(t *testing.T) {
	pinged := make(chan struct{}, 1)
	s := serveHello(t, schema.Hello{PingInterval: 50}, func(p *peer) {
		for {
			f, ok := p.next()
			if !ok {
				return
			}
			if f.Header.OpCode == ws.OpPing {
				pinged <- struct{}{}
			}
		}
	})
	c := dial(t, s, client.Options{})
	e := waitEnd(t, c)
	if e == nil || !e.Reconnect() || !strings.Contains(e.Error(), "nothing came from the server for 70ms") {
		t.Errorf("ended with %v", e)
	}
	<-pinged
}

func TestAnsweredPingKeepsTheConnection(t *testing.T) {
	pings := make(chan int, 1)
	s := serveHello(t, schema.Hello{PingInterval: 50}, func(p *peer) {
		for n := 1; ; {
			f, ok := p.next()
			if !ok {
				return
			}
			if f.Header.OpCode == ws.OpPing {
				p.frame(ws.NewPongFrame(f.Payload))
				if n++; n == 4 {
					pings <- n
				}
			}
		}
	})
	c := dial(t, s, client.Options{})
	<-pings
	if c.Err() != nil {
		t.Error(c.Err())
	}
}
