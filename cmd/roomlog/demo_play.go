package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// maxMessage is the longest message that the catalogue takes, in characters.
const maxMessage = 4000

// scene is one scene of the play: a group conversation, its messages, and who is
// in it.
type scene struct {
	key      string // "hamlet:scene1.2": the beginning of every idempotency key of the scene
	title    string
	cast     []*role // in the order of their first words; the first one gathers the others
	meetings []meeting
	speeches []speech
}

// role is a speaker of the play, and the user they become.
type role struct{ id, name string }

// inTheHall is whom an aside is for that is for nobody on the stage.
const inTheHall = "Audience"

// meeting is a role that has another before it for the first time in the play,
// and follows it.
type meeting struct{ follower, followed *role }

// speech is a message. A speech longer than a message may be is several.
type speech struct {
	key    string
	by, to *role // to: the one whom an aside is for; nil: all in the scene
	text   string
}

// readPlay reads a play of one JSON object a speech, in order.
func readPlay(name string, text []byte) ([]*scene, error) {
	var (
		scenes []*scene
		now    *scene
		roles  = map[string]*role{}
		met    = map[meeting]bool{}
	)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		var line struct {
			Act, Scene, N        int
			Place, Speaker, Text string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d of the play is damaged: %w", number, err)
		}
		key := fmt.Sprintf("%s:scene%d.%d", name, line.Act, line.Scene)
		if now == nil || now.key != key {
			now = &scene{key: key, title: fmt.Sprintf("Act %d, scene %d. %s", line.Act, line.Scene, line.Place)}
			scenes = append(scenes, now)
		}
		by := roleOf(roles, line.Speaker)
		now.enter(by, met)
		to := hearerOf(roles, line.Text)
		for i, part := range parts(line.Text) {
			now.speeches = append(now.speeches, speech{fmt.Sprintf("%s:speech%d.%d", name, line.N, i), by, to, part})
		}
	}
	return scenes, lines.Err()
}

// enter makes a speaker part of the scene: they and those already in it follow
// each other, unless they did before.
func (s *scene) enter(by *role, met map[meeting]bool) {
	for _, other := range s.cast {
		if other == by {
			return
		}
	}
	for _, other := range s.cast {
		for _, m := range []meeting{{by, other}, {other, by}} {
			if !met[m] {
				met[m] = true
				s.meetings = append(s.meetings, m)
			}
		}
	}
	s.cast = append(s.cast, by)
}

// hearerOf returns whom an aside is for: the one it names ("[Aside to GUILDENSTERN]"),
// else the audience ("[Aside]"). It returns nil for what all may hear.
func hearerOf(roles map[string]*role, text string) *role {
	mark, aside := strings.CutPrefix(text, "[Aside")
	mark, _, closed := strings.Cut(mark, "]")
	if !aside || !closed {
		return nil
	}
	name := inTheHall
	if named, ok := strings.CutPrefix(mark, " to "); ok {
		name = named
	}
	return roleOf(roles, name)
}

// roleOf returns the role of a speaker as the edition spells them, which is not
// always the same way: "Guildenstern:" is Guildenstern.
func roleOf(roles map[string]*role, speaker string) *role {
	name := strings.TrimRight(speaker, ": ")
	id := strings.Map(func(r rune) rune {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			return unicode.ToLower(r)
		case r == ' ' || r == '-':
			return '-'
		}
		return -1
	}, name)
	if roles[id] == nil {
		roles[id] = &role{id: id, name: name}
	}
	return roles[id]
}

// parts cuts a text into messages: at the last line end that fits, so that the
// parts joined by line ends are the text again.
func parts(text string) []string {
	var cut []string
	for len(text) > maxMessage { // bytes: never fewer than characters
		end := strings.LastIndexByte(text[:maxMessage], '\n')
		if end <= 0 {
			break // one endless line: the server says what it thinks of it
		}
		cut = append(cut, text[:end])
		text = text[end+1:]
	}
	return append(cut, text)
}
