package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
)

// defaultListen and defaultServer are where serve listens unless told otherwise.
const (
	defaultListen = "127.0.0.1:7777"
	defaultServer = "ws://" + defaultListen + "/ws"
)

// tokenLife is how long the tokens are valid that commands mint for themselves.
const tokenLife = 24 * time.Hour

// dial connects a user to url with a token minted for them.
func (m minting) dial(ctx context.Context, url string, id realtime.Identity, o client.Options) (*client.Client, error) {
	token, err := m.token(id, tokenLife)
	if err != nil {
		return nil, err
	}
	o.Token = token
	return dial(ctx, url, o)
}

// dial is client.Dial with errors for people.
func dial(ctx context.Context, url string, o client.Options) (*client.Client, error) {
	c, err := client.Dial(ctx, url, o)
	return c, explained(err, url)
}

// open is client.Open with errors for people.
func open(ctx context.Context, url string, o client.SessionOptions) (*client.Session, error) {
	s, err := client.Open(ctx, url, o)
	return s, explained(err, url)
}

func explained(err error, url string) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s: start %s serve, or give its address with --server: %w", url, self(), err)
	}
	return err
}
