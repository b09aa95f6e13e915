package replay_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"roomlog/projections"
	"roomlog/replay"
)

func explainer(t *testing.T, c told) *replay.Explainer {
	t.Helper()
	past, err := projections.OpenPast(t.Context(), projections.PastConfig{Log: c.Log})
	if err != nil {
		t.Fatal(err)
	}
	e := &replay.Explainer{Log: c.Log, Past: past}
	t.Cleanup(func() {
		e.Close()
		if err := past.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Lines that read models of the log's end tell, explained afterwards, are those that an
// explainer tells by itself; and what is applied changes something.
func TestExplainBothWays(t *testing.T) {
	c := tell(t, 4, 120, nil)
	for _, f := range []replay.Filter{{}, {Actor: "bob"}, {Event: "message:*", From: 30, To: 100}, {Since: start.Add(1e12)}} {
		want, _ := linesOf(t, c.Auditor, f)
		afterwards := explainer(t, c)
		for begin := 0; begin < len(want); begin += 7 { // in calls of some lines each
			if err := afterwards.Explain(t.Context(), want[begin:min(begin+7, len(want))]); err != nil {
				t.Fatal(err)
			}
		}
		var got []replay.Line
		err := explainer(t, c).Replay(t.Context(), f, false, func(lines []replay.Line) error {
			got = append(got, lines...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %d lines, want %d", f, len(got), len(want))
		}
		for _, l := range got {
			models := map[string]bool{}
			for _, ch := range l.Changes {
				models[ch.Model] = true
			}
			if !models["history"] || l.Outcome == replay.Applied && len(models) < 3 || l.Outcome != replay.Applied && (models["feeds"] || models["likes"] || models["conversations"]) {
				t.Errorf("record %d, %s, %s changed %v", l.Seq, l.Event, l.Outcome, models)
			}
		}
	}
}

func TestExplainerRefuses(t *testing.T) {
	c := tell(t, 4, 10, nil)
	e := explainer(t, c)
	none := func([]replay.Line) error { return nil }
	if err := e.Replay(t.Context(), replay.Filter{Room: "admin"}, false, none); err == nil {
		t.Error("it knows what a room was told")
	}
	full := errors.New("the disk is full")
	if err := e.Replay(t.Context(), replay.Filter{}, false, func([]replay.Line) error { return full }); !errors.Is(err, full) {
		t.Errorf("ended with %v", err)
	}
	if err := e.Explain(t.Context(), []replay.Line{{Seq: 1}}); err == nil {
		t.Error("it goes back")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := explainer(t, c).Replay(ctx, replay.Filter{}, true, none); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}
