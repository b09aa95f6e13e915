package projections

import (
	"bytes"
	"encoding/hex"
	"encoding/json"

	"roomlog/schema"
)

// describer tells people what a row of a table says. Both panic with damage when it
// cannot be one.
type describer struct {
	key   func(key []byte) Fields
	value func(key, row []byte) Fields
}

// describers has one for every table, by projector and name (see state.tables). What
// fields a row has is said beside its encode method.
var describers = map[string]describer{
	"keys/answers": {pairs("user", "key"), says(decodeAnswer)},
	"keys/queue":   {seqs("number"), queued},
	"keys/clock":   {nothing, keyClock},

	"graph/users":     {texts("user"), says(decodeUser)},
	"graph/following": {pairs("user", "follows"), placed("since")},
	"graph/follows":   {places("user", "since"), reads("follows")},
	"graph/followers": {places("user", "since"), reads("follower")},
	"graph/blocks":    {pairs("user", "blocks"), isThere},
	"graph/apart":     {pairs("user", "apartFrom"), placed("since")},
	"graph/friends":   {pairs("one", "other"), friendRow},

	"feeds/posts":        {texts("post"), says(decodeHead)},
	"feeds/bodies":       {seqs("postSeq"), says(decodeBody)},
	"feeds/timelines":    {places("author", "seq"), says(decodeTimelineEntry)},
	"feeds/authors":      {texts("author"), number("posts")},
	"feeds/shares":       {texts("share"), placed("seq")},
	"feeds/sharers":      {seqAnd("postSeq", "user"), placed("seq")},
	"feeds/comments":     {twoSeqs("postSeq", "seq"), says(decodeComment)},
	"feeds/withheld":     {twoSeqs("postSeq", "seq"), says(decodeComment)},
	"feeds/commentPlace": {texts("comment"), says(decodeWhereabouts)},

	"likes/posts": {texts("post"), says(decodeLikeable)},
	"likes/likes": {seqAnd("postSeq", "user"), isThere},

	"conversations/heads":    {texts("conversation"), says(decodeConversation)},
	"conversations/rosters":  {texts("conversation"), rosterRow},
	"conversations/members":  {pairs("user", "conversation"), says(decodeMembership)},
	"conversations/messages": {twoSeqs("conversationSeq", "number"), says(decodeMessage)},
	"conversations/withheld": {twoSeqs("conversationSeq", "number"), says(decodeMessage)},
	"conversations/places":   {texts("message"), says(decodePosition)},
	"conversations/direct":   {pairs("one", "other"), reads("conversation")},

	"moderation/suspensions": {texts("user"), suspensionRow},
	"moderation/reports":     {texts("report"), says(decodeReport)},
	"moderation/lists":       {places("list", "seq"), reads("report")},
	"moderation/waiting":     {pairs("reporter", "target"), reads("report")},
	"moderation/counts":      {texts("status"), number("reports")},

	"notifications/items":    {itemKeyFields, itemRow},
	"notifications/messages": {texts("conversation"), awaitingRow},
	"notifications/awaited":  {pairs("user", "conversation"), isThere},
	"notifications/subjects": {subjectKeyFields, placed("seq")},
	"notifications/users":    {texts("user"), says(decodeMailbox)},
	"notifications/names":    {places("name", "since"), reads("user")},
	"notifications/blocks":   {pairs("one", "other"), blocksRow},

	"presence/lastSeen": {texts("user"), moment("lastSeen")},

	"history/names":  {chunkKeyFields, chunkRow},
	"history/counts": {seqs("seq"), number("count")},
	"history/voids":  {seqs("seq"), reads("code")},

	"tree/leaves": {seqs("seq"), hashRow},
	"tree/tiles":  {seqs("number"), hashRow},
	"tree/spans":  {seqs("number"), hashRow},
}

