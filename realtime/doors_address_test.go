package realtime_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
)

// header is a good handshake with one more header.
func header(line string) string {
	return strings.Replace(goodHandshake, "\r\n\r\n", "\r\n"+line+"\r\n\r\n", 1)
}

// refusedFor checks that a request is answered with 429 and a wait.
func (g *gateway) refusedFor(t *testing.T, request string) {
	t.Helper()
	_, resp := g.handshake(t, request)
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusTooManyRequests || err != nil || wait < 1 {
		t.Errorf("HTTP %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

// opens checks that a request is answered with 101.
func (g *gateway) opens(t *testing.T, request string) *rawSocket {
	t.Helper()
	s, resp := g.handshake(t, request)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("HTTP %s", resp.Status)
	}
	return s
}

func TestConnectionsOfOneAddress(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxPerAddress = 2 })
	for name, c := range map[string]struct{ one, same, other string }{
		"IPv4": {"127.1.0.1", "127.1.0.1", "127.1.0.2"},
		"IPv6": {"127.6.1.1", "127.6.1.2", "127.6.2.1"}, // the same /64, another one
	} {
		t.Run(name, func(t *testing.T) {
			here := g.as(c.one)
			first := here.open(t)
			here.open(t)
			g.as(c.same).refusedFor(t, goodHandshake)
			g.as(c.same).refusedFor(t, header("X-Forwarded-For: 10.7.7.7")) // anybody can write that
			g.as(c.same).refusedFor(t, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
			g.as(c.other).opens(t, goodHandshake)
			first.conn.Close()
			eventually(t, "there is room again", func() bool {
				s, resp := g.as(c.same).handshake(t, goodHandshake)
				defer s.conn.Close()
				return resp.StatusCode == http.StatusSwitchingProtocols
			})
		})
	}
	for range 5 {
		g.open(t) // from this machine
	}
	if !strings.Contains(metricsOf(t, g), `roomlog_refused_connections_total{reason="address"} `) {
		t.Error("the refusals are not among the figures")
	}
}

// A place is taken from the TCP accept on, by those who never say a word too, and
// given back whatever becomes of the connection.
func TestPlacesOfAnAddressAreGivenBack(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxPerAddress = 3
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	})
	for name, client := range map[string]struct {
		g   *gateway
		via string
	}{
		"direct":       {g.as("127.1.0.1"), ""},
		"by a proxy's": {g.as("127.2.0.1"), "\r\nX-Forwarded-For: 192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				for request, want := range map[string]int{
					"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":                      200,
					"GET /none HTTP/1.1\r\nHost: x\r\n\r\n":                         404,
					header("Authorization: Bearer x"):                               401,
					header("Origin: https://evil.example"):                          403,
					strings.Replace(goodHandshake, "Version: 13", "Version: 7", 1):  426,
					strings.Replace(goodHandshake, "Upgrade: websocket\r\n", "", 1): 400,
					goodHandshake: 101,
				} {
					eventually(t, fmt.Sprintf("HTTP %d", want), func() bool { // one of the last round may have its place still
						s, resp := client.g.handshake(t, strings.Replace(request, "\r\n\r\n", client.via+"\r\n\r\n", 1))
						s.conn.Close()
						return resp.StatusCode == want
					})
					eventually(t, "the connection is forgotten", func() bool {
						for range 3 { // all of them are free
							s, resp := client.g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n", client.via+"\r\n\r\n", 1))
							defer s.conn.Close()
							if resp.StatusCode != 101 {
								return false
							}
						}
						return true
					})
					eventually(t, "the sockets are gone", func() bool { return g.server.Stats().Sockets == 0 })
				}
			}
			for range 3 { // and no more than that
				client.g.opens(t, strings.Replace(goodHandshake, "\r\n\r\n", client.via+"\r\n\r\n", 1))
			}
			client.g.refusedFor(t, strings.Replace(goodHandshake, "\r\n\r\n", client.via+"\r\n\r\n", 1))
		})
	}

	silent := g.as("127.1.0.9")
	for range 3 {
		conn := must(silent.dialer.Dial("tcp", g.addr))
		defer conn.Close()
	}
	eventually(t, "the silent ones are counted", func() bool {
		s, resp := silent.handshake(t, goodHandshake)
		s.conn.Close()
		return resp.StatusCode == http.StatusTooManyRequests
	})
	for range 8 { // those who are told why
		conn := must(silent.dialer.Dial("tcp", g.addr))
		defer conn.Close()
	}
	eventually(t, "more are cut off at once", func() bool {
		conn := must(silent.dialer.Dial("tcp", g.addr))
		defer conn.Close()
		io.WriteString(conn, goodHandshake)
		answer, _ := io.ReadAll(conn)
		return len(answer) == 0
	})
	for detail, code := range map[string]string{"token": "HTTP_401", "origin": "HTTP_403", "address": "CUT_OFF", "handshake": "HTTP_426"} {
		g.notesRefusal(t, code, detail)
	}
}

