package realtime_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

// newTalks is newStage with conversations. In frames $OURS stands for alice's group
// with bob, $HERS for her message in it and $HIS for bob's; $BOBS for a group that
// bob opened; $DIRECT for the direct conversation of the two; $SECRET for alice's
// group without bob and $TOLD for what she said there; $LEFT for a group that bob
// was removed from.
func newTalks(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	bob := s.user(t, "bob")
	defer bob.conn.Close()
	ids := map[string]string{}
	open := func(who *rawSocket, name, data string) {
		f, _ := who.ask("conversation:create", data)
		var c schema.ConversationCreated
		decodeInto(t, f.Data, &c)
		ids[name] = c.Conversation.ID
	}
	say := func(who *rawSocket, name, in string) {
		f, _ := who.ask("message:send", fmt.Sprintf(`{"conversationId":%q,"content":"Words","messageType":"text"}`, ids[in]))
		var m schema.MessageSent
		decodeInto(t, f.Data, &m)
		ids[name] = m.Message.ID
	}
	open(s.alice, "$OURS", `{"type":"group","participants":["bob","carol"],"name":"Ours"}`)
	open(s.alice, "$SECRET", `{"type":"group","participants":["carol"],"name":"Secret"}`)
	open(s.alice, "$LEFT", `{"type":"group","participants":["bob"],"name":"Left"}`)
	open(bob, "$BOBS", `{"type":"group","participants":["alice"],"name":"Bob's"}`)
	open(bob, "$DIRECT", `{"type":"direct","participants":["alice"]}`)
	say(s.alice, "$HERS", "$OURS")
	say(s.alice, "$TOLD", "$SECRET")
	say(bob, "$HIS", "$OURS")
	s.alice.ask("conversation:update", fmt.Sprintf(`{"conversationId":%q,"updates":{"removeParticipants":["bob"]}}`, ids["$LEFT"]))
	all := []string{"$GONE", "01JD0000000000000000000000", "$POST", createPost(t, s.alice, "alice's")}
	for name, id := range ids {
		all = append(all, name, id)
	}
	s.ids = strings.NewReplacer(all...)
	return s
}

