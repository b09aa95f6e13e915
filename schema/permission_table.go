package schema

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WritePermissions writes who may send what as a table for people: a line an event
// that clients may send, with the roles of which a token must carry one, and for
// every relation of the sender yes, or the code of the refusal.
func WritePermissions(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "EVENT\tROLES")
	for _, r := range Relations() {
		fmt.Fprint(table, "\t", strings.ToUpper(r.String()))
	}
	fmt.Fprintln(table)
	for i := range catalogue {
		e := &catalogue[i]
		if e.Kind == Push {
			continue
		}
		fmt.Fprint(table, e.Name, "\t", roleNames(e.Roles()))
		for _, r := range Relations() {
			fmt.Fprint(table, "\t", orYes(e.Refuses(r)))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func roleNames(roles []Role) string {
	if roles == nil {
		return "any"
	}
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

func orYes(code Code) string {
	if code == "" {
		return "yes"
	}
	return string(code)
}
