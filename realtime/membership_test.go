package realtime_test

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"

	"roomlog/schema"
)

func TestANewMemberSeesAndHearsFromJoiningOn(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.group("Elsinore", "bob")
	old := alice.say(id, "before")
	bob.until("message:send")
	carol.refused(schema.ConversationNotFound, "message:join", schema.ConversationRef{ConversationID: id})
	carol.heardNothing()

	alice.adds(id, "carol")
	if got := as[schema.ConversationUpdated](t, carol.hears("conversation:update", "user:carol")); !slices.Equal(got.Updates.AddParticipants, []string{"carol"}) {
		t.Errorf("carol heard %+v", got)
	}
	if got := carol.get(id); *got.UnreadCount != 0 || got.LastMessage != nil || names(got.Participants) != "alice bob carol" {
		t.Errorf("what is new to carol: %+v", got)
	}
	said := alice.say(id, "after")
	carol.hears("message:send", "user:carol")
	carol.enters(id)
	carol.sees(id, "after")
	bob.sees(id, "before", "after")
	if got := carol.get(id); *got.UnreadCount != 1 || got.LastMessage.ID != said {
		t.Errorf("carol gets %+v", got)
	}
	// Nothing leads to what was said before.
	for _, q := range []schema.MessageList{{Page: schema.Page{Before: old}}, {After: old}, {Around: old}} {
		q.ConversationID = id
		carol.refused(schema.InvalidField, "message:list", q)
		bob.do("message:list", q)
	}
	earlier := schema.MessageRef{ConversationID: id, MessageID: old}
	carol.refused(schema.MessageNotFound, "message:read", earlier)
	carol.refused(schema.MessageNotFound, "message:delivered", earlier)
	carol.refused(schema.MessageNotFound, "message:delete", earlier)
	reply := text(id, "What was that?")
	reply.ReplyTo = old
	carol.refused(schema.MessageNotFound, "message:send", reply)
	bob.do("message:send", reply)
	carol.hears("message:send", schema.ConversationRoom(id))
	// Nor is she told what becomes of it, in the room or out of it.
	phone := g.talker(t, "carol")
	bob.until("message:send")
	alice.do("message:edit", schema.MessageEdit{ConversationID: id, MessageID: old, Content: "before, as it was"})
	bob.hears("message:edit", "user:bob")
	alice.do("message:delete", schema.MessageRef{ConversationID: id, MessageID: old})
	bob.until("message:delete")
	carol.heardNothing()
	phone.heardNothing()
	alice.do("message:edit", schema.MessageEdit{ConversationID: id, MessageID: said, Content: "after, as it is"})
	carol.hears("message:edit", schema.ConversationRoom(id))
	phone.hears("message:edit", "user:carol")
}

func TestARemovedMemberHearsNothingMore(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "bob", "carol")
	alice, bob, phone, carol := p[0], p[1], p[2], p[3]
	id := alice.group("Elsinore", "bob", "carol")
	bobs := bob.say(id, "bob's")
	for _, p := range []*peer{alice, bob, carol} { // bob's phone stays out
		p.comesIn(id)
	}
	phone.until("message:send")
	alice.removes(id, "bob")
	bob.hears("conversation:update", schema.ConversationRoom(id))
	phone.hears("conversation:update", "user:bob")
	carol.hears("conversation:update", schema.ConversationRoom(id))
	for event, data := range aboutConversation(id, bobs) {
		bob.refused(schema.ConversationNotFound, event, data)
	}
	between := alice.say(id, "between")
	carol.hears("message:send", schema.ConversationRoom(id))
	carol.do("message:read", schema.MessageRef{ConversationID: id, MessageID: between})
	alice.hears("message:read", schema.ConversationRoom(id))
	carol.do("message:typing", schema.ConversationAction{ConversationID: id, Action: "start"})
	alice.hears("message:typing", schema.ConversationRoom(id)) // and so nobody else is told any more
	carol.do("conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{Name: "Without bob"}})
	if got := bob.list(schema.Page{}); len(got.Items) != 0 {
		t.Errorf("bob lists %+v", got.Items)
	}
	bob.heardNothing()
	phone.heardNothing()

	carol.adds(id, "bob") // he comes back to nothing of what was
	for _, p := range []*peer{bob, phone} {
		p.hears("conversation:update", "user:bob") // no longer as of the room
	}
	bob.sees(id)
	if got := bob.get(id); *got.UnreadCount != 0 || names(got.Participants) != "alice carol bob" || got.Name != "Without bob" {
		t.Errorf("bob gets %+v", got)
	}
	bob.refused(schema.MessageNotFound, "message:delete", schema.MessageRef{ConversationID: id, MessageID: bobs})
	alice.say(id, "welcome")
	bob.hears("message:send", "user:bob")
	bob.sees(id, "welcome")
	carol.sees(id, "bob's", "between", "welcome")
	bob.heardNothing()
}

