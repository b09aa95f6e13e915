package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// outsideNATS starts a nats-server of its own on a loopback port.
func outsideNATS(t testing.TB) (url string) {
	t.Helper()
	url, _ = startNATS(t, server.RANDOM_PORT, t.TempDir())
	return url
}

// startNATS starts a nats-server that keeps its streams in dir, or has no
// JetStream when dir is "". It runs until stop or the end of the test.
func startNATS(t testing.TB, port int, dir string) (url string, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true,
		JetStream: dir != "", StoreDir: dir, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the outside NATS server did not start")
	}
	return s.ClientURL(), stop
}

// Two nodes at one outside server: one log, one epoch, and each sees the other's
// records.
func TestOutsideNATS(t *testing.T) {
	url := outsideNATS(t)
	dir := filepath.Join(t.TempDir(), "untouched")
	a := openLog(t, Config{URL: url, Dir: dir, Node: "a"})
	b := openLog(t, Config{URL: url, Node: "b"})
	if a.Epoch() != b.Epoch() || a.Epoch() == "" {
		t.Fatalf("epochs %q and %q", a.Epoch(), b.Epoch())
	}
	if exists(dir) {
		t.Error("the data directory was touched")
	}
	testFollow(t, a, 20, 20)

	ctx := context.Background()
	f, err := a.Follow(ctx, 401)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sending sync.WaitGroup
	for _, l := range []*Log{a, b} {
		sending.Go(func() {
			for range 50 {
				mustAppend(t, l, post("from "+l.cfg.Node, "hello"))
			}
		})
	}
	count := make(map[string]int)
	for next := uint64(401); next <= 500; {
		records, err := f.Next(ctx, 30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Seq != next {
				t.Fatalf("record %d, want %d", r.Seq, next)
			}
			count[r.Actor.ID]++
			next++
		}
	}
	sending.Wait()
	if count["from a"] != 50 || count["from b"] != 50 || a.Durable() != 500 {
		t.Errorf("followed %v, durable %d", count, a.Durable())
	}
	if all := readAll(t, a, 1, 0); len(all) != 500 {
		t.Errorf("read %d records", len(all))
	}
	c := openLog(t, Config{URL: url})
	if c.Durable() != 500 || c.Epoch() != a.Epoch() {
		t.Errorf("a third node begins at %d", c.Durable())
	}

	// A follower that waits ends with its context and with the log.
	ended, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := f.Next(ended, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
	mustAppend(t, b, post("bob", "again"))
	if records, err := f.Next(ctx, 5); err != nil || len(records) != 1 || records[0].Seq != 501 {
		t.Errorf("after that: %v, %v", records, err)
	}
	waiting := make(chan error)
	go func() {
		_, err := f.Next(ctx, 1)
		waiting <- err
	}()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("the follower got %v, want ErrClosed", err)
	}
}

// A follower waits for an outside server that is away, however often it asks in
// vain, and for its JetStream, which comes back last.
func TestFollowOutlivesAnOutage(t *testing.T) {
	dir := t.TempDir()
	url, stop := startNATS(t, server.RANDOM_PORT, dir)
	_, digits, _ := net.SplitHostPort(strings.TrimPrefix(url, "nats://"))
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, Config{URL: url})
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop()

	_, stop = startNATS(t, port, "")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	if _, err := nc.Subscribe("$JS.API.CONSUMER.CREATE.>", func(m *nats.Msg) {
		m.Respond([]byte(`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`))
		asked <- struct{}{}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		records []Record
		err     error
	}
	got := make(chan answer, 1)
	go func() {
		records, err := f.Next(context.Background(), 1)
		got <- answer{records, err}
	}()
	for range readTries + 1 {
		select {
		case <-asked:
		case a := <-got:
			t.Fatalf("the follower gave up: %v", a.err)
		}
	}
	nc.Close()
	stop()

	startNATS(t, port, dir)
	mustAppend(t, openLog(t, Config{URL: url}), post("alice", "after the outage"))
	if a := <-got; a.err != nil || len(a.records) != 1 || a.records[0].Seq != 1 {
		t.Errorf("after the outage: %v, %v", a.records, a.err)
	}
}

// An ack lost on the way from an outside server costs nothing: not a record, not
// its order.
func TestOutsideLostAck(t *testing.T) {
	dropped := make(map[string]bool)
	l := openLog(t, Config{URL: outsideNATS(t), test: faults{
		ackTimeout: 300 * time.Millisecond,
		dropAck: func(id string) bool {
			first := !dropped[id]
			dropped[id] = true
			return first && len(dropped)%20 == 1
		},
	}})
	testFollow(t, l, 5, 20)
	if n := len(readAll(t, l, 1, 0)); n != 100 {
		t.Errorf("the log holds %d records, want 100", n)
	}
}

