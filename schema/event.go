package schema

import (
	"strconv"
	"strings"
	"time"
)

// Kind says what becomes of an event.
type Kind uint8

// The four kinds of event.
const (
	Fact   Kind = iota + 1 // durable: committed to EVENTS, applied, acked, pushed
	Signal                 // short-lived: recorded in SIGNALS without waiting for the disk
	Query                  // read-only: answered from the read models, never recorded
	Push                   // sent by the server only
)

// String returns the kind's name as EVENTS and AsyncAPI write it.
func (k Kind) String() string {
	switch k {
	case Fact:
		return "fact"
	case Signal:
		return "signal"
	case Query:
		return "query"
	case Push:
		return "push"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Namespace groups events; it follows from an event's name, so no frame carries it.
type Namespace string

// The namespaces of the catalogue.
const (
	Social        Namespace = "social"
	Messaging     Namespace = "messaging"
	Notifications Namespace = "notifications"
	Admin         Namespace = "admin"
	Connection    Namespace = "connection" // socket:* and error: the connection itself
)

// Role is a right that a verified token carries. Every user has RoleUser.
type Role string

// The roles a token may carry.
const (
	RoleUser      Role = "user"
	RoleModerator Role = "moderator"
	RoleAdmin     Role = "admin"
	RoleAuditor   Role = "auditor"
	RoleOperator  Role = "operator"
)

// Event is one row of the catalogue.
type Event struct {
	Name    string // as on the wire: "post:create"
	Kind    Kind
	Version int    // the version written today, from 1
	Who     Who    // who may send it; Server for pushes
	To      string // whom it is pushed to, in words; "" when it is not pushed
	Home    string // the projector that decides a fact; "" for the other kinds
	Entity  string // the type of what it is about: "post", "user", …; "" for none
	Summary string // one sentence for people
}

// Namespace returns the namespace that the event's name belongs to.
func (e Event) Namespace() Namespace { return NamespaceOf(e.Name) }

// Subject returns the NATS subject of a fact ("events.social.post.create") or a
// signal ("signals.social.post.join"). No entity id is part of it: JetStream
// keeps every distinct subject in memory. Queries and pushes are never recorded
// (their subject is "") but for socket:disconnect: the server records it as a
// signal, since with socket:connect it tells when users were there.
func (e Event) Subject() string {
	var stream string
	switch {
	case e.Kind == Fact:
		stream = "events."
	case e.Kind == Signal, e.Name == "socket:disconnect":
		stream = "signals."
	default:
		return ""
	}
	return stream + string(e.Namespace()) + "." + strings.Replace(e.Name, ":", ".", 1)
}

// FileName returns the name of the event's schema file, "post.create.v1.json".
func (e Event) FileName() string {
	return strings.Replace(e.Name, ":", ".", 1) + ".v" + strconv.Itoa(e.Version) + ".json"
}

// NamespaceOf returns the namespace of an event name, or "" when the part
// before the colon is no noun of the catalogue.
func NamespaceOf(name string) Namespace {
	noun, _, _ := strings.Cut(name, ":")
	switch noun {
	case "post", "user", "comment", "feed", "presence":
		return Social
	case "message", "conversation":
		return Messaging
	case "notification":
		return Notifications
	case "admin":
		return Admin
	case "socket", "error":
		return Connection
	}
	return ""
}

// Actor is a verified user as records and pushes show one.
type Actor struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Avatar   string `json:"avatar,omitempty"`
}

// ValidUserID reports whether id may name a user: 1 to 128 printable ASCII
// characters other than space, double quote and backslash, so that an id can
// stand in a room name, a log line and an index key without escaping.
func ValidUserID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Time is a moment in Unix milliseconds, UTC. JSON shows it as RFC 3339 with
// milliseconds ("2026-11-23T18:00:00.000Z"), the only form on roomlog's wire.
type Time int64

// TimeOf truncates t to milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Go returns t as a time.Time in UTC.
func (t Time) Go() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String formats t as the wire does.
func (t Time) String() string { return string(t.AppendTo(nil)) }

// AppendTo appends t as the wire shows it, without quotes.
func (t Time) AppendTo(b []byte) []byte {
	at := t.Go()
	b = at.AppendFormat(b, time.RFC3339) // several times as fast as with any other layout
	ms := at.Nanosecond() / 1e6
	return append(b[:len(b)-1], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
}

// MarshalJSON writes t as an RFC 3339 string.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(`"2026-11-23T18:00:00.000Z"`))
	return append(t.AppendTo(append(b, '"')), '"'), nil
}

// UnmarshalJSON reads any RFC 3339 string, truncated to milliseconds.
func (t *Time) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return err
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	*t = TimeOf(v)
	return nil
}
