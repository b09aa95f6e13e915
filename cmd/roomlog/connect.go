package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

type connectCmd struct {
	Server   string         `default:"${server}" placeholder:"URL" help:"The server (${default})."`
	As       string         `required:"" xor:"who" placeholder:"ID" help:"User id to connect as, with a token minted here."`
	Token    string         `required:"" xor:"who" placeholder:"JWT" help:"Token to connect with, for servers that trust another issuer."`
	Role     []schema.Role  `enum:"user,moderator,admin,auditor,operator" help:"Role beyond user; may be repeated."`
	JSON     bool           `name:"json" help:"Print every frame received as one line, nothing else."`
	RetryFor *time.Duration `placeholder:"D" help:"How long to try to come back after a lost connection, 0s for not at all (as long as there is input, and a minute after its end)."`
	minting
}

// Help is shown by roomlog connect --help.
func (c *connectCmd) Help() string {
	return `Type one command a line: the event's name, then its data as JSON if it has any:

  post:create {"content":"hello"}
  feed:get

Acks, errors and pushes are printed as they arrive. At end of input it waits for
the acks of what it sent and leaves. A command that the server refuses does not
change the exit code; a line that is no command does.

A lost connection is made again: rooms that were joined are joined again, pushes
that were missed are printed, commands without an ack are sent again, and carried
out once. When it does not come back in time (--retry-for), the exit code is 1.`
}

// maxLine is longer than any frame a server takes.
const maxLine = 1 << 20

// maxUnacked is how many commands may wait for their acks: a long input is read as
// fast as it is answered.
const maxUnacked = 32

// lastMinute is how long it waits after the end of input while nothing moves.
const lastMinute = time.Minute

// Run passes lines on until the input ends and is answered, or the session ends.
func (c *connectCmd) Run(a *app) error {
	t := &terminal{
		json:     c.JSON,
		colour:   isTerminal(a.out),
		quiet:    c.JSON || c.RetryFor != nil && *c.RetryFor <= 0,
		retryFor: c.RetryFor,
		out:      a.out,
		err:      a.err,
		changed:  make(chan struct{}, 1),
	}
	session, err := open(a.ctx, c.Server, client.SessionOptions{
		Token:   func(context.Context) (string, error) { return c.token() },
		OnFrame: t.frame,
		OnState: t.state,
	})
	if err != nil {
		return err
	}
	defer session.Close()
	if isTerminal(a.in) && !c.JSON {
		fmt.Fprintf(a.out, "connected as %s; type EVENT JSON, such as post:create {\"content\":\"hello\"}; end with Ctrl-D\n", session.User().ID)
	}
	lines := make(chan string)
	read := make(chan error, 1)
	go func() { read <- readLines(a.in, lines) }() // a read that is under way at the end dies with the process
	timer := time.NewTimer(lastMinute)
	defer timer.Stop()
	for {
		if t.ended && t.unacked() == 0 {
			return t.verdict()
		}
		next := lines
		if t.unacked() >= maxUnacked {
			next = nil
		}
		var over <-chan time.Time
		if left, bounded := t.timeLeft(); bounded {
			timer.Reset(left)
			over = timer.C
		}
		select {
		case <-t.changed:
		case line := <-next:
			t.take(session, line)
		case err := <-read:
			t.endOfInput(err)
		case <-over:
			return t.gaveUp()
		case <-session.Done():
			return session.Err()
		case <-a.ctx.Done():
			return nil
		}
	}
}

// token returns the token for the next connection.
func (c *connectCmd) token() (string, error) {
	if c.Token != "" {
		return c.Token, nil
	}
	return c.minting.token(realtime.Identity{Actor: schema.Actor{ID: c.As}, Roles: c.Role}, tokenLife)
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
