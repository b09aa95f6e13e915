package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// needle is in everything that must not be found in a log.
const needle = "nEEdle"

// Nothing that the server logs, prints or counts, not even with --log-level debug, has
// a secret, a token, a password or a word of what people write in it.
func TestNothingSecretIsLogged(t *testing.T) {
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no keys today", http.StatusTeapot)
	}))
	defer keys.Close()
	secretFile := filepath.Join(t.TempDir(), "secret")
	secret := []byte(needle + " " + strings.Repeat("secret ", 7))
	if err := os.WriteFile(secretFile, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := serve(t, dir, "--log-level", "debug", "--nats-listen", "127.0.0.1:0", "--auth-secret-file", secretFile, "--rate-events", "30")
	var hidden []string // further than what has the needle in it
	hidden = append(hidden, string(secret))
	for _, name := range []string{"operator", "auditor", "moderator"} {
		password, err := os.ReadFile(filepath.Join(dir, "nats."+name+".password"))
		if err != nil {
			t.Fatal(err)
		}
		hidden = append(hidden, strings.TrimSpace(string(password)))
	}

	alice := mint(t, secretFile, "alice")
	expired, err := realtime.MintToken(secret, realtime.Identity{Actor: schema.Actor{ID: "alice"}, Expires: time.Now().Add(-time.Hour)}, "", "", time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	segment := base64.RawURLEncoding.EncodeToString
	tokens := []string{
		alice[:len(alice)-4], expired, "Bearer." + needle + ".token", segment([]byte(needle)) + ".e30.x",
		segment([]byte(`{"alg":"HS256","kid":"x"}`)) + "." + segment([]byte(`{"sub":"`+needle+`","exp":"`+needle+`"}`)) + ".x",
	}
	hidden = append(append(hidden, alice), tokens...)
	for _, token := range tokens {
		frame := fmt.Sprintf(`{"id":1,"event":"socket:connect","data":{"token":%q}}`, token)
		say(t, s.url, nil, frame)
		say(t, s.url+"?token="+needle+token, http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"session=" + needle}})
	}
	for _, frame := range []string{
		needle, `{"` + needle + `":1}`, `{"id":"` + needle + `","event":"post:create","data":{"content":"` + needle,
		`{"id":1,"event":"` + needle + `"}`, `{"id":1,"event":"post:create","data":{"` + needle + `":"x"}}`, needle + "\xff",
		`{"id":1,"event":"post:create","key":"` + strings.Repeat(needle, 20) + `","data":{"content":"x"}}`,
		`{"id":1,"event":"socket:refresh","data":{"token":"` + needle + `"}}`,
		`{"id":1,"event":"post:get","data":{"postId":"` + needle + `"}}`,
		`{"id":1,"event":"admin:remove","data":{"target":{"type":"post","id":"` + needle + `"},"reason":"` + needle + `"}}`,
	} {
		say(t, s.url, http.Header{"Authorization": {"Bearer " + alice}}, frame)
	}
	for _, request := range []string{"GET /" + needle + " HTTP/1.1\r\nHost: x\r\n\r\n", needle + "\r\n\r\n", "GET /ws HTTP/1.1\r\nHost: x\r\nX: " + needle + "\x00\r\n\r\n"} {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		io.CopyN(io.Discard, conn, 12) // the status
		conn.Close()
	}

	c, err := client.Dial(t.Context(), s.url, client.Options{Token: alice})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	do(t, c, "post:create", schema.PostCreate{Content: needle})
	if _, err := c.Do(t.Context(), "conversation:create", schema.ConversationCreate{Type: "group", Participants: []string{"bob"}, Name: needle}, needle); err != nil {
		t.Fatal(err)
	}
	bob, err := client.Dial(t.Context(), s.url, client.Options{Token: mint(t, secretFile, "bob")})
	if err != nil {
		t.Fatal(err)
	}
	defer bob.Close()
	do(t, bob, "admin:report", map[string]any{"target": map[string]string{"type": "user", "id": "alice"}, "reason": needle})
	for err == nil { // until it is too much
		_, err = c.Do(t.Context(), "post:create", schema.PostCreate{Content: needle}, "")
	}
	response, err := http.Get("http://" + s.address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(response.Body)
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err != nil {
		t.Fatal(err)
	}
	status := good(t, "status", "--data", dir, "--json")
	_, out := s.stop(syscall.SIGTERM)

	// Where the secret is in an address, that cannot be used, on top.
	at := strings.TrimPrefix(keys.URL, "http://")
	var failures string
	for _, flags := range [][]string{
		{"--auth-jwks", "http://user:" + needle + "@" + at + "/keys?key=" + needle},
		{"--auth-jwks", "http://user:" + needle + "@127.0.0.1:1/keys?key=" + needle},
		{"--auth-jwks", "http://user:" + needle + "@127.0.0.1:port/keys"},
		{"--nats-url", "nats://user:" + needle + "@127.0.0.1:1,nats://" + needle + "@127.0.0.1:1"},
		{"--nats-url", "nats://user:" + needle + "@127.0.0.1:port"},
	} {
		r := roomlog(t, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--log-level", "debug"}, flags...)...)
		if r.code == 0 {
			t.Errorf("served with %v", flags)
		}
		failures += r.out + r.stderr
	}

	for where, text := range map[string]string{
		"the log": s.stderr.String(), "the output": out + strings.Join(s.greet, "\n"), "the metrics": string(metrics), "the status": status, "failures to start": failures,
	} {
		for line := range strings.Lines(text) {
			for _, secret := range append(hidden, needle, url.QueryEscape(needle)) {
				if strings.Contains(line, secret) {
					t.Errorf("%s: %s", where, line)
				}
			}
		}
	}
	if log := s.stderr.String(); !strings.Contains(log, "token refused") || !strings.Contains(log, "connection refused") {
		t.Error("the log is not that of debugging: nothing is shown by this")
	}
}

// say opens a socket, sends frames and hears an answer to each.
func say(t *testing.T, url string, header http.Header, frames ...string) {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return // refused is said too
	}
	defer c.CloseNow()
	for _, frame := range frames {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	for range len(frames) + 1 { // the hello, and an answer each
		if _, _, err := c.Read(t.Context()); err != nil {
			return
		}
	}
}

// Whatever makes files, whatever the umask, nobody but the owner can read them.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start := func() *serverProcess {
		command := exec.Command("sh", "-c", `umask 000; exec "$0" "$@"`, binary, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
		s := launch(t, dir, command)
		if s.url == "" {
			s.kill()
			t.Fatalf("the server did not get ready:\n%s", s.stderr)
		}
		return s
	}
	s := start()
	aFewRecords(t, s)
	ownersAlone(t, dir)
	good(t, "rebuild", "--data", dir)
	ownersAlone(t, dir)
	s.stop(syscall.SIGTERM)
	if strings.Contains(s.stderr.String(), "could be read by others") {
		t.Errorf("it warns of a directory of its own making:\n%s", s.stderr)
	}
	ownersAlone(t, dir)
	if err := os.WriteFile(filepath.Join(dir, modelsName), []byte("garbage"), 0o600); err != nil { // it is set aside
		t.Fatal(err)
	}
	s = start()
	ownersAlone(t, dir)

	// A directory that was open, restored from a backup say, is closed, with a word.
	s.stop(syscall.SIGTERM)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o777)
	})
	if err != nil {
		t.Fatal(err)
	}
	s = start()
	ownersAlone(t, dir)
	s.stop(syscall.SIGTERM)
	if !strings.Contains(s.stderr.String(), "the data directory could be read by others") {
		t.Errorf("no warning:\n%s", s.stderr)
	}
}

func ownersAlone(t *testing.T, dir string) {
	t.Helper()
	var names bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&names, entry.Name())
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %v", strings.TrimPrefix(path, dir), mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LOCK", modelsName, secretName, "nats.auditor.password", ".blk"} {
		if !strings.Contains(names.String(), want) {
			t.Errorf("there is no %s: this shows nothing", want)
		}
	}
}
