package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

// secretName is the file of the data directory with the secret that serve makes
// when no way to verify tokens is configured.
const secretName = "auth.secret"

// minting is what a command needs to make tokens of its own.
type minting struct {
	Data           string `default:"./roomlog-data" placeholder:"DIR" help:"The server's data directory (${default}): its auth.secret is used."`
	AuthSecretFile string `placeholder:"FILE" help:"File with the shared secret, in place of the one in the data directory."`
	AuthIssuer     string `placeholder:"ISS" help:"Issuer (iss) that the server asks for."`
	AuthAudience   string `placeholder:"AUD" help:"Audience (aud) that the server asks for."`
}

// token mints a token for id that is valid for ttl.
func (m minting) token(id realtime.Identity, ttl time.Duration) (string, error) {
	path := cmp.Or(m.AuthSecretFile, filepath.Join(m.Data, secretName))
	if _, err := os.Stat(path); m.AuthSecretFile == "" && errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s: start %s serve once with this --data, or give --auth-secret-file", path, self())
	}
	secret, err := realtime.ReadSecretFile(path)
	if err != nil {
		return "", err
	}
	now := time.Now()
	id.Expires = now.Add(ttl)
	token, err := realtime.MintToken(secret, id, m.AuthIssuer, m.AuthAudience, now)
	if err != nil {
		return "", fmt.Errorf("cannot mint a token for %q: %w", id.Actor.ID, err)
	}
	return token, nil
}

type tokenCmd struct {
	User     string        `required:"" placeholder:"ID" help:"User id (sub)."`
	Username string        `help:"Name to show; the id when not given."`
	Avatar   string        `placeholder:"URL" help:"Picture to show."`
	Role     []schema.Role `enum:"user,moderator,admin,auditor,operator" help:"Role beyond user: moderator, admin, auditor or operator; may be repeated."`
	TTL      time.Duration `name:"ttl" default:"24h" help:"How long the token is valid (${default})."`
	minting
}

// Run prints the token and nothing else.
func (c *tokenCmd) Run(a *app) error {
	if c.TTL <= 0 {
		return usagef("--ttl must be longer than nothing, for example 1h")
	}
	if !schema.ValidUserID(c.User) {
		return usagef("%q cannot be a user id: use 1 to 128 printable ASCII characters without space, quote and backslash", c.User)
	}
	token, err := c.token(realtime.Identity{
		Actor: schema.Actor{ID: c.User, Username: c.Username, Avatar: c.Avatar},
		Roles: c.Role,
	}, c.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, token)
	return err
}
