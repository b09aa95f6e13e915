package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

var secret = []byte("a shared secret of more than 32 bytes, for tests")

// realServer is roomlog itself, in a temporary folder.
type realServer struct {
	URL  string
	stop func() // drains; may be called twice
}

func startServer() (*realServer, error) {
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	log, err := eventlog.Open(ctx, eventlog.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	var server *realtime.Server
	models, err := projections.Open(ctx, projections.Config{
		Path: filepath.Join(dir, "models.db"), Log: log,
		Deliver: func(a []projections.Applied) { server.Deliver(a) },
	})
	if err != nil {
		return nil, err
	}
	cfg := realtime.Defaults()
	cfg.Log, cfg.Models = log, models
	if cfg.Auth, err = realtime.NewAuth(ctx, realtime.AuthConfig{Secret: secret}); err != nil {
		return nil, err
	}
	if server, err = realtime.New(cfg); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	applying, stopApplying := context.WithCancel(ctx)
	serving, stopServing := context.WithCancel(ctx)
	var applier, sockets sync.WaitGroup
	applier.Go(func() { models.Run(applying) })
	sockets.Go(func() { server.Serve(serving, ln) })
	stop := sync.OnceFunc(func() {
		stopServing()
		sockets.Wait()
		stopApplying()
		applier.Wait()
		models.Close()
		log.Close()
		cfg.Auth.Close()
		os.RemoveAll(dir)
	})
	return &realServer{URL: fmt.Sprintf("ws://%s/ws", ln.Addr()), stop: stop}, nil
}

func tokenFor(user string) string {
	now := time.Now()
	id := realtime.Identity{Actor: schema.Actor{ID: user}, Expires: now.Add(time.Hour)}
	token, err := realtime.MintToken(secret, id, "", "", now)
	if err != nil {
		panic(err)
	}
	return token
}

func TestAgainstTheRealServer(t *testing.T) {
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	dialAs := func(user string, o client.Options) *client.Client {
		t.Helper()
		o.Token = tokenFor(user)
		c, err := client.Dial(t.Context(), s.URL, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}

	pushes := make(chan schema.Frame, 100)
	alice := dialAs("alice", client.Options{OnPush: func(f schema.Frame) { pushes <- f }})
	bob := dialAs("bob", client.Options{Header: true, Namespaces: []schema.Namespace{schema.Social}})
	if c := bob.Connected(); c.User.ID != "bob" || len(c.Namespaces) != 1 {
		t.Errorf("bob is connected as %+v", c)
	}
	if h := alice.Hello(); h.SocketID == "" || h.MaxFrameBytes != 64<<10 || h.PingInterval != 25000 || h.Log.Epoch == "" {
		t.Errorf("hello %+v", h)
	}

	ack, err := alice.Do(t.Context(), "post:create", schema.PostCreate{Content: "hello <&> 夜"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var created schema.PostCreated
	if err := json.Unmarshal(ack.Data, &created); err != nil || created.Post.Content != "hello <&> 夜" {
		t.Errorf("created %s (%v)", ack.Data, err)
	}
	const n = 50
	acked := make(chan uint64, n)
	for i := range n {
		comment := schema.PostComment{PostID: created.Post.ID, Content: fmt.Sprint(i)}
		if err := bob.Send("post:comment", comment, fmt.Sprintf("key %d", i), func(f schema.Frame) { acked <- f.Seq }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if seq := <-acked; seq != ack.Seq+uint64(i)+1 {
			t.Errorf("ack %d has seq %d", i, seq)
		}
	}
	for i := 0; i < n; {
		f := <-pushes
		if f.Event != "post:comment" {
			continue
		}
		var p schema.PostCommented
		if err := json.Unmarshal(f.Data, &p); err != nil || p.Comment.Content != fmt.Sprint(i) || p.CommentsCount != i+1 {
			t.Errorf("push %d is %s (%v)", i, f.Data, err)
		}
		i++
	}

	first, err := bob.Do(t.Context(), "post:like", schema.PostAction{PostID: created.Post.ID, Action: schema.ActionLike}, "once")
	again, err2 := bob.Do(t.Context(), "post:like", schema.PostAction{PostID: created.Post.ID, Action: schema.ActionLike}, "once")
	if err != nil || err2 != nil || !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("a retry got %+v (%v), the first %+v (%v)", again, err2, first, err)
	}
	var refused *schema.Error
	if _, err := bob.Do(t.Context(), "post:delete", schema.PostRef{PostID: created.Post.ID}, ""); !errors.As(err, &refused) || refused.Code != schema.NotPermitted {
		t.Errorf("deleting another's post: %v", err)
	}

	s.stop() // drains
	e := waitEnd(t, alice)
	if e == nil || e.Code != schema.CloseShuttingDown || !e.Reconnect() || e.RetryAfter() <= 0 || e.Farewell.UserID != "alice" {
		t.Errorf("alice's connection ended with %+v", e)
	}
}

func TestRealServerRefuses(t *testing.T) {
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	_, err = client.Dial(t.Context(), s.URL, client.Options{Token: "forged", Header: true})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized || refused.Message == "" {
		t.Errorf("a forged token in the handshake: %v", err)
	}
	_, err = client.Dial(t.Context(), s.URL, client.Options{Token: "forged"})
	var e *schema.Error
	if !errors.As(err, &e) || e.Code != schema.InvalidToken {
		t.Errorf("a forged token in socket:connect: %v", err)
	}
	_, err = client.Dial(t.Context(), s.URL, client.Options{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("another site's page: %v", err)
	}
}

func ExampleDial() {
	server, err := startServer() // elsewhere: roomlog serve
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.stop()
	ctx := context.Background()

	c, err := client.Dial(ctx, server.URL, client.Options{Token: tokenFor("alice")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("connected as", c.Connected().User.ID)

	// With a key the command can be sent again after a lost connection: it is
	// carried out once.
	ack, err := c.Do(ctx, "post:create", schema.PostCreate{Content: "To be, or not to be #hamlet"}, "my-first-post")
	if err != nil {
		fmt.Println(err)
		return
	}
	var created schema.PostCreated
	if err := json.Unmarshal(ack.Data, &created); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("record", ack.Seq, "by", created.Post.Author.ID, "about", created.Post.Hashtags)

	// What the server refuses comes back as a *schema.Error.
	_, err = c.Do(ctx, "user:follow", schema.UserFollow{FollowingID: "alice", Action: schema.ActionFollow}, "")
	fmt.Println(err)

	// Output:
	// connected as alice
	// record 1 by alice about [hamlet]
	// ONESELF: this cannot be done to oneself
}
