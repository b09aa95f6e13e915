package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

// soakArgs has the arguments of the child that is the server of a soak.
const soakArgs = "ROOMLOG_TEST_SOAK"

// serveSoaking is the child: roomlog as any other, with a door through which a test has
// its garbage collected and sees its goroutines.
func serveSoaking(args string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	door := http.NewServeMux()
	door.HandleFunc("/collect", func(http.ResponseWriter, *http.Request) {
		debug.FreeOSMemory() // pools let go of what they hold after two
		debug.FreeOSMemory()
	})
	door.HandleFunc("/goroutines", pprof.Handler("goroutine").ServeHTTP)
	go http.Serve(listener, door)
	fmt.Println("door at http://" + listener.Addr().String())
	os.Exit(run(ctx, strings.Split(args, "\n"), os.Stdin, os.Stdout, os.Stderr))
}

// soakServer is a server that says what it holds.
type soakServer struct {
	*serverProcess
	door string
}

func serveSoaked(t *testing.T, dir string) *soakServer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), soakArgs+"="+strings.Join([]string{
		"serve", "--data", dir, "--listen", "127.0.0.1:0", "--rate-events", "0", "--presence-grace", "1s", "--log-level", "warn",
	}, "\n"))
	s := &soakServer{serverProcess: launch(t, dir, cmd)}
	if s.url == "" {
		t.Fatalf("the server did not get ready:\n%s", s.stderr)
	}
	_, s.door, _ = strings.Cut(s.greet[0], "door at ")
	return s
}

func (s *soakServer) target() *target { return &target{url: s.url, auth: minting{Data: s.dir}} }

func (s *soakServer) status() (st serverStatus) {
	s.t.Helper()
	r := roomlogWithin(s.t, soakPatience, nil, "", "status", "--json", "--data", s.dir)
	if err := json.Unmarshal([]byte(r.out), &st); r.code != 0 || err != nil {
		s.t.Fatalf("status: exit code %d, %v: %s%s", r.code, err, r.out, r.stderr)
	}
	return st
}

// ask asks at the door.
func (s *soakServer) ask(path string) string {
	s.t.Helper()
	answer, err := http.Get(s.door + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
