package replay_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/projections"
	"roomlog/replay"
)

// sightsOf are all that a chronicle has to see.
func sightsOf(c *chronicle) (all []replay.Sight) {
	whats := []string{"reports"}
	for _, user := range people {
		for _, kind := range []string{"user:", "feed:", "notifications:", "conversations:", "presence:"} {
			whats = append(whats, kind+user)
		}
	}
	for kind, ids := range map[string][]string{"post:": c.posts, "conversation:": c.conversations} {
		for _, id := range ids {
			whats = append(whats, kind+id)
		}
	}
	for _, name := range projections.ModelNames() {
		whats = append(whats, "model:"+name)
	}
	slices.Sort(whats)
	for i, what := range whats {
		s := replay.Sight{What: what, Limit: 1 + i%4*50}
		if kind, _, _ := strings.Cut(what, ":"); i%3 == 0 && slices.Contains([]string{"post", "user", "conversation"}, kind) {
			s.As = people[i%len(people)]
		}
		all = append(all, s)
	}
	return all
}

// look is what a sight comes to, in words, errors too.
func look(t *testing.T, a replay.Auditor, s replay.Sight, at uint64) string {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	seen, ok, err := a.Show(t.Context(), s, at)
	if err != nil {
		return err.Error()
	}
	if !ok {
		t.Fatalf("the read models do not stand at %d", at)
	}
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is seen of the past is what was answered at the time.
func TestThePastIsWhatWasAnsweredThen(t *testing.T) {
	for seed := range uint64(1) {
		then := map[uint64]map[replay.Sight]string{}
		c := tell(t, seed, 120, func(c told, seq uint64) {
			if seq%13 != 0 {
				return
			}
			then[seq] = map[replay.Sight]string{}
			for _, s := range sightsOf(c.chronicle) {
				then[seq][s] = look(t, c.Auditor, s, seq)
			}
		})
		past, err := projections.OpenPast(t.Context(), projections.PastConfig{Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
		a := replay.Auditor{Log: c.Log, Models: past.Models}
		answers, refusals := 0, 0
		for _, at := range slices.Sorted(maps.Keys(then)) {
			if err := past.GoTo(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			for s, want := range then[at] {
				if got := look(t, a, s, at); got != want {
					t.Errorf("%+v as of %d is\n%s\nand was\n%s", s, at, got, want)
				}
				if answers++; !strings.HasPrefix(want, "{") {
					refusals++
				}
			}
		}
		if answers < 150 || refusals == 0 || refusals > answers/2 {
			t.Errorf("%d answers, %d of them refusals: the history tests nothing", answers, refusals)
		}
		if _, ok, err := a.Show(t.Context(), replay.Sight{What: "reports", Limit: 1}, past.Applied()+1); ok || err != nil {
			t.Errorf("read models that stand elsewhere answered: %v, %v", ok, err)
		}
		if err := past.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A list goes on where its page ended, without gap or repetition.
func TestSightsByPage(t *testing.T) {
	c := tell(t, 7, 150, nil)
	type page struct {
		Items, Rows []json.RawMessage
		Next        string
		Messages    *page
	}
	for _, what := range []string{"feed:alice", "conversations:bob", "reports", "model:history", "model:feeds", "conversation:" + c.conversations[0]} {
		gather := func(limit int) (all []string) {
			for s := (replay.Sight{What: what, Limit: limit}); ; {
				var seen struct{ Answer page }
				text := look(t, c.Auditor, s, c.Log.Durable())
				if err := json.Unmarshal([]byte(text), &seen); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				p := seen.Answer
				if p.Messages != nil {
					p = *p.Messages
				}
				for _, item := range append(p.Items, p.Rows...) {
					all = append(all, string(item))
				}
				if s.Page = p.Next; p.Next == "" {
					return all
				}
			}
		}
		whole := gather(replay.MaxLimit)
		if got := gather(2); !slices.Equal(got, whole) || len(whole) < 2 {
			t.Errorf("%s: %d items by twos, %d at once", what, len(got), len(whole))
		}
	}
}

func TestSightValidate(t *testing.T) {
	id := chronicleID(1)
	for _, s := range []replay.Sight{
		{What: "post:" + id}, {What: "user:alice", As: "bob"}, {What: "reports"}, {What: "model:keys"},
	} {
		s.Limit = 1
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, what := range []string{"", "post", "post:", "post:x", "reports:x", "model:x", "table:likes", "user:two words", "feed"} {
		if err := (replay.Sight{What: what, Limit: 1}).Validate(); err == nil || !strings.Contains(err.Error(), "give conversation:ID") {
			t.Errorf("%q: %v", what, err)
		}
	}
	for _, s := range []replay.Sight{{What: "reports"}, {What: "reports", Limit: replay.MaxLimit + 1}, {What: "reports", Limit: 1, As: "two words"}} {
		if err := s.Validate(); err == nil {
			t.Errorf("%+v is let through", s)
		}
	}
}

func TestMoments(t *testing.T) {
	c := tell(t, 1, 30, nil)
	at := func(n int) string { return start.Add(time.Duration(n) * time.Second).Format(time.RFC3339Nano) }
	for text, want := range map[string]uint64{
		"": 30, "1": 1, "17": 17, "30": 30,
		at(1): 1, at(17): 17, at(30): 30, "0s": 30,
		start.Add(17*time.Second + time.Millisecond).Format(time.RFC3339Nano): 17,
		start.Add(18*time.Second - time.Millisecond).Format(time.RFC3339Nano): 17,
	} {
		m, err := replay.ParseMoment(text, time.Now())
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := c.Place(t.Context(), m); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"0": "before record 1", "yesterday": "or a sequence", "-3": "or a sequence"} {
		if _, err := replay.ParseMoment(text, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"31": "none at 31 yet", at(0): "the log was empty"} {
		m, err := replay.ParseMoment(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if seq, err := c.Place(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %d, %v", text, seq, err)
		}
	}
	if err := errors.Join(c.Models.Err()); err != nil {
		t.Error(err)
	}
}
