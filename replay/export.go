package replay

import (
	"context"
	"fmt"
	"io"

	"roomlog/eventlog"
)

// ExportReport says what was exported.
type ExportReport struct {
	Records     uint64
	First, Last uint64 // places of the records
	Left        uint64 // messages that are no records and were left out
	LeftFirst   uint64 // place of the first of them
	Why         error  // of that
}

// Export writes the records from..to of a log, to 0 for its end as it is now, as
// CloudEvents in structured mode, one JSON object a line, in the order of the log. step,
// unless nil, is told of the place it is at.
func Export(ctx context.Context, log *eventlog.Log, from, to uint64, out io.Writer, step func(seq, last uint64)) (ExportReport, error) {
	var report ExportReport
	last := log.Durable()
	if to != 0 {
		last = min(last, to)
	}
	if from > last || last == 0 {
		return report, nil
	}
	for r, err := range log.Read(ctx, from, last) {
		if err != nil {
			return report, err
		}
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		if step != nil && r.Seq%batchSize == 0 {
			step(r.Seq, last)
		}
		line, err := r.CloudEvent()
		if err != nil {
			if report.Left++; report.Left == 1 {
				report.LeftFirst, report.Why = r.Seq, err
			}
			continue
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return report, fmt.Errorf("writing record %d: %w", r.Seq, err)
		}
		if report.Records++; report.First == 0 {
			report.First = r.Seq
		}
		report.Last = r.Seq
	}
	return report, nil
}
