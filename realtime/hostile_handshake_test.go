package realtime_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

// tokens are what a client may try in place of a good token, with the answer.
func tokens(t *testing.T) map[string]struct {
	token string
	code  schema.Code
} {
	now := time.Now()
	claim := func(k string, v any) string { return tokenWith(t, tokenSpec{claims: map[string]any{k: v}}) }
	payload := fmt.Sprintf(`{"sub":"alice","iss":"https://id.example","aud":"roomlog","exp":%d}`, now.Add(time.Hour).Unix())
	const invalid, expired = schema.InvalidToken, schema.TokenExpired
	return map[string]struct {
		token string
		code  schema.Code
	}{
		"expired":            {claim("exp", now.Add(-time.Second).Unix()), expired},
		"expired in 1970":    {claim("exp", 1), expired},
		"without exp":        {claim("exp", nil), invalid},
		"not yet valid":      {claim("nbf", now.Add(time.Hour).Unix()), invalid},
		"wrong audience":     {claim("aud", "somebody-else"), invalid},
		"without audience":   {claim("aud", nil), invalid},
		"wrong issuer":       {claim("iss", "https://evil.example"), invalid},
		"without issuer":     {claim("iss", nil), invalid},
		"alg none":           {segments(`{"alg":"none","typ":"JWT"}`, payload, ""), invalid},
		"alg None, signed":   {segments(`{"alg":"None"}`, payload, "x"), invalid},
		"another secret":     {tokenWith(t, tokenSpec{key: []byte(strings.Repeat("k", 40))}), invalid},
		"not a user id":      {claim("sub", "al ice"), invalid},
		"room as user id":    {claim("sub", "alice\nadmin"), invalid},
		"without sub":        {claim("sub", nil), invalid},
		"not a token":        {"hello", invalid},
		"a token's first 20": {tokenFor(t, "alice")[:20], invalid},
	}
}

