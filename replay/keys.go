package replay

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"roomlog/eventlog"
)

// Keys are the verifier keys that somebody trusts. A checkpoint that one of them has
// signed may name a next key, which is then trusted too: that is how a key is rotated
// without a word to those who keep the old one.
type Keys struct{ list []verifier }

// verifier is a key that tells of itself as it is published.
type verifier struct {
	note.Verifier
	text string
}

// ParseKeys reads verifier keys, one a line, as they are in a data directory's log.pub.
func ParseKeys(text string) (*Keys, error) {
	k := &Keys{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := k.trust(line); err != nil {
			return nil, err
		}
	}
	if len(k.list) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return k, nil
}

func (k *Keys) trust(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("%q is no verifier key such as roomlog-01M8…+3f2a…+AY…", vkey)
	}
	for _, known := range k.list {
		if known.Name() == v.Name() && known.KeyHash() == v.KeyHash() {
			return nil
		}
	}
	k.list = append(k.list, verifier{v, vkey})
	return nil
}

// verifiers are the keys as package note wants them.
func (k *Keys) verifiers() note.Verifiers {
	list := make([]note.Verifier, len(k.list))
	for i, v := range k.list {
		list[i] = v
	}
	return note.VerifierList(list...)
}

// Open returns a checkpoint that one of the keys has signed, and trusts the next key
// that it names. The error says what is wrong with another one.
func (k *Keys) Open(text []byte) (Checkpoint, error) {
	c, err := parseCheckpoint(text)
	if err != nil {
		return c, err
	}
	opened, err := note.Open(text, k.verifiers())
	var bad *note.InvalidSignatureError
	switch {
	case errors.As(err, &bad):
		return c, errors.New("its signature is not of what it says")
	case err != nil:
		return c, errors.New("none of the known keys has signed it")
	case opened.Sigs[0].Name != c.Origin:
		return c, fmt.Errorf("the key of %s has signed it in the name of %s", opened.Sigs[0].Name, c.Origin)
	}
	if c.NextKey != "" {
		if err := k.trust(c.NextKey); err != nil {
			return c, err
		}
	}
	return c, nil
}

// signingKey is the key that signs a log's checkpoints.
type signingKey struct {
	note.Signer
	secret   string // as log.key holds it
	verifier string // as it is published
}

// newKey makes a key; name "" begins a new origin.
func newKey(name string) (*signingKey, error) {
	if name == "" {
		name = "roomlog-" + eventlog.NewID(time.Now())
	}
	secret, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return parseKey(secret)
}

func parseKey(secret string) (*signingKey, error) {
	secret = strings.TrimSpace(secret)
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, errors.New("it is no key that signs notes")
	}
	// PRIVATE+KEY+name+hash+base64 of the algorithm's byte and the seed: NewSigner has read it.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(secret, "+", 5)[4])
	if err != nil {
		return nil, err
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, err
	}
	return &signingKey{signer, secret, verifier}, nil
}

// loadKey reads a key file, nil where there is none.
func loadKey(path string) (*signingKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log's key: %w", err)
	}
	key, err := parseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the log's key in %s: %w; bring it back from a backup, or move it away for a new one", path, err)
	}
	return key, nil
}
