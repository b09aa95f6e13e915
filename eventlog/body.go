package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"roomlog/schema"
)

// A record's body is {"actor":{"id":…,"username":…,"avatar":…},"data":{…}}.
const (
	bodyActor = `{"actor":{"id":"`
	bodyUser  = `","username":"`
	bodyImage = `","avatar":"`
	bodyData  = `"},"data":`
)

// encodeBody writes the body of a record and returns the part of it that is the
// data.
func encodeBody(actor schema.Actor, data json.RawMessage) (body, inner []byte, err error) {
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	if data[0] != '{' || !schema.ValidJSON(data) {
		return nil, nil, errors.New("the record's data is not a JSON object")
	}
	for _, s := range []string{actor.ID, actor.Username, actor.Avatar} {
		if !utf8.ValidString(s) {
			return nil, nil, fmt.Errorf("the record's actor has text that is not UTF-8: %q", s)
		}
	}
	size := len(bodyActor) + len(bodyUser) + len(bodyImage) + len(bodyData) +
		len(actor.ID) + len(actor.Username) + len(actor.Avatar) + len(data) + 1
	body = append(make([]byte, 0, size), bodyActor...)
	body = appendText(body, actor.ID)
	body = append(body, bodyUser...)
	body = appendText(body, actor.Username)
	if actor.Avatar != "" {
		body = append(body, bodyImage...)
		body = appendText(body, actor.Avatar)
	}
	body = append(body, bodyData...)
	from := len(body)
	body = append(body, data...)
	to := len(body)
	return append(body, '}'), body[from:to:to], nil
}

// appendText appends s as it stands between the quotes of a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(b, quoted[1:len(quoted)-1]...)
		}
	}
	return append(b, s...)
}

// decodeBody reads a body. The form that encodeBody writes takes a shortcut that
// costs a third of encoding/json; what it cannot read goes the long way.
func decodeBody(body string) (schema.Actor, json.RawMessage, error) {
	if actor, data, ok := decodeBodyFast(body); ok {
		return actor, data, nil
	}
	var v struct {
		Actor schema.Actor    `json:"actor"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return schema.Actor{}, nil, fmt.Errorf("the body: %w", err)
	}
	if len(v.Data) == 0 || v.Data[0] != '{' {
		return schema.Actor{}, nil, errors.New("the body's data is not a JSON object")
	}
	return v.Actor, v.Data, nil
}

func decodeBodyFast(body string) (actor schema.Actor, data json.RawMessage, ok bool) {
	rest, ok := strings.CutPrefix(body, bodyActor)
	if !ok {
		return actor, nil, false
	}
	if actor.ID, rest, ok = cutText(rest); !ok {
		return actor, nil, false
	}
	if rest, ok = strings.CutPrefix(rest, bodyUser); !ok {
		return actor, nil, false
	}
	if actor.Username, rest, ok = cutText(rest); !ok {
		return actor, nil, false
	}
	if image, has := strings.CutPrefix(rest, bodyImage); has {
		if actor.Avatar, rest, ok = cutText(image); !ok {
			return actor, nil, false
		}
	}
	if rest, ok = strings.CutPrefix(rest, bodyData); !ok {
		return actor, nil, false
	}
	if len(rest) < 3 || rest[0] != '{' || rest[len(rest)-1] != '}' {
		return actor, nil, false
	}
	data = json.RawMessage(rest[:len(rest)-1])
	return actor, data, schema.ValidJSON(data)
}

// cutText splits s before the quote that ends a JSON string. It fails on text
// with escapes and on what is not UTF-8, which encoding/json would change.
func cutText(s string) (text, rest string, ok bool) {
	i := strings.IndexByte(s, '"')
	if i < 0 || !utf8.ValidString(s[:i]) {
		return "", "", false
	}
	for _, c := range []byte(s[:i]) {
		if c < ' ' || c == '\\' {
			return "", "", false
		}
	}
	return s[:i], s[i:], true
}
