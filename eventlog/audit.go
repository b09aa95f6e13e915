package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"roomlog/schema"
)

// Audit tells the moderators' stream of something that is no fact: a refused
// connection, a parked record, a rebuild. kind is the last part of the subject
// admin.audit.<kind>, in lower case letters, digits and hyphens; data becomes the
// JSON object of a record whose event is "audit:<kind>". It does not wait for the
// disk.
func (l *Log) Audit(kind string, data any) error {
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
		Event:   "audit:" + kind,
		Version: 1,
		Data:    body,
	}, subjectAudit+kind, l.source)
	if err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	return l.publishNow(msg)
}

// ReadAdmin returns the records of the ADMIN stream, oldest first: the facts of
// /admin, with their place in ADMIN as Seq, and what Audit recorded.
func (l *Log) ReadAdmin(ctx context.Context) iter.Seq2[Record, error] {
	return l.readStream(ctx, streamAdmin, "")
}
