package main

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// figures are a server's metrics, by name and labels as they are written.
type figures map[string]float64

func (s *serverProcess) figures(t *testing.T) figures {
	t.Helper()
	answer, err := http.Get("http://" + s.address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all := figures{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, value, ok := cutLast(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// sum adds up what a metric counted under a label, "" for all.
func (f figures) sum(metric, label string) (sum float64) {
	for name, value := range f {
		if strings.HasPrefix(name, metric+"{") && strings.Contains(name, label) {
			sum += value
		}
	}
	return sum
}

// since is how much more a metric has counted than in earlier figures.
func (f figures) since(earlier figures, metric, label string) int {
	return int(f.sum(metric, label) - earlier.sum(metric, label))
}

// refusals are the lines of what was refused since earlier figures, for people.
func (f figures) refusals(earlier figures) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		for _, metric := range []string{"roomlog_events_total", "roomlog_refused", "roomlog_rate_limited", "roomlog_slowed", "roomlog_closes", "roomlog_resumes_total"} {
			if n := f[name] - earlier[name]; strings.HasPrefix(name, metric) && n > 0 {
				lines = append(lines, fmt.Sprintf("%s %.0f", strings.TrimPrefix(name, "roomlog_"), n))
			}
		}
	}
	return lines
}

// processorTime is how long a process has used processors, 0 where nobody can tell.
func processorTime(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := cutLast(string(stat), ") ")  // the name may have spaces
	return ticks(strings.Fields(rest), 11, 12) // utime and stime of proc_pid_stat(5), from the state on
}

// allProcessorTime is that of everything on this machine.
func allProcessorTime() time.Duration {
	stat, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(stat), "\n")
	return ticks(strings.Fields(first), 1, 2, 3, 6, 7) // user, nice, system, irq and softirq of proc_stat(5)
}

func ticks(fields []string, places ...int) (sum time.Duration) {
	const perSecond = 100 // USER_HZ
	for _, place := range places {
		if place < len(fields) {
			n, _ := strconv.Atoi(fields[place])
			sum += time.Duration(n) * time.Second / perSecond
		}
	}
	return sum
}

// mostMemory is the most that a process ever had resident, in bytes, 0 where nobody
// can tell.
func mostMemory(pid int) float64 { return memoryOf(pid, "VmHWM:") }

// memoryOf is a process's memory of a kind of proc_pid_status(5), in bytes, 0 where
// nobody can tell.
func memoryOf(pid int, kind string) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, kind); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 64)
			return n * 1024
		}
	}
	return 0
}
