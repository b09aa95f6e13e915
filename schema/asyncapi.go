package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:generate go run ../cmd/roomlog schema --asyncapi --out asyncapi.json

// object is a JSON object; encoding/json writes its keys in order, so that the
// same catalogue always gives the same document.
type object = map[string]any

// AsyncAPI returns the AsyncAPI 3.0 document of the catalogue, indented, seen from
// the server: it receives commands, replies with an ack or an error, and sends
// pushes, all in one channel, the WebSocket. The same build returns the same bytes.
func AsyncAPI() ([]byte, error) {
	var d document
	d.schemas, d.messages, d.operations = object{}, object{}, object{}
	if err := d.shared(); err != nil {
		return nil, err
	}
	for i := range catalogue {
		if err := d.event(&catalogue[i]); err != nil {
			return nil, fmt.Errorf("asyncapi: %s: %w", catalogue[i].Name, err)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d.root()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// document is what the events add up to.
type document struct {
	schemas, messages, operations object
}

func (d *document) root() object {
	inChannel := object{}
	for name := range d.messages {
		inChannel[name] = reference("components/messages", name)
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title":       "roomlog",
			"version":     fmt.Sprint(Protocol),
			"description": "A realtime social backend. Every frame is one JSON object in a text message of a WebSocket with the subprotocol " + Subprotocol + ". Commands are answered by an ack with their id; pushes have none.",
			"license":     object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		},
		"defaultContentType": "application/json",
		"servers": object{"local": object{
			"host":        "127.0.0.1:7777",
			"protocol":    "ws",
			"description": "roomlog serve, as it listens by default.",
			"security":    []any{reference("components/securitySchemes", "bearer")},
		}},
		"channels": object{"socket": object{
			"address":     "/ws",
			"title":       "The WebSocket",
			"description": "Without a bearer token in the handshake, the first command is socket:connect with one.",
			"servers":     []any{reference("servers", "local")},
			"messages":    inChannel,
			"bindings":    object{"ws": object{"method": "GET"}},
		}},
		"operations": d.operations,
		"components": object{
			"schemas":  d.schemas,
			"messages": d.messages,
			"securitySchemes": object{"bearer": object{
				"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
				"description": "Claims: sub, username, avatar, roles; exp, nbf, iss and aud are checked.",
			}},
		},
		"x-error-codes": errorTable(),
		"x-close-codes": closeTable(),
	}
}

func errorTable() []any {
	var table []any
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		table = append(table, object{"code": code, "message": codes[code].message, "temporary": codes[code].temporary})
	}
	return table
}

func closeTable() []any {
	var table []any
	for _, code := range slices.Sorted(maps.Keys(closeReasons)) {
		table = append(table, object{"code": code, "reason": code.Reason(), "reconnect": code.Reconnect()})
	}
	return table
}

func reference(place, name string) object {
	return object{"$ref": "#/" + place + "/" + name}
}

// shared adds what is no event's own: the definitions and the refusal.
func (d *document) shared() error {
	b, err := files.ReadFile(path.Join("events", defsFile))
	if err != nil {
		return err
	}
	var file struct {
		Defs object `json:"$defs"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return fmt.Errorf("asyncapi: %s: %w", defsFile, err)
	}
	for name, s := range file.Defs {
		d.schemas[name] = published(s)
	}
	d.messages["refused"] = object{
		"name": "refused", "title": "Refusal of a command",
		"payload": frame(object{"id": idSchema(), "ok": object{"const": false}, "seq": reference("components/schemas", "seq"), "error": reference("components/schemas", "error")}, "ok", "error"),
	}
	return nil
}

// published returns a schema as it stands in the document: its references point
// into the document, and what only roomlog reads is left out.
func published(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for key, value := range v {
			switch key {
			case "$schema", "$defs", "x-bad", "x-expected":
			case "$ref":
				_, name, _ := strings.Cut(value.(string), "#/$defs/")
				out[key] = "#/components/schemas/" + name
			case "examples":
				out[key] = value
			default:
				out[key] = published(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = published(v[i])
		}
		return out
	}
	return v
}

// event adds an event's schemas, messages and operations.
func (d *document) event(e *Event) error {
	var file object
	if err := json.Unmarshal(SchemaFile(e), &file); err != nil {
		return err
	}
	key := strings.Replace(e.Name, ":", ".", 1)
	name := strings.TrimSuffix(e.FileName(), ".json")
	d.schemas[name] = published(file)
	defs, _ := file["$defs"].(object)
	for part, s := range defs {
		d.schemas[name+"."+part] = published(s)
	}
	if e.Kind == Push {
		d.send(e, key, name)
		return nil
	}
	d.receive(e, key, name, defs)
	if defs["push"] != nil {
		d.send(e, key, name+".push")
	}
	return nil
}

// receive adds a command and its ack.
func (d *document) receive(e *Event, key, name string, defs object) {
	command, ack := key+".command", key+".ack"
	fields := object{"id": idSchema(), "event": object{"const": e.Name}, "data": reference("components/schemas", name), "key": object{"type": "string", "minLength": 1, "maxLength": MaxKeyLength}}
	d.messages[command] = object{
		"name": e.Name, "title": e.Name, "summary": e.Summary,
		"payload": frame(fields, "event"),
	}
	answer := name + ".ack"
	fields = object{"id": idSchema(), "ok": object{"const": true}}
	if defs["ack"] == nil {
		answer = name + ".push"
	}
	if e.Kind == Fact {
		fields["seq"] = reference("components/schemas", "seq")
		fields["duplicate"] = object{"type": "boolean"}
	}
	fields["data"] = reference("components/schemas", answer)
	d.messages[ack] = object{"name": ack, "title": "Ack of " + e.Name, "payload": frame(fields, "ok")}

	op := operation(e, "receive", command)
	op["reply"] = object{"channel": reference("channels", "socket"), "messages": []any{reference("channels/socket/messages", ack), reference("channels/socket/messages", "refused")}}
	op["description"] = "Who may send it: " + string(e.Who) + "."
	if roles := e.Roles(); roles != nil {
		op["x-roles"] = roles
	}
	d.operations["receive."+key] = op
}

// send adds a push.
func (d *document) send(e *Event, key, name string) {
	push := key + ".push"
	fields := object{
		"event": object{"const": e.Name}, "room": reference("components/schemas", "room"),
		"n":    object{"type": "integer", "minimum": 1, "description": "Counts the pushes on this socket, without gaps."},
		"time": reference("components/schemas", "time"), "data": reference("components/schemas", name),
	}
	if e.Kind == Fact {
		fields["seq"] = reference("components/schemas", "seq")
	}
	d.messages[push] = object{"name": push, "title": "Push of " + e.Name, "summary": e.Summary, "payload": frame(fields, "event", "n", "time", "data")}
	op := operation(e, "send", push)
	op["description"] = "To: " + e.To + "."
	d.operations["send."+key] = op
}

func operation(e *Event, action, message string) object {
	op := object{
		"action": action, "summary": e.Summary, "channel": reference("channels", "socket"),
		"messages": []any{reference("channels/socket/messages", message)},
		"tags":     []any{object{"name": string(e.Namespace())}},
		"x-kind":   e.Kind.String(),
	}
	return op
}

func idSchema() object {
	return object{"type": []any{"number", "string"}, "description": "Chosen by the client; comes back as it was."}
}

func frame(fields object, required ...string) object {
	return object{"type": "object", "properties": fields, "required": required, "additionalProperties": false}
}
