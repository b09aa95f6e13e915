package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// swarmLong sets how long the storm is, such as 60s. Only then the wait for acks in
// the storm is held against that in the calm: a few seconds say little of a p99.
const swarmLong = "ROOMLOG_SWARM"

// maxSlower is how much longer the honest ones may wait for their acks in a storm, at p99.
const maxSlower = 3

const mib = 1 << 20

// maxSwarmMemory is what the server may have resident in the storm:
//
//	 64 MiB  of a calm server: runtime, log, the pages of the read models in use
//	120 MiB  60 sockets that read nothing: 1 MiB queued, in a buffer that grows by doubling
//	 74 MiB  590 others: a message of 64 KiB, and as much of stacks, buffers and answers
//	 30 MiB  60 that come back: half a queue each of pushes that are held for them
//	224 MiB  as much garbage as there is of the latter three before it is collected
const maxSwarmMemory = 512 * mib

// 50 honest users do not notice 650 sockets of bad actors: each of their facts is
// acked, in about the time that it takes in the calm, each push that is due to them
// comes, once, in order. The server says what it refused, and when the storm is over
// it is what it was before.
func TestSwarm(t *testing.T) {
	storming, long := 6*time.Second, false
	if text, set := os.LookupEnv(swarmLong); set {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second {
			t.Fatalf("%s is %q, not a time of a second or more", swarmLong, text)
		}
		storming, long = d, true
	}
	dir := t.TempDir()
	s := serve(t, dir, "--rate-events", "100", "--trusted-proxies", "127.0.0.1", "--log-level", "warn")
	circles := gather(t, s)
	calm := func() (waits []time.Duration, memory float64) {
		from, to := keepTalking(circles, storming/3)
		allAcked(t, circles)
		return waited(circles, from, to), s.figures(t)["process_resident_memory_bytes"]
	}
	before, memoryBefore := calm()
	start := s.figures(t)
	used, own, all := processorTime(s.cmd.Process.Pid), processorTime(os.Getpid()), allProcessorTime()

	bad := unleash(t, &storm{
		Address: s.address(), SecretFile: filepath.Join(dir, "auth.secret"),
		Epoch: circles[0].users[0].conn.Hello().Log.Epoch, Marker: swarmMarker, Targets: targets(circles),
	})
	from, to := keepTalking(circles, storming)
	eventually(t, func() (bool, string) { // a slow machine gets there later
		missing := notRefused(start, s.figures(t), long)
		return missing == "", missing
	})
	report := bad.end()
	used, own, all = processorTime(s.cmd.Process.Pid)-used, processorTime(os.Getpid())-own, allProcessorTime()-all
	allAcked(t, circles)
	stormy := waited(circles, from, to)
	end := backToCalm(t, s, start)

	after, memoryAfter := calm()
	peak := max(mostMemory(s.cmd.Process.Pid), memoryBefore, memoryAfter)
	calmly := slices.Concat(before, after)
	slices.Sort(calmly)
	slower := float64(p(stormy, 99)) / float64(p(calmly, 99))
	t.Logf("storm of %v: %d bad actors, up to %d connections at once", storming, report.Actors, report.Peak)
	for _, w := range []struct {
		name  string
		waits []time.Duration
	}{{"calm before", before}, {"storm", stormy}, {"calm after", after}} {
		t.Logf("ack p50 %8v  p99 %8v  max %8v  of %5d: %s", p(w.waits, 50), p(w.waits, 99), p(w.waits, 100), len(w.waits), w.name)
	}
	for at := from; at.Before(to); at = at.Add(time.Second) {
		second := waited(circles, at, at.Add(time.Second))
		t.Logf("  second %2.0f of the storm: p50 %8v  max %8v", at.Sub(from).Seconds(), p(second, 50), p(second, 100))
	}
	t.Logf("p99 in the storm is %.2f times that of the calm", slower)
	t.Logf("memory %.0f MiB before, at most %.0f MiB, %.0f MiB after", memoryBefore/mib, peak/mib, memoryAfter/mib)
	others := max(0, all-used-own-report.CPU)
	t.Logf("processors in the storm: %d for %v; the server took %v, the swarm %v, the honest users %v, others on this machine %v",
		runtime.NumCPU(), storming, used, report.CPU, own, others)
	t.Logf("the swarm:\n  %s", strings.Join(report.kinds(), "\n  "))
	t.Logf("the server:\n  %s", strings.Join(end.refusals(start), "\n  "))

	if shared := others > storming*time.Duration(runtime.NumCPU())/10; long && shared {
		t.Logf("others took so much of the processors that the wait for acks says nothing of this server")
	} else if long && slower > maxSlower {
		t.Errorf("the honest ones wait %.1f times as long at p99 as in the calm, more than %d", slower, maxSlower)
	}
	if peak > maxSwarmMemory {
		t.Errorf("the server had %.0f MiB, more than %d", peak/mib, maxSwarmMemory/mib)
	}
	for _, leak := range report.Leaks {
		t.Errorf("leaked: %s", leak)
	}
	if report.Actors < 500 {
		t.Errorf("only %d bad actors", report.Actors)
	}
	checkRefusals(t, start, end, report)
	checkHonest(t, dir, circles)
	checkRebuild(t, dir)
}

