package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocked(t *testing.T) {
	l := openLog(t, Config{})
	_, err := Open(context.Background(), Config{Dir: l.cfg.Dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("opening twice: %v", err)
	}
}

// What Open says when it cannot: one sentence with what to do.
func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		cfg  Config
		says string
	}{
		"no directory":       {Config{}, "needs a data directory"},
		"not writable":       {Config{Dir: filepath.Join(file, "data")}, "cannot make the data directory"},
		"fsync mode":         {Config{Dir: dir, Fsync: "never"}, `"never" is neither`},
		"replicas":           {Config{Dir: dir, Replicas: 3}, "outside NATS cluster"},
		"listening for URL":  {Config{URL: "nats://127.0.0.1:1", NATSListen: "127.0.0.1:0"}, "not both"},
		"port in use":        {Config{Dir: dir, NATSListen: busy.Addr().String()}, "choose another --nats-listen"},
		"unreachable server": {Config{URL: "nats://127.0.0.1:1"}, "cannot reach NATS at nats://127.0.0.1:1"},
	} {
		l, err := Open(context.Background(), c.cfg)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
