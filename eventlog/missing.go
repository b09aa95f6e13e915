package eventlog

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Missing returns the places up to the durable sequence, at most to, at which the log
// has no record, ascending: lost to damage, or to a power loss before they were acked.
// It asks the server, and costs nothing while there are none.
func (l *Log) Missing(ctx context.Context, to uint64) ([]uint64, error) {
	if l.sealed {
		return nil, ErrReadOnly
	}
	to = min(to, l.Durable())
	var missing []uint64
	for seq := uint64(1); seq < l.first && seq <= to; seq++ {
		missing = append(missing, seq)
	}
	stream, err := l.js.Stream(ctx, streamEvents)
	if err == nil && stream.CachedInfo().State.NumDeleted > 0 {
		var info *jetstream.StreamInfo
		if info, err = stream.Info(ctx, jetstream.WithDeletedDetails(true)); err == nil {
			for _, seq := range info.State.Deleted {
				if seq <= to {
					missing = append(missing, seq)
				}
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("asking which records the log lacks: %w", err)
	}
	return missing, nil
}