// p is a percentile of sorted times.
func p(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(10 * time.Microsecond)
}

func targets(circles []*circle) (all []swarmTarget) {
	for _, c := range circles {
		all = append(all, c.swarmTarget)
	}
	return all
}

// idleWorkers is how many goroutines the server keeps for the next commands.
const idleWorkers = 64

// backToCalm waits until nothing of the storm is left in the server.
func backToCalm(t *testing.T, s *serverProcess, start figures) (now figures) {
	t.Helper()
	eventually(t, func() (bool, string) {
		now = s.figures(t)
		for name, more := range map[string]float64{"roomlog_sockets": 0, "roomlog_rooms": 0, "process_open_fds": 8, "go_goroutines": idleWorkers + 8} {
			if now[name] > start[name]+more {
				return false, fmt.Sprintf("%s to go from %.0f back to %.0f", name, now[name], start[name])
			}
		}
		return true, ""
	})
	return now
}

// dueRefusals are what each kind is refused with at the latest when it has been at it
// for some seconds, or, if slow, for a minute.
var dueRefusals = []struct {
	why, metric, label string
	slow               bool
}{
	{"flood: most of what a socket may do at once", "roomlog_slowed_total", `by="turn"`, false},
	{"giant: after a refusal", "roomlog_slowed_total", `by="pause"`, false},
	{"flood: over a socket's rate", "roomlog_rate_limited_total", `limit="socket"`, true},
	{"churn: too many posts", "roomlog_rate_limited_total", `limit="post"`, true},
	{"giant: went on", "roomlog_closes_total", `code="4013"`, false},
	{"garbage: bad frames", "roomlog_events_total", `outcome="BAD_FRAME"`, false},
	{"garbage: bad frames", "roomlog_closes_total", `code="4501"`, false},
	{"mole: reads nothing", "roomlog_closes_total", `code="4008"`, true},
	{"silent, loris: no request in time", "roomlog_refused_connections_total", `reason="timeout"`, false},
	{"nobody: too many of an address", "roomlog_refused_connections_total", `reason="address"`, false},
	{"giant: too large", "roomlog_closes_total", `code="1009"`, false},
	{"giant: compressed", "roomlog_closes_total", `code="1002"`, false},
	{"giant: pings", "roomlog_rate_limited_total", `limit="control"`, false},
	{"guess: forged token", "roomlog_refused_connections_total", `reason="token"`, false},
	{"guess: old token", "roomlog_events_total", `outcome="TOKEN_EXPIRED"`, false},
	{"guess: old token", "roomlog_closes_total", `code="4005"`, false},
	{"guess: others' conversations", "roomlog_events_total", `outcome="CONVERSATION_NOT_FOUND"`, false},
	{"guess: others' notifications", "roomlog_events_total", `outcome="NOTIFICATION_NOT_FOUND"`, false},
	{"guess: moderators' events", "roomlog_events_total", `outcome="NOT_PERMITTED"`, false},
	{"visitor: too many requests", "roomlog_rate_limited_total", `limit="upgrade"`, false},
	{"visitor: too many requests", "roomlog_refused_connections_total", `reason="rate"`, false},
	{"returns, churn: too many connects", "roomlog_rate_limited_total", `limit="connect"`, true},
	{"churn: too many sockets", "roomlog_closes_total", `code="4504"`, false},
}

// notRefused says what was not refused yet that is to be, "" for nothing.
func notRefused(start, now figures, long bool) string {
	for _, due := range dueRefusals {
		if (long || !due.slow) && now.since(start, due.metric, due.label) == 0 {
			return fmt.Sprintf("%s: a refusal in %s{%s}", due.why, due.metric, due.label)
		}
	}
	return ""
}

// checkRefusals holds what the server counted against what the bad ones met with: no
// refusal that they saw is missing from the metrics.
func checkRefusals(t *testing.T, start, end figures, report *stormReport) {
	t.Helper()
	refused := map[string]string{"http 429": "", "http 401": `reason="token"`}
	seen := map[string]bool{}
	for _, of := range report.Seen {
		maps.Insert(seen, maps.All(mapKeys(of)))
	}
	for what := range seen {
		kind, code, _ := strings.Cut(what, " ")
		metric, label := "", ""
		switch kind {
		case "error":
			metric, label = "roomlog_events_total", fmt.Sprintf(`outcome=%q`, code)
		case "close":
			metric, label = "roomlog_closes_total", fmt.Sprintf(`code=%q`, code)
		case "http":
			metric, label = "roomlog_refused_connections_total", refused[what]
		default:
			continue
		}
		if counted := end.since(start, metric, label); counted < report.total(what) {
			t.Errorf("the bad ones met with %q %d times; %s{%s} has counted %d", what, report.total(what), metric, label, counted)
		}
	}
}

func mapKeys(m map[string]int) map[string]bool {
	keys := make(map[string]bool, len(m))
	for k := range m {
		keys[k] = true
	}
	return keys
}
