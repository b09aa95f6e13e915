package realtime_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"roomlog/schema"
)

func (p *peer) unread(conversation string) int {
	p.t.Helper()
	got := *p.get(conversation).UnreadCount
	for _, c := range p.list(schema.Page{Limit: 100}).Items {
		if c.ID == conversation && *c.UnreadCount != got {
			p.t.Errorf("%s: %d unread in the list and %d by themselves", p.user, *c.UnreadCount, got)
		}
	}
	return got
}

// readers returns who is shown to have got and to have read each message, oldest first.
func (p *peer) readers(conversation string) (all []string) {
	p.t.Helper()
	page := as[schema.Items[schema.Message]](p.t, p.do("message:list", schema.MessageList{ConversationID: conversation, Page: schema.Page{Limit: 100}}))
	for _, m := range slices.Backward(page.Items) {
		all = append(all, fmt.Sprintf("%s: %v %v", m.Content, m.DeliveredTo, m.ReadBy))
	}
	return all
}

func TestMarkersNeverMoveBackwards(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.group("Ghosts", "bob", "carol")
	var said []schema.MessageRef
	for i := range 5 {
		said = append(said, schema.MessageRef{ConversationID: id, MessageID: alice.say(id, fmt.Sprint(i))})
	}
	for _, p := range p {
		p.comesIn(id)
	}
	if bob.unread(id) != 5 || alice.unread(id) != 0 {
		t.Errorf("bob has %d unread, alice %d", bob.unread(id), alice.unread(id))
	}
	bob.do("message:delivered", said[2])
	for _, again := range said[:3] {
		bob.refused(schema.AlreadyDelivered, "message:delivered", again)
	}
	read := as[schema.MessageRead](t, bob.do("message:read", said[1]))
	if *read.UnreadCount != 3 || bob.unread(id) != 3 || carol.unread(id) != 5 {
		t.Errorf("%d unread, then %d; carol %d", *read.UnreadCount, bob.unread(id), carol.unread(id))
	}
	for _, again := range said[:2] {
		bob.refused(schema.AlreadyRead, "message:read", again)
	}
	bob.do("message:read", said[3]) // and so it was delivered
	bob.refused(schema.AlreadyDelivered, "message:delivered", said[3])
	carol.do("message:delivered", said[0])
	want := []string{"0: [bob carol] [bob]", "1: [bob] [bob]", "2: [bob] [bob]", "3: [bob] [bob]", "4: [] []"}
	for _, p := range p {
		if got := p.readers(id); !slices.Equal(got, want) {
			t.Errorf("%s sees %q, want %q", p.user, got, want)
		}
	}
	alice.refused(schema.NotPermitted, "message:read", said[4]) // her own
	alice.refused(schema.NotPermitted, "message:delivered", said[4])
	for _, event := range []string{"message:delivered", "message:read", "message:read", "message:delivered"} {
		alice.hears(event, schema.ConversationRoom(id)) // what was refused told nobody
	}
	alice.heardNothing()

	alice.do("message:delete", said[4]) // it still is a place to have read to
	if bob.unread(id) != 0 || carol.unread(id) != 4 {
		t.Errorf("bob has %d unread, carol %d", bob.unread(id), carol.unread(id))
	}
	if read := as[schema.MessageRead](t, carol.do("message:read", said[4])); *read.UnreadCount != 0 {
		t.Errorf("carol has %d unread", *read.UnreadCount)
	}
	bob.say(id, "5")
	if alice.unread(id) != 1 || carol.unread(id) != 1 || bob.unread(id) != 0 {
		t.Errorf("alice has %d unread, carol %d, bob %d", alice.unread(id), carol.unread(id), bob.unread(id))
	}
}

// What one device does, the user's others are told: own messages, markers, counts.
func TestDevicesOfOneUser(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "bob", "bob", "carol")
	alice, bob, phone, tablet, carol := p[0], p[1], p[2], p[3], p[4]
	id := alice.group("Devices", "bob", "carol")
	alice.say(id, "one")
	two := schema.MessageRef{ConversationID: id, MessageID: alice.say(id, "two")}
	alice.say(id, "three")
	for _, p := range []*peer{alice, bob, phone, carol} { // the tablet stays out
		p.comesIn(id)
	}
	for range 3 {
		tablet.until("message:send")
	}
	ack := bob.do("message:read", two)
	for p, room := range map[*peer]string{phone: schema.ConversationRoom(id), tablet: "user:bob"} {
		if push := p.hears("message:read", room); !sameJSON(push.Data, ack.Data) || *as[schema.MessageRead](t, push).UnreadCount != 1 {
			t.Errorf("a device heard %s, the ack is %s", push.Data, ack.Data)
		}
	}
	for _, p := range []*peer{alice, carol} {
		if got := as[schema.MessageRead](t, p.hears("message:read", schema.ConversationRoom(id))); got.UnreadCount != nil || got.ReadBy != "bob" {
			t.Errorf("%s heard %+v", p.user, got)
		}
	}
	sent := phone.do("message:send", text(id, "four"))
	for p, room := range map[*peer]string{bob: schema.ConversationRoom(id), tablet: "user:bob"} {
		if push := p.hears("message:send", room); !sameJSON(push.Data, sent.Data) {
			t.Errorf("a device heard %s, the ack is %s", push.Data, sent.Data)
		}
	}
	phone.do("message:delivered", schema.MessageRef{ConversationID: id, MessageID: alice.say(id, "five")})
	tablet.hears("message:send", "user:bob")
	tablet.hears("message:delivered", "user:bob")
	bob.hears("message:send", schema.ConversationRoom(id))
	bob.hears("message:delivered", schema.ConversationRoom(id))
	bob.heardNothing()
	tablet.heardNothing()
}

