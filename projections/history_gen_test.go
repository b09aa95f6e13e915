package projections

import (
	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// The users of random histories; the last one never acts.
var cast = []string{"alice", "bob", "carol", "dave", "erin"}

// histories generates random histories of a few users on a few posts and in a few
// conversations: every fact, with retries, reused keys, what nobody may do, and
// ids of nothing.
func histories(shortest, longest int) *rapid.Generator[[]eventlog.Record] {
	return rapid.Custom(func(t *rapid.T) []eventlog.Record {
		g := &historian{t: t, oracle: newOracle()}
		g.talkative = g.roll("talkative", 5)
		length := rapid.IntRange(shortest, longest).Draw(t, "length")
		if g.roll("long", 2) == 0 {
			length = longest
		}
		for range length {
			g.add()
		}
		return g.records
	})
}

type historian struct {
	t        *rapid.T
	records  []eventlog.Record
	posts    []string
	comments []schema.CommentDelete // every comment with its post
	clock    schema.Time

	talkative int     // so many of 4 facts are of /messaging
	oracle    *oracle // to know what there is to talk about
	as        string  // who does what was drawn last, "" for anybody
	rolls     uint64
}

// roll draws a number below n. What rapid draws is mostly small; here every number
// comes up, and the count of rolls makes it another one each time.
func (g *historian) roll(label string, n int) int {
	g.rolls++
	drawn := uint64(rapid.Uint32().Draw(g.t, label))
	return int((drawn+g.rolls<<32)*0x9E3779B97F4A7C15>>33) % n
}

func (g *historian) pick(label string, from ...string) string {
	return from[g.roll(label, len(from))]
}

func (g *historian) user() string { return g.pick("user", cast[:4]...) }

// postID favours the newest posts, and sometimes names none.
func (g *historian) postID() string {
	recent := g.posts[max(0, len(g.posts)-4):]
	return g.pick("post", append([]string{id(999_999)}, recent...)...)
}

func (g *historian) comment() schema.CommentDelete {
	recent := g.comments[max(0, len(g.comments)-4):]
	return rapid.SampledFrom(append([]schema.CommentDelete{{PostID: g.postID(), CommentID: id(999_998)}}, recent...)).Draw(g.t, "comment")
}

func (g *historian) add() {
	draw := g.act
	if g.roll("namespace", 4) < g.talkative {
		draw = g.talk
	}
	g.as = ""
	event, data := draw()
	if g.as == "" {
		g.as = g.user()
	}
	n := len(g.records) + 1
	r := fact(n, g.as, event, data)
	if g.roll("release", 4) == 0 {
		r = asVersion1(r)
	}
	// Clocks of gateways differ, and now and then a day goes by.
	g.clock += []schema.Time{1000, 1000, 1000, 1000, 1000, 0, -5000, 13 * 3600 * 1000}[g.roll("passed", 8)]
	r.Time = start + g.clock
	if g.roll("renamed", 20) == 0 {
		r.Actor.Username, r.Actor.Avatar = "the other "+r.Actor.ID, "https://example.org/a.png"
	}
	switch g.roll("key", 12) {
	case 0:
		r.Key = g.pick("key", "k1", "k2", "k3")
	case 1: // a retry of something, perhaps with a change
		if n > 1 {
			old := g.records[max(0, n-8)+g.roll("retry", min(n-1, 7))]
			r.Actor, r.Event, r.Version, r.Data, r.Key, r.Entity = old.Actor, old.Event, old.Version, old.Data, old.Key, old.Entity
		}
	}
	switch r.Event {
	case "post:create":
		g.posts = append(g.posts, r.ID)
	case "post:comment":
		g.comments = append(g.comments, schema.CommentDelete{PostID: read[schema.PostComment](r).PostID, CommentID: r.ID})
	}
	g.oracle.apply(r)
	g.records = append(g.records, r)
}

func (g *historian) act() (event string, data any) {
	text := g.pick("text", "to be", "or not", "to be #that is the question", "ü→𝄞")
	switch kind := g.roll("kind", 16); kind {
	case 0, 1:
		d := schema.PostCreate{Content: text, Hashtags: []string{"that"}}
		if kind == 1 {
			d = schema.PostCreate{Content: text, Media: []schema.Media{{URL: "https://example.org/1.png", Type: "image", Alt: "1"}}}
		}
		return "post:create", d
	case 2:
		return "post:update", schema.PostUpdate{PostID: g.postID(), Content: text}
	case 3:
		return "post:delete", schema.PostRef{PostID: g.postID()}
	case 4, 5, 6:
		return "post:like", schema.PostAction{PostID: g.postID(), Action: g.pick("action", "like", "like", "unlike", "love")}
	case 7, 8:
		d := schema.PostComment{PostID: g.postID(), Content: text}
		if g.roll("answer", 2) == 0 {
			d.ParentID = g.comment().CommentID
		}
		return "post:comment", d
	case 9:
		c := g.comment()
		return "comment:update", schema.CommentUpdate{PostID: c.PostID, CommentID: c.CommentID, Content: text}
	case 10:
		return "comment:delete", g.comment()
	case 11:
		return "post:share", schema.PostShare{PostID: g.postID(), Content: g.pick("said", "", text)}
	case 12, 13:
		return "user:follow", schema.UserFollow{FollowingID: g.pick("whom", cast...), Action: g.pick("action", "follow", "follow", "follow", "unfollow", "stalk")}
	case 14:
		return "user:friend-request", schema.TargetAction{TargetID: g.pick("whom", cast...), Action: g.pick("action", "send", "send", "accept", "decline", "cancel", "beg")}
	default:
		return "user:block", schema.TargetAction{TargetID: g.pick("whom", cast...), Action: g.pick("action", "block", "unblock", "unblock", "hit")}
	}
}
