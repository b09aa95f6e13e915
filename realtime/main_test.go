package realtime_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
		// its own waiting for an answer, for 30 seconds at most.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
		// Half a second for a client to read why its request was refused.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