func TestOtherPeoplesConversations(t *testing.T) {
	s := newTalks(t)
	var cases []hostile
	// Ids of what bob is not in, or of another kind.
	for _, id := range []string{"$SECRET", "$LEFT", "$GONE", "$POST", "$HERS", "$TOLD"} {
		for event, data := range messagingData {
			if _, has := data["conversationId"]; has && event != "message:leave" {
				cases = append(cases, hostile{event + " in " + id, cmd(event, object(with(data, "conversationId", `"`+id+`"`))), "1", schema.ConversationNotFound})
			}
		}
	}
	for _, id := range []string{"$TOLD", "$GONE", "$POST", "$OURS"} {
		for _, event := range []string{"message:read", "message:delivered", "message:edit", "message:delete"} {
			cases = append(cases, hostile{event + " of " + id, cmd(event, object(with(messagingData[event], "messageId", `"`+id+`"`))), "1", schema.MessageNotFound})
		}
		cases = append(cases, hostile{"reply to " + id, cmd("message:send", object(with(messagingData["message:send"], "replyTo", `"`+id+`"`))), "1", schema.MessageNotFound})
		for _, cursor := range []string{"before", "after", "around"} {
			cases = append(cases, hostile{cursor + " " + id, cmd("message:list", object(with(messagingData["message:list"], cursor, `"`+id+`"`))), "1", schema.InvalidField})
		}
	}
	for _, id := range []string{"$SECRET", "$LEFT", "$GONE", "$POST", "$HIS"} {
		cases = append(cases, hostile{"list before " + id, cmd("conversation:list", `{"before":"`+id+`"}`), "1", schema.InvalidField})
	}
	cases = append(cases, []hostile{
		{"edit another's", cmd("message:edit", `{"conversationId":"$OURS","messageId":"$HERS","content":"x"}`), "1", schema.NotPermitted},
		{"delete another's", cmd("message:delete", `{"conversationId":"$OURS","messageId":"$HERS"}`), "1", schema.NotPermitted},
		{"delete one's own by way of another conversation", cmd("message:delete", `{"conversationId":"$BOBS","messageId":"$HIS"}`), "1", schema.MessageNotFound},
		{"read another conversation's", cmd("message:read", `{"conversationId":"$DIRECT","messageId":"$HERS"}`), "1", schema.MessageNotFound},
		{"read one's own", cmd("message:read", `{"conversationId":"$OURS","messageId":"$HIS"}`), "1", schema.NotPermitted},
		{"delete another's group", cmd("conversation:delete", `{"conversationId":"$OURS"}`), "1", schema.NotPermitted},
		{"remove its creator", cmd("conversation:update", `{"conversationId":"$OURS","updates":{"removeParticipants":["alice"]}}`), "1", schema.NotPermitted},
		{"remove oneself and another", cmd("conversation:update", `{"conversationId":"$OURS","updates":{"removeParticipants":["bob","carol"]}}`), "1", schema.NotPermitted},
		{"add oneself again", cmd("conversation:update", `{"conversationId":"$OURS","updates":{"addParticipants":["bob"]}}`), "1", schema.AlreadyParticipant},
		{"add and remove the same", cmd("conversation:update", `{"conversationId":"$BOBS","updates":{"addParticipants":["dave"],"removeParticipants":["dave"]}}`), "1", schema.InvalidField},
		{"remove a stranger", cmd("conversation:update", `{"conversationId":"$BOBS","updates":{"removeParticipants":["dave"]}}`), "1", schema.NotParticipant},
		{"a third in a direct one", cmd("conversation:update", `{"conversationId":"$DIRECT","updates":{"addParticipants":["dave"]}}`), "1", schema.NotPermitted},
		{"the other out of a direct one", cmd("conversation:update", `{"conversationId":"$DIRECT","updates":{"removeParticipants":["alice"]}}`), "1", schema.NotPermitted},
		{"a name for a direct one", cmd("conversation:update", `{"conversationId":"$DIRECT","updates":{"name":"x"}}`), "1", schema.NotPermitted},
		{"a direct one with oneself", cmd("conversation:create", `{"type":"direct","participants":["bob"]}`), "1", schema.Oneself},
		{"a group with oneself", cmd("conversation:create", `{"type":"group","participants":["alice","bob"],"name":"x"}`), "1", schema.Oneself},
		{"a group of oneself", cmd("conversation:create", `{"type":"group","participants":["bob"],"name":"x"}`), "1", schema.Oneself},
		{"leave what one never joined", cmd("message:leave", `{"conversationId":"$SECRET"}`), "1", ""},
		{"leave what is not there", cmd("message:leave", `{"conversationId":"$GONE"}`), "1", ""},
		{"a post's room by a conversation's id", cmd("post:join", `{"postId":"$OURS"}`), "1", schema.PostNotFound},
		{"a conversation as a post", cmd("post:comment", `{"postId":"$OURS","content":"x"}`), "1", schema.PostNotFound},
		{"a message as a post", cmd("post:like", `{"postId":"$HERS","action":"like"}`), "1", schema.PostNotFound},
		{"typing by way of a post", cmd("user:typing", `{"postId":"$OURS","action":"start"}`), "1", schema.NotInRoom},
		{"a forged join", cmd("message:joined", `{"conversationId":"$SECRET"}`), "1", schema.NotACommand},
	}...)
	for _, h := range cases {
		t.Run(h.name, func(t *testing.T) { s.play(t, h) })
	}
}

