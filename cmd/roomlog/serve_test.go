package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// Every wrong command line is answered with one sentence that says what to do.
func TestWrongUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	short := file("short.secret", "too short\n")
	notYAML := file("not.yaml", "listen: [\n")
	unknown := file("unknown.yaml", "lisen: 127.0.0.1:0\n")
	wrongValue := file("wrong.yaml", "max-connections: many\n")
	noUnit := file("unit.yaml", "rate-window: 60\n")
	fraction := file("fraction.yaml", "rate-events: 1.5\n")
	notPEM := file("not.pem", "nothing\n")
	empty := filepath.Join(dir, "empty")

	for _, c := range []struct {
		args string
		code int
		want string // in what it says
	}{
		{"", 2, "expected one of"},
		{"dance", 2, "unexpected argument dance"},
		{"serve --lisen x", 2, "unknown flag --lisen, did you mean \"--listen\"?"},
		{"serve --listen 7777", 2, `--listen "7777" is not HOST:PORT, for example 127.0.0.1:7777`},
		{"serve --listen 0.0.0.0:0", 2, "refusing to listen on 0.0.0.0:0, where others can connect"},
		{"serve --listen :0", 2, "refusing to listen on :0"},
		{"serve --max-connections 0", 2, "--max-connections must be at least 1"},
		{"serve --max-connections many", 2, "many"},
		{"serve --max-resume 0", 2, "--max-resume must be at least 1"},
		{"serve --max-wait 0s", 2, "--max-wait must be longer than nothing"},
		{"serve --rate-events=-1", 2, "--rate-events must be 0 (no limit) or more"},
		{"serve --rate-reports=-1", 2, "--rate-reports must be 0 (no limit) or more"},
		{"serve --max-connections-per-address=-1", 2, "--max-connections-per-address must be 0 (no limit) or more"},
		{"serve --trusted-proxies 10.0.0.0/8,proxy.example", 2, `"proxy.example" is neither an address nor a network`},
		{"serve --rate-window 0s", 2, "--rate-window must be longer than nothing"},
		{"serve --rate-window soon", 2, "soon"},
		{"serve --drain-timeout 0s", 2, "--drain-timeout must be longer than nothing"},
		{"serve --presence-grace=-1s", 2, "--presence-grace must not be negative"},
		{"serve --fsync never", 2, `--fsync must be one of "group","always" but got "never"`},
		{"serve --log-format xml", 2, `--log-format must be one of "text","json" but got "xml"`},
		{"serve --log-level loud", 2, "loud"},
		{"serve --replicas 3", 2, "--replicas needs --nats-url"},
		{"serve --replicas 9", 2, "--replicas must be 1 to 5"},
		{"serve --replicas 0", 2, "--replicas must be 1 to 5"},
		{"serve --nats-url nats://127.0.0.1:1 --nats-listen 127.0.0.1:0", 2, "give one of them"},
		{"serve --tls-cert " + notPEM, 2, "--tls-cert and --tls-key go together"},
		{"serve --listen 127.0.0.1:0 --tls-cert " + notPEM + " --tls-key " + notPEM, 1, "cannot use the certificate"},
		{"serve --listen 127.0.0.1:0 --auth-secret-file " + short, 1, "is too short: HS256 needs at least 32"},
		{"serve --listen 127.0.0.1:0 --auth-secret-file " + empty, 1, "does not exist: make it with at least 32 random bytes"},
		{"serve --data " + short, 1, "cannot make the data directory"},
		{"serve --data /proc/roomlog", 1, "cannot make the data directory"},
		{"serve --nats-url nats://127.0.0.1:1", 1, "127.0.0.1:1"},
		{"serve --config " + empty, 2, "roomlog: cannot read the configuration"},
		{"serve --config " + notYAML, 2, "is not a YAML file of flags by name"},
		{"serve --config " + unknown, 2, `sets "lisen", which is no flag of any command`},
		{"serve --config " + wrongValue, 2, "many"},
		{"serve --config " + noUnit, 2, `missing unit in duration "60"`},
		{"serve --config " + fraction, 2, `"1.5"`},
		{"token", 2, "missing flags: --user=ID"},
		{"token --user alice", 1, "there is no roomlog-data/auth.secret: start"},
		{"token --user alice --auth-secret-file " + short, 1, "is too short"},
		{"token --user \"alice\" --auth-secret-file " + short, 2, "cannot be a user id"},
		{"token --user alice --ttl=-1h", 2, "--ttl must be longer than nothing"},
		{"token --user alice --role king", 2, "king"},
		{"connect", 2, "missing flags: --as=ID or --token=JWT"},
		{"connect --as a --token b", 2, "--as and --token can't be used together"},
		{"connect --as alice", 1, "there is no roomlog-data/auth.secret"},
		{"replay", 1, "there is no log in ./roomlog-data"},
		{"replay --event post:creat", 2, `no event of the catalogue is called "post:creat"`},
		{"replay --event post:join", 2, "post:join is a signal and never in the log"},
		{"replay --event like:*", 2, `no fact of the catalogue is called "like:*"`},
		{"replay --entity alice", 2, `entity "alice" has no type`},
		{"replay --namespace sociable", 2, `no records are in namespace "sociable"`},
		{"replay --since yesterday", 2, `"yesterday" is no moment`},
		{"replay --from 9 --to 3", 2, "nothing lies between seq 9 and seq 3"},
		{"replay --from x", 2, "x"},
		{"replay --follow --to 3", 2, "give one of them"},
		{"replay --follow", 2, "no server runs on ./roomlog-data, so there is nothing to follow"},
		{"rebuild", 1, "there is no log in ./roomlog-data"},
		{"status", 1, "there is no log in ./roomlog-data"},
		{"schema", 2, "missing flags: --asyncapi"},
		{"schema --asyncapi --out /proc/x", 1, "cannot write the AsyncAPI document"},
		{"schema --permissions --out /proc/x", 1, "cannot write the table of permissions"},
		{"bench", 2, "expected one of"},
		{"bench ingest --senders 0", 2, "must be more than nothing"},
		{"demo --server ws://127.0.0.1:1/ws --auth-secret-file " + file("good.secret", strings.Repeat("s", 40)), 1, "no server answers at ws://127.0.0.1:1/ws"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := roomlog(t, strings.Fields(c.args)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) || r.out != "" {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", r.code, c.code, c.want, r.out, r.stderr)
			}
			if said := lines(r.stderr); len(said) != 1 || !strings.HasPrefix(said[0], "roomlog: ") {
				t.Errorf("not one sentence:\n%s", r.stderr)
			}
		})
	}
}

