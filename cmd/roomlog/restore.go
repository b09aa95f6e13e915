package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"roomlog/replay"
)

type restoreCmd struct {
	Dir       string `arg:"" placeholder:"DIR" help:"The backup."`
	Data      string `default:"./roomlog-data" placeholder:"DIR" help:"Data directory to put it in the place of (${default}); no server may run there."`
	Check     bool   `xor:"what" help:"Only read the backup and say whether it is whole."`
	Replace   bool   `xor:"what" help:"Move what is in the data directory aside, to DIR.before-restore-N."`
	SameEpoch bool   `xor:"epoch" help:"Of a stopped server's backup: nothing was stored after it, so clients may go on where they were."`
	NewEpoch  bool   `xor:"epoch" help:"Let every client read anew, whatever was lost."`
	JSON      bool   `name:"json" help:"One JSON object."`
}

// Run restores.
func (c *restoreCmd) Run(a *app) error {
	view := restoreView{out: a.err}
	defer view.finish()
	if c.Check {
		m, err := replay.CheckBackup(a.ctx, c.Dir, func(done, total int64) { view.set("checking", done, total) })
		if err != nil {
			return err
		}
		view.finish()
		return c.printChecked(a.out, m)
	}
	report, err := replay.Restore(a.ctx, replay.RestoreOptions{
		Dir: c.Dir, Data: c.Data, Models: modelsName, Signed: signedFiles,
		Replace: c.Replace, Epoch: c.epoch(), Progress: view.set,
		// What the store has to say of files without its caches is no news here.
		Logger: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return fmt.Errorf("cannot restore: %w", err)
	}
	view.finish()
	return c.print(a.out, report)
}

func (c *restoreCmd) epoch() replay.EpochChoice {
	switch {
	case c.SameEpoch:
		return replay.EpochSame
	case c.NewEpoch:
		return replay.EpochNew
	}
	return replay.EpochAuto
}

func (c *restoreCmd) printChecked(out io.Writer, m *replay.Manifest) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(m)
	}
	_, err := fmt.Fprintf(out, "the backup is whole: seq %d to %d, %d records, made %s\nepoch %s\n", m.First, m.Last, m.Records, m.Made.Format("2006-01-02T15:04:05Z"), m.Epoch)
	return err
}

func (c *restoreCmd) print(out io.Writer, r *replay.RestoreReport) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	if r.Earlier != "" {
		fmt.Fprintln(out, r.Earlier)
	}
	fmt.Fprintf(out, "restored %d records up to seq %d into %s\n", r.Records, r.Last, c.Data)
	if r.NewEpoch {
		fmt.Fprintf(out, "epoch %s is new, so that every client reads anew: %s\n", r.Epoch, r.Why)
	} else {
		fmt.Fprintf(out, "epoch %s stays, so that clients go on where they were: %s\n", r.Epoch, r.Why)
	}
	if r.Aside != "" {
		fmt.Fprintf(out, "what was there before is in %s\n", r.Aside)
	}
	_, err := fmt.Fprintf(out, "the next %s serve makes the read models from the log\n", self())
	return err
}

// restoreView shows the steps of a restore, one after the other.
type restoreView struct {
	out  io.Writer
	name string
	bar  *progress
}

func (v *restoreView) set(step string, done, total int64) {
	if v.name != step {
		v.finish()
		v.name, v.bar = step, newProgress(v.out, step, "bytes")
	}
	v.bar.set(done, total)
}

func (v *restoreView) finish() {
	if v.bar != nil {
		v.bar.finish()
		v.bar = nil
	}
}

// finishRestore ends a restore that was cut short before its last step.
func finishRestore(data string, log *slog.Logger) error {
	done, err := replay.FinishRestore(data)
	if done != nil && err == nil {
		log.Warn("a restore of this data directory had been cut short before its last step, which is done now", "data", data, "last", done.Last, "epoch", done.Epoch, "before", done.Aside)
	}
	return err
}
