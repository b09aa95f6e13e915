package eventlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams of the log.
const (
	streamEvents  = "EVENTS"  // every fact, in one total order, for ever
	streamSignals = "SIGNALS" // what is short-lived
	streamAdmin   = "ADMIN"   // what moderators watch
)

const (
	subjectEvents  = "events.>"
	subjectSignals = "signals.>"
	subjectAudit   = "admin.audit."
)

// epochKey is where EVENTS' metadata holds the log's epoch.
const epochKey = "roomlog-epoch"

// How long the server remembers Nats-Msg-Id, to drop the repeat of a publish whose
// ack was lost. It must outlast the committer's tries. The server keeps every id
// of the window in memory (about 120 bytes), so the embedded one, whose acks take
// no way on which they could be lost, keeps it short.
const (
	dedupEmbedded = time.Minute / 2
	dedupOutside  = 2 * time.Minute
)

func (l *Log) streamConfigs() []jetstream.StreamConfig {
	window := l.cfg.test.dedup
	if l.server == nil {
		window = dedupOutside
	}
	base := jetstream.StreamConfig{
		Storage:     jetstream.FileStorage,
		Replicas:    l.cfg.Replicas,
		AllowDirect: true,
		Duplicates:  window,
	}
	events, signals, admin := base, base, base
	events.Name = streamEvents
	events.Description = "every fact of roomlog, for ever"
	events.Subjects = []string{subjectEvents}
	events.DenyDelete = true
	events.DenyPurge = true
	events.AllowAtomicPublish = true
	events.Metadata = map[string]string{epochKey: NewID(time.Now())}

	signals.Name = streamSignals
	signals.Description = "short-lived events of roomlog"
	signals.Subjects = []string{subjectSignals}
	signals.MaxAge = l.cfg.SignalsMaxAge
	signals.Duplicates = min(window, signals.MaxAge)

	admin.Name = streamAdmin
	admin.Description = "what moderators of roomlog watch"
	admin.Subjects = []string{subjectAudit + ">"}
	admin.Sources = []*jetstream.StreamSource{{Name: streamEvents, FilterSubject: "events.admin.>"}}
	admin.MaxAge = l.cfg.AdminMaxAge
	admin.Duplicates = min(window, admin.MaxAge)
	return []jetstream.StreamConfig{events, signals, admin}
}

// openStreams makes the streams that are missing, brings the others up to date,
// and returns the state of EVENTS.
func (l *Log) openStreams(ctx context.Context) (jetstream.StreamState, error) {
	var state jetstream.StreamState
	for _, config := range l.streamConfigs() {
		info, err := l.openStream(ctx, config)
		if err != nil {
			return state, fmt.Errorf("opening stream %s: %w", config.Name, err)
		}
		if config.Name == streamEvents {
			state = info.State
			l.epoch = info.Config.Metadata[epochKey]
		}
	}
	if l.epoch == "" {
		return state, fmt.Errorf("%w: stream %s has no epoch in its metadata; it was not made by roomlog", ErrDamaged, streamEvents)
	}
	return state, nil
}

func (l *Log) openStream(ctx context.Context, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stream, err := l.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if l.server != nil {
			if err := clearRemains(l.cfg.Dir, want.Name); err != nil {
				return nil, err
			}
		}
		stream, err = l.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = l.js.Stream(ctx, want.Name) // another node was faster
		}
	}
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	if upToDate(have, want) {
		return stream.CachedInfo(), nil
	}
	// Only what this roomlog decides is changed, and only when it differs: a
	// rewritten meta file is one more thing that a power loss could catch.
	have.MaxAge, have.Duplicates, have.Replicas = want.MaxAge, want.Duplicates, want.Replicas
	have.AllowDirect, have.AllowAtomicPublish = want.AllowDirect, want.AllowAtomicPublish
	have.Metadata = maps.Clone(have.Metadata)
	if stream, err = l.js.UpdateStream(ctx, have); err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

func upToDate(have, want jetstream.StreamConfig) bool {
	return have.MaxAge == want.MaxAge && have.Duplicates == want.Duplicates && have.Replicas == want.Replicas &&
		have.AllowDirect == want.AllowDirect && have.AllowAtomicPublish == want.AllowAtomicPublish
}
