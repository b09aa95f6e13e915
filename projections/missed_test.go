package projections

import (
	"maps"
	"slices"
	"testing"

	"roomlog/schema"
)

// Who is told nothing but notifications missed those up to a place, and no others.
func TestMissedNotifications(t *testing.T) {
	p := newParlour(t)
	for range 4 {
		p.must("bob", "post:create", schema.PostCreate{Content: "hello @carol"})
	}
	viewOf(t, p.w, func(v *View) {
		missed, ok := v.Missed("carol", nil, 1, 3, 100)
		if !ok || !slices.Equal(missed.Seqs, []uint64{2, 3}) || !maps.Equal(missed.Notified, map[uint64]bool{2: true, 3: true}) {
			t.Errorf("missed %+v, %v", missed, ok)
		}
	})
}
