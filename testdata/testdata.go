// Package testdata holds the real text that roomlog is shown and tested with.
package testdata

import _ "embed"

// Hamlet is every speech of Hamlet, one JSON object a line; README.md says how.
//
//go:embed hamlet.jsonl
var Hamlet []byte
