package schema_test

import (
	"testing"

	"roomlog/schema"
)

// What version 1 of a post meant: one that has no hashtags was written without, also
// when its author wanted none in spite of what it says.
func TestPostsOfVersion1(t *testing.T) {
	e := event(t, "post:create")
	for data, want := range map[string]string{
		`{"content":"a #b","hashtags":["b"]}`:              `{"content":"a #b","hashtags":["b"]}`,
		`{"content":"a #b","hashtags":["X","x"]}`:          `{"content":"a #b","hashtags":["X","x"]}`,
		`{"content":"none of #b"}`:                         `{"content":"none of #b","hashtags":[]}`,
		`{"content":"a","media":[{"url":"u","type":"t"}]}`: `{"content":"a","hashtags":[],"media":[{"url":"u","type":"t"}]}`,
		`{}`: `{"hashtags":[]}`,
	} {
		got, err := e.Upcast(1, []byte(data))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", data, got, err, want)
		}
		if again, err := e.Upcast(2, got); err != nil || string(again) != want {
			t.Errorf("version 2 is changed: %s, %v", again, err)
		}
	}
	if got, err := e.Upcast(1, []byte(`{"content":`)); err == nil {
		t.Errorf("half an object became %s", got)
	}
}

func TestVersionsThatNobodyKnows(t *testing.T) {
	for _, e := range schema.Events() {
		for _, version := range []int{-1, 0, e.Version + 1} {
			if got, err := e.Upcast(version, []byte(`{}`)); err == nil {
				t.Errorf("%s of version %d became %s", e.Name, version, got)
			}
		}
	}
}
