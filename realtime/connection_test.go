package realtime_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

func TestHelloAndConnect(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	hello, connected := alice.Hello(), alice.Connected()
	if hello.Protocol != schema.Protocol || hello.MaxFrameBytes != 64<<10 || hello.PingInterval != 25_000 || !schema.ValidID(hello.SocketID) {
		t.Errorf("hello: %+v", hello)
	}
	if hello.Log.Epoch != g.log.Epoch() {
		t.Errorf("the epoch is %q, hello says %q", g.log.Epoch(), hello.Log.Epoch)
	}
	want := schema.Connected{
		User:       schema.Actor{ID: "alice", Username: "alice"},
		Namespaces: []schema.Namespace{schema.Social, schema.Messaging, schema.Notifications},
		Rooms:      []string{"user:alice", "public"},
	}
	if !sameJSON(encode(t, connected), encode(t, want)) {
		t.Errorf("connected: %+v, want %+v", connected, want)
	}
	alice.refused(schema.AlreadyConnected, "socket:connect", schema.Connect{Token: tokenFor(t, "alice")})
	if pong := as[schema.Pong](t, alice.do("socket:ping", nil)); time.Since(pong.Time.Go()).Abs() > time.Minute {
		t.Errorf("the server's clock says %v", pong.Time)
	}
	alice.post("something that came before")
	if got := g.connect(t, "alice").Connected().Seq; got != 1 {
		t.Errorf("connected as of %d, with a log of 1", got)
	}
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	return must(json.Marshal(v))
}

func TestRolesDecideNamespacesAndRooms(t *testing.T) {
	g := openGateway(t, nil)
	all := []schema.Namespace{schema.Social, schema.Messaging, schema.Notifications, schema.Admin}
	for _, c := range []struct {
		role  schema.Role
		admin bool
	}{{schema.RoleUser, false}, {schema.RoleModerator, true}, {schema.RoleAdmin, true}, {schema.RoleAuditor, false}, {schema.RoleOperator, false}} {
		p := g.connectWith(t, "u", client.Options{Token: tokenFor(t, "u", c.role), Namespaces: all})
		got := p.Connected()
		if slices.Contains(got.Rooms, schema.RoomAdmin) != c.admin || slices.Contains(got.Namespaces, schema.Admin) != c.admin {
			t.Errorf("%s: rooms %q, namespaces %q", c.role, got.Rooms, got.Namespaces)
		}
		if c.admin {
			p.do("admin:stats", nil)
		} else {
			p.refused(schema.NotPermitted, "admin:stats", nil)
		}
	}
	moderator := g.connect(t, "m", schema.RoleModerator)
	moderator.refused(schema.NotPermitted, "admin:announce", map[string]string{"content": "for admins only"})
}

func TestNothingBeforeConnect(t *testing.T) {
	g := openGateway(t, nil)
	for _, event := range schema.Events() {
		if event.Kind == schema.Push || event.Name == "socket:connect" {
			continue
		}
		s := g.open(t)
		s.text(fmt.Sprintf(`{"id":1,"event":%q,"data":{}}`, event.Name))
		if got := s.next(); got != "ack 1 NOT_CONNECTED" {
			t.Errorf("%s before socket:connect: %s", event.Name, got)
		}
		s.conn.Close()
	}
	s := g.open(t)
	s.text(`{"id":1,"event":"socket:connect"}`)
	if got := s.next(); got != "ack 1 MISSING_FIELD" {
		t.Errorf("socket:connect without any token: %s", got)
	}
}

func TestEveryEventOfTheCatalogueIsAnswered(t *testing.T) {
	g := openGateway(t, nil)
	for _, event := range schema.Events() {
		p := g.connect(t, "walker", schema.RoleAdmin)
		var data struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(schema.SchemaFile(&event), &data); err != nil {
			t.Fatal(err)
		}
		if event.Name == "socket:refresh" {
			data.Examples = []json.RawMessage{encode(t, schema.Refresh{Token: tokenFor(t, "walker")})}
		}
		ack, err := p.Do(t.Context(), event.Name, data.Examples[0], "")
		code := schema.Code("")
		if err != nil {
			code = codeOf(t, err)
		}
		switch {
		case event.Kind == schema.Push:
			if code != schema.NotACommand {
				t.Errorf("%s, a push: %v", event.Name, err)
			}
		case code == schema.Internal || code == schema.UnknownEvent:
			t.Errorf("%s has no command: %v", event.Name, err)
		case code == "":
			if bad := schema.ValidateAck(&event, ack.Data); bad != nil {
				t.Errorf("%s: ack %s: %v", event.Name, ack.Data, bad)
			}
		}
		p.Close()
	}
}

