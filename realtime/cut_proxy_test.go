package realtime_test

import (
	"net"
	"sync"
	"testing"
)

// cutter stands between a client and the server and cuts the connection without a
// word: after so many bytes of both directions together, then of the next
// connection after so many more. When no cuts are left it cuts no more.
type cutter struct {
	listener net.Listener
	to       string
	copying  sync.WaitGroup

	mu    sync.Mutex
	cuts  []int // bytes until a cut, the next one first
	cut   int   // how often it has cut
	conns map[net.Conn]bool
}

func newCutter(t testing.TB, to string, cuts []int) *cutter {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, to: to, cuts: cuts, conns: map[net.Conn]bool{}}
	c.copying.Go(c.accept)
	return c
}

func (c *cutter) url() string { return "ws://" + c.listener.Addr().String() + "/ws" }

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.to)
		if err != nil {
			client.Close()
			continue
		}
		c.mu.Lock()
		c.conns[client], c.conns[server] = true, true
		c.mu.Unlock()
		c.copying.Go(func() { c.copy(client, server) })
		c.copying.Go(func() { c.copy(server, client) })
	}
}

func (c *cutter) copy(to, from net.Conn) {
	defer c.end(to, from)
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		passed, ends := c.pass(n)
		if _, failed := to.Write(b[:passed]); failed != nil || ends || err != nil {
			return
		}
	}
}

// pass says how many of n bytes pass, and whether the connection is cut then.
func (c *cutter) pass(n int) (passed int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cuts) == 0 {
		return n, false
	}
	if n < c.cuts[0] {
		c.cuts[0] -= n
		return n, false
	}
	passed = c.cuts[0]
	c.cuts = c.cuts[1:]
	c.cut++
	return passed, true
}

func (c *cutter) end(conns ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
		delete(c.conns, conn)
	}
}

func (c *cutter) close() {
	c.listener.Close()
	c.mu.Lock()
	for conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.copying.Wait()
}
