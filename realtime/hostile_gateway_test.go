package realtime_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/schema"
)

// gateway is a whole server, log and read models included, on a loopback port.
type gateway struct {
	addr   string
	dialer net.Dialer
	log    *eventlog.Log
	models *projections.Models
	server *realtime.Server
}

// openGateway starts a server with the default limits but the rate and the
// number of sockets a user, which change may set, and ends it with the test.
func openGateway(t testing.TB, change func(*realtime.Config)) *gateway {
	t.Helper()
	return openGatewayIn(t, t.TempDir(), change)
}

// openGatewayIn is openGateway in a data directory that may have been used before.
func openGatewayIn(t testing.TB, dir string, change func(*realtime.Config)) *gateway {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{log: log}
	g.models, err = projections.Open(t.Context(), projections.Config{
		Path: filepath.Join(dir, "models.db"), Log: log,
		Deliver: func(a []projections.Applied) { g.server.Deliver(a) },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := realtime.Defaults()
	cfg.Log, cfg.Models = log, g.models
	cfg.Auth = newAuth(t, realtime.AuthConfig{Secret: authSecret, Now: time.Now})
	cfg.RateEvents, cfg.MaxSocketsPerUser = 0, cfg.MaxConnections
	if change != nil {
		change(&cfg)
	}
	if g.server, err = realtime.New(cfg); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	g.run(t, elsewhere{ln})
	return g
}

// elsewhere makes of clients from 127.x.y.z, where x is not 0, some from 10.x.y.z,
// and of those from 127.6.y.z some from 2001:db8:0:y::z. For those from 127.9.y.z the
// kernel keeps little of what they do not read.
type elsewhere struct{ net.Listener }

func (l elsewhere) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	at := netip.MustParseAddrPort(conn.RemoteAddr().String())
	ip := at.Addr().As4()
	switch ip[1] {
	case 0:
		return conn, nil
	case 6:
		at = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", ip[2], ip[3])), at.Port())
	case 9:
		if err := conn.(*net.TCPConn).SetWriteBuffer(32 << 10); err != nil {
			return nil, err
		}
		fallthrough
	default:
		ip[0] = 10
		at = netip.AddrPortFrom(netip.AddrFrom4(ip), at.Port())
	}
	return farConn{conn.(*net.TCPConn), net.TCPAddrFromAddrPort(at)}, nil
}

type farConn struct {
	*net.TCPConn
	from net.Addr
}

func (c farConn) RemoteAddr() net.Addr { return c.from }

// as is the gateway for raw sockets of another address; see elsewhere.
func (g *gateway) as(address string) *gateway {
	there := *g
	there.dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(address)}
	return &there
}

func (g *gateway) run(t testing.TB, ln net.Listener) {
	applying, stopApplying := context.WithCancel(context.Background())
	serving, stopServing := context.WithCancel(context.Background())
	var models, server sync.WaitGroup
	models.Go(func() {
		if err := g.models.Run(applying); err != nil && applying.Err() == nil {
			t.Errorf("the read models stopped: %v", err)
		}
	})
	server.Go(func() {
		if err := g.server.Serve(serving, ln); err != nil {
			t.Errorf("the server stopped: %v", err)
		}
	})
	t.Cleanup(func() { // acks come by way of the models: they stop after the server
		stopServing()
		server.Wait()
		stopApplying()
		models.Wait()
		if err := g.models.Close(); err != nil {
			t.Error(err)
		}
		if err := g.log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// tokenFor returns a token that is good for an hour.
func tokenFor(t testing.TB, user string, roles ...schema.Role) string {
	t.Helper()
	now := time.Now()
	id := realtime.Identity{Actor: schema.Actor{ID: user}, Roles: roles, Expires: now.Add(time.Hour)}
	token, err := realtime.MintToken(authSecret, id, "https://id.example", "roomlog", now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenWith returns a token of alice's that is good but for what spec changes.
func tokenWith(t testing.TB, spec tokenSpec) string {
	t.Helper()
	claims := map[string]any{"exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range spec.claims {
		claims[k] = v
	}
	spec.claims = claims
	return spec.sign(t)
}
