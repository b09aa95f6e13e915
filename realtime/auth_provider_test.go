package realtime_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"roomlog/realtime"
	"roomlog/schema"
)

var (
	authSecret = []byte("a shared secret of more than 32 bytes, for tests")
	authNow    = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
)

// authKeys are the private keys of the tests' identity provider, by kid.
var authKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	for _, kid := range []string{"rsa", "rsa-next", "rsa-foreign", "rsa-enc"} {
		keys[kid] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	keys["rsa-short"] = must(rsa.GenerateKey(rand.Reader, 1024))
	keys["ec"] = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	keys["ec-384"] = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	keys["ed"] = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return keys
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keySetOf returns a JSON Web Key Set with the public keys of those kids. "oct"
// stands for the shared secret, which a careless provider might publish, and "rsa-enc"
// is said to be for encryption.
func keySetOf(kids ...string) []byte {
	var set jwkset.JWKSMarshal
	for _, kid := range kids {
		metadata := jwkset.JWKMetadataOptions{KID: kid}
		if kid == "rsa-enc" {
			metadata.USE = jwkset.UseEnc
		}
		var key any = authSecret
		private := kid == "oct"
		if !private {
			key = authKeys()[kid].Public()
		}
		jwk := must(jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: metadata, Marshal: jwkset.JWKMarshalOptions{Private: private}}))
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	return must(json.Marshal(set))
}

// tokenSpec describes a token: header fields and claims laid over good ones; a
// nil value takes one away.
type tokenSpec struct {
	method jwt.SigningMethod // default HS256
	key    any               // default authSecret, or the key of the header's kid
	header map[string]any
	claims map[string]any
}

func (s tokenSpec) sign(t testing.TB) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": "alice", "iss": "https://id.example", "aud": "roomlog", "exp": authNow.Add(time.Hour).Unix()}
	for k, v := range s.claims {
		claims[k] = v
		if v == nil {
			delete(claims, k)
		}
	}
	if s.method == nil {
		s.method = jwt.SigningMethodHS256
	}
	token := jwt.NewWithClaims(s.method, claims)
	for k, v := range s.header {
		token.Header[k] = v
	}
	if s.key == nil {
		s.key = authSecret
		if kid, ok := s.header["kid"].(string); ok && authKeys()[kid] != nil {
			s.key = authKeys()[kid]
		}
	}
	signed, err := token.SignedString(s.key)
	if err != nil {
		t.Fatalf("signing a token: %v", err)
	}
	return signed
}

// segments joins a hand-made token; the parts are given as text.
func segments(header, payload, signature string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte(signature))
}

func hs256(header, payload string) string {
	unsigned := strings.TrimSuffix(segments(header, payload, ""), ".")
	mac := hmac.New(sha256.New, authSecret)
	mac.Write([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// newAuth opens an Auth at authNow with the tests' issuer and audience, and
// closes it at the test's end.
func newAuth(t testing.TB, cfg realtime.AuthConfig) *realtime.Auth {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return authNow }
	}
	cfg.Issuer, cfg.Audience = "https://id.example", "roomlog"
	a, err := realtime.NewAuth(t.Context(), cfg)
	if err != nil {
		t.Fatalf("NewAuth: %v", err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func keySetFile(t testing.TB, kids ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, keySetOf(kids...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// codeOf returns the code a client would see; "" for no error.
func codeOf(t testing.TB, err error) schema.Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *schema.Error
	if !errors.As(err, &e) {
		t.Fatalf("error without a code: %v", err)
	}
	return e.Code
}
