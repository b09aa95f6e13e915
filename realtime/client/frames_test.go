package client_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"roomlog/realtime/client"
	"roomlog/schema"
)

func TestPingIsAnsweredWithItsPayload(t *testing.T) {
	pongs := make(chan []byte, 3)
	payloads := [][]byte{nil, []byte("x"), bytes.Repeat([]byte("p"), 125)}
	s := serve(t, func(p *peer) {
		for _, payload := range payloads {
			p.frame(ws.NewPingFrame(payload))
			f, _ := p.next()
			if f.Header.OpCode != ws.OpPong {
				t.Errorf("answer %+v", f.Header)
			}
			pongs <- f.Payload
		}
		p.echo()
	})
	dial(t, s, client.Options{})
	for _, want := range payloads {
		if got := <-pongs; !bytes.Equal(got, want) {
			t.Errorf("pong %q, want %q", got, want)
		}
	}
}

func TestMessagesOfEveryLength(t *testing.T) {
	s := serve(t, (*peer).echo)
	c := dial(t, s, client.Options{})
	// Around the lengths at which the frame header grows and buffers change.
	for _, n := range []int{0, 60, 61, 62, 63, 64, 65, 66, 90, 125, 126, 127, 2000, 2040, 4096, 65400, 65460, 65470, 65480, 65490, 65500, 65535, 65536, 300_000} {
		want := fmt.Sprintf(`{"content":%q}`, strings.Repeat("x", n))
		f, err := c.Do(t.Context(), "post:create", schema.PostCreate{Content: strings.Repeat("x", n)}, "")
		if err != nil || string(f.Data) != want {
			t.Fatalf("%d bytes: got %d back (%v)", n, len(f.Data), err)
		}
	}
}

func TestFragmentedMessageWithPingsBetween(t *testing.T) {
	s := serve(t, func(p *peer) {
		cmd, _ := p.command()
		message := fmt.Sprintf(`{"id":%s,"ok":true,"data":"ein Blümchen"}`, cmd.ID)
		p.frame(ws.NewFrame(ws.OpText, false, nil))
		for i := range len(message) { // splits the ü too
			p.frame(ws.NewPingFrame([]byte{byte(i)}))
			p.frame(ws.NewFrame(ws.OpContinuation, false, []byte(message[i:i+1])))
		}
		p.frame(ws.NewFrame(ws.OpContinuation, true, nil))
		p.echo()
	})
	c := dial(t, s, client.Options{})
	f, err := c.Do(t.Context(), "socket:ping", nil, "")
	if err != nil || string(f.Data) != `"ein Blümchen"` {
		t.Fatalf("got %s (%v)", f.Data, err)
	}
	if _, err := c.Do(t.Context(), "socket:ping", nil, ""); err != nil {
		t.Error(err)
	}
}

