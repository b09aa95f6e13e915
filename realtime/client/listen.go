package client

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gobwas/ws"
)

// listener reads from the connection, and notices that a server has gone silent:
// a server pings every pingInterval of its socket:hello. When nothing has arrived
// for that and a fifth more, the client pings; when nothing arrives for another
// fifth, the connection counts as lost (at the usual 25 s: after 30 and 35 s).
type listener struct{ c *Client }

func (l listener) Read(b []byte) (int, error) {
	c := l.c
	interval := time.Duration(c.hello.PingInterval) * time.Millisecond
	if interval <= 0 { // it has not said yet
		return c.conn.Read(b)
	}
	patience := interval / 5
	c.listenFor(interval + patience)
	n, err := c.conn.Read(b)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !c.listenFor(patience) {
		return n, err
	}
	if err := c.write(ws.OpPing, nil); err != nil {
		return 0, err
	}
	n, err = c.conn.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing came from the server for %v: %w", interval+2*patience, err)
	}
	return n, err
}

// listenFor bounds the next read, unless Close has bounded it already.
func (c *Client) listenFor(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.conn.SetReadDeadline(time.Now().Add(d))
	}
	return !c.closing
}