func TestHandshakes(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.AllowedOrigins = []string{"https://app.example"} })
	honest := g.user(t, "alice")
	const (
		line    = "GET /ws HTTP/1.1\r\n"
		host    = "Host: $HOST\r\n"
		upgrade = "Upgrade: websocket\r\n"
		conn    = "Connection: Upgrade\r\n"
		key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version = "Sec-WebSocket-Version: 13\r\n"
	)
	for _, c := range []struct {
		name     string
		old, new string // what of the good handshake is replaced by what
		want     int
	}{
		{"good", "", "", 101},
		{"header names in lower case", upgrade + conn, "upgrade: WebSocket\r\nconnection: upgrade\r\n", 101},
		{"Connection with more", conn, "Connection: keep-alive, Upgrade\r\n", 101},
		{"query", line, "GET /ws?token=x HTTP/1.1\r\n", 101},
		{"unknown subprotocol", key, key + "Sec-WebSocket-Protocol: mqtt\r\n", 101},
		{"cookies", key, key + "Cookie: a=b\r\n", 101},
		{"origin of the same host", key, key + "Origin: http://$HOST\r\n", 101},
		{"allowed origin", key, key + "Origin: https://app.example\r\n", 101},

		{"wrong path", line, "GET /socket HTTP/1.1\r\n", 404},
		{"path with a slash", line, "GET /ws/ HTTP/1.1\r\n", 404},
		{"path of another case", line, "GET /WS HTTP/1.1\r\n", 404},
		{"path out of the tree", line, "GET /ws/../../etc/passwd HTTP/1.1\r\n", 307},
		{"root", line, "GET / HTTP/1.1\r\n", 404},
		{"POST", line, "POST /ws HTTP/1.1\r\n", 405},
		{"PUT", line, "PUT /ws HTTP/1.1\r\n", 405},
		{"HEAD", line, "HEAD /ws HTTP/1.1\r\n", 405},
		{"OPTIONS", line, "OPTIONS /ws HTTP/1.1\r\n", 405},
		{"CONNECT", line, "CONNECT /ws HTTP/1.1\r\n", 405},
		{"unknown method", line, "SHOUT /ws HTTP/1.1\r\n", 405},
		{"HTTP/1.0", line, "GET /ws HTTP/1.0\r\n", 505},
		{"HTTP/3.0", line, "GET /ws HTTP/3.0\r\n", 505},
		{"no HTTP version", line, "GET /ws\r\n", 400},
		{"not HTTP", line, "hello, server\r\n", 400},
		{"TLS", line, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400},
		{"no Host", host, "", 400},
		{"two Hosts", host, host + "Host: evil.example\r\n", 400},

		{"no Upgrade", upgrade, "", 400},
		{"a browser's visit", upgrade + conn + key + version, "Connection: keep-alive\r\n", 400},
		{"Upgrade to something else", upgrade, "Upgrade: h2c\r\n", 400},
		{"no Connection", conn, "", 400},
		{"Connection without upgrade", conn, "Connection: keep-alive\r\n", 400},
		{"no version", version, "", 400},
		{"version 8", version, "Sec-WebSocket-Version: 8\r\n", 426},
		{"version 14", version, "Sec-WebSocket-Version: 14\r\n", 426},
		{"no key", key, "", 400},
		{"empty key", key, "Sec-WebSocket-Key: \r\n", 400},
		{"two keys", key, key + key, 400},
		{"two versions", version, version + version, 400},
		{"key of 15 bytes", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", 400},
		{"key of 17 bytes", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXM=\r\n", 400},
		{"key that is not base64", key, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n", 400},

		{"origin of another site", key, key + "Origin: https://evil.example\r\n", 403},
		{"origin that begins like an allowed one", key, key + "Origin: https://app.example.evil.example\r\n", 403},
		{"allowed origin without TLS", key, key + "Origin: http://app.example\r\n", 403},
		{"origin of another port", key, key + "Origin: http://127.0.0.1:1\r\n", 403},
		{"origin null", key, key + "Origin: null\r\n", 403},
		{"origin that is none", key, key + "Origin: ://\r\n", 403},
		{"origin with a user", key, key + "Origin: http://$HOST@evil.example\r\n", 403},
		{"origin null, and an empty host", host, "Host: \r\nOrigin: null\r\n", 403},
		{"two origins, the first allowed", key, key + "Origin: http://$HOST\r\nOrigin: https://evil.example\r\n", 400},
		{"two origins, the second allowed", key, key + "Origin: https://evil.example\r\nOrigin: http://$HOST\r\n", 400},

		{"Basic authorization", key, key + "Authorization: Basic YTpi\r\n", 401},
		{"Basic authorization with a good token", key, key + "Authorization: Basic " + tokenFor(t, "alice") + "\r\n", 401},
		{"Bearer of nothing", key, key + "Authorization: Bearer\r\n", 401},
		{"Bearer of nothing, with space", key, key + "Authorization: Bearer  \r\n", 401},
		{"token without Bearer", key, key + "Authorization: " + tokenFor(t, "alice") + "\r\n", 401},
		{"two tokens", key, key + "Authorization: Bearer " + tokenFor(t, "alice") + " " + tokenFor(t, "bob") + "\r\n", 401},
		{"two authorizations", key, key + "Authorization: Bearer " + tokenFor(t, "alice") + "\r\nAuthorization: Bearer " + tokenFor(t, "bob") + "\r\n", 400},
		{"token of 9 KiB", key, key + "Authorization: Bearer " + strings.Repeat("A", 9<<10) + "\r\n", 401},

		{"header of 64 KiB", key, key + "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n", 431},
		{"5000 headers", key, key + strings.Repeat("X-Many: 1\r\n", 5000), 431},
		{"header without a colon", key, key + "nonsense\r\n", 400},
		{"header name with a space", key, key + "X Y: z\r\n", 400},
		{"folded header", key, key + "X-Y: a\r\n b\r\n", 101},
		{"NUL in a header", key, key + "X-Y: a\x00b\r\n", 400},
		{"two lengths", key, key + "Content-Length: 1\r\nContent-Length: 2\r\n", 400},
		{"length and chunks", key, key + "Content-Length: 5\r\nTransfer-Encoding: xyz\r\n", 501},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := strings.Replace(goodHandshake, c.old, c.new, 1)
			if c.old != "" && request == goodHandshake {
				t.Fatal("the case changes nothing")
			}
			s, resp := g.handshake(t, request)
			if resp.StatusCode != c.want {
				body, _ := io.ReadAll(resp.Body)
				t.Fatalf("HTTP %d %s, want %d", resp.StatusCode, body, c.want)
			}
			switch c.want {
			case 101:
				if got := s.next(); got != "push socket:hello" {
					t.Errorf("first frame: %s", got)
				}
				if ext, sub := resp.Header.Get("Sec-WebSocket-Extensions"), resp.Header.Get("Sec-WebSocket-Protocol"); ext != "" || sub != "" {
					t.Errorf("extensions %q, subprotocol %q: none was agreed on", ext, sub)
				}
			case 401:
				if resp.Header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			case 426:
				if resp.Header.Get("Sec-WebSocket-Version") != "13" {
					t.Error("no Sec-WebSocket-Version: 13 (RFC 6455, 4.4)")
				}
			}
			honest.t = t
			honest.ask("socket:ping", "{}")
		})
	}
}

