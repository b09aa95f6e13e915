package schema

import (
	"encoding/json"
	"fmt"
)

// upcast brings a record's data from one version of its event to the next. It stands
// for what the old version meant, for ever: it must not use a payload type or a parser
// that a later release may change.
type upcast func(json.RawMessage) (json.RawMessage, error)

// upcasts holds the steps of every event that has older versions: the first one makes
// version 2 of version 1.
var upcasts = map[string][]upcast{
	// Version 1 left out the hashtags of a post that has none, be it that its content
	// names none or that its author wanted none: the gateway had looked. So to look
	// into the content again would give posts hashtags which they never had.
	"post:create": {fillIn("hashtags", `[]`)},
	"post:update": {fillIn("hashtags", `[]`)},
}

// Upcast returns the data of a record that was written as version in the shape of
// today's version. Its error, for a version that this build does not know, means
// that the record cannot be understood here: it is to be parked, not guessed at.
func (e *Event) Upcast(version int, data json.RawMessage) (json.RawMessage, error) {
	if version < 1 || version > e.Version {
		return nil, fmt.Errorf("%s: version %d is unknown here, the newest known is %d", e.Name, version, e.Version)
	}
	steps := upcasts[e.Name]
	if len(steps) != e.Version-1 {
		return nil, fmt.Errorf("%s: version %d has %d steps that lead to it", e.Name, e.Version, len(steps))
	}
	for from := version; from < e.Version; from++ {
		var err error
		if data, err = steps[from-1](data); err != nil {
			return nil, fmt.Errorf("%s: from version %d to %d: %w", e.Name, from, from+1, err)
		}
	}
	return data, nil
}

// fillIn gives a field that the old version could leave out the value that this meant.
func fillIn(name, value string) upcast {
	return func(data json.RawMessage) (json.RawMessage, error) {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
		if _, there := fields[name]; there {
			return data, nil
		}
		if fields == nil {
			fields = make(map[string]json.RawMessage, 1)
		}
		fields[name] = json.RawMessage(value)
		return json.Marshal(fields)
	}
}
