package eventlog

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

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
				if r := decode(m.Sequence, m.Subject, m.Header, m.Data); r.Err != nil {
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
					forbidden(t, nc, prefix+request+stream, body)
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

// forbidden asks for something and checks that nobody does it.
func forbidden(t *testing.T, nc *nats.Conn, subject, body string) {
	t.Helper()
	m, err := nc.Request(subject, []byte(body), 50*time.Millisecond)
	if err == nil && !strings.Contains(string(m.Data), "JetStream not enabled for account") {
		t.Errorf("%s %s was answered: %s", subject, body, m.Data)
	}
}

// A moderator has no way to what people write by asking: not by sequence, subject,
// consumer or copy.
func TestModeratorsAskInVain(t *testing.T) {
	l := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	for range 3 {
		mustAppend(t, l, post("alice", "private"))
	}
	moderator, _ := connect(t, l, userModerator)
	for _, prefix := range []string{"$JS.API.", readerPrefix + "."} {
		for request, bodies := range map[string][]string{
			"STREAM.INFO.EVENTS":                          {"", `{"subjects_filter":">"}`},
			"STREAM.MSG.GET.EVENTS":                       {`{"seq":1}`, `{"last_by_subj":"events.social.post.create"}`, `{"seq":1,"next_by_subj":"events.>"}`},
			"DIRECT.GET.EVENTS":                           {`{"seq":1}`, `{"seq":1,"batch":9}`, `{"multi_last":["events.>"]}`},
			"DIRECT.GET.EVENTS.events.social.post.create": {""},
			"STREAM.NAMES":                                {""}, "STREAM.LIST": {""}, "INFO": {""}, "STREAM.SNAPSHOT.EVENTS": {`{"deliver_subject":"here"}`},
			"CONSUMER.CREATE.EVENTS":           {`{"stream_name":"EVENTS","config":{"deliver_subject":"here"}}`, `{"stream_name":"EVENTS","config":{}}`},
			"CONSUMER.CREATE.EVENTS.c":         {`{"stream_name":"EVENTS","config":{"name":"c"}}`},
			"CONSUMER.DURABLE.CREATE.EVENTS.c": {`{"stream_name":"EVENTS","config":{"durable_name":"c"}}`},
			"CONSUMER.MSG.NEXT.EVENTS.c":       {"1"},
			"CONSUMER.NAMES.EVENTS":            {""},
			"STREAM.CREATE.COPY":               {`{"name":"COPY","subjects":["copy"],"sources":[{"name":"EVENTS"}]}`, `{"name":"COPY","mirror":{"name":"EVENTS"}}`},
			"STREAM.UPDATE.ADMIN":              {`{"name":"ADMIN","subjects":["admin.audit.>"],"sources":[{"name":"EVENTS"}]}`},
		} {
			for _, body := range bodies {
				forbidden(t, moderator, prefix+request, body)
			}
		}
	}

}

// Nor by listening, and neither reader hears what goes on in the log's account. This is
// another server, for what was asked in vain is told in the account of who asked, some
// time later.
func TestReadersHearNothingElse(t *testing.T) {
	l := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	moderator, _ := connect(t, l, userModerator)
	auditor, _ := connect(t, l, userAuditor)
	var ears []*nats.Subscription
	for _, nc := range []*nats.Conn{moderator, auditor} {
		for _, subject := range []string{">", "events.>", "signals.>", "admin.>", "$JS.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "_INBOX.>"} {
			ear, err := nc.SubscribeSync(subject)
			if err != nil {
				t.Fatal(err)
			}
			ears = append(ears, ear)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, l, post("alice", "private"))
	signal := post("alice", "")
	signal.Event, signal.Data = "post:join", json.RawMessage(`{"postId":"p"}`)
	if err := l.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := l.Audit("refused", struct{}{}); err != nil {
		t.Fatal(err)
	}
	waitAdmin(t, l, 1) // by when all of it has passed through the account
	for _, nc := range []*nats.Conn{moderator, auditor} {
		if err := nc.Flush(); err != nil { // what was on its way to it is here
			t.Fatal(err)
		}
	}
	for _, ear := range ears {
		if n, _, err := ear.Pending(); n != 0 || err != nil {
			m, _ := ear.NextMsg(time.Second)
			t.Errorf("listening to %s: %d messages, %v: %+v", ear.Subject, n, err, m)
		}
	}
}

// The operator looks at everything, and keeps consumers and streams of their own; by a
// slip of the hand they can neither publish to the log nor take from it.
func TestOperator(t *testing.T) {
	l := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	ctx := context.Background()
	for range 3 {
		mustAppend(t, l, post("alice", "hello"))
	}
	if err := l.Audit("refused", struct{}{}); err != nil {
		t.Fatal(err)
	}
	waitAdmin(t, l, 1)
	nc, js := connect(t, l, userOperator)
	for _, stream := range []string{"EVENTS", "SIGNALS", "ADMIN"} {
		before, err := js.Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		for request, body := range map[string]string{
			"DELETE": "", "PURGE": "{}", "MSG.DELETE": `{"seq":1}`, "RESTORE": `{"config":{"name":"` + stream + `"}}`,
			"UPDATE": `{"name":"` + stream + `","subjects":["x"],"max_msgs":1}`, "CREATE": `{"name":"` + stream + `","subjects":["x"]}`,
		} {
			if m, err := nc.Request("$JS.API.STREAM."+request+"."+stream, []byte(body), 50*time.Millisecond); err == nil {
				t.Errorf("%s of %s was answered: %s", request, stream, m.Data)
			}
		}
		after, err := js.Stream(ctx, stream)
		if err != nil || after.CachedInfo().State.Msgs != before.CachedInfo().State.Msgs {
			t.Errorf("%s was changed: %v", stream, err)
		}
	}
	for _, subject := range []string{"events.social.post.create", "signals.social.post.join", "admin.audit.forged"} {
		msg, _, _, err := encode(post("mallory", "forged"), subject, "/mallory")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0)); err == nil {
			t.Errorf("the operator wrote to %s", subject)
		}
	}
	if seq := mustAppend(t, l, post("alice", "the next")); seq != 4 {
		t.Errorf("the operator wrote %d records", seq-4)
	}

	consumer, err := js.CreateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(4)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		if n++; m.Ack() != nil {
			t.Error("an ack was refused")
		}
	}
	if n != 4 {
		t.Errorf("the operator's consumer got %d records, want 4", n)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine"}}); err != nil {
		t.Errorf("a stream of the operator's own: %v", err)
	}
}

// Without a port for them there are no users, and no passwords to lose.
func TestNoPasswordsWithoutAPort(t *testing.T) {
	dir := t.TempDir()
	log, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if found, err := filepath.Glob(filepath.Join(dir, "*password*")); err != nil || len(found) > 0 {
		t.Errorf("password files %v, %v", found, err)
	}
}
