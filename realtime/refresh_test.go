package realtime_test

import (
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// reports returns a function that makes one more report, of which moderators hear.
func (g *gateway) reports(t testing.TB) (report func()) {
	t.Helper()
	author, reader := g.connect(t, "author"), g.connect(t, "reader")
	return func() {
		reader.do("admin:report", schema.AdminReport{
			Target: schema.Target{Type: schema.TargetPost, ID: author.post("buy my ghosts")}, Reason: "spam",
		})
	}
}

func TestRefreshBringsTheRolesOfTheNewToken(t *testing.T) {
	g := openGateway(t, nil)
	report := g.reports(t)
	mia := g.connect(t, "mia")
	social := g.connectWith(t, "mia", client.Options{Token: tokenFor(t, "mia"), Namespaces: []schema.Namespace{schema.Social}})
	refresh := func(roles ...schema.Role) {
		for _, p := range []*peer{mia, social} {
			p.do("socket:refresh", schema.Refresh{Token: tokenFor(t, "mia", roles...)})
		}
	}
	mia.refused(schema.NotPermitted, "admin:stats", nil)
	report()
	mia.heardNothing()

	refresh(schema.RoleModerator)
	mia.do("admin:stats", nil)
	report()
	mia.hears("admin:report", schema.RoomAdmin)
	social.do("admin:stats", nil)
	social.heardNothing() // for it did not ask for /admin

	refresh()
	mia.refused(schema.NotPermitted, "admin:stats", nil)
	social.refused(schema.NotPermitted, "admin:stats", nil)
	report()
	mia.heardNothing()
	social.heardNothing()
}

func TestRefreshBringsTheNameOfTheNewToken(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = time.Millisecond })
	bob := g.connect(t, "bob")
	bob.follow("mia")
	mia := g.connect(t, "mia")
	bob.hears("user:online", "user:bob")
	renamed := realtime.Identity{Actor: schema.Actor{ID: "mia", Username: "mia.b"}, Expires: time.Now().Add(time.Hour)}
	mia.do("socket:refresh", schema.Refresh{Token: must(realtime.MintToken(authSecret, renamed, "https://id.example", "roomlog", time.Now()))})
	mia.Close()
	if got := as[schema.UserPresence](t, bob.hears("user:offline", "user:bob")); got.Username != "mia.b" {
		t.Errorf("bob hears that %q is offline", got.Username)
	}
}
