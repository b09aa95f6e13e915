package realtime_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"roomlog/realtime"
	"roomlog/schema"
)

func TestVerify(t *testing.T) {
	const secret, keys, both = "secret", "keys", "secret and keys"
	published := keySetFile(t, "rsa", "ec", "ed", "rsa-short", "rsa-enc", "ec-384", "oct")
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
		{"RS256 with a key for encryption", keys, tokenSpec{method: jwt.SigningMethodRS256, header: kid("rsa-enc")}.sign(t), invalid},
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
		{"too long, and good but for that", secret, claim("x", strings.Repeat("a", 8<<10)).sign(t), invalid},
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
		{"avatar with a newline", secret, claim("avatar", "a.png\nX").sign(t), invalid},
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
