package realtime_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"roomlog/realtime"
)

// idleServerEnv makes TestIdleServer the server of a process of its own, so that
// what its sockets cost is not mixed up with what the clients cost.
// It names the server's data directory.
const idleServerEnv = "ROOMLOG_TEST_IDLE_SERVER"

// TestIdleServer, in such a process, writes its address once it is ready, and for each
// line it reads the bytes that it holds resident.
func TestIdleServer(t *testing.T) {
	dir := os.Getenv(idleServerEnv)
	if dir == "" {
		return
	}
	g := openGatewayIn(t, dir, func(c *realtime.Config) { c.MaxConnections = 100_000 })
	g.awaitReady()
	fmt.Println("address", g.addr)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("resident", resident(t), stackBytes())
	}
}

// resident returns the process's resident bytes once garbage is given back.
func resident(t testing.TB) int {
	t.Helper()
	for range 3 { // a stack shrinks by half each time
		runtime.GC()
	}
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if kib, ok := strings.CutPrefix(string(line), "VmRSS:"); ok {
			return must(strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kib), " kB"))) << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func stackBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.StackInuse
}

// idleServer is such a process.
type idleServer struct {
	gateway
	b   *testing.B
	in  io.WriteCloser
	out *bufio.Scanner
}

func startIdleServer(b *testing.B, dir string) *idleServer {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleServer$", "-test.count=1")
	cmd.Env = append(os.Environ(), idleServerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in := must(cmd.StdinPipe())
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	s := &idleServer{b: b, in: in, out: bufio.NewScanner(out)}
	s.addr = s.read("address")[0]
	return s
}

func (s *idleServer) read(what string) []string {
	s.b.Helper()
	for s.out.Scan() {
		if rest, ok := strings.CutPrefix(s.out.Text(), what+" "); ok {
			return strings.Fields(rest)
		}
	}
	s.b.Fatalf("the server ended without %s", what)
	return nil
}

// measure returns the server's resident bytes and those of its goroutines' stacks.
func (s *idleServer) measure() (all, stacks int) {
	s.b.Helper()
	fmt.Fprintln(s.in, "?")
	f := s.read("resident")
	return must(strconv.Atoi(f[0])), must(strconv.Atoi(f[1]))
}

// BenchmarkIdleSockets says what a connected socket costs that has sent a few
// commands and is quiet now.
func BenchmarkIdleSockets(b *testing.B) {
	const sockets, warm = 5000, 200
	server := startIdleServer(b, b.TempDir())
	for i := range warm { // the pools and tables that every server has
		s := server.user(b, "warm"+strconv.Itoa(i))
		s.ask("socket:connect", "{}")
		s.ask("post:create", `{"content":"warm"}`)
	}
	before, stacksBefore := server.measure()
	for i := range sockets {
		s := server.user(b, "user"+strconv.Itoa(i))
		s.ask("socket:connect", "{}")
		s.ask("user:get", `{"userId":"warm1"}`)
		s.ask("feed:get", `{}`)
		s.br = nil // 4 KiB that only this process needs
	}
	after, stacksAfter := server.measure()
	b.ReportMetric(float64(after-before)/sockets, "bytes/conn")
	b.ReportMetric(float64(stacksAfter-stacksBefore)/sockets, "stack-bytes/conn")
	b.ReportMetric(0, "ns/op")
}
