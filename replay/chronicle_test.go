package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// chronicle is a random history of few people in all namespaces, as good as any for a
// log: much of it is void. The same seed makes the same one.
type chronicle struct {
	*rand.Rand
	n                                                 int
	posts, comments, conversations, messages, reports []string
	postOf, talkOf                                    map[string]string // of a comment, of a message
	replayed                                          []eventlog.Record
}

var people = []string{"alice", "bob", "carol", "dave"}

func newChronicle(seed uint64) *chronicle {
	return &chronicle{Rand: rand.New(rand.NewPCG(seed, 1)), postOf: map[string]string{}, talkOf: map[string]string{}}
}

func chronicleID(n int) string { return fmt.Sprintf("01JDQ0%020d", n) }

// any picks one of ids, mostly a late one, and now and then what never was.
func (c *chronicle) any(ids []string) string {
	if len(ids) == 0 || c.IntN(15) == 0 {
		return chronicleID(999_999)
	}
	return ids[max(0, len(ids)-1-c.IntN(5))]
}

func (c *chronicle) user() string { return people[c.IntN(len(people))] }

func (c *chronicle) either(a, b string) string {
	if c.IntN(3) == 0 {
		return b
	}
	return a
}

// next makes the next record.
func (c *chronicle) next() eventlog.Record {
	c.n++
	id := chronicleID(c.n)
	r := eventlog.Record{ID: id, Time: schema.TimeOf(start.Add(time.Duration(c.n) * time.Second)), Version: 1}
	r.Actor = schema.Actor{ID: c.user(), Username: "@" + c.user()}
	var data any
	post, talk := c.any(c.posts), c.any(c.conversations)
	switch kind := c.IntN(20); kind {
	case 0, 1:
		r.Event, r.Entity, data = "post:create", "post:"+id, schema.PostCreate{Content: "hello @bob #" + id}
		c.posts = append(c.posts, id)
	case 2, 3:
		r.Event, r.Entity, data = "post:like", "post:"+post, schema.PostAction{PostID: post, Action: c.either("like", "unlike")}
	case 4, 5:
		r.Event, r.Entity, data = "post:comment", "post:"+post, schema.PostComment{PostID: post, Content: "well said"}
		c.comments, c.postOf[id] = append(c.comments, id), post
	case 6:
		of := c.any(c.comments)
		r.Event, r.Entity, data = "comment:delete", "comment:"+of, schema.CommentDelete{PostID: c.postOf[of], CommentID: of}
	case 7:
		r.Event, r.Entity, data = "post:share", "post:"+post, schema.PostShare{PostID: post}
	case 8, 9:
		other := c.user()
		r.Event, r.Entity, data = "user:follow", "user:"+other, schema.UserFollow{FollowingID: other, Action: c.either("follow", "unfollow")}
	case 10:
		other := c.user()
		r.Event, r.Entity, data = "user:block", "user:"+other, schema.TargetAction{TargetID: other, Action: c.either("unblock", "block")}
	case 11:
		r.Event, r.Entity, data = "conversation:create", "conversation:"+id, schema.ConversationCreate{Type: "group", Participants: []string{c.user(), c.user()}, Name: "talk"}
		c.conversations = append(c.conversations, id)
	case 12, 13, 14:
		r.Event, r.Entity, data = "message:send", "conversation:"+talk, schema.MessageSend{ConversationID: talk, Content: "hi", MessageType: "text"}
		c.messages, c.talkOf[id] = append(c.messages, id), talk
	case 15:
		of := c.any(c.messages)
		r.Event, r.Entity, data = "message:read", "conversation:"+c.talkOf[of], schema.MessageRef{ConversationID: c.talkOf[of], MessageID: of}
	case 16:
		of := c.any(c.messages)
		r.Event, r.Entity, data = "message:delete", "message:"+of, schema.MessageRef{ConversationID: c.talkOf[of], MessageID: of}
	case 17:
		target := schema.Target{Type: "post", ID: post}
		if of := c.any(c.messages); c.IntN(2) == 0 {
			target = schema.Target{Type: "message", ID: of, ConversationID: c.talkOf[of]}
		}
		r.Event, r.Entity, data = "admin:report", "report:"+id, schema.AdminReport{Target: target, Reason: "spam"}
		c.reports = append(c.reports, id)
	case 18:
		r.Event, r.Entity = c.either("admin:remove", "admin:restore"), "post:"+post
		data = schema.AdminContent{Target: schema.Target{Type: "post", ID: post}, Reason: "spam"}
	default:
		r.Event, r.Entity, data = "notification:read-all", "user:"+r.Actor.ID, schema.NotificationReadAll{}
	}
	var err error
	if r.Data, err = json.Marshal(data); err != nil {
		panic(err)
	}
	c.replayed = append(c.replayed, r)
	return r
}

// told is what a chronicle's log and read models are, with an auditor of both.
type told struct {
	*chronicle
	replay.Auditor
	dir string
}

// tell puts a chronicle into a log, one record after the other, and calls each when the
// read models have it.
func tell(t *testing.T, seed uint64, length int, each func(told, uint64)) told {
	t.Helper()
	dir := t.TempDir()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(dir, "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { models.Close() })
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- models.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ran })
	c := told{newChronicle(seed), replay.Auditor{Log: log, Models: models}, dir}
	for range length {
		seq, err := log.AppendWait(t.Context(), c.next())
		if err != nil {
			t.Fatal(err)
		}
		if err := models.WaitApplied(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
		if each != nil {
			each(c, seq)
		}
	}
	return c
}
