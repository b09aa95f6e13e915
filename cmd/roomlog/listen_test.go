package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Nothing that a server can run with is refused.
func TestGoodUsage(t *testing.T) {
	for name, change := range map[string]func(*serverConfig){
		"loopback by address": func(c *serverConfig) { c.Listen = "[::1]:7777" },
		"loopback by name":    func(c *serverConfig) { c.Listen = "localhost:7777" },
		"everywhere, a key set": func(c *serverConfig) {
			c.Listen, c.AuthJWKS = ":7777", "https://id.example.org/keys"
		},
		"everywhere, a secret": func(c *serverConfig) { c.Listen, c.AuthSecretFile = "0.0.0.0:7777", "secret" },
		"replicas":             func(c *serverConfig) { c.Replicas, c.NATSURL = 5, "nats://127.0.0.1:4222" },
		"proxies":              func(c *serverConfig) { c.TrustedProxies = []string{"10.0.0.1", "10.1.0.0/16", "::1"} },
		"no limits":            func(c *serverConfig) { c.MaxConnectionsPerAddress, c.PresenceGrace = 0, 0 },
	} {
		c := serverConfig{
			Listen: "127.0.0.1:7777", MaxConnections: 1, MaxResume: 1, MaxWait: time.Second, RateWindow: time.Minute, DrainTimeout: time.Second, Replicas: 1,
		}
		change(&c)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	_, err := serverConfig{Listen: "192.0.2.1:7777"}.listen() // an address of nobody's: RFC 5737
	if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on 192.0.2.1:7777: ") {
		t.Errorf("somebody else's address: %v", err)
	}
	for _, folder := range []string{"missing", strings.Repeat("missing/", 30)} {
		if _, err := listenUnix(filepath.Join(t.TempDir(), folder, controlName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a socket in a folder that is not there: %v", err)
		}
	}
}

// What a link in the data directory leads to lies elsewhere and is left alone.
func TestLinksAreLeftAlone(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "shared")
	if err := os.WriteFile(elsewhere, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := makeDataDir(dir, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
