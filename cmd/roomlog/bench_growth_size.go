package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roomlog/realtime/client"
)

// measuring is one size being measured: a server on a data directory.
type measuring struct {
	*growthCmd
	app     *app
	data    string
	target  *target
	records int
	figures map[string]float64
}

// recordsPerUser is how large a society is: the ten million records of fill are of a
// hundred thousand users.
const (
	recordsPerUser = 100
	fewestUsers    = 10
)

func usersOf(records int) int { return max(records/recordsPerUser, fewestUsers) }

// measure measures one size. Queries come before anything is written, for ingest alone
// makes more records than a small log has.
func (c *growthCmd) measure(a *app, records int) (size growthSize, err error) {
	m := &measuring{growthCmd: c, app: a, data: c.Of, target: &target{}, records: records, figures: map[string]float64{}}
	if m.data == "" {
		if m.data, err = os.MkdirTemp("", "roomlog-bench-"); err != nil {
			return size, fmt.Errorf("cannot make a folder for the log: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(m.data)) }()
		if err := newSociety(1, usersOf(records), records, time.Now()).fill(a, m.data, records); err != nil {
			return size, err
		}
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	written := time.Now()
	rest := func() error { return wait(a.ctx, time.Until(written.Add(c.Rest))) }
	for _, step := range []func() error{
		m.start, m.stop, // makes the read models
		rest,
		m.startUp, m.memory("start"), m.disk, m.queries,
		m.startUpKilled, m.resume, m.ingest, m.fanout, m.memory("load"),
	} {
		if err := step(); err != nil {
			return size, err
		}
	}
	return growthSize{m.records, m.figures}, nil
}

// start starts the server, which says nothing of what a kill leaves to mend.
func (m *measuring) start() error {
	return m.target.serve(m.app, m.data, max(m.Senders, m.Members)+2*mostAskers+2, "--log-level", "error")
}

func (m *measuring) stop() error {
	err := m.target.close()
	m.target.process = nil
	return err
}

// starts is how often a start is measured: the middle one counts.
const starts = 3

// startUp leaves the server running.
func (m *measuring) startUp() error {
	return m.startAgain("start_ms", m.stop)
}

// startUpKilled starts the server after it was killed with an index behind its log, and
// leaves it running.
func (m *measuring) startUpKilled() error {
	return m.startAgain("start_killed_ms", func() error {
		conns, err := m.target.connect(m.app.ctx, 1, func(int) string { return userName(0) }, func(int) client.Options { return client.Options{} })
		if err != nil {
			return err
		}
		defer hangUp(conns)
		if _, err := newPost(m.app.ctx, conns[0]); err != nil {
			return err
		}
		m.target.process.Process.Signal(syscall.SIGKILL)
		m.target.process.Wait() // says that it was killed
		m.target.process = nil
		return nil
	})
}

func (m *measuring) startAgain(name string, end func() error) error {
	var took []time.Duration
	for range starts {
		if m.target.process != nil {
			if err := end(); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := m.start(); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	m.figures[name] = milliseconds(took[starts/2])
	return nil
}

// memory measures what the server has resident, and what of that is its own: the rest
// is pages of its files, which the kernel takes back when it needs them.
func (m *measuring) memory(when string) func() error {
	return func() error {
		resident, err := m.target.settled(m.app.ctx, m.Calm)
		if err != nil {
			return err
		}
		m.figures["resident_"+when+"_mib"] = resident / (1 << 20)
		if own, ok := anonymousMemory(m.target.process.Process.Pid); ok {
			m.figures["memory_"+when+"_mib"] = own / (1 << 20)
		}
		return nil
	}
}

// anonymousMemory returns the bytes that a process has resident and no file holds, where
// there is telling.
func anonymousMemory(pid int) (float64, bool) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status")) // see proc_pid_status(5)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			return kib * 1024, err == nil
		}
	}
	return 0, false
}

// disk measures what a record takes there, and finds out how many there are.
func (m *measuring) disk() error {
	figures, err := figuresOf(m.app, (&statusCmd{source: source{Data: m.data}, JSON: true}).Run)
	if err != nil {
		return err
	}
	log, _ := figures["log"].(map[string]any)
	disk, _ := figures["disk"].(map[string]any)
	records, _ := log["durable"].(float64)
	if records == 0 {
		return errors.New("there is nothing in the log")
	}
	m.records = int(records)
	for name, key := range map[string]string{"log_bytes_per_record": "log", "models_bytes_per_record": "models"} {
		size, _ := disk[key].(float64)
		m.figures[name] = math.Round(size / records)
	}
	return nil
}

func (m *measuring) flags() benchFlags {
	return benchFlags{Server: m.target.url, JSON: true, minting: m.target.auth}
}

func (m *measuring) ingest() error {
	c := ingestCmd{Senders: m.Senders, Duration: m.Duration, Warmup: m.Duration / 3, benchFlags: m.flags()}
	return m.other(c.Run, map[string]string{"acked_per_s": "acked_per_s", "p50_ms": "acked_p50_ms"})
}

func (m *measuring) fanout() error {
	c := fanoutCmd{Members: m.Members, Duration: m.Duration, benchFlags: m.flags()}
	return m.other(c.Run, map[string]string{"deliveries_per_s": "deliveries_per_s"})
}

// other takes over figures of another measurement, under other names.
func (m *measuring) other(run func(*app) error, names map[string]string) error {
	figures, err := figuresOf(m.app, run)
	if err != nil {
		return err
	}
	for theirs, ours := range names {
		v, ok := figures[theirs].(float64)
		if !ok {
			return fmt.Errorf("a measurement has no figure %s", theirs)
		}
		m.figures[ours] = v
	}
	return nil
}

func (m *measuring) connect(ctx context.Context, users []string) ([]*client.Client, error) {
	return m.target.connect(ctx, len(users), func(i int) string { return users[i] }, func(int) client.Options { return client.Options{} })
}
