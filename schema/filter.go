package schema

import (
	"fmt"
	"strings"
)

// MatchesEvent reports whether an event is the one that a filter names, or one of
// a noun that it names: "post:*".
func MatchesEvent(pattern, event string) bool {
	if noun, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(event, noun)
	}
	return pattern == event
}

// CheckEventFilter returns an error that says what to write instead when no record
// of any log could match a filter for events.
func CheckEventFilter(pattern string) error {
	if noun, all := strings.CutSuffix(pattern, ":*"); all {
		for _, e := range Events() {
			if e.Kind == Fact && strings.HasPrefix(e.Name, noun+":") {
				return nil
			}
		}
		return fmt.Errorf("no fact of the catalogue is called %q: use for example post:* or user:*", pattern)
	}
	e, ok := Lookup(pattern)
	if !ok {
		return fmt.Errorf("no event of the catalogue is called %q: use a name such as post:create, or post:* for all of a noun", pattern)
	}
	if e.Kind != Fact {
		return fmt.Errorf("%s is a %s and never in the log: only facts are", pattern, e.Kind)
	}
	return nil
}

// Check returns an error that names the field when no record could match f.
func (f *TailFilter) Check() *Error {
	for i, pattern := range f.Events {
		if err := CheckEventFilter(pattern); err != nil {
			return NewError(InvalidField, fmt.Sprintf("/filter/events/%d: %v", i, err))
		}
	}
	return nil
}

// Matches reports whether f picks a record by a user about an entity.
func (f *TailFilter) Matches(event, actor, entity string) bool {
	named := len(f.Events) == 0
	for _, pattern := range f.Events {
		named = named || MatchesEvent(pattern, event)
	}
	return named && (f.Actor == "" || f.Actor == actor) && (f.Entity == "" || f.Entity == entity)
}
