package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

type fillCmd struct {
	Data    string `required:"" placeholder:"DIR" help:"Where to make the data directory; nothing may be there."`
	Records int    `default:"10000000" placeholder:"N" help:"How many facts (${default})."`
	Users   int    `default:"100000" placeholder:"N" help:"Of how many users (${default})."`
	Seed    uint64 `default:"1" placeholder:"N" help:"The same number makes the same society (${default})."`
	JSON    bool   `name:"json" help:"End with one JSON object in one line."`
}

// Run writes a large and lifelike log, as fast as the disk takes it: no server, no
// sockets, no read models.
func (c *fillCmd) Run(a *app) error {
	if c.Records < 1 || c.Users < 2 {
		return usagef("--records must be at least 1 and --users at least 2")
	}
	if _, err := os.Stat(filepath.Join(c.Data, logName)); err == nil {
		return fmt.Errorf("there is a log in %s already; give another --data", c.Data)
	}
	start := time.Now()
	if err := newSociety(c.Seed, c.Users, c.Records, start).fill(a, c.Data, c.Records); err != nil {
		return err
	}
	took := time.Since(start)
	show := benchFlags{JSON: c.JSON}
	return show.show(a, []figure{
		{"records", c.Records}, {"seconds", took.Seconds()}, {"records_per_s", float64(c.Records) / took.Seconds()},
	})
}

// fill writes the next facts of a society into the log of a data directory.
func (s *society) fill(a *app, dir string, records int) (err error) {
	if err := makeDataDir(dir, a.warnings()); err != nil {
		return err
	}
	log, err := openLog(a.ctx, serverConfig{Data: dir}, a.warnings(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	bar := newProgress(a.err, "fill", "records")
	defer bar.finish()
	var pending sync.WaitGroup
	defer pending.Wait()
	var failed atomic.Pointer[error]
	for n := range records {
		r, err := s.next()
		if err != nil {
			return err
		}
		pending.Add(1)
		err = log.Append(a.ctx, r, func(_ uint64, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			pending.Done()
		})
		if err != nil {
			pending.Done()
			return err
		}
		if n%4096 == 0 {
			if err := failed.Load(); err != nil {
				return *err
			}
			bar.set(int64(n), int64(records))
		}
	}
	pending.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	bar.set(int64(records), int64(records))
	return nil
}
