package realtime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"roomlog/schema"
)

// allNotifications reads a list to its end.
func allNotifications(p *peer, unreadOnly bool) (all []schema.Notification) {
	p.t.Helper()
	for before := ""; ; {
		page := as[schema.Items[schema.Notification]](p.t, p.do("notification:list", schema.NotificationList{
			UnreadOnly: unreadOnly, Page: schema.Page{Before: before, Limit: 100},
		}))
		all = append(all, page.Items...)
		if before = page.Next; before == "" {
			return all
		}
	}
}

// news are what the peer has heard of notifications so far: those that were made, and
// the ids of those whose place they took.
func (p *peer) news() (made, renewed map[string]bool) {
	made, renewed = map[string]bool{}, map[string]bool{}
	for len(p.notes) > 0 {
		if f := <-p.notes; f.Event == "notification:new" {
			n := as[schema.NotificationNew](p.t, f).Notification
			made[n.ID], renewed[n.Renews] = true, true
		}
	}
	return made, renewed
}

// While notifications keep coming, and others go, the pages of a list have all that
// was there when it was begun, newest first, none of them twice; with what is pushed
// meanwhile nothing is missing.
func TestPagesOfNotificationsWhileTheyArrive(t *testing.T) {
	for _, unreadOnly := range []bool{false, true} {
		t.Run(fmt.Sprint("unreadOnly=", unreadOnly), func(t *testing.T) {
			g := openGateway(t, nil)
			alice, bob, carol := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "carol")
			post, talk := alice.post("hello"), bob.direct("alice")
			for i := range 40 {
				if carol.comment(post, "and"); i == 10 {
					carol.say(carol.direct("alice"), "psst")
				}
			}
			bob.say(talk, "psst")
			alice.do("notification:read", schema.NotificationRef{NotificationID: allNotifications(alice, true)[5].ID})
			before := allNotifications(alice, unreadOnly)
			alice.news()
			enough, next := make(chan bool), make(chan bool)
			var writing sync.WaitGroup
			writing.Go(func() { // goes on while alice reads, and then stops
				for i := 0; ; i++ {
					event, data := "post:comment", any(schema.PostComment{PostID: post, Content: "meanwhile"})
					if i%3 == 2 { // renews the one of their messages, which moves to the front
						event, data = "message:send", text(talk, "meanwhile")
					}
					if _, err := bob.Do(t.Context(), event, data, ""); err != nil {
						t.Error(err)
					}
					select {
					case next <- true:
					case <-enough:
						return
					}
				}
			})
			var listed []string
			for page := (schema.Items[schema.Notification]{Next: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}); page.Next != ""; {
				for range 3 { // something has come since the page before, and something is under way
					<-next
				}
				limit := 4
				if len(listed) > 20 {
					limit = 1
				}
				page = as[schema.Items[schema.Notification]](t, alice.do("notification:list", schema.NotificationList{
					UnreadOnly: unreadOnly, Page: schema.Page{Before: page.Next, Limit: limit},
				}))
				for _, n := range page.Items {
					listed = append(listed, n.ID)
				}
				if len(listed) < 20 { // and the cursor's own goes
					alice.do("notification:delete", schema.NotificationRef{NotificationID: page.Next})
				}
			}
			close(enough)
			writing.Wait()
			alice.bar()
			made, renewed := alice.news()
			for i := range listed[1:] {
				if strings.Compare(listed[i+1], listed[i]) >= 0 {
					t.Errorf("%s is listed after %s", listed[i+1], listed[i])
				}
			}
			for _, n := range before {
				if !slices.Contains(listed, n.ID) && !renewed[n.ID] {
					t.Errorf("%+v was there before the first page, and is on none", n)
				}
			}
			for _, n := range allNotifications(alice, unreadOnly) {
				if !slices.Contains(listed, n.ID) && !made[n.ID] {
					t.Errorf("%+v was neither listed nor pushed", n)
				}
			}
		})
	}
}

// What others do with the ids of somebody's notifications is refused as for an id of
// nothing, and changes nothing of theirs; a foreign place serves read-all as a place.
func TestNotificationsOfOthers(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob, mod := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "mod", schema.RoleModerator, schema.RoleAdmin)
	eventually(t, "nobody is to hear any more who came", g.server.NewsTold)
	post := alice.post("hello")
	bob.comment(post, "first")
	bob.say(bob.direct("alice"), "psst")
	bob.comment(mod.post("mine"), "hm")
	before := allNotifications(alice, false)
	alice.bar()
	alice.news()
	for len(alice.pushes) > 0 {
		<-alice.pushes
	}
	for _, thief := range []*peer{bob, mod} {
		for _, id := range []string{before[0].ID, before[1].ID, post, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "00000000000000000000000000"} {
			for _, event := range []string{"notification:read", "notification:delete"} {
				thief.refused(schema.NotificationNotFound, event, schema.NotificationRef{NotificationID: id})
			}
		}
		thief.do("notification:read-all", schema.NotificationReadAll{UpTo: before[0].ID})
		thief.do("notification:read-all", schema.NotificationReadAll{})
		thief.hasUnread(0)
		for _, list := range [][]schema.Notification{allNotifications(thief, false), allNotifications(thief, true)} {
			for _, n := range list {
				if n.Recipient != thief.user {
					t.Errorf("%s is shown %+v", thief.user, n)
				}
			}
		}
	}
	alice.noNotes()
	alice.heardNothing()
	alice.hasUnread(2)
	if after := allNotifications(alice, false); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("alice has\n%+v, and had\n%+v", after, before)
	}
}
