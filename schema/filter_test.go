package schema_test

import (
	"testing"

	"roomlog/schema"
)

func TestTailFilter(t *testing.T) {
	const event, actor, entity = "post:like", "bob", "post:1"
	for _, c := range []struct {
		filter schema.TailFilter
		want   bool
	}{
		{schema.TailFilter{}, true},
		{schema.TailFilter{Events: []string{"post:like"}}, true},
		{schema.TailFilter{Events: []string{"user:*", "post:*"}}, true},
		{schema.TailFilter{Events: []string{"post:lik"}}, false},
		{schema.TailFilter{Events: []string{"post:create", "user:*"}}, false},
		{schema.TailFilter{Actor: "bob"}, true},
		{schema.TailFilter{Actor: "bo"}, false},
		{schema.TailFilter{Entity: "post:1"}, true},
		{schema.TailFilter{Entity: "post:12"}, false},
		{schema.TailFilter{Events: []string{"post:*"}, Actor: "bob", Entity: "post:1"}, true},
		{schema.TailFilter{Events: []string{"post:*"}, Actor: "alice", Entity: "post:1"}, false},
	} {
		if got := c.filter.Matches(event, actor, entity); got != c.want {
			t.Errorf("%+v: %v, want %v", c.filter, got, c.want)
		}
	}
	for pattern, ok := range map[string]bool{
		"post:create": true, "post:*": true, "admin:*": true, "user:block": true,
		"post:crate": false, "pots:*": false, "post:join": false, "feed:*": false, "admin:record": false,
	} {
		err := (&schema.TailFilter{Events: []string{"post:like", pattern}}).Check()
		if (err == nil) != ok {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}
