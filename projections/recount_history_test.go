package projections

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Whatever happens, everybody's notifications and how many they have not read are
// what a recount from the whole history says, after every record; everyone concerned
// is told of every change of it; and a rebuild in other batches comes out the same.
func TestNotificationsEqualARecount(t *testing.T) {
	dir, round := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		g := newGossip(rt, bare(t, path))
		defer func() {
			if rt.Failed() {
				for i, r := range g.records {
					if 0 < i && i < len(g.records)-150 { // of a flood
						continue
					}
					rt.Logf("%d %s (%s) %s %s %s", i+1, r.Actor.ID, r.Actor.Username, r.Event, r.Data, g.codes[i])
				}
			}
		}()
		if g.roll(20) == 0 {
			g.flood()
		}
		for range rapid.IntRange(1, 150).Draw(rt, "length") {
			g.act()
		}
		g.compareAtTheEnd()
		want := digestOf(rt, g.w.db)
		again := bare(t, path+".again")
		applyAll(rt, again, g.records, rapid.SampledFrom([]int{2, 7, 1024}).Draw(rt, "batch"), false)
		if got := digestOf(rt, again.db); !reflect.DeepEqual(got, want) {
			rt.Fatalf("rebuilt %v, want %v", got, want)
		}
		again.db.Close()
		g.w.db.Close()
	})
}

// gossip is a random history of what notifies, and undoes it.
type gossip struct {
	*rapid.T
	w       *writer
	want    *recount
	docket  *docket
	records []eventlog.Record
	codes   []schema.Code
	told    [][]Note

	posts    []string
	comments []schema.CommentDelete
	talks    []string
	messages []schema.Target
	names    map[string]string                // that users took on
	listed   map[string][]schema.Notification // as last seen, by user
	counts   map[string]int
	ids      []string // of notifications, ever seen
	rolls    uint64
}

func newGossip(t *rapid.T, w *writer) *gossip {
	want := newRecount()
	return &gossip{
		T: t, w: w, want: want, docket: newDocket(want),
		names: map[string]string{}, listed: map[string][]schema.Notification{}, counts: map[string]int{},
	}
}

func (g *gossip) pick(from ...string) string { return from[g.roll(len(from))] }

// roll draws a number below n, each as likely: see historian.roll.
func (g *gossip) roll(n int) int {
	g.rolls++
	drawn := uint64(rapid.Uint32().Draw(g.T, "roll"))
	return int((drawn+g.rolls<<32)*0x9E3779B97F4A7C15>>33) % n
}

func one[T any](g *gossip, from []T) T { return from[g.roll(len(from))] }

// recent favours the newest of a list, and gives nothing's id of an empty one.
func (g *gossip) recent(list []string) string {
	if len(list) == 0 {
		return unborn
	}
	return g.pick(list[max(0, len(list)-3):]...)
}

func (g *gossip) text() string {
	return g.pick("nobody", "@bob", "@Rosencrantz, @alice and @ERIN", "@dave @Guildenstern @carol", "@one @two @three @four @five @frank @erin")
}

// flood lets alice have about as many notifications as are kept.
func (g *gossip) flood() {
	post := g.does("alice", "post:create", schema.PostCreate{Content: "to be"})
	g.posts = append(g.posts, post)
	var all []eventlog.Record
	for i := range 560 { // each makes two: a comment, and a mention
		r := fact(len(g.records)+len(all)+1, cast[1+i%3], "post:comment", schema.PostComment{PostID: post, Content: "@alice"})
		r.Seq = uint64(len(g.records) + len(all) + 1)
		all = append(all, r)
	}
	var last Outcome
	for i, o := range applyAll(g.T, g.w, all, len(all), true) {
		last = o
		g.records, g.codes, g.told = append(g.records, all[i]), append(g.codes, o.Code), append(g.told, o.Notes)
		g.counts["alice"] = g.want.count("alice")
		g.want.apply(all[i], o.Code)
		g.docket.apply(all[i], o.Code)
		g.comments = append(g.comments, schema.CommentDelete{PostID: post, CommentID: all[i].ID})
	}
	g.compareAll(last.Notes)
}

// crowd are those who make a group a large one; they say nothing.
func (g *gossip) crowd() (users []string) {
	for i := range 94 + g.roll(5) {
		users = append(users, fmt.Sprintf("extra%02d", i))
	}
	return users
}

func (g *gossip) act() {
	user := g.pick(cast[:4]...)
	switch g.roll(10) {
	case 0, 1, 2:
		g.post(user)
	case 3, 4, 5, 6:
		g.say(user)
	case 7:
		g.person(user)
	case 8:
		if g.roll(2) == 0 {
			g.moderate()
		} else {
			g.complain(user)
		}
	default:
		if g.roll(5) == 0 {
			g.tryAgain()
		} else {
			g.look(user)
		}
	}
}

