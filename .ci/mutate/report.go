package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// survivors holds the mutants that no test has to find, below the reason why.
const survivors = ".ci/mutate/survivors.txt"

// report prints what becomes of every mutant.
type report struct {
	mu             sync.Mutex
	explained      map[string]string // file and name of a mutant → reason; what is left are none
	killed, reason int
	wrong          []string
}

func openReport(only *regexp.Regexp) (*report, error) {
	explained, err := explanations(only)
	return &report{explained: explained}, err
}

// line prints a line about a mutant; killer is "" when it survived.
func (r *report) line(m *mutant, killer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := m.file + " " + m.name
	reason, told := r.explained[key]
	delete(r.explained, key)
	line := fmt.Sprintf("%s:%d %s: ", m.file, m.line, m.name)
	switch {
	case killer != "" && told:
		line += "EXPLAINED, BUT KILLED by " + killer
		r.wrong = append(r.wrong, line)
	case killer != "":
		line += "killed by " + killer
		r.killed++
	case told:
		line += "survived: " + reason
		r.reason++
	default:
		line += "SURVIVED"
		r.wrong = append(r.wrong, line)
	}
	fmt.Println(line)
}

// close prints the sum. It returns false when a mutant that is not explained survived,
// or one that is explained did not, or is none any more.
func (r *report) close() (ok bool) {
	for _, key := range slices.Sorted(maps.Keys(r.explained)) {
		r.wrong = append(r.wrong, key+": EXPLAINED, BUT NO MUTANT")
	}
	fmt.Println()
	for _, line := range r.wrong {
		fmt.Println(line)
	}
	fmt.Printf("%d mutants killed, %d survived for a reason, %d to look at\n", r.killed, r.reason, len(r.wrong))
	return len(r.wrong) == 0
}

// explanations reads the list of survivors: file and name of the mutant → reason.
func explanations(only *regexp.Regexp) (map[string]string, error) {
	text, err := os.ReadFile(survivors)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	all, reason, fresh := map[string]string{}, "", true
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		comment, is := strings.CutPrefix(line, "# ")
		switch {
		case line == "":
			fresh = true
		case is && fresh:
			reason, fresh = comment, false
		case is:
			reason += " " + comment
		case only.MatchString(strings.Fields(line)[0]):
			if reason == "" {
				return nil, fmt.Errorf("%s: no reason for %s", survivors, line)
			}
			all[line] = reason
		}
	}
	return all, err
}
