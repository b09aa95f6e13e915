package schema

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// The limits of mentions in one text.
const (
	maxMentions      = 50
	maxMentionLength = 64 // characters, as long as a username
)

// Mentions returns the names that a text mentions, without the @, as written, in
// their order: at most 50, each once whatever the case of its letters. An @ within a
// word, as in an e-mail address, mentions nobody; a full stop or hyphen at the end is
// not part of a name.
func Mentions(text string) (names []string) {
	if strings.IndexByte(text, '@') < 0 {
		return nil // as most do
	}
	before := ' '
	for i, r := range text {
		if r == '@' && !inMention(before) && before != '@' {
			name := text[i+1:]
			if end := strings.IndexFunc(name, func(r rune) bool { return !inMention(r) }); end >= 0 {
				name = name[:end]
			}
			name = strings.TrimRight(name, ".-")
			same := func(n string) bool { return strings.EqualFold(n, name) }
			if name != "" && utf8.RuneCountInString(name) <= maxMentionLength && !slices.ContainsFunc(names, same) {
				names = append(names, name)
			}
			if len(names) == maxMentions {
				break
			}
		}
		before = r
	}
	return names
}

func inMention(r rune) bool { return r == '.' || r == '-' || inHashtag(r) }