func TestChangesOfMembersThatAreRefused(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id, direct := alice.group("Elsinore", "bob", "carol"), alice.direct("bob")
	bob.until("conversation:create")
	bob.until("conversation:create")
	carol.until("conversation:create")
	for _, c := range []struct {
		who     *peer
		id      string
		updates schema.ConversationUpdates
		code    schema.Code
	}{
		{bob, id, schema.ConversationUpdates{RemoveParticipants: []string{"carol"}}, schema.NotPermitted},
		{bob, id, schema.ConversationUpdates{RemoveParticipants: []string{"alice"}}, schema.NotPermitted},
		{bob, id, schema.ConversationUpdates{RemoveParticipants: []string{"bob", "carol"}}, schema.NotPermitted},
		{bob, id, schema.ConversationUpdates{RemoveParticipants: []string{"nobody"}}, schema.NotPermitted},
		{alice, id, schema.ConversationUpdates{RemoveParticipants: []string{"nobody"}}, schema.NotParticipant},
		{alice, id, schema.ConversationUpdates{AddParticipants: []string{"bob"}}, schema.AlreadyParticipant},
		{alice, id, schema.ConversationUpdates{AddParticipants: []string{"alice"}}, schema.AlreadyParticipant},
		{alice, id, schema.ConversationUpdates{AddParticipants: []string{"dave"}, RemoveParticipants: []string{"dave"}}, schema.InvalidField},
		{alice, id, schema.ConversationUpdates{AddParticipants: []string{"bob"}, RemoveParticipants: []string{"bob"}}, schema.InvalidField},
		{alice, id, schema.ConversationUpdates{AddParticipants: []string{"dave", "dave"}}, schema.InvalidField},
		{alice, direct, schema.ConversationUpdates{AddParticipants: []string{"carol"}}, schema.NotPermitted},
		{alice, direct, schema.ConversationUpdates{RemoveParticipants: []string{"bob"}}, schema.NotPermitted},
		{alice, direct, schema.ConversationUpdates{RemoveParticipants: []string{"alice"}}, schema.NotPermitted},
		{alice, direct, schema.ConversationUpdates{Name: "Us"}, schema.NotPermitted},
		{carol, direct, schema.ConversationUpdates{AddParticipants: []string{"carol"}}, schema.ConversationNotFound},
	} {
		c.who.refused(c.code, "conversation:update", schema.ConversationUpdate{ConversationID: c.id, Updates: c.updates})
	}
	for _, p := range p {
		p.heardNothing()
	}
	bob.do("conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{
		Name: "All at once", AddParticipants: []string{"dave"}, RemoveParticipants: []string{"bob"},
	}})
	if got := alice.get(id); names(got.Participants) != "alice carol dave" || got.Name != "All at once" {
		t.Errorf("%+v", got)
	}
}

func TestAGroupHasRoomForAThousand(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.talker(t, "alice")
	users := numbers(1000)
	id := alice.group("Crowd", users[:100]...)
	for from := 100; from < 900; from += 100 {
		alice.adds(id, users[from:from+100]...)
	}
	full := schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{AddParticipants: users[900:]}}
	alice.refused(schema.TooManyParticipants, "conversation:update", full)
	alice.adds(id, users[900:999]...)
	full.Updates.AddParticipants = users[999:]
	alice.refused(schema.TooManyParticipants, "conversation:update", full)
	full.Updates.RemoveParticipants = users[:1] // one out, one in
	alice.do("conversation:update", full)
	if got := len(alice.get(id).Participants); got != 1000 {
		t.Errorf("%d participants", got)
	}
	last := g.talker(t, "999")
	alice.say(id, "Can you hear me at the back?")
	last.hears("message:send", "user:999")
	// In a crowd nobody is told how far another has read.
	last.enters(id)
	alice.enters(id)
	said := last.say(id, "Yes")
	alice.hears("message:send", schema.ConversationRoom(id))
	if read := as[schema.MessageRead](t, alice.do("message:read", schema.MessageRef{ConversationID: id, MessageID: said})); *read.UnreadCount != 0 {
		t.Errorf("%d unread", *read.UnreadCount)
	}
	last.heardNothing()
	page := as[schema.Items[schema.Message]](t, last.do("message:list", schema.MessageList{ConversationID: id}))
	if len(page.Items) != 2 || page.Items[0].ReadBy != nil || page.Items[0].DeliveredTo != nil {
		t.Errorf("%+v", page.Items)
	}
}

