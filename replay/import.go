package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"roomlog/eventlog"
	"roomlog/schema"
)

// ImportOptions says how a file becomes a log.
type ImportOptions struct {
	// Renumber gives the records places without gaps from 1 on, whatever places they had.
	Renumber bool
	Progress func(bytes int64) // read so far; nil for none
}

// ImportReport says what was imported.
type ImportReport struct {
	Added   uint64 // records that were appended
	Skipped uint64 // records that the log had at their places
	Last    uint64 // the log's end now
}

// maxLine is far above what a record can have: the log takes messages of 1 MiB.
const maxLine = 8 << 20

// importBatch is how many records are on their way into the log at once.
const importBatch = 1024

// Import appends the CloudEvents of in, one JSON object a line, as Export writes them,
// to a log that nobody else writes to: with their ids, times, actors, sources, keys and
// sockets, at their places. What the log has already must be the same, record by record,
// and is passed over, so that an import that was cut short can be repeated.
//
// An error names the line. What came before it is in the log then.
func Import(ctx context.Context, log *eventlog.Log, in io.Reader, o ImportOptions) (ImportReport, error) {
	i := &importer{ctx: ctx, log: log, renumber: o.Renumber, had: log.Durable()}
	next, stop := iter.Pull2(log.Read(ctx, 1, 0))
	defer stop()
	i.stored = next
	err := i.lines(in, o.Progress)
	if err == nil {
		err = i.settle()
	}
	i.report.Last = log.Durable()
	return i.report, err
}

// importer is an import under way.
type importer struct {
	ctx      context.Context
	log      *eventlog.Log
	renumber bool
	report   ImportReport

	had    uint64 // the log's end before
	stored func() (eventlog.Record, error, bool)
	at     eventlog.Record // the last of stored
	count  uint64          // records of the file so far
	last   uint64          // place of the last one

	waiting int          // appended, and not answered for
	answers chan stowage // of these
	failed  error        // the first of them that were not stored
}

// stowage is the log's answer for a line.
type stowage struct {
	line      int
	want, seq uint64
	err       error
}

func (i *importer) lines(in io.Reader, progress func(int64)) error {
	i.answers = make(chan stowage, importBatch)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	var read int64
	number := 0
	for scanner.Scan() {
		number++
		text := scanner.Bytes()
		if read += int64(len(text)) + 1; progress != nil && number%importBatch == 0 {
			progress(read)
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		err := i.line(number, bytes.Clone(text))
		if i.failed != nil {
			return i.failed // of an earlier line
		}
		if err != nil {
			return errors.Join(fmt.Errorf("line %d: %w", number, err), i.settle())
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return errors.Join(fmt.Errorf("line %d is longer than %d bytes: it is no record", number+1, maxLine), i.settle())
	} else if err != nil {
		return errors.Join(fmt.Errorf("reading behind line %d: %w", number, err), i.settle())
	}
	return nil
}

// line takes one record.
func (i *importer) line(number int, text []byte) error {
	r, err := eventlog.ParseCloudEvent(text)
	if err != nil {
		return err
	}
	if err := importable(&r); err != nil {
		return err
	}
	i.count++
	place := r.Seq
	if i.renumber {
		place = i.count
	}
	switch {
	case place == 0:
		return errors.New("it has no sequence, and so no place in the log: --renumber gives it one")
	case place <= i.last:
		return fmt.Errorf("its place %d does not come after %d", place, i.last)
	case place <= i.had:
		i.last = place
		return i.compare(&r, place)
	case place != max(i.last, i.had)+1:
		return fmt.Errorf("its place is %d, and the log goes on at %d: records are missing before it; --renumber closes such gaps, and can be used with an empty log alone", place, max(i.last, i.had)+1)
	}
	i.last = place
	return i.append(number, place, r)
}

// importable says why a record cannot be one of this release's log.
func importable(r *eventlog.Record) error {
	event, known := schema.Lookup(r.Event)
	switch {
	case !known || event.Name != r.Event:
		return fmt.Errorf("no event of the catalogue is called %q: was it exported by a newer roomlog?", r.Event)
	case event.Kind != schema.Fact:
		return fmt.Errorf("%s is no fact and never in the log", r.Event)
	case !schema.ValidID(r.ID):
		return fmt.Errorf("its id %q is no ULID", r.ID)
	case !schema.ValidUserID(r.Actor.ID):
		return fmt.Errorf("its actor %q is no user id", r.Actor.ID)
	}
	return nil
}

// compare holds a record against what the log has at its place.
func (i *importer) compare(r *eventlog.Record, place uint64) error {
	for i.at.Seq < place {
		at, err, ok := i.stored()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		i.at = at
	}
	if i.at.Seq != place {
		return fmt.Errorf("the log has no record at place %d: it is another log", place)
	}
	if i.at.ID != r.ID {
		return fmt.Errorf("it is record %s, and the log has %s at place %d: it is another log; give an empty directory", r.ID, i.at.ID, place)
	}
	i.report.Skipped++
	return nil
}

// append appends a record. When as many as can be are on their way, they are waited for.
func (i *importer) append(number int, place uint64, r eventlog.Record) error {
	if i.waiting == importBatch && i.settle() != nil {
		return i.failed
	}
	err := i.log.Import(i.ctx, r, func(seq uint64, err error) { i.answers <- stowage{number, place, seq, err} })
	if err != nil {
		return err
	}
	i.waiting++
	return nil
}

// settle waits for what is on its way.
func (i *importer) settle() error {
	for ; i.waiting > 0; i.waiting-- {
		a := <-i.answers
		switch {
		case i.failed != nil:
		case a.err != nil:
			i.failed = fmt.Errorf("line %d was not stored: %w", a.line, a.err)
		case a.seq != a.want:
			i.failed = fmt.Errorf("line %d came to place %d and not to %d: its id is in the file twice, or another process writes to the log; begin again with an empty directory", a.line, a.seq, a.want)
		default:
			i.report.Added++
		}
	}
	return i.failed
}