// Who came is recorded, and of whom was not let in nothing.
func TestConnectionsAreSignals(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxSocketsPerUser = 1 })
	g.connect(t, "alice")
	if _, err := g.dial(t, "alice", client.Options{Token: tokenFor(t, "alice")}); err == nil {
		t.Fatal("a second socket of alice's")
	}
	g.connectWith(t, "bob", client.Options{Token: tokenFor(t, "bob"), Header: true}).do("socket:ping", nil)
	var came []string
	eventually(t, "bob's connection is recorded", func() bool {
		came = nil
		for r, err := range g.log.ReadSignals(t.Context(), "signals.connection.>") {
			if err != nil {
				t.Fatal(err)
			}
			if r.Event == "socket:connect" {
				came = append(came, r.Actor.ID)
			}
		}
		return slices.Contains(came, "bob")
	})
	if want := []string{"alice", "bob"}; !slices.Equal(came, want) {
		t.Errorf("recorded %q, want %q", came, want)
	}
}

func TestTokenInTheHandshake(t *testing.T) {
	g := openGateway(t, nil)
	phone := g.connect(t, "alice")
	s := g.user(t, "alice")
	s.text(`{"id":1,"event":"post:create","data":{"content":"no socket:connect needed"}}`)
	if got := s.next(); got != "ack 1" {
		t.Fatalf("first command: %s", got)
	}
	phone.hears("post:create", "user:alice")
	phone.post("and pushes come")
	if got := s.next(); got != "push post:create" {
		t.Errorf("after the first command: %s", got)
	}

	header := g.connectWith(t, "alice", client.Options{Token: tokenFor(t, "alice"), Header: true})
	if header.Connected().User.ID != "alice" {
		t.Errorf("connected: %+v", header.Connected())
	}
	for _, bad := range []string{"Bearer nonsense", "Bearer", "Basic YWxpY2U6c2VjcmV0", "Bearer " + tokenWith(t, tokenSpec{claims: map[string]any{"exp": 1}})} {
		_, resp := g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n", "\r\nAuthorization: "+bad+"\r\n\r\n", 1))
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization: %s: %s", bad, resp.Status)
		}
	}
}

func TestASilentSocketWithAToken(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.ConnectTimeout = 40 * time.Millisecond })
	s := g.user(t, "alice")
	eventually(t, "it is connected all the same", func() bool { return g.server.Stats().Users == 1 })
	g.connect(t, "alice").post("Speak to it, Horatio")
	if got := s.next(); got != "push post:create" {
		t.Errorf("it heard %s", got)
	}
}

func TestASocketThatNeverConnects(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.ConnectTimeout = 40 * time.Millisecond })
	g.open(t).expect("push socket:disconnect", "close 4500 invalid token")
}

func TestBadTokenInConnect(t *testing.T) {
	g := openGateway(t, nil)
	expired := tokenWith(t, tokenSpec{claims: map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}})
	for token, want := range map[string][2]string{
		"nonsense": {"ack 1 INVALID_TOKEN", "close 4500 invalid token"},
		expired:    {"ack 1 TOKEN_EXPIRED", "close 4005 token expired"},
	} {
		s := g.open(t)
		s.text(fmt.Sprintf(`{"id":1,"event":"socket:connect","data":{"token":%q}}`, token))
		s.expect(want[0], "push socket:disconnect", want[1])
	}
	audited := 0
	for r, err := range g.log.ReadAdmin(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(r.Data), "INVALID_TOKEN") || strings.Contains(string(r.Data), "TOKEN_EXPIRED") {
			audited++
		}
	}
	if audited != 2 {
		t.Errorf("%d refusals in the audit trail, want 2", audited)
	}
}