// RFC 6455, 1.3 has this pair of key and accept.
func TestHandshakeAnswer(t *testing.T) {
	g := openGateway(t, nil)
	_, resp := g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n",
		"\r\nSec-WebSocket-Protocol: mqtt, roomlog.v1\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 1))
	for name, want := range map[string]string{
		"Sec-WebSocket-Accept":     "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
		"Sec-WebSocket-Protocol":   "roomlog.v1",
		"Sec-WebSocket-Extensions": "",
		"Connection":               "Upgrade",
		"Upgrade":                  "websocket",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestBadTokensInTheHandshake(t *testing.T) {
	g := openGateway(t, nil)
	honest := g.user(t, "alice")
	for name, c := range tokens(t) {
		t.Run(name, func(t *testing.T) {
			_, resp := g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n", "\r\nAuthorization: Bearer "+c.token+"\r\n\r\n", 1))
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("HTTP %s, want 401", resp.Status)
			}
			honest.t = t
			honest.ask("socket:ping", "{}")
		})
	}
}

func TestBadTokensInTheFirstFrame(t *testing.T) {
	g := openGateway(t, nil)
	honest := g.user(t, "alice")
	for name, c := range tokens(t) {
		t.Run(name, func(t *testing.T) {
			s := g.open(t)
			s.text(cmd("socket:connect", fmt.Sprintf(`{"token":%s}`, must(json.Marshal(c.token)))))
			closed := "close 4500 invalid token"
			if c.code == schema.TokenExpired {
				closed = "close 4005 token expired"
			}
			s.expect("ack 1 "+string(c.code), "push socket:disconnect", closed)
			honest.t = t
			honest.ask("socket:ping", "{}")
		})
	}
}

func TestBeforeConnecting(t *testing.T) {
	g := openGateway(t, nil)
	for _, c := range []struct {
		name, frame, want string
	}{
		{"query", cmd("feed:get", `{}`), "ack 1 NOT_CONNECTED"},
		{"fact", cmd("post:create", `{"content":"x"}`), "ack 1 NOT_CONNECTED"},
		{"signal", cmd("post:leave", `{"postId":"01JD0000000000000000000000"}`), "ack 1 NOT_CONNECTED"},
		{"socket:ping", cmd("socket:ping", `{}`), "ack 1 NOT_CONNECTED"},
		{"socket:refresh", cmd("socket:refresh", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice"))), "ack 1 NOT_CONNECTED"},
		{"admin event", cmd("admin:stats", `{}`), "ack 1 NOT_CONNECTED"},
		{"a later release's", cmd("conversation:list", `{}`), "ack 1 NOT_CONNECTED"},
		{"unknown event", cmd("x:y", `{}`), "ack 1 UNKNOWN_EVENT"},
		{"push", cmd("socket:hello", `{}`), "ack 1 NOT_A_COMMAND"},
		{"connect without a token", cmd("socket:connect", `{}`), "ack 1 MISSING_FIELD"},
		{"connect with a token that is a number", cmd("socket:connect", `{"token":1}`), "ack 1 INVALID_FIELD"},
		{"connect with an empty token", cmd("socket:connect", `{"token":""}`), "ack 1 INVALID_FIELD"},
		{"connect with 8193 bytes", cmd("socket:connect", `{"token":"`+strings.Repeat("A", 8193)+`"}`), "ack 1 INVALID_FIELD"},
		{"connect as somebody", cmd("socket:connect", `{"user":"alice"}`), "ack 1 UNKNOWN_FIELD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := g.open(t)
			s.text(c.frame)
			if got := s.next(); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			s.ask("socket:connect", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice")))
			s.ask("socket:ping", "{}")
		})
	}
	if got := g.log.Last(); got != 0 {
		t.Errorf("the log has %d records", got)
	}
}

// The token of the first frame counts more than that of the handshake.
func TestTokenInHandshakeAndFrame(t *testing.T) {
	g := openGateway(t, nil)
	s := g.user(t, "alice")
	f, _ := s.ask("socket:connect", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "bob")))
	var c schema.Connected
	decodeInto(t, f.Data, &c)
	if c.User.ID != "bob" {
		t.Errorf("connected as %q, want bob", c.User.ID)
	}
	s = g.user(t, "alice")
	s.text(cmd("socket:connect", `{"token":"a.b.c"}`))
	s.expect("ack 1 INVALID_TOKEN", "push socket:disconnect", "close 4500 invalid token")
}

func TestTokenThatEndsUnlessRefreshed(t *testing.T) {
	t.Parallel()
	g := openGateway(t, nil)
	ends := time.Now().Add(2 * time.Second)
	token := tokenWith(t, tokenSpec{claims: map[string]any{"exp": ends.Unix()}})
	s, refreshed := g.open(t, "Authorization: Bearer "+token), g.open(t, "Authorization: Bearer "+token)
	refreshed.ask("socket:refresh", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice")))
	s.expect("push socket:disconnect", "close 4005 token expired")
	if now := time.Now(); now.Before(ends.Truncate(time.Second)) {
		t.Errorf("closed %v early", ends.Sub(now))
	}
	refreshed.ask("socket:ping", "{}")
}

func TestSilentSocketIsClosed(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.ConnectTimeout = 50 * time.Millisecond })
	g.open(t).expect("push socket:disconnect", "close 4500 invalid token")
}

