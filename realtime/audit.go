package realtime

import (
	"log/slog"
	"sync"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Refusals are sampled, so that nobody can fill the audit trail with them.
const (
	auditEvery = 10 * time.Second // at most one entry for a user and code in this time
	maxAudited = 10_000           // users and codes that are remembered
)

// auditEntry is what the ADMIN stream gets of a refusal or a slow socket.
type auditEntry struct {
	User       string      `json:"userId"` // "" before a token was verified
	Socket     string      `json:"socketId,omitempty"`
	Event      string      `json:"event,omitempty"`
	Code       string      `json:"code"`
	Detail     string      `json:"detail,omitempty"`
	Suppressed int         `json:"suppressed"` // like it since the last entry
	Time       schema.Time `json:"time"`
}

// auditor writes sampled entries to the ADMIN stream.
type auditor struct {
	log    *eventlog.Log
	logger *slog.Logger

	mu      sync.Mutex
	samples map[[2]string]*sample // by user and code
}

type sample struct {
	last       time.Time
	suppressed int
}

// audited are the refusals of commands that moderators want to know of.
var audited = map[schema.Code]bool{
	schema.NotPermitted:   true,
	schema.InvalidToken:   true,
	schema.TokenExpired:   true,
	schema.Suspended:      true,
	schema.TooManySockets: true,
	schema.RateLimited:    true,
}

func (a *auditor) refused(s *session, event string, e *schema.Error) {
	if audited[e.Code] {
		a.note("refused", auditEntry{User: s.userID(), Socket: s.id, Event: event, Code: string(e.Code)})
	}
}

func (a *auditor) note(kind string, entry auditEntry) {
	now := time.Now()
	suppressed, ok := a.sample([2]string{entry.User, entry.Code}, now)
	if !ok {
		return
	}
	entry.Suppressed = suppressed
	entry.Time = schema.TimeOf(now)
	if err := a.log.Audit(kind, entry); err != nil {
		a.logger.Warn("audit entry not recorded", "kind", kind, "error", err)
	}
}

func (a *auditor) sample(key [2]string, now time.Time) (suppressed int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.samples[key]
	if at == nil {
		if len(a.samples) >= maxAudited {
			clear(a.samples)
		}
		a.samples[key] = &sample{last: now}
		return 0, true
	}
	if now.Sub(at.last) < auditEvery {
		at.suppressed++
		return 0, false
	}
	suppressed = at.suppressed
	*at = sample{last: now}
	return suppressed, true
}