// Members send all the time, the creator removes and adds them all the time, all
// of it pipelined; and a removed member's sockets try to get back into the room at
// every moment. Each must hear exactly what was applied while they were members.
func TestMembersComeAndGoWhileAllWrite(t *testing.T) {
	const rounds, burst = 40, 6
	g := openGateway(t, nil)
	alice := g.talker(t, "alice")
	users := []string{"bob", "carol", "dave"}
	id := alice.group("Traffic", users...)
	sending, joining, hearing := g.talkers(t, users...), g.talkers(t, users...), g.talkers(t, users...)
	var records applied
	var busy sync.WaitGroup
	done := make(chan struct{})
	still := func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	for i, user := range users {
		busy.Go(func() {
			for still() {
				records.pipeline(t, sending[i], burst, func(int) (string, any) { return "message:send", text(id, user) })
			}
		})
		busy.Go(func() {
			for n := 0; n < 5_000 && still(); n++ {
				_, err := joining[i].Do(t.Context(), "message:join", schema.ConversationRef{ConversationID: id}, "")
				if err != nil && codeOf(t, err) != schema.ConversationNotFound {
					t.Errorf("%s joins: %v", user, err)
				}
			}
		})
	}
	busy.Go(func() { // one in, another out
		defer close(done)
		for round := range rounds {
			records.pipeline(t, alice, 2, func(i int) (string, any) {
				u := schema.ConversationUpdates{RemoveParticipants: []string{users[round%3]}}
				if i == 0 {
					u = schema.ConversationUpdates{AddParticipants: []string{users[(round+2)%3]}}
				}
				return "conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: u}
			})
		}
	})
	busy.Wait()
	log := records.inOrder()
	for _, p := range slices.Concat(sending, joining, hearing) {
		p.do("user:block", schema.TargetAction{TargetID: fmt.Sprintf("%s%p", barrierTarget, p), Action: "block"})
		close(p.pushes)
		var heard []uint64
		for f := range p.pushes {
			if f.Event != "message:joined" {
				heard = append(heard, f.Seq)
			}
		}
		want := heardBy(t, log, p)
		for i := range max(len(heard), len(want)) {
			if i >= len(heard) || i >= len(want) || heard[i] != want[i] {
				t.Errorf("a socket of %s heard …%v, want …%v", p.user, heard[min(i, len(heard)):], want[min(i, len(want)):])
				break
			}
		}
	}
	t.Logf("%d records applied, %d refused", len(log), records.refused)
	if len(log) < 3*rounds || records.refused < rounds {
		t.Errorf("%d were applied and %d refused: nobody was away, or nobody there", len(log), records.refused)
	}
}

// applied collects the acks of facts that were applied.
type applied struct {
	mu      sync.Mutex
	all     []act
	refused int
}

type act struct {
	by    *peer
	frame schema.Frame
	data  any
}

// pipeline sends n commands at once and waits for all their acks.
func (a *applied) pipeline(t testing.TB, p *peer, n int, command func(i int) (string, any)) {
	var wait sync.WaitGroup
	wait.Add(n)
	for i := range n {
		event, data := command(i)
		err := p.Send(event, data, "", func(f schema.Frame) {
			defer wait.Done()
			a.mu.Lock()
			defer a.mu.Unlock()
			switch {
			case f.Error == nil:
				a.all = append(a.all, act{p, f, data})
				return
			case f.Error.Code != schema.ConversationNotFound && f.Error.Code != schema.AlreadyParticipant:
				t.Errorf("%s: %s: %+v", p.user, event, f.Error)
			}
			a.refused++
		})
		if err != nil {
			t.Error(err)
			wait.Done()
		}
	}
	wait.Wait()
}

func (a *applied) inOrder() []act {
	slices.SortFunc(a.all, func(x, y act) int { return cmp.Compare(x.frame.Seq, y.frame.Seq) })
	return a.all
}

// heardBy returns the places of what a socket must hear: what others did while its
// user was a member, the coming and the going with it.
func heardBy(t testing.TB, log []act, p *peer) (seqs []uint64) {
	member := true
	for _, a := range log {
		told := member
		if update, ok := a.data.(schema.ConversationUpdate); ok {
			if slices.Contains(update.Updates.AddParticipants, p.user) {
				told, member = true, true
			}
			if slices.Contains(update.Updates.RemoveParticipants, p.user) {
				member = false
			}
		} else if a.by.user == p.user && !member {
			t.Errorf("%s sent %d when no member", p.user, a.frame.Seq)
		}
		if told && a.by != p {
			seqs = append(seqs, a.frame.Seq)
		}
	}
	return seqs
}