func TestMessagesAndNamesAtTheirLimits(t *testing.T) {
	s := newTalks(t)
	const ok, invalid, missing, unknown = schema.Code(""), schema.InvalidField, schema.MissingField, schema.UnknownField
	quoted := func(s string) string { return string(must(json.Marshal(s))) }
	var cases []hostile
	add := func(name, event, data string, code schema.Code) {
		cases = append(cases, hostile{event + ": " + name, cmd(event, data), "1", code})
	}
	for event, data := range map[string]string{
		"message:send": `{"conversationId":"$OURS","messageType":"text","content":`,
		"message:edit": `{"conversationId":"$OURS","messageId":"$HIS","content":`,
	} {
		for name, c := range map[string]struct {
			content string
			code    schema.Code
		}{
			"empty":                       {`""`, invalid},
			"spaces":                      {`" \t\n\u00a0\u3000"`, invalid},
			"zero width":                  {`"\u200b\u200d\u2060\ufeff"`, invalid},
			"NUL alone":                   {`"\u0000"`, invalid},
			"NUL in words":                {`"a\u0000b"`, ok},
			"zero width in words":         {`"a\u200b\u202eb"`, ok},
			"a family":                    {`"👨‍👩‍👧‍👦"`, ok},
			"4000 emoji":                  {quoted(strings.Repeat("🎭", 4000)), ok},
			"4001 emoji":                  {quoted(strings.Repeat("🎭", 4001)), invalid},
			"4000 letters":                {quoted(strings.Repeat("x", 4000)), ok},
			"4001 letters":                {quoted(strings.Repeat("x", 4001)), invalid},
			"4000 combining marks":        {quoted("e" + strings.Repeat("\u0301", 3999)), ok},
			"4000 escapes":                {`"` + strings.Repeat(`\u0041`, 4000) + `"`, ok},
			"a lone surrogate":            {`"\ud800"`, ok},
			"markup":                      {`"<script>alert(1)</script>\u2028"`, ok},
			"what looks like a frame":     {`"\"},{\"ok\":true"`, ok},
			"null":                        {`null`, invalid},
			"a number":                    {`7`, invalid},
			"twice":                       {`"a","content":"b"`, invalid},
			"and a field of another case": {`"a","Content":"b"`, unknown},
		} {
			add(name, event, data+c.content+`}`, c.code)
		}
	}
	media := func(n int) string {
		return `[` + strings.TrimSuffix(strings.Repeat(`{"url":"https://a.example/x","type":"image"},`, n), ",") + `]`
	}
	for name, c := range map[string]struct {
		rest string
		code schema.Code
	}{
		"an image":                     {`"messageType":"image","content":"","media":` + media(1), ok},
		"a video with words":           {`"messageType":"video","content":"Look","media":` + media(10), ok},
		"a file":                       {`"messageType":"file","content":" ","media":` + media(1), ok},
		"a text with media":            {`"messageType":"text","content":"x","media":` + media(1), ok},
		"an image without media":       {`"messageType":"image","content":"x"`, missing},
		"an image with no media":       {`"messageType":"image","content":"x","media":[]`, invalid},
		"a text of media alone":        {`"messageType":"text","content":"","media":` + media(1), invalid},
		"11 media":                     {`"messageType":"image","content":"","media":` + media(11), invalid},
		"4001 letters with an image":   {`"messageType":"image","content":` + quoted(strings.Repeat("x", 4001)) + `,"media":` + media(1), invalid},
		"media that runs":              {`"messageType":"image","content":"","media":[{"url":"javascript:alert(1)","type":"image"}]`, invalid},
		"media as data":                {`"messageType":"file","content":"","media":[{"url":"data:text/html,x","type":"file"}]`, invalid},
		"media of the disk":            {`"messageType":"file","content":"","media":[{"url":"file:///etc/passwd","type":"file"}]`, invalid},
		"media without a type":         {`"messageType":"file","content":"","media":[{"url":"https://a.example/x"}]`, missing},
		"media with more":              {`"messageType":"file","content":"","media":[{"url":"https://a.example/x","type":"file","onload":"x"}]`, unknown},
		"media with a NUL":             {`"messageType":"file","content":"","media":[{"url":"https://a.example/\u0000","type":"file"}]`, invalid},
		"an unknown type, with media":  {`"messageType":"voice","content":"x","media":` + media(1), invalid},
		"a type of another case":       {`"messageType":"Text","content":"x","media":` + media(1), invalid},
		"a reply to no id":             {`"messageType":"text","content":"x","replyTo":"last"`, invalid},
		"a reply to null":              {`"messageType":"text","content":"x","replyTo":null`, invalid},
		"a reply to oneself":           {`"messageType":"text","content":"x","replyTo":"$HIS"`, ok},
		"a reply in lower case":        {`"messageType":"text","content":"x","replyTo":"01jd0000000000000000000000"`, invalid},
		"a reply to several":           {`"messageType":"text","content":"x","replyTo":["$HIS"]`, invalid},
		"a forged id":                  {`"messageType":"text","content":"x","messageId":"$GONE"`, unknown},
		"a forged edit":                {`"messageType":"text","content":"x","editedAt":"2026-11-23T18:00:00.000Z"`, unknown},
		"the same conversation twice":  {`"messageType":"text","content":"x","conversationId":"$BOBS"`, invalid},
		"the same, written in escapes": {`"messageType":"text","content":"x","\u0063onversationId":"$BOBS"`, invalid},
	} {
		add(name, "message:send", `{"conversationId":"$OURS",`+c.rest+`}`, c.code)
	}
	people := func(n int) string { return `["` + strings.Join(numbers(n), `","`) + `"]` }
	for name, c := range map[string]struct {
		data string
		code schema.Code
	}{
		"100 others":                {`{"type":"group","name":"x","participants":` + people(100) + `}`, ok},
		"101 others":                {`{"type":"group","name":"x","participants":` + people(101) + `}`, invalid},
		"2000 others":               {`{"type":"group","name":"x","participants":` + people(2000) + `}`, invalid},
		"nobody":                    {`{"type":"group","name":"x","participants":[]}`, invalid},
		"the same twice":            {`{"type":"group","name":"x","participants":["a","a"]}`, invalid},
		"the same twice, escaped":   {`{"type":"group","name":"x","participants":["a","\u0061"]}`, invalid},
		"another case is another":   {`{"type":"group","name":"x","participants":["a","A"]}`, ok},
		"no id":                     {`{"type":"group","name":"x","participants":["a b"]}`, invalid},
		"an empty id":               {`{"type":"group","name":"x","participants":[""]}`, invalid},
		"a NUL":                     {`{"type":"group","name":"x","participants":["a\u0000"]}`, invalid},
		"129 characters":            {`{"type":"group","name":"x","participants":["` + strings.Repeat("a", 129) + `"]}`, invalid},
		"128 characters":            {`{"type":"group","name":"x","participants":["` + strings.Repeat("a", 128) + `"]}`, ok},
		"an actor":                  {`{"type":"group","name":"x","participants":[{"id":"a"}]}`, invalid},
		"null among them":           {`{"type":"group","name":"x","participants":["a",null]}`, invalid},
		"no list":                   {`{"type":"group","name":"x","participants":"a"}`, invalid},
		"no name":                   {`{"type":"group","participants":["a"]}`, missing},
		"an empty name":             {`{"type":"group","name":"","participants":["a"]}`, invalid},
		"a name that shows nothing": {`{"type":"group","name":"\u200b","participants":["a"]}`, invalid},
		"a name of 100 emoji":       {`{"type":"group","name":` + quoted(strings.Repeat("🎭", 100)) + `,"participants":["a"]}`, ok},
		"a name of 101":             {`{"type":"group","name":` + quoted(strings.Repeat("x", 101)) + `,"participants":["a"]}`, invalid},
		"a direct one of three":     {`{"type":"direct","participants":["a","b"]}`, invalid},
		"a direct one with a name":  {`{"type":"direct","name":"x","participants":["a"]}`, invalid},
		"a direct one with nobody":  {`{"type":"direct","participants":[]}`, invalid},
		"a channel":                 {`{"type":"channel","name":"x","participants":["a"]}`, invalid},
		"a creator":                 {`{"type":"group","name":"x","participants":["a"],"creator":"alice"}`, unknown},
	} {
		add(name, "conversation:create", c.data, c.code)
	}
	for name, c := range map[string]struct {
		updates string
		code    schema.Code
	}{
		"nothing":            {`{}`, invalid},
		"101 more":           {`{"addParticipants":` + people(101) + `}`, invalid},
		"101 out":            {`{"removeParticipants":` + people(101) + `}`, invalid},
		"nobody in":          {`{"addParticipants":[]}`, invalid},
		"nobody out":         {`{"name":"x","removeParticipants":[]}`, invalid},
		"the same in twice":  {`{"addParticipants":["a","a"]}`, invalid},
		"the same out twice": {`{"removeParticipants":["alice","alice"]}`, invalid},
		"a name of nothing":  {`{"name":" "}`, invalid},
		"a name of null":     {`{"name":null}`, invalid},
		"a type":             {`{"type":"direct"}`, unknown},
		"a creator":          {`{"creator":"bob"}`, unknown},
		"a list":             {`[]`, invalid},
		"null":               {`null`, invalid},
	} {
		add(name, "conversation:update", `{"conversationId":"$BOBS","updates":`+c.updates+`}`, c.code)
	}
	for _, limit := range []string{`0`, `-1`, `101`, `"20"`, `1.5`, `2e1`, `null`, `[20]`, `1e999`} {
		add("limit "+limit, "conversation:list", `{"limit":`+limit+`}`, invalid)
		add("limit "+limit, "message:list", `{"conversationId":"$OURS","limit":`+limit+`}`, invalid)
	}
	for _, cursor := range []string{"before", "after", "around"} {
		for _, id := range []string{`""`, `"x"`, `0`, `null`, `["$HIS"]`, `"8ZZZZZZZZZZZZZZZZZZZZZZZZZ"`} {
			add(cursor+" "+id, "message:list", `{"conversationId":"$OURS","`+cursor+`":`+id+`}`, invalid)
		}
		add(cursor+" twice", "message:list", `{"conversationId":"$OURS","`+cursor+`":"$HIS","`+cursor+`":"$HERS"}`, invalid)
		add(cursor+" good", "message:list", `{"conversationId":"$OURS","`+cursor+`":"$HIS"}`, ok)
	}
	add("two cursors", "message:list", `{"conversationId":"$OURS","before":"$HIS","after":"$HERS"}`, invalid)
	add("two cursors alike", "message:list", `{"conversationId":"$OURS","around":"$HIS","after":"$HIS"}`, invalid)
	add("somebody else's", "conversation:list", `{"userId":"alice"}`, unknown)
	for _, action := range []string{`"Start"`, `"like"`, `""`, `null`, `1`} {
		add("action "+action, "message:typing", `{"conversationId":"$OURS","action":`+action+`}`, invalid)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { s.play(t, c) })
	}
}

