package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// badKinds is the swarm.
var badKinds = []badKind{
	{name: "flood", actors: 70, act: flood},
	{name: "garbage", actors: 70, act: garbage},
	{name: "mole", actors: moles, act: stall},
	{name: "deaf", actors: 30, act: stall},
	{name: "silent", actors: 40, act: silent},
	{name: "loris", actors: 40, act: loris},
	{name: "nobody", actors: 110, addresses: 1, act: nobody}, // more than one address may have
	{name: "giant", actors: 60, act: giant},
	{name: "guess", actors: 60, act: guess},
	{name: "returns", actors: 60, act: comeBack},
	{name: "churn", actors: 60, users: 4, act: churn},
	{name: "visitor", actors: 20, addresses: 1, act: visit},
}

// visit asks for the figures, many times at once, and for what is not there.
func visit(a *badActor) {
	s, err := a.dial()
	if err != nil {
		return
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	defer s.close()
	asking.Go(func() {
		get := func(path string) string {
			return "GET " + path + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + a.address + "\r\n\r\n"
		}
		all := []byte(strings.Repeat(get("/metrics")+get("/none"), 10))
		for s.write(all) == nil && a.rest(10*time.Millisecond) {
		}
	})
	for {
		answer, err := http.ReadResponse(s.in, nil)
		if err != nil {
			a.note("cut")
			return
		}
		if answer.StatusCode == http.StatusTooManyRequests {
			a.note("http 429")
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.Close {
			return
		}
	}
}

// moles are bad actors whom the honest ones let into their conversations.
const moles = 30

// flood sends good commands, as many as the connection takes.
func flood(a *badActor) {
	s, err := a.open(bearer(a.token))
	if err != nil {
		return
	}
	defer s.close()
	read := make(chan struct{})
	go func() { defer close(read); s.drain() }()
	t := a.target()
	var batch []string
	for id := 1; id < 64; id += 9 {
		batch = append(batch,
			command(id, "socket:ping", `{}`),
			command(id+1, "post:create", fmt.Sprintf(`{"content":"Buy %d of these, #now"}`, id)),
			command(id+2, "post:comment", fmt.Sprintf(`{"postId":%q,"content":"Buy %d of these"}`, t.Post, id)),
			command(id+3, "post:like", fmt.Sprintf(`{"postId":%q,"action":"like"}`, t.Post)),
			command(id+4, "post:like", fmt.Sprintf(`{"postId":%q,"action":"unlike"}`, t.Post)),
			command(id+5, "comment:list", fmt.Sprintf(`{"postId":%q,"limit":100}`, t.Post)),
			command(id+6, "feed:get", `{"limit":100}`),
			command(id+7, "user:follow", fmt.Sprintf(`{"followingId":%q,"action":"follow"}`, t.User)),
			command(id+8, "post:share", fmt.Sprintf(`{"postId":%q}`, t.Post)))
	}
	for s.say(batch...) == nil && a.rest(100*time.Millisecond) { // and so 50,000 a second in all, were they read
	}
	<-read
}

// garbage sends what is no command, and at last what is no frame. Every other one
// does not even say who it is.
func garbage(a *badActor) {
	var headers []string
	if a.number%2 == 0 {
		headers = []string{bearer(a.token)}
	}
	s, err := a.open(headers...)
	if err != nil {
		return
	}
	defer s.close()
	var batch []string
	for id := range 40 {
		batch = append(batch, []string{
			command(id, "post:destroy", `{}`), command(id, "socket:hello", `{}`), command(id, "post:create", `{"contents":1}`),
			`{"id":{}}`, `{"id":1,"event":"post:create","actor":{"id":"honest-0"}}`, command(id, "post:create", `{"content":"`+strings.Repeat("x", 5000)+`"}`),
		}[id%6])
	}
	batch = append(batch, `{"id":1,"event":`)
	if s.say(batch...) == nil {
		s.drain()
	}
}

// stall sits with the honest ones, asks for all that they ever said, and reads nothing.
func stall(a *badActor) {
	s, err := a.open(bearer(a.token))
	if err != nil {
		return
	}
	defer s.close()
	t := a.target()
	ask := command(1, "message:list", fmt.Sprintf(`{"conversationId":%q,"before":%q,"limit":100}`, t.Conversation, t.Message)) // the long ones
	join := command(1, "message:join", fmt.Sprintf(`{"conversationId":%q}`, t.Conversation))
	if a.kind.name == "deaf" {
		ask = command(1, "comment:list", fmt.Sprintf(`{"postId":%q,"limit":100}`, t.Post))
		join = command(1, "post:join", fmt.Sprintf(`{"postId":%q}`, t.Post))
	}
	for err = s.say(join); err == nil; err = s.say(ask, ask) {
		if !a.rest(100 * time.Millisecond) {
			return
		}
	}
}

// silent connects and says nothing.
func silent(a *badActor) {
	s, err := a.dial()
	if err != nil {
		return
	}
	defer s.close()
	if _, err := s.in.ReadByte(); err != nil {
		a.note("cut")
	}
}

// loris says a byte of its handshake now and then.
func loris(a *badActor) {
	s, err := a.dial()
	if err != nil {
		return
	}
	defer s.close()
	for _, b := range []byte(a.request()) {
		if s.write([]byte{b}) != nil {
			a.note("cut")
			return
		}
		if !a.rest(50 * time.Millisecond) {
			return
		}
	}
}

// nobody upgrades and never says who it is.
func nobody(a *badActor) {
	s, err := a.open()
	if err != nil {
		return
	}
	defer s.close()
	s.drain()
}

// giant sends frames that are too large, too many, too deep or too clever.
func giant(a *badActor) {
	s, err := a.open()
	if err != nil {
		return
	}
	var pinging sync.WaitGroup
	defer pinging.Wait()
	defer s.close()
	a.sent(1)
	switch a.number % 6 {
	case 0: // one that is announced as large as there can be
		err = s.write(append(frameHeader(nil, finBit, ws.OpText, 1<<62), make([]byte, 64<<10)...))
	case 1: // one message of fragments without end
		b := frame(nil, 0, ws.OpText, "{")
		b = append(b, bytes.Repeat(frame(nil, 0, ws.OpContinuation, ""), 70_000)...)
		err = s.write(b)
	case 2: // brackets in brackets
		err = s.say(`{"id":1,"event":"socket:ping","data":{"x":` + strings.Repeat("[", 60_000))
	case 3: // pings without end
		pings := bytes.Repeat(frame(nil, finBit, ws.OpPing, strings.Repeat("x", 125)), 100)
		pinging.Go(func() {
			for s.write(pings) == nil && a.rest(10*time.Millisecond) {
			}
		})
	case 4: // a megabyte of nothing, compressed, though that was not agreed on
		err = s.write(frame(nil, finBit|rsv1Bit, ws.OpText, strings.Repeat("\x00", 1<<10)))
	case 5: // messages just as large as they may be
		for err == nil && a.rest(10*time.Millisecond) {
			err = s.say(command(1, "socket:ping", `{}`) + strings.Repeat(" ", 60_000))
		}
	}
	if err == nil {
		s.drain()
	}
}

// guess asks for what is others', with other people's ids, and for what only
// moderators may see; now and then with a token that it made up.
func guess(a *badActor) {
	forged := a.tokenOf([]byte(strings.Repeat("guess", 8)), "honest-0", time.Now())
	old := a.tokenOf(a.storm.secret, a.user, time.Now().Add(-2*time.Hour))
	if s, err := a.open(bearer(forged)); err == nil {
		s.close()
		a.leaked([]byte("that its forged token is good"))
	}
	if s, err := a.open(); err == nil {
		if s.say(command(0, "socket:connect", fmt.Sprintf(`{"token":%q}`, old))) == nil {
			a.listenFor(s, "")
		}
		s.close()
	}
	s, err := a.open()
	if err != nil {
		return
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	defer s.close()
	t := a.target()
	resume := schema.Resume{Epoch: a.storm.Epoch, Seq: 1, Rooms: []string{schema.ConversationRoom(t.Conversation), schema.UserRoom(t.User), schema.RoomAdmin}}
	connect, err := json.Marshal(schema.Connect{Token: a.token, Namespaces: []schema.Namespace{schema.Messaging, schema.Notifications, schema.Admin}, Resume: &resume})
	if err != nil {
		panic(err)
	}
	if s.say(command(0, "socket:connect", string(connect))) != nil {
		return
	}
	asking.Go(func() {
		all := guesses(t)
		for i := range all {
			if s.say(all[(i+a.number)%len(all)]) != nil || !a.rest(100*time.Millisecond) {
				break
			}
		}
		s.say(`{"id":1,"event":`) // and good bye
	})
	a.listenFor(s, `"rooms":["user:`+a.user+`","public"]`)
}

// listenFor reads until the end. All that may come are errors, the guesser's own
// entrance, and pushes about its own socket.
func (a *badActor) listenFor(s *badSocket, entrance string) {
	for {
		f, err := s.next()
		if err != nil {
			return
		}
		var got schema.Frame
		switch err := json.Unmarshal(f, &got); {
		case err != nil:
		case got.Error != nil && inCatalogue(got.Error.Code):
			continue
		case string(got.ID) == "0" && entrance != "" && bytes.Contains(f, []byte(entrance)):
			continue
		case strings.HasPrefix(got.Event, "socket:") || got.Event == "error":
			continue
		case got.Event == "notification:count" && string(got.Data) == `{"count":0}`:
			continue
		}
		a.leaked(f)
	}
}

// guesses are commands about others' things.
func guesses(t *swarmTarget) []string {
	next := t.Message[:len(t.Message)-1] + "Z" // an id that might be a message's
	fill := strings.NewReplacer("$CONV", t.Conversation, "$NEXT", next, "$MSG", t.Message, "$POST", t.Post,
		"$COMMENT", t.Comment, "$NOTE", t.Notification, "$USER", t.User)
	var all []string
	for i, g := range [][2]string{
		{"message:join", `{"conversationId":"$CONV"}`}, {"message:list", `{"conversationId":"$CONV","limit":100}`},
		{"conversation:get", `{"conversationId":"$CONV"}`}, {"conversation:delete", `{"conversationId":"$CONV"}`},
		{"conversation:update", `{"conversationId":"$CONV","updates":{"addParticipants":["guess-0"]}}`},
		{"message:send", `{"conversationId":"$CONV","content":"Let me in","messageType":"text"}`},
		{"message:typing", `{"conversationId":"$CONV","action":"start"}`}, {"message:join", `{"conversationId":"$MSG"}`},
		{"message:read", `{"conversationId":"$CONV","messageId":"$MSG"}`}, {"message:delivered", `{"conversationId":"$CONV","messageId":"$NEXT"}`},
		{"message:edit", `{"conversationId":"$CONV","messageId":"$MSG","content":"I never said that"}`},
		{"message:delete", `{"conversationId":"$CONV","messageId":"$MSG"}`}, {"message:list", `{"conversationId":"$CONV","around":"$MSG"}`},
		{"notification:read", `{"notificationId":"$NOTE"}`}, {"notification:delete", `{"notificationId":"$NOTE"}`},
		{"post:update", `{"postId":"$POST","content":"I never said that"}`}, {"post:delete", `{"postId":"$POST"}`},
		{"comment:update", `{"postId":"$POST","commentId":"$COMMENT","content":"I never said that"}`},
		{"comment:delete", `{"postId":"$POST","commentId":"$COMMENT"}`}, {"user:typing", `{"postId":"$POST","action":"start"}`},
		{"admin:reports", `{}`}, {"admin:history", `{}`}, {"admin:stats", `{}`}, {"admin:tail", `{"filter":{}}`},
		{"admin:remove", `{"target":{"type":"post","id":"$POST"},"reason":"mine now"}`},
		{"admin:suspend", `{"userId":"$USER","reason":"mine now"}`}, {"admin:announce", `{"content":"Free money"}`},
	} {
		all = append(all, command(i+1, g[0], fill.Replace(g[1])))
	}
	return all
}

// comeBack resumes from the beginning of all times, and is gone before it has heard half.
func comeBack(a *badActor) {
	s, err := a.open()
	if err != nil {
		return
	}
	defer s.close()
	resume := schema.Resume{Epoch: a.storm.Epoch, Seq: 1}
	for _, t := range a.storm.Targets {
		resume.Rooms = append(resume.Rooms, schema.PostRoom(t.Post))
	}
	connect, err := json.Marshal(schema.Connect{Token: a.token, Resume: &resume})
	if err != nil {
		panic(err)
	}
	if s.say(command(0, "socket:connect", string(connect))) != nil {
		return
	}
	for range 20 {
		if _, err := s.next(); err != nil {
			return
		}
	}
}

// churn opens more sockets of a user than there may be, says on each of them what one
// socket may say, and closes them again.
func churn(a *badActor) {
	s, err := a.open()
	if err != nil {
		return
	}
	defer s.close()
	all := []string{command(0, "socket:connect", fmt.Sprintf(`{"token":%q}`, a.token))}
	for id := 1; id <= 30; id += 2 {
		all = append(all, command(id, "socket:ping", `{}`), command(id+1, "post:create", `{"content":"Me again"}`))
	}
	if s.say(all...) != nil {
		return
	}
	for range 1 + len(all) { // hello and the answers
		if _, err := s.next(); err != nil {
			return
		}
	}
	a.rest(5 * badRest)
	if s.write(frame(nil, finBit, ws.OpClose, "")) == nil {
		io.Copy(io.Discard, s.in)
	}
}

// inCatalogue reports whether clients know the code.
func inCatalogue(code schema.Code) (known bool) {
	defer func() { known = recover() == nil }()
	schema.NewError(code, "") // panics at others
	return known
}
