package realtime

import (
	"roomlog/eventlog"
	"roomlog/projections"
)

// Spoil has the commands of some events panic with what a client sent, each where it
// does its work, until the test calls back. Nothing else may be served meanwhile.
func Spoil(events ...string) (back func()) {
	was := make(map[string]command)
	for _, event := range events {
		c := commands[event]
		was[event] = c
		switch {
		case c.complete != nil:
			c.complete = func(_ *eventlog.Record, data any) { panic(data) }
		case c.query != nil:
			c.query = func(_ *session, _ *projections.View, data any) (any, error) { panic(data) }
		default:
			c.act = func(_ *session, _ *call, data any) { panic(data) }
		}
		commands[event] = c
	}
	return func() {
		for event, c := range was {
			commands[event] = c
		}
	}
}
