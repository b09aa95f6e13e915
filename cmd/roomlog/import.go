package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"roomlog/replay"
)

type importCmd struct {
	File     string `arg:"" placeholder:"FILE" help:"CloudEvents as export writes them, one JSON object a line; - for standard input."`
	Data     string `default:"./roomlog-data" placeholder:"DIR" help:"Data directory (${default}), new or of a stopped server whose log ends where the file goes on."`
	Renumber bool   `help:"Give the records places from 1 on without gaps, whatever places they had."`
}

// Run appends the records to the log.
func (c *importCmd) Run(a *app) (err error) {
	in, size := a.in, int64(0)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("cannot read what is to be imported: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	if server := dialControl(c.Data); server != nil {
		return fmt.Errorf("a server runs on %s: stop it, or give another --data", c.Data)
	}
	return c.run(a, in, size)
}

func (c *importCmd) run(a *app, in io.Reader, size int64) error {
	if err := finishRestore(c.Data, a.warnings()); err != nil {
		return err
	}
	if err := makeDataDir(c.Data, a.warnings()); err != nil {
		return err
	}
	log, err := openLog(a.ctx, serverConfig{Data: c.Data}, a.warnings(), nil)
	if err != nil {
		return err
	}
	bar := newProgress(a.err, "import", "bytes")
	report, err := replay.Import(a.ctx, log, in, replay.ImportOptions{
		Renumber: c.Renumber,
		Progress: func(read int64) { bar.set(read, max(size, read)) },
	})
	bar.finish()
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("cannot import %s: %w (the log has records up to seq %d: repeated, an import goes on behind them)", c.File, err, report.Last)
	}
	_, err = fmt.Fprintf(a.out, "imported %d records, %d were there already; the log ends at seq %d, epoch %s\n", report.Added, report.Skipped, report.Last, log.Epoch())
	return err
}
