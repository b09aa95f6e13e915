package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// terminal is one run of connect: what goes in, and what it shows.
type terminal struct {
	json     bool
	colour   bool
	quiet    bool           // says nothing about the connection
	retryFor *time.Duration // nil: as long as there is input
	wrong    int            // lines that were no commands
	ended    bool           // the input
	badInput error          // why it ended early

	mu       sync.Mutex // guards what follows
	out, err io.Writer
	waiting  int           // commands
	away     error         // why there is no connection; nil while there is one
	moved    time.Time     // when something last changed for the better, or the connection was lost
	changed  chan struct{} // has room for one
}

var errNoCommand = errors.New(`is not EVENT JSON, such as post:create {"content":"hello"}`)

// take passes one line on. What is no command is a message to the person, not the
// end of the session.
func (t *terminal) take(s *client.Session, line string) {
	if err := t.send(s, line); err != nil {
		t.wrong++
		fmt.Fprintln(t.err, "roomlog:", err)
	}
}

func (t *terminal) send(s *client.Session, line string) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	event, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	if !utf8.ValidString(line) || text != "" && !json.Valid([]byte(text)) {
		return fmt.Errorf("%.200q %w", line, errNoCommand)
	}
	var data any
	if text != "" {
		data = json.RawMessage(text)
	}
	t.count(+1)
	err := s.Send(event, data, "", func(schema.Frame, error) { t.count(-1) })
	if err != nil {
		t.count(-1)
	}
	if errors.Is(err, client.ErrTooLarge) {
		return err
	}
	return nil // the session has ended, and says why
}

func (t *terminal) count(commands int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting += commands
	t.stir()
}

// stir notes that something happened; mu is held.
func (t *terminal) stir() {
	t.moved = time.Now()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

func (t *terminal) unacked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

func (t *terminal) endOfInput(err error) {
	t.ended, t.badInput = true, err
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stir()
}

// verdict is how connect ends when everything was answered.
func (t *terminal) verdict() error {
	switch {
	case errors.Is(t.badInput, bufio.ErrTooLong):
		return fmt.Errorf("cannot read the input: a line has more than %d bytes, which no server takes", maxLine)
	case t.badInput != nil:
		return fmt.Errorf("cannot read the input: %w", t.badInput)
	case t.wrong > 0:
		return usagef("%d of the lines were no commands", t.wrong)
	}
	return nil
}

// timeLeft is how much longer nothing may move, if there is a bound.
func (t *terminal) timeLeft() (left time.Duration, bounded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away != nil && t.retryFor != nil {
		return time.Until(t.moved.Add(*t.retryFor)), true
	}
	return time.Until(t.moved.Add(lastMinute)), t.ended
}

func (t *terminal) gaveUp() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away != nil {
		return fmt.Errorf("the connection was lost and did not come back in time, with %d commands unanswered: %w", t.waiting, t.away)
	}
	return fmt.Errorf("the server did not answer %d commands within %v", t.waiting, lastMinute)
}

// state says what becomes of the connection.
func (t *terminal) state(st client.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := ""
	switch st.Status {
	case client.Lost:
		said = "still no connection"
		if t.away == nil {
			said = "connection lost"
			t.stir()
		}
		t.away = st.Err
		said = fmt.Sprintf("%s (%s); trying again in %.1f s", said, oneLine(reason(st.Err)), st.Wait.Seconds())
	case client.CaughtUp:
		t.back()
		said = fmt.Sprintf("back; %s", missed(st))
	case client.Resynced:
		t.back()
		said = fmt.Sprintf("back at seq %d, but what was missed cannot be had: read it again by query", st.Seq)
	}
	if said != "" && !t.quiet {
		fmt.Fprintln(t.err, said)
	}
}

// back notes that there is a connection; mu is held.
func (t *terminal) back() {
	t.away = nil
	t.stir()
}

// reason is why a connection ended, without the words that it has.
func reason(err error) error {
	var closed *client.CloseError
	if errors.As(err, &closed) && closed.Err != nil {
		return closed.Err
	}
	return err
}

func missed(st client.State) string {
	switch st.Count {
	case 0:
		return fmt.Sprintf("no push was missed up to seq %d", st.Seq)
	case 1:
		return fmt.Sprintf("1 missed push from seq %d to %d", st.From+1, st.Seq)
	}
	return fmt.Sprintf("%d missed pushes from seq %d to %d", st.Count, st.From+1, st.Seq)
}
