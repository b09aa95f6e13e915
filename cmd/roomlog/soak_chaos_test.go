package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// disturb cuts the connections of some users and lets others stop reading, until it is
// over.
func (s *soak) disturb(over context.Context) {
	for wait(over, rand.N(200*time.Millisecond)) == nil {
		w := s.load.anyWire()
		switch {
		case w == nil:
		case rand.IntN(3) == 0:
			w.hold(rand.N(s.hold))
			s.count("held")
		default:
			w.cut()
			s.count("cut")
		}
	}
}

// operate does what operators do, again and again until it is over, and everything
// once at least. It ends as it began: with nothing kept that a rebuild replaced.
func (s *soak) operate(over context.Context) {
	steps := []struct {
		name string
		do   func()
	}{
		{"full backups", s.backUpAnew},
		{"rebuilds", func() { s.rebuild() }},
		{"rollbacks", func() { s.rebuild("--rollback") }},
		{"backups", s.backUp},
		{"comparisons", func() { s.rebuild("--diff") }},
		{"rebuilds", func() { s.rebuild() }},
		{"backups", s.backUp},
		{"commits", func() { s.rebuild("--commit") }},
	}
	for {
		for _, step := range steps {
			step.do()
			s.count(step.name)
			wait(over, rand.N(3*time.Second)) // in the end nothing waits
		}
		if over.Err() != nil {
			return
		}
	}
}

func (s *soak) rebuild(args ...string) {
	s.t.Helper()
	s.command(append([]string{"rebuild", "--data", s.server.dir}, args...)...)
}

// backUpAnew begins a backup in a folder of its own, in the place of the one before.
func (s *soak) backUpAnew() {
	before := s.last
	s.full++
	s.last = filepath.Join(s.backups, strconv.Itoa(s.full))
	s.backUp()
	if before != "" {
		if err := os.RemoveAll(before); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *soak) backUp() {
	s.t.Helper()
	s.command("backup", s.last, "--data", s.server.dir)
}