// connect opens a NATS connection as one of the embedded server's users.
func connect(t *testing.T, l *Log, name string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	file := filepath.Join(l.cfg.Dir, "nats."+name+".password")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("password file of %s: %v, %v", name, info, err)
	}
	password, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+l.NATSAddr(), nats.UserInfo(name, strings.TrimSpace(string(password))),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("connecting as %s: %v", name, err)
	}
	t.Cleanup(nc.Close)
	prefix := readerPrefix
	if name == userOperator {
		prefix = "$JS.API"
	}
	js, err := jetstream.NewWithAPIPrefix(nc, prefix, jetstream.WithDefaultTimeout(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// The auditor reads EVENTS and ADMIN, the moderator ADMIN, by stock means; neither
// can write, delete or purge anything, nor have the server do it for them.
func TestReaders(t *testing.T) {
	l := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	ctx := context.Background()
	for i := range 5 {
		mustAppend(t, l, post("alice", strconv.Itoa(i)))
	}
	report := post("bob", "")
	report.Event = "admin:announce"
	report.Data = json.RawMessage(`{"content":"welcome"}`)
	mustAppend(t, l, report)
	if err := l.Audit("refused", map[string]string{"user": "mallory"}); err != nil {
		t.Fatal(err)
	}
	waitAdmin(t, l, 2)

	reads := map[string]map[string]uint64{
		"auditor":   {"EVENTS": 6, "ADMIN": 2},
		"moderator": {"ADMIN": 2},
	}
	for name, may := range reads {
		nc, js := connect(t, l, name)
		for _, stream := range []string{"EVENTS", "ADMIN", "SIGNALS"} {
			info, err := js.Stream(ctx, stream)
			if want, ok := may[stream]; ok != (err == nil) {
				t.Errorf("%s looking at %s: %v", name, stream, err)
			} else if ok && info.CachedInfo().State.Msgs != want {
				t.Errorf("%s sees %d records of %s, want %d", name, info.CachedInfo().State.Msgs, stream, want)
			}
			n := uint64(0)
			batch, err := jetstreamext.GetBatch(ctx, js, stream, 100, jetstreamext.GetBatchSeq(1))
			if err != nil {
				t.Fatal(err)
			}
			for m, err := range batch {
				if err != nil {
					break
				}
				if r := decode(m.Sequence, m.Header, m.Data); r.Err != nil {
					t.Errorf("%s read %v of %s", name, r.Err, stream)
				}
				n++
			}
			if n != may[stream] {
				t.Errorf("%s read %d records of %s, want %d", name, n, stream, may[stream])
			}
		}

		// Everything that would change something.
		for _, subject := range []string{"events.social.post.create", "signals.social.post.join", "admin.audit.forged"} {
			msg, _, _, err := encode(post("mallory", "forged"), subject, "/mallory")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.PublishMsg(msg); err != nil {
				t.Fatal(err)
			}
			// A reply subject makes the server write on behalf of the reader.
			for _, request := range []string{"DIRECT.GET.EVENTS", "DIRECT.GET.ADMIN", "STREAM.MSG.GET.ADMIN", "STREAM.INFO.ADMIN"} {
				for _, prefix := range []string{"$JS.API.", readerPrefix + "."} {
					if err := nc.PublishRequest(prefix+request, subject, []byte(`{"seq":1}`)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, stream := range []string{"EVENTS", "ADMIN"} {
			if err := js.DeleteStream(ctx, stream); err == nil {
				t.Errorf("%s deleted %s", name, stream)
			}
			for request, body := range map[string]string{
				"STREAM.PURGE.": "{}", "STREAM.MSG.DELETE.": `{"seq":1}`, "STREAM.UPDATE.": `{"name":"` + stream + `"}`, "STREAM.RESTORE.": "{}",
				"CONSUMER.CREATE.": `{"stream_name":"` + stream + `","config":{"deliver_subject":"admin.audit.forged","ack_policy":"none"}}`,
			} {
				for _, prefix := range []string{"$JS.API.", readerPrefix + "."} {
					m, err := nc.Request(prefix+request+stream, []byte(body), 50*time.Millisecond)
					if err == nil && !strings.Contains(string(m.Data), "JetStream not enabled for account") {
						t.Errorf("%s was answered to %s%s%s: %s", name, prefix, request, stream, m.Data)
					}
				}
			}
		}
		if err := nc.FlushTimeout(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if seq := mustAppend(t, l, post("alice", "the next")); seq != 7 {
		t.Errorf("the readers wrote %d records", seq-7)
	}
	signals := 0
	for range l.ReadSignals(ctx, "signals.>") {
		signals++
	}
	if err := l.Audit("end", struct{}{}); err != nil {
		t.Fatal(err)
	}
	if n := waitAdmin(t, l, 3); n != 3 || signals != 0 {
		t.Errorf("%d records in ADMIN, want 3; %d signals", n, signals)
	}

	_, js := connect(t, l, "operator")
	info, err := js.Stream(ctx, "EVENTS")
	if err != nil || info.CachedInfo().State.Msgs != 7 {
		t.Errorf("the operator sees %v, %v", info, err)
	}
	if _, err := nats.Connect("nats://"+l.NATSAddr(), nats.UserInfo("auditor", "guess")); err == nil {
		t.Error("a wrong password was let in")
	}
	if _, err := nats.Connect("nats://" + l.NATSAddr()); err == nil {
		t.Error("no password was let in")
	}
}

// waitAdmin waits until ADMIN holds at least n records, and says how many it does.
func waitAdmin(t *testing.T, l *Log, n int) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		held := 0
		for r, err := range l.ReadAdmin(context.Background()) {
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			held++
		}
		if held >= n || time.Now().After(deadline) {
			return held
		}
	}
}

// Passwords stay the same over restarts.
func TestPasswordsStay(t *testing.T) {
	dir := t.TempDir()
	first, err := userPassword(dir, "auditor")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := userPassword(dir, "auditor"); err != nil || again != first || len(first) < 20 {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
}

// Signals reach every listener of every node at once and in order, and are stored.
func TestSignals(t *testing.T) {
	url := outsideNATS(t)
	embedded := openLog(t, Config{})
	a, b := openLog(t, Config{URL: url}), openLog(t, Config{URL: url})
	for name, pair := range map[string][2]*Log{"embedded": {embedded, embedded}, "two nodes": {a, b}} {
		t.Run(name, func(t *testing.T) {
			const n = 200
			heard := make(chan Record, 2*n)
			for _, l := range pair {
				stop, err := l.OnSignal(func(r Record) { heard <- r })
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
			}
			for i := range n {
				r := post("alice", "")
				r.Event, r.Data, r.Key = "post:join", json.RawMessage(`{"postId":"p"}`), strconv.Itoa(i)
				if err := pair[0].Signal(r); err != nil {
					t.Fatal(err)
				}
			}
			times := make(map[string]int)
			for range 2 * n {
				r := <-heard
				if r.Event != "post:join" || r.Actor.ID != "alice" || r.Socket != "socket-of-alice" || r.Seq != 0 {
					t.Fatalf("heard %+v", r)
				}
				times[r.Key]++
			}
			for key, heard := range times {
				if heard != 2 {
					t.Errorf("signal %s was heard %d times", key, heard)
				}
			}
			stored := 0
			for deadline := time.Now().Add(10 * time.Second); stored < n && time.Now().Before(deadline); {
				stored = 0
				for r, err := range pair[1].ReadSignals(context.Background(), "signals.social.>") {
					if err != nil || r.Key != strconv.Itoa(stored) {
						t.Fatalf("stored signal %d is %+v, %v", stored, r, err)
					}
					stored++
				}
			}
			for r := range pair[1].ReadSignals(context.Background(), "signals.connection.>") {
				t.Errorf("a signal of /connection: %+v", r)
			}
		})
	}
}

func TestSignalsStop(t *testing.T) {
	l := openLog(t, Config{})
	var mu sync.Mutex
	stopped := false
	stop, err := l.OnSignal(func(Record) {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			t.Error("called after stop")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	signal := post("alice", "")
	signal.Event = "post:leave"
	for range 100 {
		if err := l.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	mu.Lock()
	stopped = true
	mu.Unlock()
	for range 100 {
		if err := l.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.OnSignal(func(Record) {}); err != nil { // Close stops this one
		t.Fatal(err)
	}
}

// ADMIN holds the facts of /admin and what is audited, and the audit of a kind
// that is no subject is refused.
func TestAudit(t *testing.T) {
	l := openLog(t, Config{})
	for _, kind := range []string{"", "a.b", "a b", ">", "*", "Parked"} {
		if err := l.Audit(kind, struct{}{}); err == nil {
			t.Errorf("kind %q was taken", kind)
		}
	}
	if err := l.Audit("parked", map[string]int{"seq": 7}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, post("alice", "of no interest to moderators"))
	report := post("bob", "")
	report.Event = "admin:report"
	mustAppend(t, l, report)
	if n := waitAdmin(t, l, 2); n != 2 {
		t.Fatalf("%d records in ADMIN", n)
	}
	var events []string
	for r := range l.ReadAdmin(context.Background()) {
		events = append(events, r.Event)
		if r.Event == "audit:parked" && (string(r.Data) != `{"seq":7}` || r.Time == 0 || len(r.ID) != 26) {
			t.Errorf("the audit is %+v", r)
		}
	}
	if strings.Join(events, " ") != "audit:parked admin:report" {
		t.Errorf("ADMIN holds %v", events)
	}
}

// What a power loss left of a password file is not taken for a password.
func TestAPasswordFileCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nats.auditor.password"), []byte("AB"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), Config{Dir: dir, NATSListen: "127.0.0.1:0"})
	if err == nil {
		l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "nats.auditor.password has less than 16 characters: delete it") {
		t.Errorf("opened with %v", err)
	}
}
