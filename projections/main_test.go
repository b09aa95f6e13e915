package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roomlog/eventlog"
	"roomlog/schema"
)

func TestMain(m *testing.M) {
	wipes = true
	// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
	// its own waiting for an answer, for 30 seconds at most.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// id returns the nth ULID of a test.
func id(n int) string { return fmt.Sprintf("01JDQ0%020d", n) }

// start is the time of a test's first record.
const start = schema.Time(1_780_000_000_000)

// fact returns the nth record of a test, a second after the one before.
func fact(n int, user, event string, data any) eventlog.Record {
	switch d := data.(type) { // as the gateway does
	case schema.PostCreate:
		d.Hashtags = list(d.Hashtags)
		data = d
	case schema.PostUpdate:
		d.Hashtags = list(d.Hashtags)
		data = d
	}
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	version := 1 // of what the catalogue does not know, and is to be parked
	if e, ok := schema.Lookup(event); ok {
		version = e.Version
	}
	return eventlog.Record{
		ID: id(n), Time: start + schema.Time(n)*1000, Event: event, Version: version,
		Actor: schema.Actor{ID: user, Username: "@" + user}, Entity: entityOf(event, id(n), data), Data: raw,
	}
}

// entityOf names what a record is about, as the gateway does.
func entityOf(event, id string, data any) string {
	switch d := data.(type) {
	case schema.PostCreate:
		return "post:" + id
	case schema.PostUpdate:
		return "post:" + d.PostID
	case schema.PostRef:
		return "post:" + d.PostID
	case schema.PostAction:
		return "post:" + d.PostID
	case schema.PostComment:
		return "post:" + d.PostID
	case schema.PostShare:
		return "post:" + d.PostID
	case schema.CommentUpdate:
		return "comment:" + d.CommentID
	case schema.CommentDelete:
		return "comment:" + d.CommentID
	case schema.UserFollow:
		return "user:" + d.FollowingID
	case schema.TargetAction:
		return "user:" + d.TargetID
	case schema.ConversationCreate:
		return "conversation:" + id
	case schema.ConversationUpdate:
		return "conversation:" + d.ConversationID
	case schema.ConversationRef:
		return "conversation:" + d.ConversationID
	case schema.MessageSend:
		return "conversation:" + d.ConversationID
	case schema.MessageRef:
		if event == "message:delete" {
			return "message:" + d.MessageID
		}
		return "conversation:" + d.ConversationID
	case schema.MessageEdit:
		return "message:" + d.MessageID
	case schema.AdminReport:
		return "report:" + id
	case schema.AdminResolveReport:
		return "report:" + d.ReportID
	case schema.AdminContent:
		return d.Target.Type + ":" + d.Target.ID
	case schema.AdminSuspend:
		return "user:" + d.UserID
	case schema.AdminReinstate:
		return "user:" + d.UserID
	case schema.NotificationRef:
		return "notification:" + d.NotificationID
	case schema.AdminAnnounce, schema.NotificationReadAll:
		return ""
	}
	panic("no entity for " + event)
}

// world is a log with its read models, in a folder of its own.
type world struct {
	t          testing.TB
	dir        string
	log        *eventlog.Log
	models     *Models
	fault      func(string, *eventlog.Record) error
	logger     *slog.Logger
	maxBatch   int
	background bool
	stop       context.CancelFunc
	done       chan error
	mu         sync.Mutex
	more       *sync.Cond // on mu: more was delivered
	delivered  []Applied  // under mu
	n          int        // records made
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.more = sync.NewCond(&w.mu)
	w.openLog()
	t.Cleanup(func() {
		w.close()
		if err := w.log.Close(); err != nil {
			t.Errorf("closing the log: %v", err)
		}
	})
	return w
}

func (w *world) path() string { return filepath.Join(w.dir, "models.db") }

func (w *world) openLog() {
	w.t.Helper()
	log, err := eventlog.Open(w.t.Context(), eventlog.Config{Dir: w.dir})
	if err != nil {
		w.t.Fatalf("opening the log: %v", err)
	}
	w.log = log
}

// open opens the read models without running them.
func (w *world) open() {
	w.t.Helper()
	m, err := Open(w.t.Context(), Config{Path: w.path(), Log: w.log, MaxBatch: w.maxBatch, Background: w.background, Logger: w.logger, Deliver: func(batch []Applied) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.delivered = append(w.delivered, batch...)
		w.more.Broadcast()
	}})
	if err != nil {
		w.t.Fatalf("opening the read models: %v", err)
	}
	m.fault = w.fault
	w.models = m
}

