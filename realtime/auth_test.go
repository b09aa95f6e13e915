package realtime_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

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
	for _, kid := range []string{"rsa", "rsa-next", "rsa-foreign"} {
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
// stands for the shared secret, which a careless provider might publish.
func keySetOf(kids ...string) []byte {
	var set jwkset.JWKSMarshal
	for _, kid := range kids {
		metadata := jwkset.JWKMetadataOptions{KID: kid}
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

func TestVerify(t *testing.T) {
	const secret, keys, both = "secret", "keys", "secret and keys"
	published := keySetFile(t, "rsa", "ec", "ed", "rsa-short", "ec-384", "oct")
	auths := map[string]*realtime.Auth{
		secret: newAuth(t, realtime.AuthConfig{Secret: authSecret}),
		keys:   newAuth(t, realtime.AuthConfig{JWKS: published}),
		both:   newAuth(t, realtime.AuthConfig{Secret: authSecret, JWKS: published}),
	}
	kid := func(k string) map[string]any { return map[string]any{"kid": k} }
	claim := func(k string, v any) tokenSpec { return tokenSpec{claims: map[string]any{k: v}} }
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(authKeys()["rsa"].Public()))})
	rsaDER := must(x509.MarshalPKIXPublicKey(authKeys()["rsa"].Public()))
	good := tokenSpec{}.sign(t)
	parts := strings.Split(good, ".")
	admin := strings.Split(claim("sub", "admin").sign(t), ".")
	const okHeader, okPayload = `{"alg":"HS256"}`, `{"sub":"alice","iss":"https://id.example","aud":"roomlog","exp":1900000000}`
	const ok, invalid, expired = schema.Code(""), schema.InvalidToken, schema.TokenExpired

	for _, c := range []struct {
		name  string
		auth  string
		token string
		want  schema.Code
	}{
		{"HS256", secret, good, ok},
		{"HS256 beside keys", both, good, ok},
		{"HS256 by hand", secret, hs256(okHeader, okPayload), ok},
		{"RS256", keys, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa")}.sign(t), ok},
		{"ES256", keys, tokenSpec{method: jwt.SigningMethodES256, header: kid("ec")}.sign(t), ok},
		{"EdDSA", keys, tokenSpec{method: jwt.SigningMethodEdDSA, header: kid("ed")}.sign(t), ok},
		{"RS256 beside a secret", both, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa")}.sign(t), ok},
		{"ES256 without kid: every key is tried", keys, tokenSpec{method: jwt.SigningMethodES256, key: authKeys()["ec"]}.sign(t), ok},
		{"several audiences", secret, claim("aud", []string{"other", "roomlog"}).sign(t), ok},
		{"not before now", secret, claim("nbf", authNow.Unix()).sign(t), ok},
		{"unknown claims and roles", secret, tokenSpec{claims: map[string]any{"x": 1, "roles": []string{"chef"}}}.sign(t), ok},

		{"expired", secret, claim("exp", authNow.Add(-time.Second).Unix()).sign(t), expired},
		{"expires now", secret, claim("exp", authNow.Unix()).sign(t), expired},
		{"expired, RS256", keys, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa"), claims: map[string]any{"exp": 1}}.sign(t), expired},
		{"expired and for others", secret, tokenSpec{claims: map[string]any{"exp": 1, "aud": "other"}}.sign(t), invalid},
		{"expired and forged", secret, tokenSpec{key: []byte(strings.Repeat("k", 40)), claims: map[string]any{"exp": 1}}.sign(t), invalid},
		{"not yet", secret, claim("nbf", authNow.Add(time.Second).Unix()).sign(t), invalid},
		{"no exp", secret, claim("exp", nil).sign(t), invalid},
		{"exp is text", secret, claim("exp", "tomorrow").sign(t), invalid},
		{"exp is no number JSON can hold", secret, hs256(okHeader, strings.Replace(okPayload, "1900000000", "1e999", 1)), invalid},
		{"exp overflows every clock", secret, hs256(okHeader, strings.Replace(okPayload, "1900000000", "1e300", 1)), expired},
		{"exp below every clock", secret, hs256(okHeader, strings.Replace(okPayload, "1900000000", "-1e300", 1)), expired},
		{"wrong issuer", secret, claim("iss", "https://evil.example").sign(t), invalid},
		{"no issuer", secret, claim("iss", nil).sign(t), invalid},
		{"wrong audience", secret, claim("aud", "roomlog2").sign(t), invalid},
		{"no audience", secret, claim("aud", nil).sign(t), invalid},
		{"empty audience", secret, claim("aud", []string{""}).sign(t), invalid},

		{"another secret", secret, tokenSpec{key: []byte(strings.Repeat("k", 40))}.sign(t), invalid},
		{"HS384", secret, tokenSpec{method: jwt.SigningMethodHS384}.sign(t), invalid},
		{"alg none", secret, segments(`{"alg":"none"}`, okPayload, ""), invalid},
		{"alg NONE", secret, segments(`{"alg":"NONE"}`, okPayload, ""), invalid},
		{"alg none, with a good signature", secret, segments(`{"alg":"none"}`, okPayload, "") + parts[2], invalid},
		{"alg none, with keys", keys, segments(`{"alg":"none","kid":"rsa"}`, okPayload, ""), invalid},
		{"alg missing", secret, hs256(`{}`, okPayload), invalid},
		{"alg is a number", secret, hs256(`{"alg":256}`, okPayload), invalid},
		{"alg unknown", secret, hs256(`{"alg":"XS256"}`, okPayload), invalid},
		{"alg of another case", secret, hs256(`{"alg":"hs256"}`, okPayload), invalid},
		{"critical extension", secret, hs256(`{"alg":"HS256","crit":["b64"],"b64":false}`, okPayload), invalid},

		{"HS256 with the RSA public key as PEM", keys, tokenSpec{key: rsaPEM, header: kid("rsa")}.sign(t), invalid},
		{"HS256 with the RSA public key as DER", keys, tokenSpec{key: rsaDER, header: kid("rsa")}.sign(t), invalid},
		{"HS256 with the RSA public key, beside a secret", both, tokenSpec{key: rsaPEM, header: kid("rsa")}.sign(t), invalid},
		{"HS256 where only keys are configured", keys, good, invalid},
		{"HS256 with the published symmetric key", keys, tokenSpec{header: kid("oct")}.sign(t), invalid},
		{"RS256 where only a secret is configured", secret, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa")}.sign(t), invalid},
		{"RS512", keys, tokenSpec{method: jwt.SigningMethodRS512, header: kid("rsa")}.sign(t), invalid},
		{"PS256", keys, tokenSpec{method: jwt.SigningMethodPS256, header: kid("rsa")}.sign(t), invalid},
		{"ES384", keys, tokenSpec{method: jwt.SigningMethodES384, header: kid("ec-384")}.sign(t), invalid},
		{"RS256 with too short a key", keys, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa-short")}.sign(t), invalid},
		{"ES256 that names an RSA key", keys, tokenSpec{method: jwt.SigningMethodES256, key: authKeys()["ec"], header: kid("rsa")}.sign(t), invalid},
		{"unknown kid", keys, tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa"], header: kid("nobody")}.sign(t), invalid},
		{"another's kid", keys, tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa-foreign"], header: kid("rsa")}.sign(t), invalid},
		{"foreign key without kid", keys, tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa-foreign"]}.sign(t), invalid},
		{"kid is a number", keys, tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa"], header: map[string]any{"kid": 7}}.sign(t), invalid},
		{"key brought along", keys, tokenSpec{method: jwt.SigningMethodRS256, key: authKeys()["rsa-foreign"],
			header: map[string]any{"kid": "mine", "jwk": json.RawMessage(keySetOf("rsa-foreign")), "jku": "https://evil.example"}}.sign(t), invalid},

		{"payload of another token", secret, parts[0] + "." + admin[1] + "." + parts[2], invalid},
		{"one bit of the signature", secret, flipLast(good), invalid},
		{"signature with loose end bits", secret, parts[0] + "." + parts[1] + "." + looseEnd(parts[2]), invalid},
		{"signature cut", secret, good[:len(good)-4], invalid},
		{"no signature", secret, parts[0] + "." + parts[1] + ".", invalid},
		{"two parts", secret, parts[0] + "." + parts[1], invalid},
		{"four parts", secret, good + ".x", invalid},
		{"five parts (JWE)", secret, "a.b.c.d.e", invalid},
		{"padding", secret, good + "=", invalid},
		{"space before", secret, " " + good, invalid},
		{"newline inside", secret, good[:20] + "\n" + good[20:], invalid},
		{"empty", secret, "", invalid},
		{"dots", secret, "..", invalid},
		{"not base64", secret, "ü.ü.ü", invalid},
		{"payload null", secret, hs256(okHeader, `null`), invalid},
		{"payload an array", secret, hs256(okHeader, `[]`), invalid},
		{"header null", secret, hs256(`null`, okPayload), invalid},
		{"huge", secret, strings.Repeat("A", 1<<20), invalid},
		{"one byte too long", secret, good + strings.Repeat("A", 8<<10+1-len(good)), invalid},

		{"no sub", secret, claim("sub", nil).sign(t), invalid},
		{"empty sub", secret, claim("sub", "").sign(t), invalid},
		{"sub with a space", secret, claim("sub", "al ice").sign(t), invalid},
		{"sub with a newline", secret, claim("sub", "alice\n").sign(t), invalid},
		{"sub not ASCII", secret, claim("sub", "alicé").sign(t), invalid},
		{"sub too long", secret, claim("sub", strings.Repeat("a", 129)).sign(t), invalid},
		{"sub is a number", secret, claim("sub", 7).sign(t), invalid},
		{"username too long", secret, claim("username", strings.Repeat("é", 65)).sign(t), invalid},
		{"username with a terminal escape", secret, claim("username", "al\x1b[2Jice").sign(t), invalid},
		{"avatar too long", secret, claim("avatar", strings.Repeat("a", 2049)).sign(t), invalid},
		{"roles is text", secret, claim("roles", "admin").sign(t), invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := auths[c.auth].Verify(t.Context(), c.token)
			if got := codeOf(t, err); got != c.want {
				t.Fatalf("code %q (%v), want %q", got, err, c.want)
			}
			if err == nil && id.Actor.ID != "alice" {
				t.Errorf("verified as %+v, want alice", id.Actor)
			}
			if err != nil && id.Actor.ID != "" {
				t.Errorf("a refused token gave the identity %+v", id)
			}
		})
	}
}

// flipLast changes one meaningful bit at the end of a token.
func flipLast(token string) string {
	b := must(base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:]))
	b[len(b)-1] ^= 1
	return token[:strings.LastIndexByte(token, '.')+1] + base64.RawURLEncoding.EncodeToString(b)
}

// looseEnd returns another text for the same 32 bytes: the last of its 43
// characters has two bits that base64 does not use.
func looseEnd(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, signature[len(signature)-1])
	return signature[:len(signature)-1] + alphabet[i|1:i|1+1]
}

func TestIdentityFromClaims(t *testing.T) {
	a := newAuth(t, realtime.AuthConfig{Secret: authSecret, Leeway: 5 * time.Second})
	id, err := a.Verify(t.Context(), tokenSpec{claims: map[string]any{
		"sub": "u-1", "username": "Älice", "avatar": "https://img.example/a.png", "roles": []string{"admin", "chef", "admin", "moderator", "user"},
		"exp": authNow.Add(-time.Second).Unix(), "nbf": authNow.Add(4 * time.Second).Unix(), // both within the leeway
	}}.sign(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := (schema.Actor{ID: "u-1", Username: "Älice", Avatar: "https://img.example/a.png"}); id.Actor != want {
		t.Errorf("actor %+v, want %+v", id.Actor, want)
	}
	if want := []schema.Role{schema.RoleUser, schema.RoleModerator, schema.RoleAdmin}; !slices.Equal(id.Roles, want) {
		t.Errorf("roles %v, want %v", id.Roles, want)
	}
	if !id.Has(schema.RoleAdmin) || id.Has(schema.RoleOperator) {
		t.Errorf("Has disagrees with the roles %v", id.Roles)
	}
	if want := authNow.Add(4 * time.Second); !id.Expires.Equal(want) {
		t.Errorf("expires %v, want %v: exp and the leeway", id.Expires, want)
	}

	id, err = a.Verify(t.Context(), tokenSpec{claims: map[string]any{"sub": strings.Repeat("a", 100)}}.sign(t))
	if err != nil || id.Actor.Username != strings.Repeat("a", 64) {
		t.Errorf("the username defaults to %q (%v), want the first 64 characters of sub", id.Actor.Username, err)
	}
}

func TestRefusalHidesTheReasonFromClients(t *testing.T) {
	a := newAuth(t, realtime.AuthConfig{Secret: authSecret})
	_, err := a.Verify(t.Context(), tokenSpec{claims: map[string]any{"aud": "other"}}.sign(t))
	var e *schema.Error
	if !errors.As(err, &e) || strings.Contains(e.Message, "aud") {
		t.Errorf("a client would see %v", e)
	}
	if !errors.Is(err, jwt.ErrTokenInvalidAudience) {
		t.Errorf("the log would not see the reason: %v", err)
	}
}

func TestMintedTokenVerifies(t *testing.T) {
	a := newAuth(t, realtime.AuthConfig{Secret: authSecret})
	want := realtime.Identity{
		Actor:   schema.Actor{ID: "bob", Username: "Bob", Avatar: "b.png"},
		Roles:   []schema.Role{schema.RoleUser, schema.RoleModerator},
		Expires: authNow.Add(time.Hour),
	}
	token, err := realtime.MintToken(authSecret, want, "https://id.example", "roomlog", authNow)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if got.Actor != want.Actor || !slices.Equal(got.Roles, want.Roles) || !got.Expires.Equal(want.Expires) {
		t.Errorf("verified %+v, minted %+v", got, want)
	}

	for name, change := range map[string]func(*realtime.Identity){
		"expired":  func(id *realtime.Identity) { id.Expires = authNow },
		"no user":  func(id *realtime.Identity) { id.Actor.ID = "" },
		"bad user": func(id *realtime.Identity) { id.Actor.ID = "b b" },
		"bad name": func(id *realtime.Identity) { id.Actor.Username = strings.Repeat("b", 65) },
	} {
		id := want
		change(&id)
		if token, err := realtime.MintToken(authSecret, id, "", "", authNow); err == nil {
			t.Errorf("%s: minted %s", name, token)
		}
	}
	if _, err := realtime.MintToken(authSecret[:31], want, "", "", authNow); err == nil {
		t.Error("minted with a secret of 31 bytes")
	}
}

func TestCloseEndsEveryGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	a, err := realtime.NewAuth(context.Background(), realtime.AuthConfig{JWKS: keySetFile(t, "ed"), Refresh: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
}

func FuzzVerify(f *testing.F) {
	a := newAuth(f, realtime.AuthConfig{Secret: authSecret, JWKS: keySetFile(f, "ec", "ed"), UnknownKeyEvery: time.Hour})
	good := tokenSpec{}.sign(f)
	f.Add(good)
	f.Add(tokenSpec{method: jwt.SigningMethodEdDSA, header: map[string]any{"kid": "ed"}}.sign(f))
	f.Add(segments(`{"alg":"none"}`, `{"sub":"alice"}`, ""))
	f.Add(segments(`{"alg":"ES256","kid":"ec"}`, `null`, "x"))
	f.Add(hs256(`{"alg":"HS256"}`, `{"sub":"a","exp":1e300,"roles":[null]}`))
	signed := map[string]bool{good: true}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := a.Verify(t.Context(), token)
		if err == nil && !signed[token] && id.Actor.ID != "alice" {
			t.Errorf("forged: %q is %+v", token, id)
		}
		if code := codeOf(t, err); err != nil && code != schema.InvalidToken && code != schema.TokenExpired {
			t.Errorf("code %s", code)
		}
	})
}
