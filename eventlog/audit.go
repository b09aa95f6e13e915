package eventlog

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"roomlog/schema"
)

// auditEvent comes before the kind in the event of what Audit records.
const auditEvent = "audit:"

// Audit tells the moderators' stream of something that is no fact: a refused
// connection, a parked record, a rebuild. kind is the last part of the subject
// admin.audit.<kind>, in lower case letters, digits and hyphens; data becomes the
// JSON object of a record whose event is "audit:<kind>". It does not wait for the
// disk; Close sees to it that the stream has it.
func (l *Log) Audit(kind string, data any) error {
	if l.readOnly() {
		return ErrReadOnly
	}
	if strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || kind == "" {
		return fmt.Errorf("audit: %q is no kind", kind)
	}
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	now := time.Now()
	msg, _, _, err := encode(Record{
		ID:      NewID(now),
		Time:    schema.TimeOf(now),
		Event:   auditEvent + kind,
		Version: 1,
		Data:    body,
	}, subjectAudit+kind, l.source)
	if err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	l.audited.Store(&audited{msg, now})
	return l.publishNow(msg)
}

// audited is a record that Audit published.
type audited struct {
	msg *nats.Msg
	at  time.Time
}

// auditSettles is after how long an audit needs no more care: it is stored.
const auditSettles = 5 * time.Second

// settleAudits waits until the server has stored what was audited last: a server that
// is stopped drops what it has taken in and not stored yet. The last one is sent
// again; it is not stored twice, and answered behind all that came before.
func (l *Log) settleAudits() {
	last := l.audited.Load()
	if last == nil || time.Since(last.at) > auditSettles {
		return
	}
	if _, err := l.nc.RequestMsg(last.msg, time.Second); err != nil {
		l.log.Warn("the last entries of the admin stream may be lost", "error", err)
	}
}