// The greeting says where it listens and how to try it.
func TestServeGreets(t *testing.T) {
	s := serve(t, t.TempDir())
	code, out := s.stop(syscall.SIGTERM)
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{
		"reachable    from this machine only",
		"roomlog token --user alice --data " + s.dir,
		"roomlog connect --as alice --data " + s.dir + " --server " + s.url,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it did not say %q:\n%s", want, out)
		}
	}
	info, err := os.Stat(filepath.Join(s.dir, "auth.secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("auth.secret: %v %v", info.Mode(), err)
	}
}

// A second server on a directory is told who has it.
func TestTwoServersOneDirectory(t *testing.T) {
	s := serve(t, t.TempDir())
	second := startServing(t, s.dir)
	second.cmd.Wait()
	if code := second.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"has the data directory open", "give another --data", pid(s)} {
		if !strings.Contains(second.stderr.String(), want) {
			t.Errorf("it did not say %q: %s", want, second.stderr)
		}
	}
	if liveStatus(t, s.dir).Epoch == "" {
		t.Error("the first server no longer answers")
	}
}

// A port in use is named, and the data directory is free again at once.
func TestPortInUse(t *testing.T) {
	s := serve(t, t.TempDir())
	dir := t.TempDir()
	second := startServing(t, dir, "--listen", s.address())
	second.cmd.Wait()
	want := s.address() + " is in use by another process: stop it, or give another --listen"
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(second.stderr.String(), want) {
		t.Errorf("exit code %d: %s", code, second.stderr)
	}
	serve(t, dir)
}

// Both signals drain: what was accepted is acked, clients are told, exit code 0.
func TestDrain(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := serve(t, t.TempDir())
			alice := s.dial("alice", client.Options{})
			acked := make(chan schema.Frame, 32)
			for range cap(acked) {
				if err := alice.Send("post:create", schema.PostCreate{Content: "before the end"}, "", func(f schema.Frame) { acked <- f }); err != nil {
					t.Fatal(err)
				}
			}
			<-acked // the rest is on its way
			code, out := s.stop(signal)
			if code != 0 || !strings.Contains(out, "drained") {
				t.Errorf("exit code %d\n%s%s", code, out, s.stderr)
			}
			<-alice.Done()
			stored := replayed(t, s.dir)
			if applied := len(stored); applied < 1+len(acked) {
				t.Errorf("%d acks, %d records", 1+len(acked), applied)
			}
			if _, err := os.Stat(filepath.Join(s.dir, "control.sock")); err == nil {
				t.Error("the control socket is still there")
			}
		})
	}
}

// Flags are stronger than variables, and those than the file.
func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir).stop(syscall.SIGTERM)
	config := filepath.Join(t.TempDir(), "roomlog.yaml")
	text := "data: " + dir + "\nuser: from-file\nttl: 1h\nmax-connections: 7\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"file", nil, []string{"--config", config}, "from-file"},
		{"file named by a variable", []string{"ROOMLOG_CONFIG=" + config}, nil, "from-file"},
		{"variable over file", []string{"ROOMLOG_USER=from-env"}, []string{"--config", config}, "from-env"},
		{"flag over both", []string{"ROOMLOG_USER=from-env"}, []string{"--config", config, "--user", "from-flag"}, "from-flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := roomlogWith(t, c.env, "", append([]string{"token"}, c.args...)...)
			if r.code != 0 {
				t.Fatalf("exit code %d: %s", r.code, r.stderr)
			}
			if got := subject(t, r.out); got != c.want {
				t.Errorf("a token for %s, want %s", got, c.want)
			}
		})
	}
}

func pid(s *serverProcess) string { return strconv.Itoa(s.cmd.Process.Pid) }

// subject reads whom a token is for.
func subject(t *testing.T, token string) string {
	t.Helper()
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(strings.TrimSpace(token), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Sub string }
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Sub
}
