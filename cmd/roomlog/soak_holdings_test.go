package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// holdings are what a server holds on to while nobody is there.
type holdings struct {
	records    uint64
	memory     map[string]float64 // bytes, after a collection
	goroutines map[string]int     // by what they do
	open       map[string]int     // open files by name; sockets and pipes by kind
	files      map[string]int     // files of the data directory by name, ids left out
	sizes      map[string]int64   // and their sizes together
}

const eventBlocks = "jetstream/ROOMLOG/streams/EVENTS/msgs/N.blk"

// id is what tells files of one kind apart.
var id = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}|[0-9]+`)

func (s *soakServer) holdings() holdings {
	s.t.Helper()
	s.ask("/collect")
	now := s.figures(s.t)
	h := holdings{
		records: uint64(now["roomlog_log_durable_seq"]),
		memory: map[string]float64{
			"heap":     now["go_memstats_heap_alloc_bytes"],
			"stacks":   now["go_memstats_stack_inuse_bytes"],
			"resident": memoryOf(s.cmd.Process.Pid, "RssAnon:"), // the pages of files are the kernel's
		},
		goroutines: goroutinesOf(s.ask("/goroutines?debug=1")),
		open:       openFiles(s.cmd.Process.Pid, s.dir),
		files:      map[string]int{},
		sizes:      map[string]int64{},
	}
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name := kindOf(path, s.dir)
		h.files[name]++
		h.sizes[name] += info.Size()
		return nil
	})
	if err != nil {
		s.t.Log(err) // a file went while it was looked at
	}
	return h
}

func kindOf(path, dir string) string {
	return id.ReplaceAllString(strings.TrimPrefix(path, dir+"/"), "N")
}

// openFiles are the descriptors of a process, by what they are; nothing where nobody
// can tell.
func openFiles(pid int, dir string) map[string]int {
	all := map[string]int{}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(fds)
	for _, e := range entries {
		if name, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil {
			all[kindOf(name, dir)]++
		}
	}
	return all
}

// goroutinesOf reads a goroutine profile: how many there are, by the function with which
// they began.
func goroutinesOf(profile string) map[string]int {
	all := map[string]int{}
	count, began := 0, ""
	for line := range strings.Lines(profile + "0 @ \n") {
		if n, _, ok := strings.Cut(line, " @ "); ok {
			if began != "" && !strings.HasPrefix(began, "net/http.") { // the runtime's own, and those of who asks
				all[began] += count
			}
			count, _ = strconv.Atoi(n)
			began = ""
		} else if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "#" {
			name, _, _ := strings.Cut(fields[2], "+0x")
			if !strings.HasPrefix(name, "sync.") { // begins what it is given
				began = name
			}
		}
	}
	return all
}

// quiet waits until nobody is there and nothing changes any more.
func (s *soakServer) quiet() (h holdings) {
	s.t.Helper()
	since := time.Now()
	var last []string
	eventually(s.t, func() (bool, string) {
		if n := s.figures(s.t)["roomlog_sockets"]; n > 0 {
			return false, fmt.Sprintf("%.0f sockets to close", n)
		}
		now := s.holdings()
		if changes := append(now.beyond(h), h.beyond(now)...); len(changes) > 0 {
			last, since = changes, time.Now()
		}
		h = now
		return time.Since(since) > 2*time.Second, fmt.Sprintf("quiet, there changed:\n  %s", strings.Join(last, "\n  "))
	})
	return h
}

func (h holdings) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records", h.records)
	for _, name := range slices.Sorted(maps.Keys(h.memory)) {
		fmt.Fprintf(&b, "\n  %.1f MiB %s", h.memory[name]/mib, name)
	}
	for _, name := range slices.Sorted(maps.Keys(h.goroutines)) {
		fmt.Fprintf(&b, "\n  %d in %s", h.goroutines[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(h.open)) {
		fmt.Fprintf(&b, "\n  open %d %s", h.open[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(h.files)) {
		fmt.Fprintf(&b, "\n  file %d %s %d", h.files[name], name, h.sizes[name])
	}
	return b.String()
}

// checkLeft waits until the server holds on to no more than it did before.
func (s *soakServer) checkLeft(before holdings) {
	s.t.Helper()
	var after holdings
	eventually(s.t, func() (bool, string) {
		after = s.holdings()
		more := after.beyond(before)
		return len(more) == 0, fmt.Sprintf("the server to let go of\n  %s\nbefore %v\nafter %v", strings.Join(more, "\n  "), before, after)
	})
	s.t.Logf("before %v\nafter %v", before, after)
}

// What may be held besides, with the log that has grown meanwhile. What leaks 4 KB with
// each socket or 300 bytes with each operation is more than that after ten minutes; what
// leaks megabytes with each rebuild or backup, after one.
const (
	// moreMemory is for what the server keeps up to a bound: 16 MiB are the newest records
	// of the log, the rest is for pools and maps, which are as full as it happens.
	moreMemory = (16 + 12) * mib
	// memoryPerRecord is what the store and the filters of the read models keep in
	// memory of a record in the log.
	memoryPerRecord = 64
	// moreModels is the step in which bbolt lets its file grow, and as much for pages
	// that were freed since; modelsPerByte is what read models take of the disk for a
	// byte of the log.
	moreModels    = 2 * 16 * mib
	modelsPerByte = 4
	// moreFiles is for all other files together: a signed checkpoint a minute, the
	// indexes of the store.
	moreFiles = 64 << 10
)

// beyond lists what is held besides what was held before and what may have been added.
func (h holdings) beyond(before holdings) (more []string) {
	for name, n := range h.memory {
		if most := before.memory[name] + moreMemory + memoryPerRecord*float64(h.records-before.records); n > most {
			more = append(more, fmt.Sprintf("%.1f MiB %s, more than %.1f", n/mib, name, most/mib))
		}
	}
	logged := h.sizes[eventBlocks] - before.sizes[eventBlocks]
	for name, n := range h.sizes {
		most := before.sizes[name] + moreFiles
		switch {
		case strings.HasSuffix(name, "/msgs/N.blk"):
			continue // the log itself, and for their time SIGNALS and ADMIN
		case name == modelsName:
			most = before.sizes[name] + moreModels + modelsPerByte*logged
		}
		if n > most {
			more = append(more, fmt.Sprintf("%d bytes in %s, more than %d", n, name, most))
		}
	}
	for name, n := range h.goroutines {
		most := before.goroutines[name]
		switch {
		case name == "roomlog/realtime.(*workers).do.func1":
			most = idleWorkers // as many as there were commands at once, up to these
		case strings.HasPrefix(name, "github.com/nats-io/nats-server/"):
			most++ // the consumer that fills ADMIN begins, and begins again, when the store likes
		}
		if n > most {
			more = append(more, fmt.Sprintf("%d goroutines in %s, there were %d", n, name, before.goroutines[name]))
		}
	}
	for name, n := range h.open {
		if n > before.open[name] {
			more = append(more, fmt.Sprintf("%d open %s, there were %d", n, name, before.open[name]))
		}
	}
	for name, n := range h.files {
		if n > before.files[name] && !strings.HasSuffix(name, "/msgs/N.blk") {
			more = append(more, fmt.Sprintf("%d files %s, there were %d", n, name, before.files[name]))
		}
	}
	return more
}
