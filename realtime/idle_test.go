package realtime_test

const idleServerEnv = "ROOMLOG_TEST_IDLE_SERVER"

func serveIdle() int { return 0 }
