package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"roomlog/eventlog"
	"roomlog/replay"
)

type exportCmd struct {
	source
	From uint64 `placeholder:"SEQ" help:"First place in the log."`
	To   uint64 `placeholder:"SEQ" help:"Last place in the log."`
	Out  string `short:"o" placeholder:"FILE" help:"Write to this file rather than to standard output; it appears when it is complete."`
}

// Run writes the records.
func (c *exportCmd) Run(a *app) error {
	if c.To != 0 && c.From > c.To {
		return usagef("nothing lies between seq %d and seq %d: --from must not be greater than --to", c.From, c.To)
	}
	log, err := c.open(a)
	if err != nil {
		return err
	}
	report, err := c.export(a, log)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("cannot export: %w", err)
	}
	if report.Left > 0 {
		fmt.Fprintf(a.err, "left out: %d messages that are no records, the first at seq %d: %v\n", report.Left, report.LeftFirst, report.Why)
	}
	fmt.Fprintf(a.err, "exported %d records, seq %d to %d, epoch %s\n", report.Records, report.First, report.Last, log.Epoch())
	return nil
}

// open opens the log for reading: by its files, whether a server runs on them or not.
func (c *exportCmd) open(a *app) (*eventlog.Log, error) {
	if c.NATSURL != "" {
		return openLog(a.ctx, serverConfig{NATSURL: c.NATSURL}, a.warnings(), nil)
	}
	if err := c.hasLog(); err != nil {
		return nil, err
	}
	to, err := c.end(a.ctx)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: c.Data, Logger: a.warnings()}, to)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	return log, nil
}

// end returns where the log that can be exported ends, 0 for the end of its files.
func (c *exportCmd) end(ctx context.Context) (uint64, error) {
	if server := dialControl(c.Data); server != nil {
		_, durable, err := server.logEnd(ctx)
		return durable, err
	}
	if !replay.IsBackup(c.Data) {
		return 0, nil
	}
	m, err := replay.ReadManifest(c.Data)
	if err != nil {
		return 0, err
	}
	return m.Last, nil
}

func (c *exportCmd) export(a *app, log *eventlog.Log) (report replay.ExportReport, err error) {
	bar := newProgress(a.err, "export", "records")
	defer bar.finish()
	step := func(seq, last uint64) { bar.set(int64(seq), int64(last)) }
	write := func(out io.Writer) (err error) {
		buffered := bufio.NewWriterSize(out, 64<<10)
		report, err = replay.Export(a.ctx, log, max(c.From, 1), c.To, buffered, step)
		return errors.Join(err, buffered.Flush())
	}
	if c.Out == "" {
		return report, write(a.out)
	}
	return report, writeWhole(c.Out, write)
}

// writeWhole makes a file that is there when all of it is on disk, and not before.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
