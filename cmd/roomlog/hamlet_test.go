package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
	"roomlog/testdata"
)

// The whole play goes through conversations of a server that is killed five times
// while a message is under way. In the end every reader's view, what their session
// was pushed along with what of theirs was acked, is for each conversation the
// speeches of the file in order, and the read models say the same.
func TestHamletSurvivesKills(t *testing.T) {
	dir := t.TempDir()
	scenes, err := readPlay("hamlet", testdata.Hamlet)
	if err != nil {
		t.Fatal(err)
	}
	house := &house{t: t, views: map[string]*view{}, acked: map[string]bool{}, killed: make(chan struct{}, 1), server: serve(t, dir)}
	for _, s := range scenes {
		house.play = append(house.play, s.speeches...)
	}
	demo := demoCmd{Server: house.server.url, Timeout: patience, minting: minting{Data: dir}}
	company := demo.company()
	company.hear = house.hear
	played := make(chan error, 1)
	var out bytes.Buffer
	go func() { played <- company.play(&app{ctx: t.Context(), out: &out, err: io.Discard}, scenes) }()
	for over := false; !over; {
		select {
		case <-house.killed:
			house.restart(dir)
		case err := <-played:
			if err != nil {
				t.Fatalf("the demo gave up: %v", err)
			}
			over = true
		}
	}
	if house.kills != kills {
		t.Errorf("the server was killed %d times, not %d", house.kills, kills)
	}
	summary, _, _ := strings.Cut(out.String(), "\n")
	t.Log(summary)
	if lost := company.lost.Load(); lost < kills*int64(len(company.players))/2 {
		t.Errorf("the players lost %d connections: some noticed no kill", lost)
	}
	texts := conversations(t)
	house.compare(company, texts)
	compareModels(t, house.server, company, texts)
	replayDemo(t, house.server)
	compareModels(t, house.server, company, texts)
	checkRebuild(t, dir)
}

const kills = 5

// house watches what all players hear, and kills the server.
type house struct {
	t      *testing.T
	play   []speech
	killed chan struct{} // a server was killed

	mu     sync.Mutex // guards all that follows
	server *serverProcess
	down   bool
	kills  int
	views  map[string]*view // by user
	acked  map[string]bool  // messages, by id
}

// view is what one player knows.
type view struct {
	told  uint64 // record of the last push
	heard map[string]heard
}

// heard is a message that was pushed, or that is one's own and was acked.
type heard struct {
	seq              uint64
	conversation     string
	by, content      string
	pushed, wasAcked bool
}

func (h *house) hear(r *role, f schema.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.views[r.id]
	if v == nil {
		v = &view{heard: map[string]heard{}}
		h.views[r.id] = v
	}
	pushed := f.OK == nil
	if pushed && f.Seq != 0 {
		if f.Seq <= v.told {
			h.t.Errorf("%s was told of record %d after %d", r.id, f.Seq, v.told)
		}
		v.told = f.Seq
	}
	var sent schema.MessageSent
	if (!pushed || f.Event == "message:send") && json.Unmarshal(f.Data, &sent) == nil && sent.Message.ID != "" {
		m := sent.Message
		known := v.heard[m.ID]
		if pushed && known.pushed || !pushed && known.wasAcked {
			h.t.Errorf("%s heard %q twice", r.id, m.Content)
		}
		// A message whose ack was lost is told when its sender comes back, and acked then.
		if pushed && m.Sender.ID == r.id && known.wasAcked {
			h.t.Errorf("%s was told of %q after its ack", r.id, m.Content)
		}
		v.heard[m.ID] = heard{f.Seq, sent.ConversationID, m.Sender.Username, m.Content, known.pushed || pushed, known.wasAcked || !pushed}
		if !pushed {
			h.acked[m.ID] = true
		}
	}
	if h.killDue(f, sent.Message.ID) {
		h.down = true
		h.kills++
		h.server.cmd.Process.Kill()
		h.killed <- struct{}{}
	}
}

// killDue reports whether to kill the server now. A message is under way: for the
// 1st, 3rd and 5th kill its sender was just heard typing, for the others it was
// pushed to a reader and is not acked yet.
func (h *house) killDue(f schema.Frame, message string) bool {
	n := len(h.acked)
	if h.down || h.kills == kills || n < (h.kills+1)*len(h.play)/(kills+1) || n == len(h.play) {
		return false
	}
	if h.kills%2 == 1 {
		return f.Event == "message:send" && !h.acked[message]
	}
	var typing schema.MessageTyping
	return f.Event == "message:typing" && json.Unmarshal(f.Data, &typing) == nil &&
		typing.Action == schema.ActionStart && typing.UserID == h.play[n].by.id && h.play[n-1].by.id != typing.UserID
}