func TestNoPushIsMissedOrToldTwiceAroundConnect(t *testing.T) {
	g := openGateway(t, nil)
	writer := g.connect(t, "alice")
	stop := make(chan struct{})
	written := make(chan uint64)
	go func() {
		defer close(written)
		var last uint64
		for {
			select {
			case <-stop:
				written <- last
				return
			default:
			}
			ack, err := writer.Do(t.Context(), "post:create", schema.PostCreate{Content: "more"}, "")
			if err != nil {
				t.Error(err)
				return
			}
			last = ack.Seq
		}
	}()
	var phones []*peer
	for range 8 {
		phones = append(phones, g.connect(t, "alice"))
	}
	close(stop)
	last := <-written
	for _, phone := range phones { // alice alone writes: every later record is pushed
		for at := phone.Connected().Seq + 1; at <= last; at++ {
			if push := phone.hears("post:create", "user:alice"); push.Seq != at {
				t.Fatalf("connected at %d, heard %d, want %d", phone.Connected().Seq, push.Seq, at)
			}
		}
	}
	for _, phone := range phones {
		phone.heardNothing()
	}
}

func TestTokenThatEndsWhileConnected(t *testing.T) {
	g := openGateway(t, nil)
	soon := time.Now().Add(1100 * time.Millisecond)
	short := func() string {
		id := realtime.Identity{Actor: schema.Actor{ID: "alice"}, Expires: soon}
		return must(realtime.MintToken(authSecret, id, "https://id.example", "roomlog", time.Now()))
	}
	ends := g.connectWith(t, "alice", client.Options{Token: short()})
	refreshed := g.connectWith(t, "alice", client.Options{Token: short()})
	refreshed.do("socket:refresh", schema.Refresh{Token: tokenFor(t, "alice")})
	refreshed.refused(schema.NotPermitted, "socket:refresh", schema.Refresh{Token: tokenFor(t, "bob")})
	refreshed.refused(schema.InvalidToken, "socket:refresh", schema.Refresh{Token: "nonsense"})

	closed := ends.closedWith(schema.CloseTokenExpired)
	if closed.Farewell == nil || !closed.Farewell.Reconnect || closed.Farewell.UserID != "alice" {
		t.Errorf("farewell: %+v", closed.Farewell)
	}
	refreshed.post("still here, and still alice")
}

func TestOrigins(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.AllowedOrigins = []string{"https://app.example"} })
	for origin, want := range map[string]int{
		"":                                 http.StatusSwitchingProtocols, // no browser
		"http://" + g.addr:                 http.StatusSwitchingProtocols, // our own pages
		"https://app.example":              http.StatusSwitchingProtocols,
		"https://evil.example":             http.StatusForbidden,
		"http://app.example":               http.StatusForbidden, // another scheme is another origin
		"null":                             http.StatusForbidden,
		"https://app.example.evil.example": http.StatusForbidden,
	} {
		request := goodHandshake
		if origin != "" {
			request = strings.Replace(request, "\r\n\r\n", "\r\nOrigin: "+origin+"\r\n\r\n", 1)
		}
		if _, resp := g.handshake(t, request); resp.StatusCode != want {
			t.Errorf("origin %q: %s, want %d", origin, resp.Status, want)
		}
	}
	public := openGateway(t, func(c *realtime.Config) { c.AllowedOrigins = []string{"*"} })
	for _, origin := range []string{"https://any.example", "null"} {
		public.open(t, "Origin: "+origin)
	}
}

func TestHTTPBesides(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	alice.post("counted")
	alice.refused(schema.UnknownEvent, "post:burn", nil)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + g.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
	}
	defer http.DefaultClient.CloseIdleConnections()
	if status, _ := get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if status, body := get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _ := get("/"); status != http.StatusNotFound {
		t.Errorf("/: %d", status)
	}
	_, metrics := get("/metrics")
	for _, line := range []string{
		"roomlog_sockets 1",
		"roomlog_users 1",
		`roomlog_events_total{event="post:create",outcome="ok"} 1`,
		`roomlog_events_total{event="unknown",outcome="UNKNOWN_EVENT"} 1`,
		"roomlog_ack_seconds_count 1",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("/metrics lacks %q", line)
		}
	}
}

func TestErrorsOfFramesWithoutAnID(t *testing.T) {
	g := openGateway(t, nil)
	s := g.user(t, "alice")
	s.text(`{"event":"post:burn"}`)
	s.text(`{"event":"post:like","data":{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","action":"like"}}`)
	s.text(`{"event":"post:create","data":{"content":"nobody asked for an ack"}}`)
	s.expect("error UNKNOWN_EVENT", "error POST_NOT_FOUND")
}

func TestRefusedConnectionsAreErrorsOfTheirKind(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxConnections = 1 })
	g.connect(t, "alice")
	_, err := g.dial(t, "bob", client.Options{Token: tokenFor(t, "bob")})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter <= 0 {
		t.Errorf("over the connection limit: %v", err)
	}
}
