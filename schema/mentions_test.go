package schema_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

func TestMentions(t *testing.T) {
	for text, want := range map[string][]string{
		"":                               nil,
		"nobody":                         nil,
		"@bob":                           {"bob"},
		"hi @bob, and @carol.":           {"bob", "carol"},
		"(@bob) @Bob @BOB":               {"bob"},
		"bob@example.org":                nil,
		"@@bob @ @- @.":                  nil,
		"@anna-lena @o.henry @x_1 @ÅSA!": {"anna-lena", "o.henry", "x_1", "ÅSA"},
		"@" + strings.Repeat("x", 65):    nil,
	} {
		if got := schema.Mentions(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	many := ""
	for i := range 60 {
		many += fmt.Sprintf("@user%d ", i)
	}
	if got := schema.Mentions(many); len(got) != 50 {
		t.Errorf("%d mentions", len(got))
	}
}
