package realtime

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// What users' sockets meet with is noted in the ADMIN stream, sampled, so that
// nobody can fill it: the first of a kind, user and reason at once, those that follow
// as a count when Config.AuditEvery is over. Each entry takes from what its kind may write
// in an auditWindow. Who is noted by name is bounded by that too: what comes when it
// is used up is counted by kind and reason alone, of which there are few, and so no
// crowd of identities can make the counts of others be forgotten.
const (
	auditWindow  = time.Hour
	maxTallies   = 3 * 2 * auditEntries // of three kinds, when a window's worth is taken at once and again as it comes back
	auditEntries = 600                  // of one kind in an auditWindow: under attack without end some 7 MB a day
)

type auditEntry = schema.AuditNote

// auditor writes sampled entries to the ADMIN stream.
type auditor struct {
	record func(kind string, data any) error // Log.Audit
	every  time.Duration
	logger *slog.Logger

	mu      sync.Mutex
	budgets map[string]*bucket // by kind
	tallies map[auditKey]*tally
}

func newAuditor(log *eventlog.Log, every time.Duration, logger *slog.Logger) auditor {
	return auditor{record: log.Audit, every: every, logger: logger, budgets: make(map[string]*bucket), tallies: make(map[auditKey]*tally)}
}

// auditKey is what entries are counted by. Of the crowd, others is set and user "".
type auditKey struct {
	kind, user, reason string
	others             bool
}

// tally counts what is not noted yet.
type tally struct {
	next  time.Time // when it is noted, or forgotten if there is nothing to note
	entry auditEntry
}

// audited are the refusals of commands that moderators want to know of.
var audited = map[schema.Code]bool{
	schema.BadFrame:       true,
	schema.NotPermitted:   true,
	schema.InvalidToken:   true,
	schema.TokenExpired:   true,
	schema.Suspended:      true,
	schema.TooManySockets: true,
	schema.RateLimited:    true,
}

func (a *auditor) refused(s *session, event string, e *schema.Error) {
	if audited[e.Code] {
		a.note(schema.AuditRefused, auditEntry{User: s.userID(), Socket: s.id, Event: event, Code: string(e.Code)})
	}
}

// note notes an entry, or counts it. Count and Since are filled in.
func (a *auditor) note(kind string, entry auditEntry) { a.noteAt(kind, entry, time.Now()) }

func (a *auditor) noteAt(kind string, entry auditEntry, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	entry.Count, entry.Since = 1, schema.TimeOf(now)
	key := auditKey{kind: kind, user: entry.User, reason: entry.Code + " " + entry.Detail}
	t := a.tallies[key]
	if t == nil && a.allows(kind, now) {
		a.tallies[key] = &tally{next: now.Add(a.every)}
		a.write(kind, &entry)
		return
	}
	if t == nil {
		t = a.crowd(key, now)
	}
	t.add(&entry)
}

// crowd is the tally of those who have none of their own, mu held.
func (a *auditor) crowd(key auditKey, now time.Time) *tally {
	key.user, key.others = "", true
	t := a.tallies[key]
	if t == nil {
		t = &tally{next: now.Add(a.every)}
		a.tallies[key] = t
	}
	return t
}

// add counts what an entry stands for, and keeps the latest socket and event.
func (t *tally) add(entry *auditEntry) {
	count, since := t.entry.Count+entry.Count, t.entry.Since
	if t.entry.Count == 0 {
		since = entry.Since
	}
	t.entry = *entry
	t.entry.Count, t.entry.Since = count, since
}

// allows takes one entry from what a kind may write, mu held.
func (a *auditor) allows(kind string, now time.Time) bool {
	b := a.budgets[kind]
	if b == nil {
		b = &bucket{}
		a.budgets[kind] = b
	}
	return b.take(now, auditEntries, auditWindow) == 0
}

// sweep notes what was counted for long enough.
func (a *auditor) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range a.due(now) {
		t := a.tallies[key]
		switch {
		case t.entry.Count == 0:
			delete(a.tallies, key)
		case key.others || a.allows(key.kind, now):
			a.settle(key, t)
			t.next = now.Add(a.every)
		default:
			a.crowd(key, now).add(&t.entry)
			delete(a.tallies, key)
		}
	}
}

// due returns the tallies whose time has come, who did the most first: they are
// noted by name while the budget lasts. The crowd comes last, and is told of what
// the others leave. mu held.
func (a *auditor) due(now time.Time) []auditKey {
	var keys []auditKey
	for key, t := range a.tallies {
		if !now.Before(t.next) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y auditKey) int {
		if x.others != y.others {
			if x.others {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.tallies[y].entry.Count, a.tallies[x].entry.Count)
	})
	return keys
}

// flush notes all that was counted: nothing follows. Users beyond the budget, which
// bounds how many have a tally, are noted too.
func (a *auditor) flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, t := range a.tallies {
		if t.entry.Count > 0 {
			a.settle(key, t)
		}
	}
	clear(a.tallies)
}

func (a *auditor) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tallies)
}

// settle notes a tally and begins it anew, mu held.
func (a *auditor) settle(key auditKey, t *tally) {
	if key.others {
		t.entry.User, t.entry.Socket, t.entry.Others = "", "", true
	}
	a.write(key.kind, &t.entry)
	t.entry = auditEntry{}
}

// write does not wait: the log takes audits without an answer.
func (a *auditor) write(kind string, entry *auditEntry) {
	if err := a.record(kind, entry); err != nil {
		a.logger.Warn("audit entry not recorded", "kind", kind, "error", err)
	}
}
