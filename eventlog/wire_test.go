package eventlog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// wireOf is a wire whose server has said what is given.
func wireOf(t testing.TB, said string) *wire {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, theirs) // PONGs
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
		theirs.Close()
	})
	return &wire{conn: ours, in: bufio.NewReader(strings.NewReader(said))}
}

func TestWire(t *testing.T) {
	w := wireOf(t, "PING\r\n+OK\r\n"+
		"MSG a.b 1 5\r\nhello\r\n"+
		"MSG a.b 1 re.ply 0\r\n\r\n"+
		"HMSG a.b 1 re.ply 24 29\r\nNATS/1.0\r\nce-id: x\r\n\r\n\r\nhello\r\n"+
		"HMSG in.1 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"+
		"-ERR 'Authorization Violation'\r\n")
	for i, want := range []message{
		{subject: "a.b", data: []byte("hello")},
		{subject: "a.b", reply: "re.ply"},
		{subject: "a.b", reply: "re.ply", header: []byte("NATS/1.0\r\nce-id: x\r\n\r\n\r\n"), data: []byte("hello")},
		{subject: "in.1", header: []byte("NATS/1.0 404 No Messages\r\n\r\n")},
	} {
		m, err := w.next(context.Background())
		if err != nil || m.subject != want.subject || m.reply != want.reply || string(m.header) != string(want.header) || string(m.data) != string(want.data) {
			t.Errorf("message %d is %+v, %v; want %+v", i, m, err, want)
		}
		if i == 3 && m.status() != "404 No Messages" {
			t.Errorf("its status is %q", m.status())
		}
	}
	if _, err := w.next(context.Background()); err == nil || !strings.Contains(err.Error(), "Authorization") {
		t.Errorf("an error of the server: %v", err)
	}
	for _, said := range []string{
		"", "MSG a 1\r\n", "MSG a 1 -5\r\n", "MSG a 1 99999999999\r\n", "MSG a 1 x\r\n", "HMSG a 1 r 9 5\r\n.....\r\n",
		"HMSG a 1 5\r\n12345\r\n", "MSG a 1 10\r\nshort\r\n", strings.Repeat("x", 100_000),
	} {
		if m, err := wireOf(t, said).next(context.Background()); err == nil {
			t.Errorf("%.40q was read as %+v", said, m)
		}
	}
}

func FuzzWire(f *testing.F) {
	f.Add("PING\r\nHMSG a.b 1 r 12 17\r\nNATS/1.0\r\n\r\nhello\r\n")
	f.Add("MSG a 1 5\r\nhello\r\n-ERR x\r\n")
	for _, r := range judged() {
		msg, _, _, err := encode(r, "events."+strings.ReplaceAll(r.Event, ":", "."), "/n")
		if err != nil {
			f.Fatal(err)
		}
		header := "NATS/1.0\r\n"
		for name, values := range msg.Header {
			header += name + ": " + values[0] + "\r\n"
		}
		header += "\r\n"
		f.Add(fmt.Sprintf("HMSG a 1 $JS.ACK.EVENTS.c1.1.42.7.1795456800123456789.3 %d %d\r\n%s%s\r\n", len(header), len(header)+len(msg.Data), header, msg.Data))
	}
	f.Fuzz(func(t *testing.T, said string) {
		w := wireOf(t, said)
		for range 10 {
			m, err := w.next(context.Background())
			if err != nil {
				return
			}
			_ = m.status()
			var r Record
			m.record(&r, 1)
			_, _ = parsePlace(m.reply)
		}
	})
}

func TestParsePlace(t *testing.T) {
	for reply, want := range map[string]place{
		"$JS.ACK.EVENTS.c1.1.42.7.1795456800123456789.3":            {42, 7},
		"$JS.ACK.hub.HASH.EVENTS.c1.1.42.7.1795456800123456789.3":   {42, 7},
		"$JS.ACK.hub.HASH.EVENTS.c1.1.42.7.1795456800123456789.3.x": {42, 7},
	} {
		if got, err := parsePlace(reply); err != nil || got != want {
			t.Errorf("%s: %v, %v", reply, got, err)
		}
	}
	for _, reply := range []string{"", "x", "$JS.ACK.EVENTS", "a.b.c.d.e.1.2.3.4"} {
		if got, err := parsePlace(reply); err == nil {
			t.Errorf("%q has place %v", reply, got)
		}
	}
}