// Behind a proxy clients are told apart by the last address that no proxy has.
func TestAddressesBehindProxies(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxPerAddress = 1
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("127.0.0.1/32")}
	})
	for i, step := range []struct {
		from, forwarded string
		opens           bool
	}{
		{"127.2.0.1", "192.0.2.1", true},
		{"127.2.0.1", "192.0.2.1", false},
		{"127.2.0.9", "192.0.2.1", false},                    // by the other proxy
		{"127.2.0.1", "198.51.100.7, 192.0.2.1", false},      // the first one is made up
		{"127.2.0.1", "192.0.2.1, 192.0.2.2", true},          // so is this
		{"127.2.0.1", "192.0.2.3, 10.2.0.9, 10.2.0.8", true}, // three proxies
		{"127.2.0.1", "192.0.2.3:4711", false},               // with the port
		{"127.2.0.1", "2001:db8::1", true},                   //
		{"127.2.0.1", "[2001:db8::2]:80", false},             // the same /64
		{"127.2.0.1", "::ffff:192.0.2.2", false},             // IPv4 after all
		{"127.2.0.1", "unknown", true},                       // the proxy's own place
		{"127.2.0.1", "192.0.2.9, unknown", false},           // again
		{"127.0.0.1", "192.0.2.2", false},                    // a proxy on this machine
		{"127.0.0.1", "192.0.2.4", true},                     //
		{"127.0.0.1", "", true},                              // this machine itself
		{"127.0.0.1", "", true},                              //
		{"127.3.0.1", "192.0.2.5", true},                     // no proxy: the header is ignored
		{"127.3.0.1", "192.0.2.6", false},                    //
	} {
		request := goodHandshake
		if step.forwarded != "" {
			request = header("X-Forwarded-For: " + step.forwarded)
		}
		if step.opens {
			g.as(step.from).opens(t, request)
		} else {
			g.as(step.from).refusedFor(t, request)
		}
		if t.Failed() {
			t.Fatalf("step %d: %+v", i, step)
		}
	}
	g.as("127.2.0.1").refusedFor(t, header("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.1")) // two headers are one list
}

func TestAnyNumberOfConnectionsOfOneAddress(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxPerAddress = 0 })
	for range 5 {
		g.as("127.1.0.1").open(t)
	}
}

func TestUpgradesOfOneAddress(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.RateEvents, c.RateUpgrades = 100, 3 })
	for _, request := range []string{goodHandshake, header("Authorization: Bearer x"), header("Origin: https://evil.example")} {
		s, _ := g.as("127.1.0.1").handshake(t, request)
		s.conn.Close()
	}
	g.as("127.1.0.1").refusedFor(t, goodHandshake)
	g.as("127.1.0.2").opens(t, goodHandshake)
	for range 5 {
		g.open(t) // from this machine
	}
	if !strings.Contains(metricsOf(t, g), `roomlog_rate_limited_total{limit="upgrade"} 1`) {
		t.Error("the refusal is not among the figures")
	}
}

// Whatever is asked for, and on however few connections, an address has so many
// requests. Who comes on and on is cut off before they have said anything.
func TestRequestsOfOneAddress(t *testing.T) {
	healthz := func(via string) string {
		return "GET /healthz HTTP/1.1\r\nHost: x\r\n" + via + "\r\n"
	}
	for name, c := range map[string]struct{ from, via, request string }{
		"figures":         {"127.1.0.1", "", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"},
		"nothing":         {"127.1.0.1", "", "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"},
		"the server":      {"127.1.0.1", "", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"},
		"by a proxy":      {"127.2.0.1", "X-Forwarded-For: 192.0.2.1\r\n", healthz("X-Forwarded-For: 192.0.2.1\r\n")},
		"in one go":       {"127.1.0.1", "", strings.Repeat(healthz(""), 3)},
		"as a new client": {"127.1.0.1", "", healthz("Connection: close\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			g := openGateway(t, func(c *realtime.Config) {
				c.RateEvents, c.RateUpgrades, c.RateWindow = 100, 3, time.Hour
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
			})
			there := g.as(c.from)
			var conn net.Conn
			asked := 0
			for asked < 3 {
				if conn == nil {
					conn = must(there.dialer.Dial("tcp", g.addr))
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(20 * time.Second))
				}
				io.WriteString(conn, c.request)
				in := bufio.NewReader(conn)
				for range strings.Count(c.request, "Host") {
					resp, err := http.ReadResponse(in, nil)
					if err != nil || resp.StatusCode == http.StatusTooManyRequests {
						t.Fatalf("request %d: %v, %v", asked+1, resp, err)
					}
					io.Copy(io.Discard, resp.Body)
					asked++
					if resp.Close {
						conn = nil
					}
				}
			}
			if conn != nil {
				io.WriteString(conn, healthz(c.via))
				if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 429 ") {
					t.Errorf("one more on the same connection: %q, %v", answer, err)
				}
			}
			there.refusedFor(t, header(strings.TrimSuffix("X: x\r\n"+c.via, "\r\n")))
			g.as("127.1.0.2").opens(t, goodHandshake)
			if c.via == "" {
				eventually(t, "who goes on is cut off without a word", func() bool {
					conn := must(there.dialer.Dial("tcp", g.addr))
					defer conn.Close()
					io.WriteString(conn, goodHandshake)
					answer, _ := io.ReadAll(conn)
					return len(answer) == 0
				})
			}
			for _, figure := range []string{`roomlog_rate_limited_total{limit="upgrade"} `, `roomlog_refused_connections_total{reason="rate"} `} {
				if !strings.Contains(metricsOf(t, g), figure) {
					t.Errorf("the figures have no %s", figure)
				}
			}
		})
	}
}

// Who went on and on, and then waits as they were told, is let in at once.
func TestWhoWaitsAfterAllIsLetIn(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.RateEvents, c.RateUpgrades, c.RateWindow = 100, 3, 300*time.Millisecond })
	there := g.as("127.1.0.1")
	opens := func() bool {
		conn := must(there.dialer.Dial("tcp", g.addr))
		defer conn.Close()
		io.WriteString(conn, goodHandshake)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && resp.StatusCode == http.StatusSwitchingProtocols
	}
	for refused := 0; refused < 30; {
		if !opens() {
			refused++
		}
	}
	wait := time.NewTicker(200 * time.Millisecond) // one a tenth of a second is allowed
	defer wait.Stop()
	for range 5 { // the first of them, but on a machine that has its own pace
		<-wait.C
		if opens() {
			return
		}
	}
	t.Error("who waits is still cut off")
}
