package realtime

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	maxKeySetBytes  = 1 << 20
	keySetTimeout   = 10 * time.Second // for one read of a URL
	minRSABits      = 2048             // RFC 7518, 3.3
	refreshURL      = 5 * time.Minute
	refreshFile     = 5 * time.Second
	unknownKeyEvery = 10 * time.Second
)

// keySet is a JSON Web Key Set in a file or behind a URL. It is read again
// from time to time and when a token names a key it does not have, so that keys
// are rotated and withdrawn without a restart. While it cannot be read, or is no
// key set, the last good keys stay. A set without any key withdraws them all: that
// is how a provider whose keys were stolen says so.
type keySet struct {
	source   string
	name     string       // source, for the log: without what in a URL may be a secret
	client   *http.Client // nil for a file
	store    *jwkset.MemoryJWKSet
	keyfunc  keyfunc.Keyfunc
	unknown  *rate.Limiter // reads because of unknown keys
	log      *slog.Logger
	reading  chan struct{} // holds one token while nobody reads the source
	last     []byte        // what was read last; owned by the holder of reading's token
	keys     int           // of use, in it; likewise
	stop     context.CancelFunc
	refresh  sync.WaitGroup
	interval time.Duration
}

const holdsNone = "it holds no key for RS256, ES256 or EdDSA"

// openKeySet reads the set once, fails if that does, and starts the refreshing.
func openKeySet(ctx context.Context, cfg AuthConfig) (*keySet, error) {
	s := &keySet{
		source:   cfg.JWKS,
		name:     cfg.JWKS,
		store:    jwkset.NewMemoryStorage(),
		log:      cfg.Logger,
		reading:  make(chan struct{}, 1),
		interval: cfg.Refresh,
	}
	if strings.HasPrefix(s.source, "http://") || strings.HasPrefix(s.source, "https://") {
		s.name = publicPart(s.source)
		s.client = &http.Client{Timeout: keySetTimeout, Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if s.interval <= 0 {
		s.interval = refreshFile
		if s.client != nil {
			s.interval = refreshURL
		}
	}
	every := cfg.UnknownKeyEvery
	if every <= 0 {
		every = unknownKeyEvery
	}
	s.unknown = rate.NewLimiter(rate.Every(every), 1)
	s.reading <- struct{}{}
	var err error
	if s.keyfunc, err = keyfunc.New(keyfunc.Options{Storage: s.store}); err != nil {
		return nil, fmt.Errorf("setting up the JWKS: %w", err)
	}
	if err := s.read(ctx); err != nil {
		s.closeIdle()
		return nil, fmt.Errorf("the JWKS %s cannot be used: %w", s.name, err)
	}
	if s.keys == 0 {
		s.closeIdle()
		return nil, fmt.Errorf("the JWKS %s cannot be used: %s", s.name, holdsNone)
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.refresh.Go(func() { s.keepFresh(background) })
	return s, nil
}

func (s *keySet) close() {
	s.stop()
	s.refresh.Wait()
	s.closeIdle()
}

func (s *keySet) closeIdle() {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

func (s *keySet) keepFresh(ctx context.Context) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.read(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the JWKS cannot be read again; the last good keys stay", "jwks", s.name, "err", err)
		}
	}
}

// key returns the key that the token names, or all of them when it names none.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	find := s.keyfunc.KeyfuncCtx(ctx)
	key, err := find(t)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	// Whoever waits here behind another's read finds its result and needs no read of
	// their own; so one new key costs one read, whatever the number of tokens.
	select {
	case <-s.reading:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	key, err = find(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) && s.unknown.Allow() {
		if readErr := s.readLocked(ctx); readErr != nil {
			s.log.Warn("the JWKS cannot be read for a key it did not have", "jwks", s.name, "err", readErr)
		}
		key, err = find(t)
	}
	s.reading <- struct{}{}
	return key, err
}

func (s *keySet) read(ctx context.Context) error {
	select {
	case <-s.reading:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.reading <- struct{}{} }()
	return s.readLocked(ctx)
}

func (s *keySet) readLocked(ctx context.Context) error {
	raw, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	if bytes.Equal(raw, s.last) {
		return nil
	}
	keys, err := s.parse(raw)
	if err != nil {
		return err
	}
	if err := s.store.KeyReplaceAll(ctx, keys); err != nil {
		return err
	}
	s.last, s.keys = raw, len(keys)
	if len(keys) == 0 {
		s.log.Warn("all keys of the JWKS are withdrawn, and none of its tokens is good: "+holdsNone, "jwks", s.name)
		return nil
	}
	s.log.Info("read the JWKS", "jwks", s.name, "keys", len(keys))
	return nil
}

func (s *keySet) fetch(ctx context.Context) ([]byte, error) {
	if s.client == nil {
		f, err := os.Open(s.source)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readAtMost(f)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.source, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is HTTP status %s", resp.Status)
	}
	return readAtMost(resp.Body)
}

// publicPart is a URL without user, password and query.
func publicPart(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(no URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// withoutURL is an error of a request without the address, which says too much.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func readAtMost(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxKeySetBytes+1))
	if len(raw) > maxKeySetBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxKeySetBytes)
	}
	return raw, err
}

// parse returns the keys of a set that can verify one of the algorithms taken
// here, each without its private half should it have one. Others are left out:
// a set may serve other services too.
func (s *keySet) parse(raw []byte) ([]jwkset.JWK, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("it is not a JSON Web Key Set: %w", err)
	}
	if set.Keys == nil { // RFC 7517, 5.1: it must be there
		return nil, errors.New("it is not a JSON Web Key Set: it has no keys member")
	}
	var keys []jwkset.JWK
	for _, m := range set.Keys {
		if m.USE == jwkset.UseEnc {
			continue
		}
		// The key alone counts: chains of certificates are neither checked nor fetched.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || !verifies(key.Key()) {
			s.log.Warn("left a key of the JWKS out: it is for none of RS256 (2048 bits or more), ES256 and EdDSA (Ed25519)",
				"jwks", s.name, "kid", m.KID, "kty", m.KTY.String(), "err", err)
			continue
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func verifies(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return true
	}
	return false
}
