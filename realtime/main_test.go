package realtime_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleServerEnv) != "" {
		os.Exit(serveIdle())
	}
	goleak.VerifyTestMain(m)
}
