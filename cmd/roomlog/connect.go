package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

type connectCmd struct {
	Server string        `default:"${server}" placeholder:"URL" help:"The server (${default})."`
	As     string        `required:"" xor:"who" placeholder:"ID" help:"User id to connect as, with a token minted here."`
	Token  string        `required:"" xor:"who" placeholder:"JWT" help:"Token to connect with, for servers that trust another issuer."`
	Role   []schema.Role `enum:"user,moderator,admin,auditor,operator" help:"Role beyond user; may be repeated."`
	JSON   bool          `name:"json" help:"Print every frame received as one line, nothing else."`
	minting
}

// Help is shown by roomlog connect --help.
func (c *connectCmd) Help() string {
	return `Type one command a line: the event's name, then its data as JSON if it has any:

  post:create {"content":"hello"}
  feed:get

Acks, errors and pushes are printed as they arrive. At end of input it waits for
the acks of what it sent and leaves. A command that the server refuses does not
change the exit code; a lost connection does, and a line that is no command.`
}

// maxLine is longer than any frame a server takes.
const maxLine = 1 << 20

// maxUnacked is how many commands may wait for their acks, fewer than a server
// refuses: a long input is sent as fast as it is answered.
const maxUnacked = 32

// terminal is one interactive session.
type terminal struct {
	json   bool
	colour bool

	mu      sync.Mutex // guards out and waiting
	out     io.Writer
	waiting int
	acked   chan struct{} // has room for one: waiting fell
}

// Run connects and passes lines on until the input or the connection ends.
func (c *connectCmd) Run(a *app) error {
	t := &terminal{json: c.JSON, colour: isTerminal(a.out), out: a.out, acked: make(chan struct{}, 1)}
	conn, err := c.connect(a.ctx, client.Options{OnFrame: t.frame, OnPush: func(schema.Frame) {}, Token: c.Token})
	if err != nil {
		return err
	}
	defer conn.Close()
	if isTerminal(a.in) && !c.JSON {
		fmt.Fprintf(a.out, "connected as %s; type EVENT JSON, such as post:create {\"content\":\"hello\"}; end with Ctrl-D\n", conn.Connected().User.ID)
	}
	lines := make(chan string)
	read := make(chan error, 1)
	go func() { read <- readLines(a.in, lines) }() // a read that is under way at the end dies with the process
	wrong := 0                                     // lines
	for {
		next := lines
		if t.unacked() >= maxUnacked {
			next = nil
		}
		select {
		case <-t.acked:
		case line := <-next:
			err := t.send(conn, line)
			if errors.Is(err, errNoCommand) {
				wrong++
				fmt.Fprintln(a.err, "roomlog:", err)
			} else if err != nil {
				return err
			}
		case err := <-read:
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("a line has more than %d bytes, which no server takes", maxLine)
			}
			if err != nil {
				err = fmt.Errorf("cannot read the input: %w", err)
			} else if wrong > 0 {
				err = usagef("%d of the lines were no commands", wrong)
			}
			return errors.Join(t.waitForAcks(a, conn), err)
		case <-conn.Done():
			return t.lost(conn)
		case <-a.ctx.Done():
			return nil
		}
	}
}

func (c *connectCmd) connect(ctx context.Context, o client.Options) (*client.Client, error) {
	if c.Token != "" {
		return dial(ctx, c.Server, o)
	}
	return c.dial(ctx, c.Server, realtime.Identity{Actor: schema.Actor{ID: c.As}, Roles: c.Role}, o)
}

// readLines sends each line of in.
func readLines(in io.Reader, lines chan<- string) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		lines <- scanner.Text()
	}
	return scanner.Err()
}

var errNoCommand = errors.New(`is not EVENT JSON, such as post:create {"content":"hello"}`)

// send passes one line on. errNoCommand is a message to the person, not the end of
// the session.
func (t *terminal) send(conn *client.Client, line string) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	event, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	if !utf8.ValidString(line) || text != "" && !json.Valid([]byte(text)) {
		return fmt.Errorf("%.200q %w", line, errNoCommand)
	}
	var data any
	if text != "" {
		data = json.RawMessage(text)
	}
	t.mu.Lock()
	t.waiting++
	t.mu.Unlock()
	return conn.Send(event, data, "", func(schema.Frame) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting--
		select {
		case t.acked <- struct{}{}:
		default:
		}
	})
}

func (t *terminal) unacked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

func (t *terminal) waitForAcks(a *app, conn *client.Client) error {
	for {
		if t.unacked() == 0 {
			return conn.Err()
		}
		select {
		case <-t.acked:
		case <-conn.Done():
			return t.lost(conn)
		case <-a.ctx.Done():
			return nil
		}
	}
}

func (t *terminal) lost(conn *client.Client) error {
	if err := conn.Err(); err != nil {
		return err
	}
	return errors.New("the connection ended before every ack had come")
}

// frame prints a frame from the server.
func (t *terminal) frame(raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.json {
		fmt.Fprintf(t.out, "%s\n", raw)
		return
	}
	var f schema.Frame
	if err := json.Unmarshal(raw, &f); err != nil || f.Event == "socket:hello" {
		return // the client says what is wrong with it; a hello is not news
	}
	fmt.Fprintln(t.out, t.readable(&f))
}

// The colours of a terminal (ECMA-48, SGR).
const (
	green = "32"
	red   = "31"
	blue  = "34"
)

func (t *terminal) readable(f *schema.Frame) string {
	switch {
	case f.Error != nil:
		return fmt.Sprintf("%s %s: %s", t.paint(red, "error"), f.Error.Code, f.Error.Message)
	case f.OK != nil && f.Seq != 0:
		note := ""
		if f.Duplicate {
			note = ", a duplicate of it"
		}
		return fmt.Sprintf("%s seq %d%s %s", t.paint(green, "ok"), f.Seq, note, compact(f.Data))
	case f.OK != nil:
		return fmt.Sprintf("%s %s", t.paint(green, "ok"), compact(f.Data))
	case f.Seq != 0:
		return fmt.Sprintf("%s in %s, seq %d %s", t.paint(blue, f.Event), f.Room, f.Seq, compact(f.Data))
	case f.Room != "":
		return fmt.Sprintf("%s in %s %s", t.paint(blue, f.Event), f.Room, compact(f.Data))
	}
	return fmt.Sprintf("%s %s", t.paint(blue, f.Event), compact(f.Data))
}

func (t *terminal) paint(colour, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// compact shows JSON on one line of a terminal. What users wrote must not steer
// it: runes that do not print (controls, changes of the direction of writing) are
// shown by number, which JSON allows.
func compact(data json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return data
	}
	out := make([]byte, 0, b.Len())
	for _, r := range b.String() {
		if unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
