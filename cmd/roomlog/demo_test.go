package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
	"roomlog/testdata"
)

// The demo has a server of its own unless it is given one.
func TestDemoAlone(t *testing.T) {
	out := good(t, "demo")
	for _, want := range []string{
		"0 connections lost, 0 commands known from an earlier run",
		"        60      3  Act 1, scene 1. Elsinore. A platform before the castle.",
		"       147      9  Act 5, scene 2. A hall in the castle.",
		"       165      7  Act 2, scene 2", // 164 speeches, one of them longer than a comment
		"  30         30      1  Horatio\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo did not say %q:\n%s", want, out)
		}
	}
}

// A demo whose server is killed in the middle plays on with the same keys, and
// what the server then has is the play: every speech once, in order.
func TestDemoSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	demo := exec.CommandContext(ctx, binary, "demo", "--server", s.url, "--data", dir)
	var out, stderr bytes.Buffer
	demo.Stdout, demo.Stderr = &out, &stderr
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{100, 500, 1000} {
		watcher := s.dial("watcher", client.Options{})
		eventually(t, func() (bool, string) {
			select {
			case <-watcher.Done():
				t.Fatalf("lost the server: %v", watcher.Err())
			default:
			}
			return durable(t, dir) >= seq, fmt.Sprintf("seq %d", seq)
		})
		s.kill()
		s = serve(t, dir, "--listen", s.address())
	}
	if err := demo.Wait(); err != nil {
		t.Fatalf("the demo gave up: %v\n%s%s", err, out.String(), stderr.String())
	}
	if strings.Contains(out.String(), " 0 connections lost") {
		t.Errorf("the demo noticed no kill:\n%s", out.String())
	}
	comparePlay(t, s)

	again := good(t, "demo", "--server", s.url, "--data", dir)
	if durableAfter := durable(t, dir); !strings.Contains(again, "0 connections lost") || strings.Contains(again, " 0 commands known") {
		t.Errorf("a second run was not recognised as one (log at %d):\n%s", durableAfter, again)
	}
	comparePlay(t, s)
}

// durable is how far the log of the server on dir is on disk.
func durable(t *testing.T, dir string) uint64 {
	t.Helper()
	return liveStatus(t, dir).Log.Durable
}

// comparePlay compares what the server has of each scene with the file.
func comparePlay(t *testing.T, s *serverProcess) {
	t.Helper()
	type speech struct{ by, text string }
	want := map[string][]speech{}
	var order []string
	file := bufio.NewScanner(bytes.NewReader(testdata.Hamlet))
	for file.Scan() {
		var line struct {
			Act, Scene           int
			Place, Speaker, Text string
		}
		if err := json.Unmarshal(file.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		title := fmt.Sprintf("Act %d, scene %d. %s", line.Act, line.Scene, line.Place)
		if want[title] == nil {
			order = append(order, title)
		}
		want[title] = append(want[title], speech{strings.TrimSuffix(line.Speaker, ":"), line.Text})
	}
	reader := s.dial("reader", client.Options{})
	posts := map[string]string{}
	for _, l := range replayed(t, s.dir, "--event", "post:create") {
		var data schema.PostCreate
		if err := json.Unmarshal(l.Data, &data); err != nil {
			t.Fatal(err)
		}
		if l.Outcome == "applied" {
			if posts[data.Content] != "" {
				t.Errorf("there are two posts %q", data.Content)
			}
			posts[data.Content] = l.ID
		}
	}
	for _, title := range order {
		var got []speech
		for _, c := range comments(t, reader, posts[title]) {
			got = append(got, speech{c.Author.Username, c.Content})
		}
		for i, w := range want[title] {
			// A long speech is several comments, which joined are the speech.
			for len(got) > i+1 && got[i].by == w.by && got[i].text != w.text && strings.HasPrefix(w.text, got[i].text+"\n"+got[i+1].text) {
				got[i].text += "\n" + got[i+1].text
				got = append(got[:i+1], got[i+2:]...)
			}
			if i >= len(got) || got[i] != w {
				t.Fatalf("%s: comment %d is not %s's %q", title, i+1, w.by, w.text)
			}
		}
		if len(got) != len(want[title]) {
			t.Errorf("%s has %d comments, the file %d speeches", title, len(got), len(want[title]))
		}
	}
}

// comments asks for all comments of a post, page by page, and returns them oldest first.
func comments(t *testing.T, c *client.Client, post string) []schema.Comment {
	t.Helper()
	var all []schema.Comment
	for before := ""; ; {
		f, err := c.Do(t.Context(), "comment:list", schema.CommentList{PostID: post, Page: schema.Page{Before: before, Limit: 100}}, "")
		if err != nil {
			t.Fatalf("comment:list %s: %v", post, err)
		}
		var page schema.Items[schema.Comment]
		if err := json.Unmarshal(f.Data, &page); err != nil {
			t.Fatal(err)
		}
		all = append(page.Items, all...) // a page is older than the one before it
		if before = page.Next; before == "" {
			return all
		}
	}
}
