package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// cluster is two nodes of one log that take the same tokens.
type cluster struct {
	t      *testing.T
	secret string
	nodes  []*serverProcess
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	url, secret := outsideNATS(t), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret ", 7)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, secret: secret}
	for range 2 {
		c.nodes = append(c.nodes, serve(t, t.TempDir(), "--nats-url", url, "--auth-secret-file", secret, "--presence-grace", "10ms"))
	}
	return c
}

func (c *cluster) dial(s *serverProcess, user string, o client.Options, roles ...schema.Role) (*client.Client, error) {
	c.t.Helper()
	if o.Token == "" {
		o.Token = mint(c.t, c.secret, user, roles...)
	}
	one, err := client.Dial(c.t.Context(), s.url, o)
	if err == nil {
		c.t.Cleanup(func() { one.Close() })
	}
	return one, err
}

func (c *cluster) must(s *serverProcess, user string, o client.Options, roles ...schema.Role) *client.Client {
	c.t.Helper()
	one, err := c.dial(s, user, o, roles...)
	if err != nil {
		c.t.Fatalf("%s: %v", user, err)
	}
	return one
}

// everywhere opens a socket of the user on each node.
func (c *cluster) everywhere(user, token string) (all []*client.Client) {
	c.t.Helper()
	for _, s := range c.nodes {
		all = append(all, c.must(s, user, client.Options{Token: token}))
	}
	return all
}

// shutOut checks that the sockets were closed with 4503, and that on no node a token
// that is still good opens another, nor carries out a command.
func (c *cluster) shutOut(sockets []*client.Client, user, token string) {
	c.t.Helper()
	for i, socket := range sockets {
		select {
		case <-socket.Done():
		case <-time.After(patience):
			c.t.Fatalf("%s's socket on node %d is still open", user, i)
		}
		if got := closeCode(socket.Err()); got != schema.CloseSuspended {
			c.t.Errorf("%s's socket on node %d was closed with %d: %v", user, i, got, socket.Err())
		}
	}
	for i, s := range c.nodes {
		var refusal *schema.Error
		if _, err := c.dial(s, user, client.Options{Token: token}); !errors.As(err, &refusal) || refusal.Code != schema.Suspended {
			c.t.Errorf("node %d: %s connects: %v", i, user, err)
		}
		header, err := c.dial(s, user, client.Options{Token: token, Header: true}) // may be taken until its first command
		if err == nil {
			_, err = header.Do(c.t.Context(), "post:create", schema.PostCreate{Content: "still here"}, "")
		}
		if refusal = nil; !errors.As(err, &refusal) || refusal.Code != schema.Suspended {
			c.t.Errorf("node %d: %s posts with the token in the handshake: %v", i, user, err)
		}
	}
}

func closeCode(err error) schema.CloseCode {
	var closed *client.CloseError
	if !errors.As(err, &closed) {
		return 0
	}
	return closed.Code
}

// online says for whom the user is online, asked of each node.
func (c *cluster) online(askers []*client.Client, user string) (all []bool) {
	c.t.Helper()
	for _, asker := range askers {
		f := do(c.t, asker, "presence:get", schema.PresenceGet{UserIDs: []string{user}})
		var page schema.Items[schema.Presence]
		if err := json.Unmarshal(f.Data, &page); err != nil || len(page.Items) != 1 {
			c.t.Fatalf("presence: %s (%v)", f.Data, err)
		}
		all = append(all, page.Items[0].Online)
	}
	return all
}

// A moderator on one node suspends a user of both: every socket closes, no token helps
// on any node, the user is offline for all; and it ends, by a moderator of the other
// node or by itself, on both.
func TestSuspensionOnEveryNode(t *testing.T) {
	c := newCluster(t)
	mod, second := c.must(c.nodes[0], "mod", client.Options{}, schema.RoleModerator), c.must(c.nodes[1], "second", client.Options{}, schema.RoleModerator)
	bobs := c.everywhere("bob", "")
	token := mint(t, c.secret, "eve")
	eves := c.everywhere("eve", token)
	presence := func(want bool) {
		t.Helper()
		eventually(t, func() (bool, string) {
			seen := c.online(bobs, "eve")
			return seen[0] == want && seen[1] == want, "eve to be seen by all as she is"
		})
	}
	presence(true)
	do(t, mod, "admin:suspend", schema.AdminSuspend{UserID: "eve", Reason: "spam"})
	c.shutOut(eves, "eve", token)
	presence(false)
	do(t, second, "admin:reinstate", schema.AdminReinstate{UserID: "eve", Reason: "appeal"})
	eves = eves[:0]
	for _, s := range c.nodes { // the other node hears of it a moment later
		eventually(t, func() (bool, string) {
			one, err := c.dial(s, "eve", client.Options{Token: token})
			if err == nil {
				eves = append(eves, one)
			}
			return err == nil, "eve to be let in again"
		})
	}
	presence(true)

	// With an end: nobody does anything about it, and it is over.
	const length = 3 * time.Second
	until := schema.TimeOf(time.Now().Add(length))
	last := do(t, second, "admin:suspend", schema.AdminSuspend{UserID: "eve", Until: &until, Reason: "again"}).Seq
	c.shutOut(eves, "eve", token)
	for i, s := range c.nodes {
		eventually(t, func() (bool, string) {
			_, err := c.dial(s, "eve", client.Options{Token: token})
			return err == nil, "the suspension to end"
		})
		if early := time.Until(until.Go()); early > 0 {
			t.Errorf("node %d lets eve in %s early", i, early)
		}
	}
	if status := liveStatus(t, c.nodes[0].dir); status.Log.Durable != last {
		t.Errorf("the log has a record after that of the suspension at %d: %+v", last, status.Log)
	}
	presence(true)
}
