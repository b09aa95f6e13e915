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

func TestOtherPeoplesThings(t *testing.T) {
	s := newStage(t)
	for _, h := range []hostile{
		{"update another's post", cmd("post:update", `{"postId":"$THEIRS","content":"mine now"}`), "1", schema.NotPermitted},
		{"delete another's post", cmd("post:delete", `{"postId":"$THEIRS"}`), "1", schema.NotPermitted},
		{"update another's comment", cmd("comment:update", `{"postId":"$THEIRS","commentId":"$COMMENT","content":"mine now"}`), "1", schema.NotPermitted},
		{"delete another's comment", cmd("comment:delete", `{"postId":"$THEIRS","commentId":"$COMMENT"}`), "1", schema.NotPermitted},
		{"delete another's comment by way of one's own post", cmd("comment:delete", `{"postId":"$MINE","commentId":"$COMMENT"}`), "1", schema.CommentNotFound},
		{"update a comment by way of another post", cmd("comment:update", `{"postId":"$MINE","commentId":"$COMMENT","content":"x"}`), "1", schema.CommentNotFound},
		{"answer a comment of another post", cmd("post:comment", `{"postId":"$MINE","content":"x","parentId":"$COMMENT"}`), "1", schema.CommentNotFound},
		{"answer a post as if it were a comment", cmd("post:comment", `{"postId":"$MINE","content":"x","parentId":"$MINE"}`), "1", schema.CommentNotFound},
		{"delete a comment as if it were a post", cmd("post:delete", `{"postId":"$COMMENT"}`), "1", schema.PostNotFound},
		{"like a comment as if it were a post", cmd("post:like", `{"postId":"$COMMENT","action":"like"}`), "1", schema.PostNotFound},
		{"unlike what one does not like", cmd("post:like", `{"postId":"$THEIRS","action":"unlike"}`), "1", schema.NotLiked},
		{"unfollow whom one does not follow", cmd("user:follow", `{"followingId":"alice","action":"unfollow"}`), "1", schema.NotFollowing},
		{"unblock whom one does not block", cmd("user:block", `{"targetId":"alice","action":"unblock"}`), "1", schema.NotBlocked},
		{"accept what nobody asked", cmd("user:friend-request", `{"targetId":"alice","action":"accept"}`), "1", schema.RequestNotFound},
		{"cancel what one did not ask", cmd("user:friend-request", `{"targetId":"alice","action":"cancel"}`), "1", schema.RequestNotFound},
		{"follow oneself", cmd("user:follow", `{"followingId":"bob","action":"follow"}`), "1", schema.Oneself},
		{"block oneself", cmd("user:block", `{"targetId":"bob","action":"block"}`), "1", schema.Oneself},
		{"befriend oneself", cmd("user:friend-request", `{"targetId":"bob","action":"send"}`), "1", schema.Oneself},
		{"update what is gone", cmd("post:update", `{"postId":"$GONE","content":"x"}`), "1", schema.PostNotFound},
		{"delete what is gone", cmd("post:delete", `{"postId":"$GONE"}`), "1", schema.PostNotFound},
		{"like what is gone", cmd("post:like", `{"postId":"$GONE","action":"like"}`), "1", schema.PostNotFound},
		{"comment on what is gone", cmd("post:comment", `{"postId":"$GONE","content":"x"}`), "1", schema.PostNotFound},
		{"share what is gone", cmd("post:share", `{"postId":"$GONE"}`), "1", schema.PostNotFound},
		{"join what is gone", cmd("post:join", `{"postId":"$GONE"}`), "1", schema.PostNotFound},
		{"get what is gone", cmd("post:get", `{"postId":"$GONE"}`), "1", schema.PostNotFound},
		{"comments of what is gone", cmd("comment:list", `{"postId":"$GONE"}`), "1", schema.PostNotFound},
		{"leave what one never joined", cmd("post:leave", `{"postId":"$GONE"}`), "1", ""},
		{"type in a room one is not in", cmd("user:typing", `{"postId":"$THEIRS","action":"start"}`), "1", schema.NotInRoom},
		{"the same by its older name", cmd("socket:typing", `{"postId":"$THEIRS","action":"start"}`), "1", schema.NotInRoom},
		{"a user nobody heard of", cmd("user:get", `{"userId":"nobody"}`), "1", schema.UserNotFound},
	} {
		t.Run(h.name, func(t *testing.T) { s.play(t, h) })
	}
}

