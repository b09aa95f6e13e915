package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// SignerConfig says what a Signer signs, and where it keeps that.
type SignerConfig struct {
	Dir    string              // the data directory
	Log    *eventlog.Log       // nil, with Models, of a log that nobody has open: then a Signer only rotates the key
	Models *projections.Models // have the log's tree
	Logger *slog.Logger        // nil: silent
	OnSync func(path string, length int64)
}

// Signer signs checkpoints of a log. One process at a time has one on a data directory,
// whoever holds its lock. Its methods may be called from any goroutine.
type Signer struct {
	cfg  SignerConfig
	sync synced

	mu      sync.Mutex
	key     *signingKey // under mu
	keys    *Keys       // under mu: of all keys that ever signed here
	history history     // under mu
}

// OpenSigner opens a data directory's key and checkpoints, and makes the key where there
// is none.
func OpenSigner(cfg SignerConfig) (*Signer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Signer{cfg: cfg, sync: cfg.OnSync}
	var err error
	if s.keys, err = loadKeys(cfg.Dir); err != nil {
		return nil, err
	}
	if s.key, err = loadKey(filepath.Join(cfg.Dir, keyFile)); err != nil {
		return nil, err
	}
	if s.key == nil {
		name := ""
		if len(s.keys.list) > 0 {
			name = s.keys.list[0].Name() // the key is lost, the log is the same
		}
		if s.key, err = newKey(name); err != nil {
			return nil, err
		}
		if err := s.sync.replace(filepath.Join(cfg.Dir, keyFile), []byte(s.key.secret+"\n")); err != nil {
			return nil, err
		}
	}
	if err := s.publish(s.key); err != nil {
		return nil, err
	}
	s.history, err = loadHistory(cfg.Dir, s.keys)
	return s, err
}

// publish writes the verifier keys with that of a key before all.
func (s *Signer) publish(key *signingKey) error {
	all := []string{key.verifier}
	for _, v := range s.keys.list {
		if v.text != key.verifier {
			all = append(all, v.text)
		}
	}
	text := strings.Join(all, "\n") + "\n"
	if len(s.keys.list) == len(all) && s.keys.list[0].text == key.verifier {
		return nil
	}
	if err := s.sync.replace(filepath.Join(s.cfg.Dir, pubFile), []byte(text)); err != nil {
		return err
	}
	keys, err := ParseKeys(text)
	if err == nil {
		s.keys = keys
	}
	return err
}

// Key returns the verifier key of the key that signs now.
func (s *Signer) Key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key.verifier
}

// Sign signs what the read models have of the log, all of which is durable, unless
// nothing was added since the newest checkpoint, and returns the newest. It is on disk
// before it returns and goes to the ADMIN stream. When the log's tree does not go on
// from what was signed before, Sign signs nothing, and fails with a *projections.Loss.
func (s *Signer) Sign(ctx context.Context) (*Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sign(ctx)
}

func (s *Signer) sign(ctx context.Context) (*Checkpoint, error) {
	newest := s.history.newest()
	c := Checkpoint{Origin: s.key.Name(), Epoch: s.cfg.Log.Epoch()}
	var before tlog.Hash
	err := s.cfg.Models.View(func(v *projections.View) (err error) {
		if c.Size = v.Seq(); newest != nil && c.Size < newest.Size {
			return nil // they are being made anew
		}
		if newest != nil {
			before, err = v.TreeRoot(newest.Size)
		}
		if err == nil {
			c.Root, err = v.TreeRoot(c.Size)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the log's tree: %w", err)
	case newest != nil && c.Size >= newest.Size && before != newest.Root:
		return nil, lossOf(newest, s.cfg.Log, fmt.Sprintf("among the records up to seq %d are others than those that it is over", newest.Size))
	case c.Size == 0 || newest != nil && c.Size <= newest.Size:
		return newest, ctx.Err()
	}
	c.Time = schema.TimeOf(time.Now())
	if err := c.sign(s.key); err != nil {
		return nil, err
	}
	if err := s.keep(c); err != nil {
		return nil, err
	}
	return s.history.newest(), nil
}

// keep makes a checkpoint durable, and then known.
func (s *Signer) keep(c Checkpoint) error {
	h := slices.Clone(s.history).with(c)
	if err := s.sync.replace(filepath.Join(s.cfg.Dir, historyFile), h.file()); err != nil {
		return err
	}
	if err := s.sync.replace(filepath.Join(s.cfg.Dir, newestFile), c.Note); err != nil {
		return err
	}
	s.history = h
	if s.cfg.Log == nil {
		return nil
	}
	err := s.cfg.Log.Audit(schema.AuditCheckpoint, schema.AuditSigned{Size: c.Size, Root: c.Root.String(), Epoch: c.Epoch, Key: s.key.verifier, NextKey: c.NextKey, Note: string(c.Note)})
	if err != nil {
		s.cfg.Logger.Warn("the admin stream was not told of a checkpoint", "size", c.Size, "error", err)
	}
	return nil
}

// errNothingSigned says why a key is not rotated.
var errNothingSigned = errors.New("nothing is signed yet, so there is nothing to hand over: run the server, or remove " + keyFile + " for a new key")

// Rotate makes a new key and hands over to it: a checkpoint that names it, signed by
// both. Whoever trusts the old key, and is shown that checkpoint, trusts the new one.
// The new key signs from then on.
func (s *Signer) Rotate(ctx context.Context) (*Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Models != nil {
		if _, err := s.sign(ctx); err != nil {
			return nil, err
		}
	}
	if s.history.newest() == nil {
		return nil, errNothingSigned
	}
	next, err := newKey(s.key.Name())
	if err != nil {
		return nil, err
	}
	c := *s.history.newest()
	c.NextKey, c.Time = next.verifier, schema.TimeOf(time.Now())
	if err := c.sign(s.key, next); err != nil {
		return nil, err
	}
	if err := s.publish(next); err != nil {
		return nil, err
	}
	if err := s.keep(c); err != nil {
		return nil, err
	}
	// The last step: cut short before it, the old key signs on, which all still trust.
	if err := s.sync.replace(filepath.Join(s.cfg.Dir, keyFile), []byte(next.secret+"\n")); err != nil {
		return nil, err
	}
	s.key = next
	return s.history.newest(), nil
}