func TestSlowHandshakeIsCutOff(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.HandshakeTimeout, c.MaxPerAddress = 50*time.Millisecond, 1 })
	answered, _ := g.as("127.1.0.1").handshake(t, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, begun := range []string{"", "GET", "GET /ws HTTP/1.1\r\nHost: x\r\n"} {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, begun)
		if b, err := io.ReadAll(conn); err != nil || strings.Contains(string(b), "101") {
			t.Errorf("after %q got %q (%v), want the end", begun, b, err)
		}
	}
	// Who leaves by themselves, or has been answered and stayed on, was not refused.
	gone, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	metricsOf(t, g)
	http.DefaultClient.CloseIdleConnections()
	answered.conn.Close()
	eventually(t, "the server has seen it go", func() bool {
		s, resp := g.as("127.1.0.1").handshake(t, goodHandshake)
		defer s.conn.Close()
		return resp.StatusCode == http.StatusSwitchingProtocols
	})
	g.user(t, "alice").ask("socket:ping", "{}")
	eventually(t, "three are counted", func() bool {
		return strings.Contains(metricsOf(t, g), "roomlog_refused_connections_total{reason=\"timeout\"} 3\n")
	})
	g.notesRefusal(t, "CUT_OFF", "timeout")
}

func TestTooManyConnections(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxConnections, c.MaxSocketsPerUser = 2, 1 })
	first := g.user(t, "alice")
	first.ask("socket:ping", "{}")
	second := g.user(t, "alice")
	_, resp := g.handshake(t, goodHandshake)
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusServiceUnavailable || err != nil || wait < 1 {
		t.Errorf("HTTP %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	second.write(bytes.Repeat(wire(fin|opText, cmd("socket:ping", "{}")), 2)) // nobody hears the second one
	second.expect("ack 1 TOO_MANY_CONNECTIONS", "push socket:disconnect", "close 4504 too many connections")
	first.ask("socket:ping", "{}")
}
