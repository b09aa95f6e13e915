package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// check finds what no server could run with.
func (c serverConfig) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		return usagef("--listen %q is not HOST:PORT, for example 127.0.0.1:7777", c.Listen)
	case !c.authConfigured() && !loopback(host):
		return usagef("refusing to listen on %s, where others can connect, with a secret that roomlog made up: give --auth-secret-file or --auth-jwks, or listen on 127.0.0.1", c.Listen)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return usagef("--tls-cert and --tls-key go together: give both or neither")
	case c.MaxConnections < 1:
		return usagef("--max-connections must be at least 1")
	case c.MaxResume < 1:
		return usagef("--max-resume must be at least 1")
	case c.MaxWait <= 0:
		return usagef("--max-wait must be longer than nothing, for example 1s")
	case c.MaxConnectionsPerAddress < 0:
		return usagef("--max-connections-per-address must be 0 (no limit) or more")
	case c.RateWindow <= 0:
		return usagef("--rate-window must be longer than nothing, for example 1m")
	case c.DrainTimeout <= 0:
		return usagef("--drain-timeout must be longer than nothing, for example 30s")
	case c.PresenceGrace < 0:
		return usagef("--presence-grace must not be negative")
	case c.Replicas < 1 || c.Replicas > 5:
		return usagef("--replicas must be 1 to 5")
	case c.Replicas > 1 && c.NATSURL == "":
		return usagef("--replicas needs --nats-url: the embedded log is one machine's")
	case c.NATSListen != "" && c.NATSURL != "":
		return usagef("--nats-listen is for the embedded log and --nats-url for one outside: give one of them")
	}
	for _, rate := range []struct {
		flag  string
		value int
	}{
		{"--rate-events", c.RateEvents}, {"--rate-user-events", c.RateUserEvents}, {"--rate-connects", c.RateConnects},
		{"--rate-posts", c.RatePosts}, {"--rate-reports", c.RateReports}, {"--rate-upgrades", c.RateUpgrades},
	} {
		if rate.value < 0 {
			return usagef("%s must be 0 (no limit) or more", rate.flag)
		}
	}
	_, err = proxies(c.TrustedProxies)
	return err
}

// proxies reads addresses and networks.
func proxies(list []string) ([]netip.Prefix, error) {
	var trusted []netip.Prefix
	for _, text := range list {
		network, err := netip.ParsePrefix(text)
		if address, notOne := netip.ParseAddr(text); notOne == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, usagef("--trusted-proxies: %q is neither an address nor a network, for example 10.0.0.0/8", text)
		}
		trusted = append(trusted, network.Masked())
	}
	return trusted, nil
}

func (c serverConfig) authConfigured() bool { return c.AuthSecretFile != "" || c.AuthJWKS != "" }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listen opens the port. Its errors say what to do.
func (c serverConfig) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", c.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another process: stop it, or give another --listen", c.Listen)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Listen, err)
	case c.TLSCert == "":
		return listener, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot use the certificate of --tls-cert and --tls-key: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"}, // a WebSocket upgrade is HTTP/1.1
	}), nil
}
