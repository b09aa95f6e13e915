package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"roomlog/schema"
)

// structured is a record as a CloudEvent 1.0 in the JSON format, but for its data.
// The actor's name and avatar, which the stored form has in its body, are attributes
// here: data is the event's own, as dataschema says.
type structured struct {
	SpecVersion   string `json:"specversion"`
	ID            string `json:"id"`
	Type          string `json:"type"`
	Source        string `json:"source"`
	Time          string `json:"time"`
	Subject       string `json:"subject,omitempty"`
	DataSchema    string `json:"dataschema"`
	ContentType   string `json:"datacontenttype,omitempty"`
	Actor         string `json:"actor,omitempty"`
	ActorName     string `json:"actorname,omitempty"`
	ActorAvatar   string `json:"actoravatar,omitempty"`
	CorrelationID string `json:"correlationid,omitempty"`
	CausationID   string `json:"causationid,omitempty"`
	Key           string `json:"idempotencykey,omitempty"`
	Socket        string `json:"socketid,omitempty"`
	Sequence      string `json:"sequence,omitempty"` // decimal; a string, as the extension of that name says
}

const jsonContent = "application/json"

// CloudEvent returns the record as a CloudEvent 1.0 in structured mode: a JSON object
// on one line. Its data is byte for byte the record's, unless that has line breaks
// between its values: they are left out. A message that is no record, or has text that
// is not UTF-8, has no such form: an error.
func (r *Record) CloudEvent() ([]byte, error) {
	if r.Err != nil {
		return nil, fmt.Errorf("record %d has no form as a CloudEvent: %w", r.Seq, r.Err)
	}
	e := structured{
		SpecVersion:   specVersion,
		ID:            r.ID,
		Type:          r.Event,
		Source:        r.Source(),
		Time:          r.Time.String(),
		Subject:       r.Entity,
		DataSchema:    schemaName(r.Event, r.Version),
		ContentType:   jsonContent,
		Actor:         r.Actor.ID,
		ActorName:     r.Actor.Username,
		ActorAvatar:   r.Actor.Avatar,
		CorrelationID: r.CorrelationID,
		CausationID:   r.CausationID,
		Key:           r.Key,
		Socket:        r.Socket,
	}
	if e.Source == "" {
		e.Source = "/roomlog" // an event must have one
	}
	if r.Seq != 0 {
		e.Sequence = strconv.FormatUint(r.Seq, 10)
	}
	for _, s := range []string{e.ID, e.Type, e.Source, e.Subject, e.Actor, e.ActorName, e.ActorAvatar, e.CorrelationID, e.CausationID, e.Key, e.Socket} {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("record %d has no form as a CloudEvent: %q is not UTF-8", r.Seq, s)
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return nil, err
	}
	b.Truncate(b.Len() - len("}\n"))
	b.WriteString(`,"data":`)
	if err := writeLine(&b, r.Data); err != nil {
		return nil, fmt.Errorf("record %d has no form as a CloudEvent: its data: %w", r.Seq, err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// writeLine writes data as it is, if it is on one line.
func writeLine(b *bytes.Buffer, data json.RawMessage) error {
	switch {
	case len(data) == 0:
		b.WriteString("{}")
	case bytes.ContainsAny(data, "\r\n"):
		return json.Compact(b, data)
	default:
		b.Write(data)
	}
	return nil
}

// ParseCloudEvent is the inverse of Record.CloudEvent. It takes the CloudEvents of
// others, too, as far as they could be records: with an id, a type, a time, a
// dataschema that ends in a version, and a JSON object as data. Attributes that no
// record has are passed over.
func ParseCloudEvent(text []byte) (Record, error) {
	r, err := parseCloudEvent(text)
	if err != nil {
		return Record{}, fmt.Errorf("not a CloudEvent of roomlog: %w", err)
	}
	return r, nil
}

func parseCloudEvent(text []byte) (r Record, err error) {
	var e struct {
		structured
		Data   json.RawMessage `json:"data"`
		Base64 json.RawMessage `json:"data_base64"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return r, err
	}
	switch {
	case e.SpecVersion != specVersion:
		return r, fmt.Errorf("specversion is %q, not %q", e.SpecVersion, specVersion)
	case e.ID == "" || e.Type == "" || e.Source == "":
		return r, errors.New("id, type or source is missing")
	case e.ContentType != "" && e.ContentType != jsonContent:
		return r, fmt.Errorf("datacontenttype is %q, not %q", e.ContentType, jsonContent)
	case e.Base64 != nil || len(e.Data) == 0 || e.Data[0] != '{':
		return r, errors.New("data is not a JSON object")
	}
	r = Record{
		ID: e.ID, Event: e.Type, Entity: e.Subject, Data: e.Data,
		Actor: schema.Actor{ID: e.Actor, Username: e.ActorName, Avatar: e.ActorAvatar},
		Key:   e.Key, Socket: e.Socket, CorrelationID: e.CorrelationID, CausationID: e.CausationID,
		origin: newLeaf("", headerSource+": "+escape(e.Source)+"\n", nil),
	}
	if r.Time, err = parseTime(e.Time); err != nil {
		return r, fmt.Errorf("time: %w", err)
	}
	if r.Version, err = schemaVersion(e.DataSchema); err != nil {
		return r, fmt.Errorf("dataschema: %w", err)
	}
	if e.Sequence != "" {
		if r.Seq, err = strconv.ParseUint(e.Sequence, 10, 64); err != nil || r.Seq == 0 {
			return r, fmt.Errorf("sequence is %q, not a place in a log", e.Sequence)
		}
	}
	return r, nil
}

// Source returns the ce-source of the node that took the record: "/roomlog" unless
// that node has another name. A record that came from neither a log nor a CloudEvent
// has none: "".
func (r *Record) Source() string {
	_, rest, _ := cutSized(r.origin)
	header, _, _ := cutSized(rest)
	for line := range strings.Lines(header) {
		if value, ok := strings.CutPrefix(line, headerSource+":"); ok {
			source, _ := unescape(strings.Trim(value, " \t\r\n"))
			return source
		}
	}
	return ""
}