func (g *gossip) post(user string) {
	post := g.recent(g.posts)
	switch g.roll(11) {
	case 0:
		g.posts = append(g.posts, g.does(user, "post:create", schema.PostCreate{Content: g.text()}))
	case 1, 2, 3:
		g.does(user, "post:like", schema.PostAction{PostID: post, Action: g.pick("like", "like", "unlike")})
	case 4, 5, 6:
		d := schema.PostComment{PostID: post, Content: g.text()}
		if len(g.comments) > 0 && g.roll(2) == 0 {
			c := one(g, g.comments)
			d.PostID, d.ParentID = c.PostID, c.CommentID
		}
		g.comments = append(g.comments, schema.CommentDelete{PostID: d.PostID, CommentID: g.does(user, "post:comment", d)})
	case 7:
		if len(g.comments) > 0 {
			g.does(user, "comment:delete", one(g, g.comments))
		}
	case 8:
		g.does(user, "post:delete", schema.PostRef{PostID: post})
	case 9:
		g.does(user, "post:update", schema.PostUpdate{PostID: post, Content: g.text()})
	default:
		if len(g.comments) > 0 {
			c := one(g, g.comments)
			g.does(user, "comment:update", schema.CommentUpdate{PostID: c.PostID, CommentID: c.CommentID, Content: g.text()})
		}
	}
}

func (g *gossip) say(user string) {
	talk, other := g.recent(g.talks), g.pick(cast...)
	if g.roll(6) == 0 || len(g.talks) == 0 {
		d := schema.ConversationCreate{Type: "direct", Participants: []string{other}}
		if g.roll(3) > 0 {
			others := slices.DeleteFunc(slices.Clone(cast), func(u string) bool { return u == user })
			if d = (schema.ConversationCreate{Type: "group", Name: "The watch", Participants: others[g.roll(3):]}); g.roll(8) == 0 {
				d.Participants = append(d.Participants, g.crowd()...)
			}
		}
		g.talks = append(g.talks, g.does(user, "conversation:create", d))
		return
	}
	var ref schema.MessageRef
	if len(g.messages) > 0 {
		m := one(g, g.messages[max(0, len(g.messages)-6):])
		ref = schema.MessageRef{ConversationID: m.ConversationID, MessageID: m.ID}
	}
	switch g.roll(17) {
	case 16:
		if ref.MessageID != "" {
			g.does(g.want.authors[ref.MessageID], "message:edit", schema.MessageEdit{ConversationID: ref.ConversationID, MessageID: ref.MessageID, Content: g.text()})
		}
	case 0, 1, 2, 3:
		if ref.MessageID != "" {
			g.does(user, "message:read", ref)
		}
	case 4, 5:
		if ref.MessageID != "" {
			g.does(g.want.authors[ref.MessageID], "message:delete", ref)
		}
	case 6:
		g.does(user, "conversation:update", schema.ConversationUpdate{ConversationID: talk, Updates: schema.ConversationUpdates{AddParticipants: []string{other}}})
	case 7:
		g.does(user, "conversation:update", schema.ConversationUpdate{ConversationID: talk, Updates: schema.ConversationUpdates{RemoveParticipants: []string{g.pick(user, other)}}})
	case 8:
		g.does(user, "conversation:delete", schema.ConversationRef{ConversationID: talk})
	default:
		if id := g.does(user, "message:send", words(talk, g.text())); g.want.authors[id] != "" {
			g.messages = append(g.messages, onMessage(talk, id))
		}
	}
}

func (g *gossip) person(user string) {
	other := g.pick(cast...)
	switch g.roll(5) {
	case 0:
		g.does(user, "user:follow", schema.UserFollow{FollowingID: other, Action: g.pick("follow", "follow", "unfollow")})
	case 1, 2:
		g.does(user, "user:friend-request", schema.TargetAction{TargetID: other, Action: g.pick("send", "send", "cancel", "decline", "accept")})
	default:
		g.does(user, "user:block", schema.TargetAction{TargetID: other, Action: g.pick("block", "unblock", "unblock")})
	}
}

