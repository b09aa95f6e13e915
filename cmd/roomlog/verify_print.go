package main

import (
	"fmt"
	"io"
	"os"

	"roomlog/replay"
)

// conclude shows a report and writes the proof that was asked for. Its error says that
// something is wrong, with the exit code for that.
func (c *verifyCmd) conclude(a *app, r *replay.Report) error {
	out := a.out
	if c.Prove != 0 && c.Output == "" {
		out = a.err // the proof goes to standard output
	}
	if err := c.print(out, r); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return &exitError{exitDiffers, verdictOf(r)}
	}
	if r.Proof == nil {
		return nil
	}
	return c.write(a, r.Proof.Marshal())
}

func verdictOf(r *replay.Report) error {
	what := "1 thing is wrong"
	if n := len(r.Findings) + r.More; n > 1 {
		what = fmt.Sprintf("%d things are wrong", n)
	}
	if r.FirstBad == 0 {
		return fmt.Errorf("%s, none of them with a record of the log", what)
	}
	return fmt.Errorf("%s, the first with record %d; restore a backup of before, or see who changed it", what, r.FirstBad)
}

func (c *verifyCmd) print(out io.Writer, r *replay.Report) error {
	if c.JSON {
		return printJSON(out, r)
	}
	fmt.Fprintf(out, "log          %d records up to seq %d, epoch %s\n", r.Records, r.Size, r.Epoch)
	fmt.Fprintf(out, "root         %s\n", r.Root)
	fmt.Fprintf(out, "checkpoints  %d are true of it, up to seq %d\n", r.Checkpoints, r.Signed)
	fmt.Fprintf(out, "read models  compared up to seq %d\n", r.Compared)
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note         %s\n", note)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(out, findingRow, "SEQ", "KIND", "WHAT")
	}
	for _, f := range r.Findings {
		where := "-"
		switch {
		case f.From != f.To:
			where = fmt.Sprintf("%d-%d", f.From, f.To)
		case f.From != 0:
			where = fmt.Sprint(f.From)
		}
		fmt.Fprintf(out, findingRow, where, f.Kind, f.Text)
	}
	if r.More > 0 {
		fmt.Fprintf(out, "and %d more\n", r.More)
	}
	if len(r.Findings) > 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, "nothing is wrong")
	return err
}

const findingRow = "%12s  %-10s %s\n"

// write writes a proof.
func (c *verifyCmd) write(a *app, proof []byte) error {
	if c.Output == "" {
		_, err := a.out.Write(proof)
		return err
	}
	if err := os.WriteFile(c.Output, proof, 0o600); err != nil {
		return fmt.Errorf("cannot write the proof: %w", err)
	}
	return nil
}
