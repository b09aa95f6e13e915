package realtime

import (
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// since is set from when the rest of a frame is waited for until its message is whole,
// and not between messages, whatever control frames there were.
func TestSinceWhenAMessageIsWaitedFor(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	var r frameReader
	r.start(server, nil, 1000, func(ws.OpCode, []byte) {})
	read := make(chan error, 1)
	go func() {
		message, err := r.next()
		if err == nil {
			message.free()
		}
		read <- err
	}()
	waits := func(after string, want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); (r.since.Load() != 0) != want; {
			if time.Now().After(deadline) {
				t.Fatalf("after %s it is %v that a message is waited for", after, !want)
			}
		}
	}
	frame := func(op ws.OpCode, fin bool, text string) []byte {
		return ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, []byte(text))))
	}
	send := func(b []byte) {
		if _, err := client.Write(b); err != nil { // returns when it is read
			t.Fatal(err)
		}
	}
	ping, begin, end := frame(ws.OpPing, true, "x"), frame(ws.OpText, false, "{"), frame(ws.OpContinuation, true, "}")
	waits("nothing", false)
	send(ping[:1])
	waits("half a ping", true)
	send(ping[1:])
	waits("a ping", false)
	send(begin[:3])
	waits("half a fragment", true)
	send(begin[3:])
	send(ping)
	waits("a fragment and a ping", true)
	send(end)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	waits("a message", false)
}