// restart starts the server again where it was.
func (h *house) restart(dir string) {
	h.mu.Lock()
	old := h.server
	h.mu.Unlock()
	old.kill() // waits for its end
	now := serve(h.t, dir, "--listen", old.address())
	h.mu.Lock()
	h.server, h.down = now, false
	h.mu.Unlock()
}

// line is a speech as the file has it.
type line struct{ by, text string }

// conversations returns what the file has for each conversation, by its title.
func conversations(t *testing.T) map[string][]line {
	t.Helper()
	texts := map[string][]line{}
	file := bufio.NewScanner(bytes.NewReader(testdata.Hamlet))
	for file.Scan() {
		var l struct {
			Act, Scene           int
			Place, Speaker, Text string
		}
		if err := json.Unmarshal(file.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		by := strings.TrimSuffix(l.Speaker, ":")
		title := fmt.Sprintf("Act %d, scene %d. %s", l.Act, l.Scene, l.Place)
		switch {
		case strings.HasPrefix(l.Text, "[Aside] "):
			title = by + " to Audience"
		case strings.HasPrefix(l.Text, "[Aside to GUILDENSTERN] "):
			title = by + " to Guildenstern"
		}
		texts[title] = append(texts[title], line{by, l.Text})
	}
	return texts
}

// compare compares what each player heard with the file.
func (h *house) compare(c *company, texts map[string][]line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]int{} // messages of a player in all their conversations
	for _, k := range c.talks {
		for _, p := range k.members {
			var all []heard
			for _, m := range h.views[p.role.id].heard {
				if m.conversation == k.id {
					all = append(all, m)
				}
			}
			slices.SortFunc(all, func(a, b heard) int { return int(a.seq) - int(b.seq) })
			seen[p.role.id] += len(all)
			var got []line
			for _, m := range all {
				got = append(got, line{m.by, m.content})
				if (m.by == p.role.name) != m.wasAcked {
					h.t.Errorf("%s knows %q by the wrong way", p.role.name, m.content)
				}
			}
			same(h.t, p.role.name+"'s session: "+k.title, got, texts[k.title])
		}
	}
	for user, v := range h.views {
		if len(v.heard) != seen[user] {
			h.t.Errorf("%s heard %d messages, %d of them in their conversations", user, len(v.heard), seen[user])
		}
	}
	if len(c.talks) != len(texts) {
		h.t.Errorf("there are %d conversations, not %d", len(c.talks), len(texts))
	}
}

// compareModels compares what the server answers each reader with the file.
func compareModels(t *testing.T, s *serverProcess, c *company, texts map[string][]line) {
	t.Helper()
	readers := map[*player]*client.Client{}
	for _, p := range c.players {
		readers[p] = s.dial(p.role.id, client.Options{})
	}
	for _, k := range c.talks {
		for _, p := range k.members {
			var got []line
			for query := (schema.MessageList{ConversationID: k.id, Page: schema.Page{Limit: 100}}); ; {
				page := ask[schema.Items[schema.Message]](t, readers[p], "message:list", query)
				for _, m := range page.Items {
					got = append(got, line{m.Sender.Username, m.Content})
				}
				if query.Before = page.Next; page.Next == "" {
					break
				}
			}
			slices.Reverse(got)
			what := p.role.name + "'s pages: " + k.title
			same(t, what, got, texts[k.title])
			shown := ask[schema.Conversation](t, readers[p], "conversation:get", schema.ConversationRef{ConversationID: k.id})
			if want := unread(p.role.name, texts[k.title]); *shown.UnreadCount != want {
				t.Errorf("%s: %d are unread, not %d", what, *shown.UnreadCount, want)
			}
			if last := (line{shown.LastMessage.Sender.Username, shown.LastMessage.Content}); last != got[len(got)-1] {
				t.Errorf("%s: the last message is %v", what, last)
			}
		}
	}
}

// unread recounts what a reader has not read: all that came after their last words
// when ten others followed, in a scene in which they spoke.
func unread(reader string, texts []line) int {
	after := 0
	for _, l := range slices.Backward(texts) {
		if l.by == reader {
			if after < 10 {
				return 0
			}
			return after
		}
		after++
	}
	return 0 // who only listens to asides reads them all
}

func same(t *testing.T, what string, got, want []line) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("%s: %d messages, not %d; the first difference is at %d", what, len(got), len(want), i)
			return
		}
	}
}

// ask returns the answer to a query.
func ask[T any](t *testing.T, c *client.Client, event string, data any) (answer T) {
	t.Helper()
	f, err := c.Do(t.Context(), event, data, "")
	if err == nil {
		err = json.Unmarshal(f.Data, &answer)
	}
	if err != nil {
		t.Fatalf("%s %+v: %v", event, data, err)
	}
	return answer
}