// look is what a user does about a notification, mostly one of their own.
func (g *gossip) look(user string) {
	ids := g.ids
	if mine := g.listed[user]; len(mine) > 0 && g.roll(6) > 0 {
		ids = nil
		for _, n := range mine {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	if g.roll(4) == 0 {
		ids = ids[:1] // the newest: all of it is read
	}
	id := g.pick(ids...)
	switch event := g.pick("notification:read", "notification:read", "notification:delete", "notification:read-all"); event {
	case "notification:read-all":
		if g.want.byID(user, id) != nil { // another's place serves, too, but no client knows it
			g.does(user, event, schema.NotificationReadAll{UpTo: id})
		}
	default:
		g.does(user, event, schema.NotificationRef{NotificationID: id})
	}
}

func (g *gossip) does(user, event string, data any) (id string) {
	if g.roll(12) == 0 {
		g.names[user] = g.pick("Rosencrantz", "guildenstern", "bob", user, "no\x00name")
	}
	r := fact(len(g.records)+1, user, event, data)
	r.Seq, r.Actor.Username = uint64(len(g.records)+1), cmp.Or(g.names[user], user)
	if g.roll(6) == 0 {
		r.Key = "key of " + r.ID
	}
	g.sends(r)
	return r.ID
}

func (g *gossip) sends(r eventlog.Record) {
	said := (&Models{db: g.w.db, applied: g.w.at.Seq}).Check(r)
	got := applyAll(g.T, g.w, []eventlog.Record{r}, 1, true)[0]
	if said.Code != got.Code || said.FirstSeq != got.FirstSeq || said.Pushes != nil || said.Notes != nil {
		g.Fatalf("%s by %s: %q at %d, Check said %q at %d", r.Event, r.Actor.ID, got.Code, got.FirstSeq, said.Code, said.FirstSeq)
	}
	first := uint64(0)
	for i, old := range g.records {
		if r.Key != "" && old.Key == r.Key && g.codes[i] == "" {
			first = old.Seq
		}
	}
	if (got.Code == schema.DuplicateKey) != (first != 0 && got.Code != schema.Suspended) || got.Code == schema.DuplicateKey && got.FirstSeq != first {
		g.Fatalf("%s by %s, as record %d: %q at %d", r.Event, r.Actor.ID, first, got.Code, got.FirstSeq)
	}
	g.records, g.codes, g.told = append(g.records, r), append(g.codes, got.Code), append(g.told, got.Notes)
	for _, want := range []schema.Code{g.want.apply(r, got.Code), g.docket.apply(r, got.Code)} {
		if got.Code != want {
			g.Fatalf("%s by %s: %q, want %q", r.Event, r.Actor.ID, got.Code, want)
		}
	}
	g.compareAll(got.Notes)
}

func (g *gossip) compareAll(notes []Note) {
	err := g.w.db.View(func(tx *bolt.Tx) error {
		v := &View{tx: tx, state: newState(tx)}
		for _, user := range append(slices.Clip(cast), "extra00") {
			g.compare(v, user, notes)
		}
		return nil
	})
	if err != nil {
		g.Fatal(err)
	}
}

// compare asks for a user's notifications, and holds what they were told against
// what has changed.
func (g *gossip) compare(v *View, user string, notes []Note) {
	want := g.want.visible(user)
	list := func(unread bool) []schema.Notification {
		return pages(g.T, func(before string) (schema.Items[schema.Notification], error) {
			return v.Notifications(user, schema.NotificationList{UnreadOnly: unread, Page: schema.Page{Before: before, Limit: 3 + len(want)/10}})
		})
	}
	got := list(false)
	var wanted, unread, made []schema.Notification
	for _, n := range want {
		shown := n.Notification
		shown.Sender = v.actor(n.Sender.ID)
		if wanted = append(wanted, shown); n.ReadAt == nil {
			unread = append(unread, shown)
		}
		if n.seq == uint64(len(g.records)) {
			g.ids = append(g.ids, n.ID)
			made = append(made, shown)
		}
	}
	same(g.T, "notifications of "+user, got, wanted)
	same(g.T, "unread ones of "+user, list(true), unread)
	same(g.T, "how many are unread of "+user, v.UnreadNotifications(user), g.want.count(user))
	g.compareTold(v, user, notes, made)
	g.listed[user], g.counts[user] = got, len(unread)
}

func (g *gossip) compareTold(v *View, user string, notes []Note, made []schema.Notification) {
	newest := func(a, b schema.Notification) int { return cmp.Compare(b.ID, a.ID) }
	again := v.NotesOf(user, g.records[len(g.records)-1])
	slices.SortFunc(again, newest)
	slices.SortFunc(made, newest)
	same(g.T, "made for "+user, again, made)
	unread := g.want.count(user)
	at := slices.IndexFunc(notes, func(n Note) bool { return n.User == user })
	if at < 0 {
		if len(made) > 0 || unread != g.counts[user] {
			g.Fatalf("%s is told nothing of %d unread and %s", user, unread, text(made))
		}
		return
	}
	if count := notes[at].Count; count >= 0 && count != unread || count < 0 && unread != g.counts[user] {
		g.Fatalf("%s is told of %d unread, want %d", user, count, unread)
	}
	told := slices.Clone(notes[at].New)
	for i := range told {
		told[i].Renews = ""
	}
	slices.SortFunc(told, newest)
	same(g.T, "told "+user, told, made)
}
