package replay_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"roomlog/replay"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(doomedAt); at != "" {
		die(at)
	}
	// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
	// its own waiting for an answer, for 30 seconds at most.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// The process that dies at a point of a backup or a restore is this test binary, run
// again.
const (
	doomedAt   = "ROOMLOG_TEST_DOOMED_AT" // set in the child: the point
	doomedDir  = "ROOMLOG_TEST_DOOMED_DIR"
	doomedData = "ROOMLOG_TEST_DOOMED_DATA"
)

// die is the child. It ends by killing itself.
func die(at string) {
	dir, data := os.Getenv(doomedDir), os.Getenv(doomedData)
	kill := func(p string) {
		if p == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	b := backupOf(data, dir)
	b.At = func(p replay.BackupPoint) { kill("backup " + string(p)) }
	r := restoreOf(dir, data)
	r.At = func(p replay.RestorePoint) { kill("restore " + string(p)) }
	var err error
	if at[0] == 'b' {
		_, err = replay.Backup(context.Background(), b)
	} else {
		_, err = replay.Restore(context.Background(), r)
	}
	fmt.Fprintln(os.Stderr, "it lived:", err)
	os.Exit(1)
}

// dieAt runs a backup of data, or a restore into it, that does not live past a point.
func dieAt(t *testing.T, at, dir, data string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedAt+"="+at, doomedDir+"="+dir, doomedData+"="+data)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it ended with %v: %s", err, out)
	}
}

func backupOf(data, dir string) replay.BackupOptions {
	return replay.BackupOptions{
		Data: data, Dir: dir, Version: "test",
		Files: []string{"checkpoint", "log.pub"}, Secrets: []string{"auth.secret", "*.key"},
	}
}

func restoreOf(dir, data string) replay.RestoreOptions {
	return replay.RestoreOptions{Dir: dir, Data: data, Models: "models.db", Signed: []string{"checkpoint"}, Replace: true}
}

// where is what a running server says of its log.
func where(epoch string, durable uint64) func(context.Context) (string, uint64, error) {
	return func(context.Context) (string, uint64, error) { return epoch, durable, nil }
}
