package schema

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of a post's hashtags, as in its schema file.
const (
	maxHashtags      = 30
	maxHashtagLength = 64 // characters
)

// Hashtags returns the hashtags of a post's content, without the #, as written, each
// once, in their order: at most 30, of at most 64 characters, not of digits alone.
// A # within a word starts none.
func Hashtags(content string) []string {
	tags := []string{}
	before := ' '
	for i, r := range content {
		if r == '#' && !inHashtag(before) && before != '#' {
			tag := content[i+1:]
			if end := strings.IndexFunc(tag, func(r rune) bool { return !inHashtag(r) }); end >= 0 {
				tag = tag[:end]
			}
			named := strings.ContainsFunc(tag, func(r rune) bool { return !unicode.IsNumber(r) })
			if named && utf8.RuneCountInString(tag) <= maxHashtagLength && !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
			if len(tags) == maxHashtags {
				break
			}
		}
		before = r
	}
	return tags
}

func inHashtag(r rune) bool {
	return r == '_' || unicode.In(r, unicode.L, unicode.M, unicode.N)
}
