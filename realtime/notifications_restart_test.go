package realtime_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"roomlog/schema"
)

// What users have not read, and every id, is the same after a rebuild, after a
// restart, and for a server that has nothing but the log; and the ids that were
// pushed are those that the log's records give by themselves.
func TestNotificationsSurviveRestartAndRebuild(t *testing.T) {
	dir := t.TempDir()
	users := []string{"alice", "bob", "carol"}
	listed, counts := map[string][]schema.Notification{}, map[string]int{}
	t.Run("as it was", func(t *testing.T) {
		g := openGatewayIn(t, dir, nil)
		var made []schema.Notification
		peers := gossip(t, g)
		for _, p := range peers {
			p.bar()
			for len(p.notes) > 0 {
				if f := <-p.notes; f.Event == "notification:new" {
					made = append(made, as[schema.NotificationNew](t, f).Notification)
				} else {
					counts[p.user] = as[schema.NotificationCount](t, f).Count
				}
			}
			listed[p.user] = allNotifications(p, false)
			p.hasUnread(counts[p.user])
		}
		if counts["alice"] != 3 || counts["bob"] != 1 || counts["carol"] != 0 {
			t.Errorf("unread: %v", counts)
		}
		pushed := map[string]bool{}
		for _, n := range made {
			if pushed[n.ID] = true; !slices.Contains(g.idsFor(t, n), n.ID) {
				t.Errorf("no record of the log gives %+v", n)
			}
		}
		for user, list := range listed {
			for _, n := range list {
				if !pushed[n.ID] {
					t.Errorf("%s was never told of %+v", user, n)
				}
			}
		}
		report, err := g.models.Rebuild(t.Context(), nil)
		if err != nil || !report.Equal() {
			t.Errorf("rebuilt %+v: %v", report, err)
		}
		for _, p := range peers {
			p.hasUnread(counts[p.user])
		}
	})
	for _, how := range []string{"restarted", "of the log alone"} {
		t.Run(how, func(t *testing.T) {
			if how == "of the log alone" {
				if err := os.Remove(filepath.Join(dir, "models.db")); err != nil {
					t.Fatal(err)
				}
			}
			g := openGatewayIn(t, dir, nil)
			if err := g.models.WaitApplied(t.Context(), g.log.Durable()); err != nil {
				t.Fatal(err)
			}
			for _, user := range users {
				p := g.connect(t, user)
				p.hasUnread(counts[user])
				if got := allNotifications(p, false); !reflect.DeepEqual(got, listed[user]) {
					t.Errorf("%s has\n%+v, and had\n%+v", user, got, listed[user])
				}
			}
		})
	}
}

// gossip lets three users have something of every kind: unread, read, renewed, taken
// back, removed, and removed and restored.
func gossip(t *testing.T, g *gateway) []*peer {
	alice, bob, carol := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "carol")
	mod := g.connect(t, "mod", schema.RoleModerator)
	post := alice.post("hello")
	comment := bob.comment(post, "well said, @alice") // a comment and a mention
	for _, event := range []string{"admin:remove", "admin:restore"} {
		mod.do(event, schema.AdminContent{Target: schema.Target{Type: schema.TargetComment, ID: comment}, Reason: "a mistake"})
	}
	carol.do("post:comment", schema.PostComment{PostID: post, Content: "so?", ParentID: comment}) // tells alice, and bob until she blocks him
	spam := carol.comment(post, "buy ghosts")
	mod.do("admin:remove", schema.AdminContent{Target: schema.Target{Type: schema.TargetComment, ID: spam}, Reason: "spam"})
	carol.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	carol.do("post:like", schema.PostAction{PostID: post, Action: "unlike"})
	talk := alice.direct("bob")
	alice.say(talk, "psst")
	alice.say(talk, "psst, psst")
	bob.say(talk, "what?")
	alice.do("notification:read", schema.NotificationRef{NotificationID: allNotifications(alice, true)[0].ID})
	alice.follow("carol")
	carol.do("notification:read-all", schema.NotificationReadAll{})
	bob.do("user:friend-request", schema.TargetAction{TargetID: "carol", Action: "send"})
	carol.do("user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
	return []*peer{alice, bob, carol}
}

// idsFor computes the ids that the log's records would give a notification like this
// one: each of the record's id, its place, the type and the recipient.
func (g *gateway) idsFor(t *testing.T, n schema.Notification) (ids []string) {
	kind := byte(1 + slices.Index([]string{"like", "comment", "follow", "mention", "message", "friend_request"}, n.Type))
	for r, err := range g.log.Read(t.Context(), 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Actor.ID != n.Sender.ID || r.Time != n.CreatedAt {
			continue
		}
		id := ulid.MustParseStrict(r.ID)
		var place [8]byte
		binary.BigEndian.PutUint64(place[:], r.Seq)
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%c%s", r.ID, kind, n.Recipient))
		copy(id[6:], place[1:])
		id[13], id[14], id[15] = kind<<4|sum[0]&15, sum[1], sum[2]
		ids = append(ids, id.String())
	}
	return ids
}
