package realtime_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"roomlog/realtime"
	"roomlog/schema"
)

func signedBy(t testing.TB, kid string) string {
	return tokenSpec{method: jwt.SigningMethodRS256, header: map[string]any{"kid": kid}}.sign(t)
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestKeysInAFileAreRotated(t *testing.T) {
	path := keySetFile(t, "rsa")
	var log lockedLog
	a := newAuth(t, realtime.AuthConfig{JWKS: path, Refresh: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	verify := func(kid string) schema.Code {
		_, err := a.Verify(t.Context(), signedBy(t, kid))
		return codeOf(t, err)
	}
	if got := verify("rsa"); got != "" {
		t.Fatalf("before: %s", got)
	}
	replaceFile(t, path, keySetOf("rsa-next"))
	eventually(t, "the new key is taken", func() bool { return verify("rsa-next") == "" })
	if got := verify("rsa"); got != schema.InvalidToken {
		t.Errorf("the withdrawn key: %q, want INVALID_TOKEN", got)
	}

	// A damaged or missing file does not lock anyone out.
	replaceFile(t, path, []byte(`{"keys":[{"kty":"RSA"`))
	eventually(t, "the damage is noticed", func() bool { return log.has("not a JSON Web Key Set") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", func() bool { return log.has("no such file") })
	if got := verify("rsa-next"); got != "" {
		t.Errorf("while the file is gone: %s", got)
	}
	replaceFile(t, path, keySetOf("rsa"))
	eventually(t, "the first key is back", func() bool { return verify("rsa") == "" })
}

// A provider whose keys were stolen publishes a set without them, be it one without
// any. That is no damage: what was withdrawn is not good any more.
func TestAllKeysAreWithdrawn(t *testing.T) {
	for name, set := range map[string][]byte{
		"an empty set":    []byte(`{"keys":[]}`),
		"none of any use": keySetOf("rsa-enc", "ec-384"),
	} {
		t.Run(name, func(t *testing.T) {
			path := keySetFile(t, "rsa")
			var log lockedLog
			a := newAuth(t, realtime.AuthConfig{JWKS: path, Refresh: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			verify := func() schema.Code {
				_, err := a.Verify(t.Context(), signedBy(t, "rsa"))
				return codeOf(t, err)
			}
			replaceFile(t, path, set)
			eventually(t, "the key is withdrawn", func() bool { return verify() == schema.InvalidToken })
			if !log.has("all keys of the JWKS are withdrawn") {
				t.Error("the log does not say so")
			}
			replaceFile(t, path, keySetOf("rsa"))
			eventually(t, "the key is back", func() bool { return verify() == "" })
			replaceFile(t, path, []byte(`{}`))
			eventually(t, "the damage is noticed", func() bool { return log.has("it has no keys member") })
			if got := verify(); got != "" {
				t.Errorf("a file that is no key set: %s", got)
			}
		})
	}
}

// lockedLog is a log that can be read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

func replaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), "next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// keyServer is an identity provider's JWKS endpoint.
type keyServer struct {
	*httptest.Server
	set   atomic.Pointer[[]byte]
	reads atomic.Int64
	fails atomic.Bool
	waits atomic.Pointer[chan struct{}] // when set, answers once it is closed
}

func newKeyServer(t *testing.T, kids ...string) *keyServer {
	s := &keyServer{}
	s.publish(kids...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reads.Add(1)
		if until := s.waits.Load(); until != nil {
			<-*until
		}
		if s.fails.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Write(*s.set.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) publish(kids ...string) {
	set := keySetOf(kids...)
	s.set.Store(&set)
}

func TestUnknownKeyIsFetchedAtOnce(t *testing.T) {
	s := newKeyServer(t, "rsa")
	var log lockedLog
	a := newAuth(t, realtime.AuthConfig{JWKS: s.URL, UnknownKeyEvery: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.publish("rsa", "rsa-next")

	// Many at once with the new key cost one read.
	var wg sync.WaitGroup
	token := signedBy(t, "rsa-next")
	for range 50 {
		wg.Go(func() {
			if _, err := a.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.reads.Load(); got != 2 {
		t.Errorf("%d reads, want 2: one at the start, one for the new key", got)
	}
	if log.has("cannot be read") {
		t.Error("the log complains of a read that went well")
	}
	s.fails.Store(true)
	if _, err := a.Verify(t.Context(), inventedKey(t)); codeOf(t, err) != schema.InvalidToken || !log.has("cannot be read for a key it did not have") {
		t.Errorf("with a provider that fails: %v", err)
	}
}

// inventedKey is a token that names a key which nobody published.
func inventedKey(t testing.TB) string {
	return tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa"], header: map[string]any{"kid": "nobody"}}.sign(t)
}

func TestInventedKeysCostNoReads(t *testing.T) {
	s := newKeyServer(t, "rsa")
	a := newAuth(t, realtime.AuthConfig{JWKS: s.URL, UnknownKeyEvery: time.Hour})
	token := inventedKey(t)
	for range 100 {
		if _, err := a.Verify(t.Context(), token); codeOf(t, err) != schema.InvalidToken {
			t.Fatal(err)
		}
	}
	if got := s.reads.Load(); got != 2 {
		t.Errorf("%d reads, want 2: one at the start, one for the first of them", got)
	}
}

// While the provider takes its time over a key that nobody has, everybody else is let in.
func TestSlowProviderHoldsUpNoKnownKey(t *testing.T) {
	s := newKeyServer(t, "rsa")
	a := newAuth(t, realtime.AuthConfig{JWKS: s.URL})
	answer := make(chan struct{})
	s.waits.Store(&answer)
	var invented sync.WaitGroup
	invented.Go(func() { a.Verify(t.Context(), inventedKey(t)) })
	defer invented.Wait()
	defer close(answer)
	eventually(t, "the provider is asked", func() bool { return s.reads.Load() == 2 })
	at, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := a.Verify(at, signedBy(t, "rsa")); err != nil {
		t.Errorf("a token with a known key: %v", err)
	}
}

func TestKeysBehindAURLAreRotated(t *testing.T) {
	s := newKeyServer(t, "rsa")
	a := newAuth(t, realtime.AuthConfig{JWKS: s.URL, Refresh: 5 * time.Millisecond})
	withdrawn := signedBy(t, "rsa")
	if _, err := a.Verify(t.Context(), withdrawn); err != nil {
		t.Fatal(err)
	}
	s.fails.Store(true)
	reads := s.reads.Load()
	eventually(t, "the provider fails", func() bool { return s.reads.Load() > reads+1 })
	if _, err := a.Verify(t.Context(), withdrawn); err != nil {
		t.Errorf("while the provider is down: %v", err)
	}
	s.publish("rsa-next")
	s.fails.Store(false)
	eventually(t, "the old key is withdrawn", func() bool {
		_, err := a.Verify(t.Context(), withdrawn)
		return codeOf(t, err) == schema.InvalidToken
	})
	if _, err := a.Verify(t.Context(), signedBy(t, "rsa-next")); err != nil {
		t.Errorf("the new key: %v", err)
	}
}
