package eventlog

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// BeginEpoch gives the log a new epoch, durably: it has lost records that others were
// told of, and is about to give their places to other ones. Clients and read models of
// the old epoch then know that their positions mean nothing any more. To be called
// before anything else is done with the log.
func (l *Log) BeginEpoch(ctx context.Context) error {
	if l.sealed {
		return ErrReadOnly
	}
	epoch := NewID(time.Now())
	stream, err := l.js.Stream(ctx, streamEvents)
	if err != nil {
		return fmt.Errorf("beginning a new epoch: %w", err)
	}
	config := stream.CachedInfo().Config
	config.Metadata = maps.Clone(config.Metadata)
	config.Metadata[epochKey] = epoch
	if _, err := l.js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("beginning a new epoch: %w", err)
	}
	if l.blocks != nil {
		if err := l.blocks.syncTree(); err != nil {
			return fmt.Errorf("making the new epoch durable: %w", err)
		}
	}
	l.epoch = epoch
	return nil
}