// describe returns what a row says, in fields. One that no describer knows, or that is
// damaged, is shown as it is, in quotes.
func describe(projector, table string, key, row []byte) (named, says Fields) {
	named, says = Fields{{"key", readable(key)}}, nil
	if row != nil {
		says = Fields{{"value", readable(row)}}
	}
	d, known := describers[projector+"/"+table]
	if !known {
		return named, says
	}
	defer func() {
		if p := recover(); p != nil {
			if _, damaged := p.(damage); !damaged {
				panic(p)
			}
		}
	}()
	named = d.key(key)
	if row != nil {
		says = d.value(key, row)
	}
	return named, says
}

// The forms of keys.

func nothing([]byte) Fields { return Fields{} }

func texts(name string) func([]byte) Fields {
	return func(key []byte) Fields { return Fields{{name, string(key)}} }
}

func seqs(name string) func([]byte) Fields {
	return func(key []byte) Fields { return Fields{{name, seqOf(key)}} }
}

func twoSeqs(a, b string) func([]byte) Fields {
	return func(key []byte) Fields { return Fields{{a, seqOf(upTo(key, 8))}, {b, seqOf(key)}} }
}

func seqAnd(seq, name string) func([]byte) Fields {
	return func(key []byte) Fields { return Fields{{seq, seqOf(upTo(key, 8))}, {name, string(key[8:])}} }
}

// pairs is what pair made.
func pairs(a, b string) func([]byte) Fields {
	return func(key []byte) Fields {
		first, second, found := bytes.Cut(key, []byte{0})
		if !found {
			panic(damage("a key of two parts has one"))
		}
		return Fields{{a, string(first)}, {b, string(second)}}
	}
}

// places is what place made.
func places(owner, seq string) func([]byte) Fields {
	return func(key []byte) Fields { return Fields{{owner, placeOwner(key)}, {seq, seqOf(key)}} }
}

// placeOwner reads the owner from a key that place made.
func placeOwner(key []byte) string { return string(upTo(key, len(key)-9)) }

// upTo returns the first bytes of a key.
func upTo(key []byte, n int) []byte {
	if n < 0 || n > len(key) {
		panic(damage("a key is cut short"))
	}
	return key[:n]
}

// The forms of values that are not rows of fields.

func says[T interface{ describe() Fields }](decode func([]byte) T) func(key, row []byte) Fields {
	return func(_, row []byte) Fields { return decode(row).describe() }
}

func isThere(_, _ []byte) Fields { return Fields{} }

func hashRow(_, row []byte) Fields { return Fields{{"hash", hex.EncodeToString(row)}} }

func reads(name string) func(key, row []byte) Fields {
	return func(_, row []byte) Fields { return Fields{{name, string(row)}} }
}

func placed(name string) func(key, row []byte) Fields {
	return func(_, row []byte) Fields { return Fields{{name, seqOf(row)}} }
}

func number(name string) func(key, row []byte) Fields {
	return func(_, row []byte) Fields { return Fields{{name, (&fields{row}).uint()}} }
}

func moment(name string) func(key, row []byte) Fields {
	return func(_, row []byte) Fields { return Fields{{name, (&fields{row}).time()}} }
}

// at appends a moment, unless it never was.
func (f Fields) at(name string, t schema.Time) Fields {
	if t == 0 {
		return f
	}
	return append(f, Field{name, t})
}

// maybe appends a text, unless it is empty.
func (f Fields) maybe(name, text string) Fields {
	if text == "" {
		return f
	}
	return append(f, Field{name, text})
}

// json appends JSON that a row holds as it is.
func (f Fields) json(name string, text []byte) Fields {
	switch {
	case len(text) == 0:
		return f
	case !json.Valid(text):
		return append(f, Field{name, readable(text)})
	}
	return append(f, Field{name, json.RawMessage(bytes.Clone(text))})
}

func (f fate) String() string {
	switch f {
	case there:
		return "there"
	case removed:
		return "removed"
	}
	return "deleted"
}
