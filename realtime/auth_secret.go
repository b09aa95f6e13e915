package realtime

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"roomlog/schema"
)

// MinSecretBytes is the shortest shared secret: RFC 7518, 3.2 asks of HS256 a
// key as long as its hash.
const MinSecretBytes = 32

// maxSecretBytes keeps a wrong path (a device, a database) from being read whole.
const maxSecretBytes = 64 << 10

// ReadSecretFile returns the shared secret in a file, without the newline at its end.
func ReadSecretFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the secret file %s does not exist: make it with at least %d random bytes, or let serve make one", path, MinSecretBytes)
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxSecretBytes) {
		return nil, fmt.Errorf("the secret file %s is not a file of at most %d KiB", path, maxSecretBytes>>10)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the secret file: %w", err)
	}
	secret = bytes.TrimRight(secret, "\r\n")
	if err := checkSecret(secret); err != nil {
		return nil, fmt.Errorf("the secret file %s: %w", path, err)
	}
	return secret, nil
}

// NewSecretFile makes a file, readable by its owner only, with a random secret
// and returns the secret. It fails when the file exists. The file appears whole
// and durable or not at all: a server that lost its power at this moment must
// find the secret that it signed tokens with, or none.
func NewSecretFile(path string) ([]byte, error) {
	random := make([]byte, 48)
	rand.Read(random) // never fails: crypto/rand ends the process instead
	secret := []byte(base64.RawURLEncoding.EncodeToString(random))
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return nil, fmt.Errorf("making a secret file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(secret, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("writing the secret file %s: %w", path, err)
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename, replaces nothing
		return nil, fmt.Errorf("making a secret file: %w", err)
	}
	return secret, syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func checkSecret(secret []byte) error {
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("a secret of %d bytes is too short: HS256 needs at least %d", len(secret), MinSecretBytes)
	}
	return nil
}

func warnIfReadableByOthers(log *slog.Logger, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("the secret file can be read by others than its owner; whoever reads it can be any user: chmod 600",
			"file", path, "mode", info.Mode().Perm().String())
	}
}

// MintToken signs an HS256 token for id, valid until id.Expires, which a token
// holds in whole seconds. An empty issuer or audience is left out.
func MintToken(secret []byte, id Identity, issuer, audience string, now time.Time) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", err
	}
	if !id.Expires.After(now) {
		return "", errors.New("a token must expire after now")
	}
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   id.Actor.ID,
			Issuer:    issuer,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(id.Expires),
		},
		Username: id.Actor.Username,
		Avatar:   id.Actor.Avatar,
	}
	if audience != "" {
		c.Audience = jwt.ClaimStrings{audience}
	}
	for _, role := range id.Roles {
		if role != schema.RoleUser { // every user has it
			c.Roles = append(c.Roles, string(role))
		}
	}
	if _, err := c.identity(); err != nil {
		return "", err
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
}
