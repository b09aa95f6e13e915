package replay

import (
	"fmt"
	"slices"
)

// What a verification can find.
const (
	Damaged   = "damaged"   // a record cannot be read
	Missing   = "missing"   // a record is not there any more
	Changed   = "changed"   // a record is not the one that it was
	Inserted  = "inserted"  // a record is where there was none
	Misplaced = "misplaced" // a record stands behind a later one, or twice
	Shorter   = "shorter"   // the log ends before it did
	Differs   = "differs"   // the log is not as it was signed, and which record it is cannot be told exactly
	Models    = "models"    // the log is as it was signed, and the read models are not
	Forged    = "forged"    // a checkpoint that no trusted key has signed
	Split     = "split"     // two checkpoints that cannot both be of one log
)

// Finding is one thing that is wrong, at the places From to To of the log; 0 for one
// that is about no place.
type Finding struct {
	Kind string `json:"kind"`
	From uint64 `json:"from,omitempty"`
	To   uint64 `json:"to,omitempty"`
	Text string `json:"text"` // a sentence
}

// maxFindings bounds what is reported one by one: beyond, the log is another one.
const maxFindings = 1000

// findings gathers what is found, those of one kind in a row as one.
type findings struct {
	list []Finding
	more int // beyond maxFindings
}

// at adds a finding at a place. text makes the sentence, once it is known how far it goes.
func (f *findings) at(kind string, seq uint64, text string) {
	if n := len(f.list); n > 0 && f.list[n-1].Kind == kind && f.list[n-1].To+1 == seq {
		f.list[n-1].To = seq
		return
	}
	f.add(Finding{kind, seq, seq, text})
}

// misplaced adds that a record is not in its place, where it was found missing.
func (f *findings) misplaced(seq uint64, text string) {
	f.list = slices.DeleteFunc(f.list, func(one Finding) bool {
		return one.Kind == Missing && one.From == seq && one.To == seq
	})
	f.add(Finding{Misplaced, seq, seq, text})
}

func (f *findings) add(one Finding) {
	if len(f.list) >= maxFindings {
		f.more++
		return
	}
	f.list = append(f.list, one)
}

// explains reports whether something is found at one of the places.
func (f *findings) explains(from, to uint64) bool {
	return f.more > 0 || slices.ContainsFunc(f.list, func(one Finding) bool {
		return one.From != 0 && one.From <= to && one.To >= from && one.Kind != Models
	})
}

// sentence tells of the records of a range: its verb takes "is" or "are".
func (one *Finding) sentence() string {
	if one.From == one.To {
		return fmt.Sprintf("record %d is %s", one.From, one.Text)
	}
	return fmt.Sprintf("records %d to %d are %s", one.From, one.To, one.Text)
}