// What a broken server may do, and the close code that the client answers.
func TestBreachesOfTheProtocol(t *testing.T) {
	rsv := ws.NewTextFrame([]byte("{}"))
	rsv.Header.Rsv = 4
	for _, c := range []struct {
		name   string
		frames []ws.Frame
		want   ws.StatusCode
	}{
		{"masked", []ws.Frame{ws.MaskFrame(ws.NewTextFrame([]byte("{}")))}, 1002},
		{"reserved bit", []ws.Frame{rsv}, 1002},
		{"reserved opcode", []ws.Frame{ws.NewFrame(3, true, nil)}, 1002},
		{"fragmented ping", []ws.Frame{ws.NewFrame(ws.OpPing, false, nil)}, 1002},
		{"long ping", []ws.Frame{ws.NewPingFrame(make([]byte, 126))}, 1002},
		{"continuation of nothing", []ws.Frame{ws.NewFrame(ws.OpContinuation, true, []byte("{}"))}, 1002},
		{"text within a text", []ws.Frame{ws.NewFrame(ws.OpText, false, []byte("{")), ws.NewTextFrame([]byte("}"))}, 1002},
		{"close code 1005", []ws.Frame{ws.NewCloseFrame(ws.NewCloseFrameBody(1005, ""))}, 1002},
		{"close reason that is not UTF-8", []ws.Frame{ws.NewCloseFrame([]byte("\x03\xe8\xff"))}, 1002},
		{"binary", []ws.Frame{ws.NewBinaryFrame([]byte("{}"))}, 1003},
		{"binary in fragments", []ws.Frame{ws.NewFrame(ws.OpBinary, false, []byte("{")), ws.NewFrame(ws.OpContinuation, true, []byte("}"))}, 1003},
		{"not UTF-8", []ws.Frame{ws.NewTextFrame([]byte("{\"event\":\"\xff\"}"))}, 1007},
		{"not JSON", []ws.Frame{ws.NewTextFrame([]byte("hello"))}, 1008},
		{"hello twice", []ws.Frame{ws.NewTextFrame([]byte(`{"event":"socket:hello","n":2,"data":{}}`))}, 1008},
	} {
		t.Run(c.name, func(t *testing.T) {
			answered := make(chan ws.StatusCode, 1)
			s := serve(t, func(p *peer) {
				for _, f := range c.frames {
					p.frame(f)
				}
				f, _ := p.next()
				code, _ := ws.ParseCloseFrameData(f.Payload)
				answered <- code
			})
			cl := dial(t, s, client.Options{})
			e := waitEnd(t, cl)
			if got := <-answered; got != c.want || e == nil || e.Code != schema.CloseCode(c.want) || e.Reconnect() {
				t.Errorf("answered %d and ended with %+v, want %d", got, e, c.want)
			}
		})
	}
}

func TestServerThatPromisesTooMuch(t *testing.T) {
	s := serve(t, func(p *peer) {
		ws.WriteHeader(p.Conn, ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 40})
		p.next()
	})
	if e := waitEnd(t, dial(t, s, client.Options{})); e == nil || e.Code != 1009 {
		t.Errorf("ended with %+v, want 1009", e)
	}
}

// BenchmarkPush is what a push costs a client: read and skipped, handed over as
// bytes, and decoded.
func BenchmarkPush(b *testing.B) {
	for _, c := range []struct {
		name string
		o    func(n *int) client.Options
	}{
		{"bytes", func(n *int) client.Options { return client.Options{OnFrame: func([]byte) { *n++ }} }},
		{"decoded", func(n *int) client.Options { return client.Options{OnPush: func(schema.Frame) { *n++ }} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			frame := `{"event":"post:like","room":"post:01JD0000000000000000000000","seq":1042,"n":%d,"time":"2026-11-23T18:00:00.000Z","data":{"likesCount":3}}`
			s := serve(b, func(p *peer) {
				cmd, _ := p.command()
				var batch []byte
				for i := range b.N {
					f := ws.MustCompileFrame(ws.NewTextFrame(fmt.Appendf(nil, frame, i+2)))
					if batch = append(batch, f...); len(batch) > 32<<10 {
						p.Write(batch)
						batch = batch[:0]
					}
				}
				p.Write(batch)
				p.ack(cmd.ID, nil)
				p.echo()
			})
			b.ReportAllocs()
			n := 0
			cl := dial(b, s, c.o(&n))
			if _, err := cl.Do(b.Context(), "socket:ping", nil, ""); err != nil {
				b.Fatal(err)
			}
			if n < b.N {
				b.Errorf("%d pushes of %d", n, b.N)
			}
		})
	}
}

func BenchmarkDo(b *testing.B) {
	c := dial(b, serve(b, (*peer).echo), client.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Do(b.Context(), "post:like", schema.PostAction{PostID: "01JD0000000000000000000000", Action: schema.ActionLike}, ""); err != nil {
			b.Fatal(err)
		}
	}
}
