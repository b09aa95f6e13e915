package projections

import "maps"

// A projector's version says what it makes of records, and rises with every change
// of that. layout says how rows are encoded and which tables there are, and rises
// besides when a row of an older file could be misread, or a table would be missed.
// Read models of other versions are always made anew from the log. Only those of the
// same layout may serve meanwhile (Config.Background): what they hold is as the old
// projectors decided, what follows is decided by the new ones upon it, and a record
// of that time may come out otherwise in the rebuilt file, which then counts.
const layout = 2

// Version stands for the versions of all projectors together: it rises when one
// of theirs does, and the read models are then made anew.
func Version() int {
	sum := 0
	for _, v := range versions {
		sum += v
	}
	return sum
}

// mixed are the versions of a file that projectors of several versions have written
// to: no release takes it for its own.
func mixed() map[string]int {
	both := maps.Clone(versions)
	both["mixed"] = 1
	return both
}

// Stale reports whether projectors of other versions made what is served. Then a
// rebuild is due.
func (m *Models) Stale() bool {
	m.applying.Lock()
	defer m.applying.Unlock()
	return m.stale
}