func TestContentsAndIDsAtTheirLimits(t *testing.T) {
	s := newStage(t)
	const ok, invalid, missing, unknown = schema.Code(""), schema.InvalidField, schema.MissingField, schema.UnknownField
	quoted := func(s string) string { return string(must(json.Marshal(s))) }
	var cases []hostile
	add := func(name, event, data string, code schema.Code) {
		cases = append(cases, hostile{event + ": " + name, cmd(event, data), "1", code})
	}
	for event, most := range map[string]int{"post:create": 4000, "post:update": 4000, "post:comment": 2000, "comment:update": 2000, "post:share": 4000} {
		with := func(content string) string {
			ids := map[string]string{
				"post:create": ``, "post:update": `"postId":"$MINE",`, "post:comment": `"postId":"$MINE",`,
				"comment:update": `"postId":"$THEIRS","commentId":"$COMMENT",`, "post:share": `"postId":"$GONE",`,
			}[event]
			return `{` + ids + `"content":` + content + `}`
		}
		good := map[string]schema.Code{"comment:update": schema.NotPermitted, "post:share": schema.PostNotFound}[event]
		add("empty", event, with(`""`), invalid)
		add("spaces", event, with(`"   "`), invalid)
		add("line breaks", event, with(`"\n\r\t\u000b\f"`), invalid)
		add("no-break and ideographic spaces", event, with(`"\u00a0\u2003\u3000"`), invalid)
		add("zero width", event, with(`"\u200b\u2060\ufeff"`), invalid)
		add("too long", event, with(quoted(strings.Repeat("x", most+1))), invalid)
		add("too long in wide characters", event, with(quoted(strings.Repeat("夜", most+1))), invalid)
		add("as long as allowed in wide characters", event, with(quoted(strings.Repeat("🎭", most))), good)
		add("lone surrogate", event, with(`"\ud800"`), good)
		add("NUL", event, with(`"a\u0000b"`), good)
		add("null", event, with(`null`), invalid)
		add("twice", event, with(`"a","content":"b"`), invalid)
		add("markup", event, with(`"<script>alert(1)</script>\u2028"`), good)
	}
	media := func(n int) string {
		return `[` + strings.TrimSuffix(strings.Repeat(`{"url":"https://a.example/x","type":"image"},`, n), ",") + `]`
	}
	for name, c := range map[string]struct {
		field string
		code  schema.Code
	}{
		"11 media":                 {`"media":` + media(11), invalid},
		"10 media":                 {`"media":` + media(10), ok},
		"media javascript":         {`"media":[{"url":"javascript:alert(1)","type":"image"}]`, invalid},
		"media data URL":           {`"media":[{"url":"data:text/html,x","type":"image"}]`, invalid},
		"media file URL":           {`"media":[{"url":"file:///etc/passwd","type":"image"}]`, invalid},
		"media without a type":     {`"media":[{"url":"https://a.example/x"}]`, missing},
		"media with more":          {`"media":[{"url":"https://a.example/x","type":"image","onload":"x"}]`, unknown},
		"media long alt":           {`"media":[{"url":"https://a.example/x","type":"image","alt":` + quoted(strings.Repeat("x", 1001)) + `}]`, invalid},
		"media not a list":         {`"media":{"url":"https://a.example/x","type":"image"}`, invalid},
		"31 hashtags":              {`"hashtags":["` + strings.Join(numbers(31), `","`) + `"]`, invalid},
		"hashtags twice":           {`"hashtags":["a","a"]`, invalid},
		"hashtags twice, escaped":  {`"hashtags":["a","\u0061"]`, invalid},
		"hashtag with #":           {`"hashtags":["#a"]`, invalid},
		"hashtag empty":            {`"hashtags":[""]`, invalid},
		"hashtag with a space":     {`"hashtags":["a b"]`, invalid},
		"hashtag long":             {`"hashtags":[` + quoted(strings.Repeat("a", 65)) + `]`, invalid},
		"hashtags null":            {`"hashtags":null`, invalid},
		"40 hashtags in the text":  {`"hashtags":[]`, ok},
		"content of another case":  {`"Content":"y"`, unknown},
		"content in another field": {`"text":"y"`, unknown},
	} {
		add(name, "post:create", `{"content":"x",`+c.field+`}`, c.code)
	}
	for name, id := range map[string]string{
		"lower case": `"01jdq0g6zk8v7t5m3n2b1a0c9d"`, "25 characters": `"01JDQ0G6ZK8V7T5M3N2B1A0C9"`, "27 characters": `"01JDQ0G6ZK8V7T5M3N2B1A0C9DD"`,
		"overflow": `"8ZZZZZZZZZZZZZZZZZZZZZZZZZ"`, "letter U": `"01JDQ0G6ZK8V7T5M3N2B1A0C9U"`, "letter I": `"01JDQ0G6ZK8V7T5M3N2B1A0C9I"`,
		"space": `" 01JDQ0G6ZK8V7T5M3N2B1A0C9D"`, "room": `"post:01JDQ0G6ZK8V7T5M3N2B1A0C9D"`, "UUID": `"0190163d-8694-739b-aea5-966c26f8ad91"`, "empty": `""`, "path": `"../../../../etc/passwd/.."`,
		"number": `1`, "null": `null`, "list": `["$THEIRS"]`, "object": `{}`, "NUL": `"01JDQ0G6ZK8V7T5M3N2B1A0C9\u0000"`, "wide": `"０1JDQ0G6ZK8V7T5M3N2B1A0C9D"`,
	} {
		add("id "+name, "post:get", `{"postId":`+id+`}`, invalid)
		add("id "+name, "post:like", `{"postId":`+id+`,"action":"like"}`, invalid)
	}
	for name, id := range map[string]string{
		"empty": `""`, "space": `"a b"`, "129 characters": quoted(strings.Repeat("a", 129)), "not ASCII": `"bøb"`, "line break": `"a\nb"`, "quote": `"a\"b"`, "backslash": `"a\\b"`,
		"DEL": `"a\u007f"`, "NUL": `"\u0000"`, "number": `7`, "null": `null`, "list": `["alice"]`,
	} {
		add("user id "+name, "user:follow", `{"followingId":`+id+`,"action":"follow"}`, invalid)
		add("user id "+name, "user:get", `{"userId":`+id+`}`, invalid)
	}
	for _, limit := range []string{`0`, `-1`, `101`, `1000000`, `"20"`, `1.5`, `20.0`, `2e1`, `null`, `true`, `[20]`, `1e999`, `99999999999999999999999`, `-0.0`} {
		add("limit "+limit, "feed:get", `{"limit":`+limit+`}`, invalid)
		add("limit "+limit, "user:followers", `{"userId":"alice","limit":`+limit+`}`, invalid)
	}
	for _, before := range []string{`""`, `"x"`, `"01jdq0g6zk8v7t5m3n2b1a0c9d"`, `0`, `null`, `"8ZZZZZZZZZZZZZZZZZZZZZZZZZ"`} {
		add("cursor "+before, "feed:get", `{"before":`+before+`}`, invalid)
		add("cursor "+before, "comment:list", `{"postId":"$THEIRS","before":`+before+`}`, invalid)
	}
	add("cursor of nothing", "feed:get", `{"before":"$GONE"}`, invalid)
	add("cursor of a comment", "feed:get", `{"before":"$COMMENT"}`, invalid)
	add("cursor of another list", "comment:list", `{"postId":"$THEIRS","before":"$THEIRS"}`, invalid)
	add("cursor of another post's comment", "comment:list", `{"postId":"$MINE","before":"$COMMENT"}`, invalid)
	add("cursor at the start of time", "feed:get", `{"before":"00000000000000000000000000"}`, invalid)
	add("cursor of nobody", "user:followers", `{"userId":"alice","before":"nobody"}`, invalid)
	add("cursor beyond every number", "user:followers", `{"userId":"alice","before":"99999999999999999999999"}`, invalid)
	add("cursor below every number", "user:followers", `{"userId":"alice","before":"-1"}`, invalid)
	add("cursor beyond the list", "user:followers", `{"userId":"alice","before":"18446744073709551615"}`, ok)
	add("cursor with a space", "user:followers", `{"userId":"alice","before":"no body"}`, invalid)
	add("somebody else's feed", "feed:get", `{"userId":"alice"}`, unknown)
	add("nobody", "presence:get", `{"userIds":[]}`, invalid)
	add("101 users", "presence:get", `{"userIds":["`+strings.Join(numbers(101), `","`)+`"]}`, invalid)
	add("one twice", "presence:get", `{"userIds":["a","a"]}`, invalid)
	add("unknown namespace", "socket:connect", `{"namespaces":["root"]}`, invalid)
	add("resume from a negative seq", "socket:connect", `{"resume":{"epoch":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","seq":-1}}`, invalid)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { s.play(t, c) })
	}
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// socialData is good data of each event of /social that a client sends.
var socialData = map[string]map[string]string{
	"post:create":         {"content": `"x"`},
	"post:update":         {"postId": `"$MINE"`, "content": `"x"`},
	"post:delete":         {"postId": `"$MINE"`},
	"post:like":           {"postId": `"$MINE"`, "action": `"like"`},
	"post:comment":        {"postId": `"$MINE"`, "content": `"x"`},
	"comment:update":      {"postId": `"$MINE"`, "commentId": `"$COMMENT"`, "content": `"x"`},
	"comment:delete":      {"postId": `"$MINE"`, "commentId": `"$COMMENT"`},
	"post:share":          {"postId": `"$MINE"`},
	"user:follow":         {"followingId": `"alice"`, "action": `"follow"`},
	"user:friend-request": {"targetId": `"alice"`, "action": `"send"`},
	"user:block":          {"targetId": `"alice"`, "action": `"block"`},
	"post:join":           {"postId": `"$MINE"`},
	"post:leave":          {"postId": `"$MINE"`},
	"user:typing":         {"postId": `"$MINE"`, "action": `"start"`},
	"feed:get":            {},
	"post:get":            {"postId": `"$MINE"`},
	"comment:list":        {"postId": `"$MINE"`},
	"user:get":            {"userId": `"alice"`},
	"user:posts":          {"userId": `"alice"`},
	"user:followers":      {"userId": `"alice"`},
	"user:following":      {"userId": `"alice"`},
	"presence:get":        {"userIds": `["alice"]`},
}