// messagingData is good data of each event of /messaging that a client sends.
var messagingData = map[string]map[string]string{
	"conversation:create": {"type": `"group"`, "participants": `["alice"]`, "name": `"x"`},
	"conversation:update": {"conversationId": `"$OURS"`, "updates": `{"name":"x"}`},
	"conversation:delete": {"conversationId": `"$OURS"`},
	"message:join":        {"conversationId": `"$OURS"`},
	"message:leave":       {"conversationId": `"$OURS"`},
	"message:typing":      {"conversationId": `"$OURS"`, "action": `"start"`},
	"message:send":        {"conversationId": `"$OURS"`, "content": `"x"`, "messageType": `"text"`},
	"message:delivered":   {"conversationId": `"$OURS"`, "messageId": `"$HERS"`},
	"message:read":        {"conversationId": `"$OURS"`, "messageId": `"$HERS"`},
	"message:edit":        {"conversationId": `"$OURS"`, "messageId": `"$HIS"`, "content": `"x"`},
	"message:delete":      {"conversationId": `"$OURS"`, "messageId": `"$HIS"`},
	"conversation:list":   {},
	"conversation:get":    {"conversationId": `"$OURS"`},
	"message:list":        {"conversationId": `"$OURS"`},
}

// What the server fills in, a client may send in no event.
func TestForgedFieldsOfMessaging(t *testing.T) {
	s := newTalks(t)
	forged := map[string]string{
		"id": `"$GONE"`, "seq": `7`, "time": `"2026-11-23T18:00:00.000Z"`, "createdAt": `"2026-11-23T18:00:00.000Z"`, "editedAt": `"2026-11-23T18:00:00.000Z"`,
		"actor": `{"id":"alice","username":"Alice"}`, "sender": `{"id":"alice","username":"Alice"}`, "senderId": `"alice"`, "userId": `"alice"`, "username": `"Alice"`,
		"deletedBy": `"alice"`, "readBy": `"alice"`, "readAt": `"2026-11-23T18:00:00.000Z"`, "deliveredTo": `["alice"]`, "unreadCount": `0`, "lastMessage": `{}`, "lastActivity": `"2026-11-23T18:00:00.000Z"`,
		"creator": `"bob"`, "roles": `["admin"]`, "conversation": `{"id":"$OURS"}`, "message": `{"id":"$HERS"}`, "room": `"conversation:$SECRET"`, "socketId": `"x"`, "version": `2`,
	}
	for _, e := range schema.Events() {
		data, ok := messagingData[e.Name]
		if e.Namespace() != schema.Messaging || e.Kind == schema.Push {
			continue
		}
		if !ok {
			t.Errorf("%s has no good data in this test", e.Name)
		}
		t.Run(e.Name, func(t *testing.T) {
			for _, field := range slices.Sorted(maps.Keys(forged)) {
				if _, has := data[field]; !has {
					s.play(t, hostile{frame: cmd(e.Name, object(with(data, field, forged[field]))), id: "1", code: schema.UnknownField})
				}
			}
		})
	}
}

// Every field of every event in every wrong type.
func TestWrongTypesOfMessaging(t *testing.T) {
	s := newTalks(t)
	wrong := []string{`null`, `true`, `7`, `-1.5e300`, `""`, `"\u0000"`, `[]`, `[[]]`, `[null]`, `{}`}
	for _, event := range slices.Sorted(maps.Keys(messagingData)) {
		t.Run(event, func(t *testing.T) {
			for field := range messagingData[event] {
				for _, value := range wrong {
					code := schema.InvalidField
					if field == "messageType" { // what is no text has to have media
						code = schema.MissingField
					}
					s.play(t, hostile{frame: cmd(event, object(with(messagingData[event], field, value))), id: "1", code: code})
				}
				missing := maps.Clone(messagingData[event])
				delete(missing, field)
				s.play(t, hostile{frame: cmd(event, object(missing)), id: "1", code: schema.MissingField})
			}
		})
	}
}
