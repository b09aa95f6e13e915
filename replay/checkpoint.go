package replay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"roomlog/schema"
)

// Checkpoint is a signed statement of what the log holds up to a place. It is a signed
// note in the format c2sp.org/tlog-checkpoint: origin, size and root hash, each in a
// line of its own, and then lines "name value" of roomlog's own:
//
//	epoch 01M8…       the log's epoch
//	signed 2026-…     when it was signed, as the signer's clock had it
//	next-key roomlog… the key that signs from now on, besides this one's (see Keys)
type Checkpoint struct {
	Origin  string      // the name of the keys that sign for this log
	Size    uint64      // the records up to this place are in the tree
	Root    tlog.Hash   // the tree's
	Epoch   string      //
	Time    schema.Time // 0 when it says none
	NextKey string      // a verifier key, "" for most

	Note []byte // all of it, with its signatures
}

const (
	lineEpoch   = "epoch"
	lineSigned  = "signed"
	lineNextKey = "next-key"
)

// text is what is signed.
func (c *Checkpoint) text() string {
	text := fmt.Sprintf("%s\n%d\n%s\n%s %s\n%s %s\n", c.Origin, c.Size, c.Root, lineEpoch, c.Epoch, lineSigned, c.Time)
	if c.NextKey != "" {
		text += lineNextKey + " " + c.NextKey + "\n"
	}
	return text
}

// sign makes the note.
func (c *Checkpoint) sign(keys ...note.Signer) (err error) {
	c.Note, err = note.Sign(&note.Note{Text: c.text()}, keys...)
	return err
}

// errNoCheckpoint says why a text is none.
var errNoCheckpoint = errors.New("it is no checkpoint")

// parseCheckpoint reads a checkpoint, whoever signed it. Lines that it does not know are
// signed as well, and left alone.
func parseCheckpoint(text []byte) (Checkpoint, error) {
	body, _, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(body, "\n")
	if !found || len(lines) < 3 || lines[0] == "" {
		return Checkpoint{}, errNoCheckpoint
	}
	c := Checkpoint{Origin: lines[0], Note: text}
	var err error
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || strconv.FormatUint(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: its size is %q", errNoCheckpoint, lines[1])
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: its root hash is %q", errNoCheckpoint, lines[2])
	}
	for _, line := range lines[3:] {
		switch name, value, _ := strings.Cut(line, " "); name {
		case lineEpoch:
			c.Epoch = value
		case lineNextKey:
			c.NextKey = value
		case lineSigned:
			t, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return Checkpoint{}, fmt.Errorf("%w: it was signed %q", errNoCheckpoint, value)
			}
			c.Time = schema.TimeOf(t)
		}
	}
	return c, nil
}

// splitNotes takes a file of checkpoints apart: each begins behind the signatures of the
// one before, and an empty line that may stand between them.
func splitNotes(file []byte) (notes [][]byte) {
	const signature = "— "
	begin, signed := 0, false
	for at := 0; at < len(file); {
		end := at
		for end < len(file) && file[end] != '\n' {
			end++
		}
		end = min(end+1, len(file))
		switch line := string(file[at:end]); {
		case strings.HasPrefix(line, signature):
			signed = true
		case signed && line != "\n":
			notes = append(notes, trimmed(file[begin:at]))
			begin, signed = at, false
		}
		at = end
	}
	if last := trimmed(file[begin:]); len(last) > 0 {
		notes = append(notes, last)
	}
	return notes
}

// trimmed is a note without the empty lines behind it.
func trimmed(text []byte) []byte {
	s := strings.TrimRight(string(text), "\n")
	if s == "" {
		return nil
	}
	return []byte(s + "\n")
}
