package realtime_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"roomlog/realtime"
	"roomlog/schema"
)

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

	id, err = a.Verify(t.Context(), tokenSpec{claims: map[string]any{"roles": allRoles}}.sign(t))
	if err != nil || !slices.Equal(id.Roles, allRoles) {
		t.Errorf("of all roles a token has %v; %v", id.Roles, err)
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
	if !errors.Is(err, jwt.ErrTokenInvalidAudience) || errors.Is(err, jwt.ErrTokenInvalidIssuer) {
		t.Errorf("the log would not see the reason: %v", err)
	}
}

// A server that was told of no issuer and no audience asks for none, nor for a clock.
func TestTokensOfAnyIssuer(t *testing.T) {
	a, err := realtime.NewAuth(t.Context(), realtime.AuthConfig{Secret: authSecret})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, claims := range []map[string]any{{}, {"iss": nil, "aud": nil}, {"iss": "https://other.example", "aud": "other"}} {
		if _, err := a.Verify(t.Context(), tokenWith(t, tokenSpec{claims: claims})); err != nil {
			t.Errorf("%v: %v", claims, err)
		}
	}
	if _, err := a.Verify(t.Context(), tokenWith(t, tokenSpec{claims: map[string]any{"exp": 1}})); codeOf(t, err) != schema.TokenExpired {
		t.Errorf("a token of 1970: %v", err)
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
	want.Roles = []schema.Role{schema.RoleUser}
	token, err = realtime.MintToken(authSecret, want, "", "", authNow)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	decodeInto(t, must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])), &claims)
	for _, left := range []string{"iss", "aud", "roles"} {
		if v, ok := claims[left]; ok {
			t.Errorf("a token says %s %v, which says nothing", left, v)
		}
	}
	if _, err := realtime.MintToken(authSecret[:31], want, "", "", authNow); err == nil {
		t.Error("minted with a secret of 31 bytes")
	}
}
