package replay

import (
	"strings"
	"testing"
	"time"

	"roomlog/schema"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"90s":                       now.Add(-90 * time.Second),
		"2h":                        now.Add(-2 * time.Hour),
		"3d":                        now.Add(-72 * time.Hour),
		"1.5d":                      now.Add(-36 * time.Hour),
		"0s":                        now,
		"2026-11-23T10:00:00Z":      now.Add(-8 * time.Hour),
		"2026-11-23T10:00:00+02:00": now.Add(-10 * time.Hour),
		"2026-11-23T17:59:59.5Z":    now.Add(-500 * time.Millisecond),
	} {
		got, err := ParseSince(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "d", "2026-11-23", "3", "1e9d", "99999999999h"} {
		if got, err := ParseSince(text, now); err == nil || !strings.Contains(err.Error(), "give a duration before now") {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func TestFilterValidate(t *testing.T) {
	for _, f := range []Filter{
		{},
		{Event: "post:create"},
		{Event: "post:*", Actor: "alice", Entity: "post:01JDXK5T7Q8W9V0A1B2C3D4E5F"},
		{Entity: "user:alice", Namespace: schema.Social},
		{From: 3, To: 3},
		{From: 7},
	} {
		if err := f.Validate(); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for want, f := range map[string]Filter{
		`is called "post:creat"`:            {Event: "post:creat"},
		`no fact of the catalogue`:          {Event: "feed:*"},
		"post:join is a signal":             {Event: "post:join"},
		"feed:get is a query":               {Event: "feed:get"},
		"user:online is a push":             {Event: "user:online"},
		`actor "two words"`:                 {Actor: "two words"},
		`entity "alice" has no type`:        {Entity: "alice"},
		`entity "post:" has no type`:        {Entity: "post:"},
		`namespace "connection"`:            {Namespace: schema.Connection},
		"nothing lies between seq 4 and se": {From: 4, To: 3},
	} {
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}