func object(fields map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, fmt.Sprintf("%q:%s", name, fields[name]))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func with(fields map[string]string, name, value string) map[string]string {
	changed := maps.Clone(fields)
	changed[name] = value
	return changed
}

// What the server fills in, a client may send in no event.
func TestForgedFields(t *testing.T) {
	s := newStage(t)
	forged := map[string]string{
		"id": `"$GONE"`, "seq": `7`, "time": `"2026-11-23T18:00:00.000Z"`, "createdAt": `"2026-11-23T18:00:00.000Z"`, "updatedAt": `"2026-11-23T18:00:00.000Z"`,
		"actor": `{"id":"alice","username":"Alice"}`, "author": `{"id":"alice","username":"Alice"}`, "authorId": `"alice"`, "senderId": `"alice"`,
		"userId": `"alice"`, "username": `"Alice"`, "followerId": `"alice"`, "requesterId": `"alice"`, "deletedBy": `"alice"`, "roles": `["admin"]`,
		"likesCount": `1000000`, "commentsCount": `1000000`, "sharesCount": `1000000`, "followersCount": `1000000`, "socketId": `"x"`, "version": `2`,
	}
	for _, e := range schema.Events() {
		data, ok := socialData[e.Name]
		if e.Namespace() != schema.Social || e.Kind == schema.Push {
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
func TestWrongTypes(t *testing.T) {
	s := newStage(t)
	wrong := []string{`null`, `true`, `7`, `-1.5e300`, `""`, `"\u0000"`, `{}`, `{"$ref":"#"}`, `[]`, `[[]]`, `[null]`}
	for _, event := range slices.Sorted(maps.Keys(socialData)) {
		t.Run(event, func(t *testing.T) {
			for field := range socialData[event] {
				for _, value := range wrong {
					s.play(t, hostile{frame: cmd(event, object(with(socialData[event], field, value))), id: "1", code: schema.InvalidField})
				}
				missing := maps.Clone(socialData[event])
				delete(missing, field)
				s.play(t, hostile{frame: cmd(event, object(missing)), id: "1", code: schema.MissingField})
			}
		})
	}
}