// run opens and runs the read models and waits until they are up to date.
func (w *world) run() {
	w.t.Helper()
	w.open()
	w.follow()
}

func (w *world) follow() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.done = cancel, make(chan error, 1)
	go func(m *Models) { w.done <- m.Run(ctx) }(w.models)
	w.wait(w.log.Durable())
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func (w *world) wait(seq uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.models.WaitApplied(ctx, seq); err != nil {
		w.t.Fatalf("waiting for record %d: %v", seq, err)
	}
}

func (w *world) close() {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
		if err := <-w.done; err != nil {
			w.t.Errorf("running the read models: %v", err)
		}
		w.stop = nil
	}
	if w.models != nil {
		if err := w.models.Close(); err != nil {
			w.t.Errorf("closing the read models: %v", err)
		}
		w.models = nil
	}
}

// append puts records into the log, in one go, and returns the last one's place.
func (w *world) append(records ...eventlog.Record) (last uint64) {
	w.t.Helper()
	type answer struct {
		seq uint64
		err error
	}
	answers := make(chan answer, len(records))
	for _, r := range records {
		err := w.log.Append(context.Background(), r, func(seq uint64, err error) { answers <- answer{seq, err} })
		if err != nil {
			w.t.Fatalf("appending %s: %v", r.Event, err)
		}
	}
	for range records {
		a := <-answers
		if a.err != nil {
			w.t.Fatalf("appending: %v", a.err)
		}
		last = a.seq
	}
	return last
}

// does appends one fact and waits until it is delivered. It returns its id and
// what became of it.
func (w *world) does(user, event string, data any) (string, Outcome) {
	w.t.Helper()
	w.n++
	r := fact(w.n, user, event, data)
	return r.ID, w.outcome(w.append(r))
}

// must is does for a fact that is to be applied.
func (w *world) must(user, event string, data any) string {
	w.t.Helper()
	id, o := w.does(user, event, data)
	if o.Code != "" {
		w.t.Fatalf("%s by %s: %s", event, user, o.Code)
	}
	return id
}

// refused is does for a fact that is to be void.
func (w *world) refused(code schema.Code, user, event string, data any) {
	w.t.Helper()
	if _, o := w.does(user, event, data); o.Code != code || o.Result != nil || o.Pushes != nil {
		w.t.Errorf("%s by %s: %q with result %s and %d pushes, want %s and nothing", event, user, o.Code, o.Result, len(o.Pushes), code)
	}
}

// outcome waits for a record's delivery and returns what became of it.
func (w *world) outcome(seq uint64) Outcome {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.delivered) == 0 || w.delivered[len(w.delivered)-1].Record.Seq < seq {
		w.more.Wait()
	}
	for _, a := range w.delivered {
		if a.Record.Seq == seq {
			return a.Outcome
		}
	}
	w.t.Fatalf("record %d was passed over", seq)
	return Outcome{}
}

func (w *world) view(fn func(*View)) {
	w.t.Helper()
	err := w.models.View(func(v *View) error {
		fn(v)
		return nil
	})
	if err != nil {
		w.t.Fatalf("viewing the read models: %v", err)
	}
}

func (w *world) digest() Digest {
	w.t.Helper()
	d, err := w.models.Digest(w.t.Context())
	if err != nil {
		w.t.Fatalf("digesting the read models: %v", err)
	}
	return d
}

// rebuild rebuilds the read models and fails unless they come out equal.
func (w *world) rebuild() RebuildReport {
	w.t.Helper()
	report, err := w.models.Rebuild(w.t.Context(), nil)
	if err != nil {
		w.t.Fatalf("rebuilding: %v", err)
	}
	if !report.Equal() {
		w.t.Fatalf("the rebuilt read models differ in %v\nlive    %v\nrebuilt %v", report.Differences, report.Live, report.Rebuilt)
	}
	return report
}

func codeOf(err error) schema.Code {
	if e, ok := err.(*schema.Error); ok {
		return e.Code
	}
	return ""
}

// text shows a value, behind its pointers too.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