func TestPagesOfMessages(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob")
	alice, bob := p[0], p[1]
	id := alice.group("Words", "bob")
	ids := make([]string, 20)
	var all []string
	for i := range ids {
		ids[i] = p[i%2].say(id, fmt.Sprint(i))
		if i != 3 && i != 12 {
			all = append(all, fmt.Sprint(i))
		}
	}
	bob.do("message:delete", schema.MessageRef{ConversationID: id, MessageID: ids[3]})
	alice.do("message:delete", schema.MessageRef{ConversationID: id, MessageID: ids[12]})
	for limit := 1; limit <= 21; limit++ {
		var back, forth []string
		for q := (schema.MessageList{ConversationID: id, Page: schema.Page{Limit: limit}}); ; {
			page, next := bob.reads(q)
			if back = append(back, page...); next == "" {
				break
			}
			q.Before = next
		}
		slices.Reverse(back)
		for q := (schema.MessageList{ConversationID: id, Page: schema.Page{Limit: limit}, After: ids[0]}); ; {
			page, next := alice.reads(q)
			slices.Reverse(page) // each page is newest first
			if forth = append(forth, page...); next == "" {
				break
			}
			q.After = next
		}
		if !slices.Equal(back, all) || !slices.Equal(forth, all[1:]) {
			t.Errorf("by %d: backwards %v, forwards %v, want %v", limit, back, forth, all)
		}
	}
	for _, c := range []struct {
		around int
		limit  int
		want   string
	}{
		{9, 1, "[9]"}, {9, 2, "[9 8]"}, {9, 3, "[10 9 8]"}, {9, 4, "[10 9 8 7]"}, {9, 5, "[11 10 9 8 7]"}, {19, 4, "[19 18 17]"}, {0, 4, "[1 0]"},
	} {
		q := schema.MessageList{ConversationID: id, Page: schema.Page{Limit: c.limit}, Around: ids[c.around]}
		got, _ := alice.reads(q)
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d around %d: %v, want %s", c.limit, c.around, got, c.want)
		}
	}
	// From around one message on, both ways lead to all.
	page := as[schema.Items[schema.Message]](t, alice.do("message:list", schema.MessageList{ConversationID: id, Page: schema.Page{Limit: 5}, Around: ids[12]}))
	newer, _ := alice.reads(schema.MessageList{ConversationID: id, Page: schema.Page{Limit: 100}, After: page.Items[0].ID})
	older, _ := alice.reads(schema.MessageList{ConversationID: id, Page: schema.Page{Limit: 100, Before: page.Next}})
	var shown []string
	for _, m := range page.Items {
		shown = append(shown, m.Content)
	}
	got := slices.Concat(newer, shown, older)
	slices.Reverse(got)
	if !slices.Equal(got, all) {
		t.Errorf("around a deleted message: %v, then %v and %v", shown, newer, older)
	}
	for _, q := range []schema.MessageList{
		{After: ids[1], Around: ids[1]}, {After: ids[1], Page: schema.Page{Before: ids[1]}}, {Around: ids[1], Page: schema.Page{Before: ids[1]}},
		{After: ids[1], Around: ids[2], Page: schema.Page{Before: ids[3]}},
	} {
		q.ConversationID = id
		alice.refused(schema.InvalidField, "message:list", q)
	}
}

// Everyone sends, deletes, reads, comes and goes at random, several at once; then
// each one's count is held against what they see.
func TestUnreadCountsWhenAllActAtOnce(t *testing.T) {
	g := openGateway(t, nil)
	users := []string{"alice", "bob", "carol", "dave"}
	p := g.talkers(t, users...)
	id := p[0].group("Counting", users[1:]...)
	var mu sync.Mutex
	var said []string
	pick := func(random *rand.Rand) schema.MessageRef {
		mu.Lock()
		defer mu.Unlock()
		if len(said) == 0 {
			return schema.MessageRef{ConversationID: id, MessageID: id}
		}
		return schema.MessageRef{ConversationID: id, MessageID: said[random.IntN(len(said))]}
	}
	reads := make([]int, len(p)) // that moved the marker
	var wait sync.WaitGroup
	for i, who := range p {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		wait.Go(func() {
			for range 120 {
				event := []string{"message:send", "message:delete", "message:read", "message:delivered"}[random.IntN(4)]
				data := any(pick(random))
				if event == "message:send" {
					data = text(id, who.user)
				}
				ack, err := who.Do(t.Context(), event, data, "")
				switch {
				case event == "message:send" && err == nil:
					mu.Lock()
					said = append(said, as[schema.MessageSent](t, ack).Message.ID)
					mu.Unlock()
				case event == "message:send":
					t.Error(err)
				case event == "message:read" && err == nil:
					reads[i]++
				}
			}
		})
	}
	wait.Wait()
	for i, who := range p {
		want := 0
		page := as[schema.Items[schema.Message]](t, who.do("message:list", schema.MessageList{ConversationID: id, Page: schema.Page{Limit: 100}}))
		for q := page.Next; ; q = page.Next {
			for _, m := range page.Items {
				if m.Sender.ID != who.user && !slices.Contains(m.ReadBy, who.user) {
					want++
				}
			}
			if q == "" {
				break
			}
			page = as[schema.Items[schema.Message]](t, who.do("message:list", schema.MessageList{ConversationID: id, Page: schema.Page{Limit: 100, Before: q}}))
		}
		if got := who.unread(id); got != want || reads[i] == 0 {
			t.Errorf("%s has %d unread, the messages say %d, after %d reads", who.user, got, want, reads[i])
		}
	}
}
