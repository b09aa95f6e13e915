package realtime_test

import (
	"maps"
	"slices"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// Everyone in these tests: alice, with two devices, writes; bob follows her; carol
// has joined her post's room; dave, with two devices, follows bob; erin has
// nothing to do with anyone.
func cast(t *testing.T) (g *gateway, peers map[string]*peer) {
	g = openGateway(t, nil)
	peers = map[string]*peer{}
	for name, user := range map[string]string{
		"alice": "alice", "alice's phone": "alice", "bob": "bob", "carol": "carol", "dave": "dave", "dave's phone": "dave", "erin": "erin",
	} {
		peers[name] = g.connect(t, user)
	}
	eventually(t, "nobody is to hear any more who came", g.server.NewsTold)
	peers["bob"].follow("alice")
	peers["dave"].follow("bob")
	for _, name := range []string{"alice", "alice's phone"} {
		peers[name].hears("user:follow", "user:alice")
	}
	peers["bob"].hears("user:follow", "user:bob")
	peers["dave's phone"].hears("user:follow", "user:dave")
	return g, peers
}

func TestFactsReachTheirRoomsAndNobodyElse(t *testing.T) {
	_, peers := cast(t)
	var post, comment string
	room := func() string { return schema.PostRoom(post) }
	type hearing = map[string]string // name → room
	for _, step := range []struct {
		who   string
		event string
		data  func() any
		heard func() hearing
	}{
		{"alice", "post:create", func() any { return schema.PostCreate{Content: "To be, or not to be #hamlet"} },
			func() hearing { return hearing{"alice's phone": "user:alice", "bob": "user:bob"} }},
		{"carol", "post:join", func() any { return schema.PostRef{PostID: post} }, nil},
		{"alice", "post:update", func() any { return schema.PostUpdate{PostID: post, Content: "that is the question"} },
			func() hearing { return hearing{"carol": room(), "alice's phone": "user:alice"} }},
		{"bob", "post:like", func() any { return schema.PostAction{PostID: post, Action: "like"} },
			func() hearing { return hearing{"carol": room(), "alice": "user:alice", "alice's phone": "user:alice"} }},
		{"carol", "post:like", func() any { return schema.PostAction{PostID: post, Action: "like"} },
			func() hearing { return hearing{"alice": "user:alice", "alice's phone": "user:alice"} }},
		{"carol", "post:like", func() any { return schema.PostAction{PostID: post, Action: "unlike"} },
			func() hearing { return hearing{"alice": "user:alice", "alice's phone": "user:alice"} }},
		{"bob", "post:comment", func() any { return schema.PostComment{PostID: post, Content: "Words, words"} },
			func() hearing { return hearing{"carol": room(), "alice": "user:alice", "alice's phone": "user:alice"} }},
		{"bob", "comment:update", func() any { return schema.CommentUpdate{PostID: post, CommentID: comment, Content: "words."} },
			func() hearing { return hearing{"carol": room()} }},
		{"alice", "comment:delete", func() any { return schema.CommentDelete{PostID: post, CommentID: comment} },
			func() hearing { return hearing{"carol": room()} }},
		{"bob", "post:share", func() any { return schema.PostShare{PostID: post, Content: "Read this"} },
			func() hearing { return hearing{"carol": room(), "alice": "user:alice", "alice's phone": "user:alice"} }},
		{"dave", "user:follow", func() any { return schema.UserFollow{FollowingID: "carol", Action: "follow"} },
			func() hearing { return hearing{"dave's phone": "user:dave", "carol": "user:carol"} }},
		{"dave", "user:friend-request", func() any { return schema.TargetAction{TargetID: "carol", Action: "send"} },
			func() hearing { return hearing{"dave's phone": "user:dave", "carol": "user:carol"} }},
		{"carol", "user:friend-request", func() any { return schema.TargetAction{TargetID: "dave", Action: "accept"} },
			func() hearing { return hearing{"dave": "user:dave", "dave's phone": "user:dave"} }},
		{"dave", "user:block", func() any { return schema.TargetAction{TargetID: "erin", Action: "block"} },
			func() hearing { return hearing{"dave's phone": "user:dave"} }},
		{"carol", "post:leave", func() any { return schema.PostRef{PostID: post} }, nil},
		{"alice", "post:delete", func() any { return schema.PostRef{PostID: post} },
			func() hearing { return hearing{"alice's phone": "user:alice"} }},
	} {
		ack := peers[step.who].do(step.event, step.data())
		switch step.event {
		case "post:create":
			post = as[schema.PostCreated](t, ack).Post.ID
			if tags := as[schema.PostCreated](t, ack).Post.Hashtags; !slices.Equal(tags, []string{"hamlet"}) {
				t.Errorf("hashtags %q were taken from the content", tags)
			}
		case "post:comment":
			comment = as[schema.PostCommented](t, ack).Comment.ID
		}
		heard := hearing{}
		if step.heard != nil {
			heard = step.heard()
		}
		for _, name := range slices.Sorted(maps.Keys(heard)) {
			push := peers[name].hears(step.event, heard[name])
			if push.Seq != ack.Seq || !sameJSON(push.Data, ack.Data) {
				t.Errorf("%s was pushed %d %s, the sender's ack is %d %s", name, push.Seq, push.Data, ack.Seq, ack.Data)
			}
		}
		for _, p := range peers {
			p.heardNothing()
		}
	}
}

func TestQueriesAnswerForTheViewer(t *testing.T) {
	_, peers := cast(t)
	alice, bob, carol, erin := peers["alice"], peers["bob"], peers["carol"], peers["erin"]
	post := alice.post("The rest is silence")
	comment := bob.comment(post, "Good night, sweet prince")
	bob.do("post:like", schema.PostAction{PostID: post, Action: "like"})

	if feed := as[schema.Items[schema.FeedItem]](t, bob.do("feed:get", nil)); len(feed.Items) != 1 || feed.Items[0].Post.ID != post {
		t.Errorf("bob follows alice; his feed is %+v", feed)
	}
	if feed := as[schema.Items[schema.FeedItem]](t, erin.do("feed:get", nil)); len(feed.Items) != 0 {
		t.Errorf("erin follows nobody; her feed is %+v", feed)
	}
	for p, liked := range map[*peer]bool{bob: true, carol: false} {
		got := as[schema.Post](t, p.do("post:get", schema.PostRef{PostID: post}))
		if *got.Liked != liked || *got.LikesCount != 1 || *got.CommentsCount != 1 {
			t.Errorf("%s sees liked %v, %d likes, %d comments", p.user, *got.Liked, *got.LikesCount, *got.CommentsCount)
		}
	}
	if got := as[schema.Items[schema.Comment]](t, carol.do("comment:list", schema.CommentList{PostID: post})); len(got.Items) != 1 || got.Items[0].ID != comment {
		t.Errorf("comments: %+v", got)
	}
	if got := as[schema.Profile](t, bob.do("user:get", schema.UserPage{UserID: "alice"})); !got.Following || got.FollowersCount != 1 || got.PostsCount != 1 {
		t.Errorf("alice, as bob sees her: %+v", got)
	}
	if got := as[schema.Profile](t, carol.do("user:get", schema.UserPage{UserID: "alice"})); got.Following {
		t.Errorf("alice, as carol sees her: %+v", got)
	}
	if got := as[schema.Items[schema.FeedItem]](t, erin.do("user:posts", schema.UserPage{UserID: "alice"})); len(got.Items) != 1 {
		t.Errorf("alice's posts: %+v", got)
	}
	if got := as[schema.Items[schema.Actor]](t, erin.do("user:followers", schema.UserPage{UserID: "alice"})); len(got.Items) != 1 || got.Items[0].ID != "bob" {
		t.Errorf("alice's followers: %+v", got)
	}
	if got := as[schema.Items[schema.Actor]](t, erin.do("user:following", schema.UserPage{UserID: "bob"})); len(got.Items) != 1 || got.Items[0].ID != "alice" {
		t.Errorf("whom bob follows: %+v", got)
	}
	erin.refused(schema.PostNotFound, "post:get", schema.PostRef{PostID: comment})
}

func TestAckMeansThatTheNextReadSeesIt(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	for range 30 {
		post := alice.post("There are more things in heaven and earth")
		bob.do("post:get", schema.PostRef{PostID: post})
	}
}

// A query sees the facts that the same socket sent before it, acked or not, and
// is answered after them.
func TestAQueryFollowsTheFactsBeforeIt(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	const rounds = 20
	answers := make(chan schema.Frame, 2*rounds)
	for range rounds {
		for _, err := range []error{
			alice.Send("post:create", schema.PostCreate{Content: "a"}, "", func(f schema.Frame) { answers <- f }),
			alice.Send("user:posts", schema.UserPage{UserID: "alice", Page: schema.Page{Limit: 100}}, "", func(f schema.Frame) { answers <- f }),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range rounds {
		created, listed := <-answers, <-answers
		if created.Seq == 0 || listed.Error != nil {
			t.Fatalf("round %d was answered %+v and %+v", n, created, listed)
		}
		if posts := as[schema.Items[schema.FeedItem]](t, listed); len(posts.Items) != n+1 {
			t.Fatalf("after %d posts the query saw %d", n+1, len(posts.Items))
		}
	}
}

func TestFactsOfOneSocketAreAckedInOrder(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	bob.follow("alice")
	alice.hears("user:follow", "user:alice")
	const facts = 60 // below the limit of those in flight
	acks := make(chan schema.Frame, facts)
	for range facts {
		if err := alice.Send("post:create", schema.PostCreate{Content: "a"}, "", func(f schema.Frame) { acks <- f }); err != nil {
			t.Fatal(err)
		}
	}
	var last uint64
	for range facts {
		ack := <-acks
		if ack.Error != nil || ack.Seq <= last {
			t.Fatalf("an ack of %d follows one of %d: %+v", ack.Seq, last, ack.Error)
		}
		last = ack.Seq
		if push := bob.hears("post:create", "user:bob"); push.Seq != ack.Seq {
			t.Fatalf("bob heard %d when alice was acked %d", push.Seq, ack.Seq)
		}
	}
}

func TestARetryGetsTheFirstAckAgain(t *testing.T) {
	g := openGateway(t, nil)
	alice, phone, bob := g.connect(t, "alice"), g.connect(t, "alice"), g.connect(t, "bob")
	create := func(p *peer, content string) (schema.Frame, error) {
		return p.Do(t.Context(), "post:create", schema.PostCreate{Content: content}, "key-1")
	}
	first := must(create(alice, "Who's there?"))
	phone.hears("post:create", "user:alice")
	again := must(create(phone, "Who's there?"))
	if !again.Duplicate || again.Seq != first.Seq || !sameJSON(again.Data, first.Data) {
		t.Errorf("the retry was acked %+v, the first try %+v", again, first)
	}
	if _, err := create(phone, "Stand, and unfold yourself"); codeOf(t, err) != schema.KeyReused {
		t.Errorf("the same key for another command: %v", err)
	}
	if other := must(create(bob, "Who's there?")); other.Duplicate {
		t.Error("keys of one user mean something to another")
	}
	alice.heardNothing() // of the retry
}

func TestARetryInFlightIsDecidedByTheLog(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	bob.follow("alice")
	acks := make(chan schema.Frame, 2)
	for range 2 { // the gateway cannot know of the first when it takes the second
		if err := alice.Send("post:create", schema.PostCreate{Content: "Twice"}, "k", func(f schema.Frame) { acks <- f }); err != nil {
			t.Fatal(err)
		}
	}
	first, second := <-acks, <-acks
	if first.Error != nil || second.Error != nil || first.Duplicate || !second.Duplicate || second.Seq != first.Seq {
		t.Errorf("acks %+v and %+v", first, second)
	}
	bob.hears("post:create", "user:bob")
	bob.heardNothing()
}

func TestVoidFactsTellOnlyTheirSender(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob, carol := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "carol")
	bob.follow("alice")
	alice.hears("user:follow", "user:alice")
	post := alice.post("Mine")
	bob.hears("post:create", "user:bob")
	comment := bob.comment(post, "Bob's")
	alice.hears("post:comment", "user:alice")

	carol.refused(schema.NotPermitted, "post:update", schema.PostUpdate{PostID: post, Content: "Carol's"})
	carol.refused(schema.NotPermitted, "post:delete", schema.PostRef{PostID: post})
	carol.refused(schema.NotPermitted, "comment:update", schema.CommentUpdate{PostID: post, CommentID: comment, Content: "Carol's"})
	alice.refused(schema.NotPermitted, "comment:update", schema.CommentUpdate{PostID: post, CommentID: comment, Content: "Alice's"})
	carol.refused(schema.NotPermitted, "comment:delete", schema.CommentDelete{PostID: post, CommentID: comment})
	carol.refused(schema.NotLiked, "post:like", schema.PostAction{PostID: post, Action: "unlike"})
	carol.refused(schema.Oneself, "user:follow", schema.UserFollow{FollowingID: "carol", Action: "follow"})
	carol.refused(schema.RequestNotFound, "user:friend-request", schema.TargetAction{TargetID: "alice", Action: "accept"})
	// With a fact in flight there is no courtesy check: the log decides.
	acks := make(chan schema.Frame, 2)
	for range 2 {
		if err := carol.Send("post:like", schema.PostAction{PostID: post, Action: "like"}, "", func(f schema.Frame) { acks <- f }); err != nil {
			t.Fatal(err)
		}
	}
	if first, second := <-acks, <-acks; first.Error != nil || second.Error == nil || second.Error.Code != schema.AlreadyLiked {
		t.Errorf("liking twice was acked %+v and %+v", first, second)
	}
	alice.hears("post:like", "user:alice")
	alice.heardNothing()
	bob.heardNothing()
}

func TestASocketInSeveralRoomsOfAPushHearsItOnce(t *testing.T) {
	g := openGateway(t, nil)
	alice, phone, bob := g.connect(t, "alice"), g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("One")
	phone.hears("post:create", "user:alice")
	phone.do("post:join", schema.PostRef{PostID: post}) // in the post's room and the author's
	bob.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	phone.hears("post:like", schema.PostRoom(post))
	phone.heardNothing()
}

func TestTyping(t *testing.T) {
	g := openGateway(t, nil)
	alice, phone, bob, erin := g.connect(t, "alice"), g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "erin")
	post, other := alice.post("The play"), alice.post("The mousetrap")
	phone.hears("post:create", "user:alice")
	phone.hears("post:create", "user:alice")
	start := schema.PostAction{PostID: post, Action: "start"}
	bob.refused(schema.NotInRoom, "user:typing", start)
	for _, p := range []*peer{alice, phone, bob} {
		p.do("post:join", schema.PostRef{PostID: post})
	}
	erin.do("post:join", schema.PostRef{PostID: other})
	alice.do("post:join", schema.PostRef{PostID: other})

	alice.do("user:typing", start)
	for _, p := range []*peer{phone, bob} { // the user's other device too
		push := p.hears("user:typing", schema.PostRoom(post))
		if got := as[schema.UserTyping](t, push); got.UserID != "alice" || got.Action != "start" || push.Seq != 0 {
			t.Errorf("%s heard %+v", p.user, push)
		}
	}
	bob.do("socket:typing", start) // the older name
	alice.hears("user:typing", schema.PostRoom(post))
	phone.hears("user:typing", schema.PostRoom(post))

	phone.do("post:leave", schema.PostRef{PostID: post})
	alice.do("user:typing", schema.PostAction{PostID: post, Action: "stop"})
	bob.hears("user:typing", schema.PostRoom(post))
	// Signals are pushed in order: when erin hears this one, she was not told the others.
	alice.do("user:typing", schema.PostAction{PostID: other, Action: "start"})
	erin.hears("user:typing", schema.PostRoom(other))
	for _, p := range []*peer{alice, phone, bob, erin} {
		p.heardNothing()
	}
}

func TestJoiningNeedsAPostThatTheUserMaySee(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("Here")
	alice.do("post:delete", schema.PostRef{PostID: post})
	bob.refused(schema.PostNotFound, "post:join", schema.PostRef{PostID: post})
	bob.do("post:leave", schema.PostRef{PostID: post}) // not in it: nothing to do
}

func TestPushesOfNamespacesNotChosenAreNotSent(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	deaf := g.connectWith(t, "alice", client.Options{
		Token: tokenFor(t, "alice"), Namespaces: []schema.Namespace{schema.Messaging, schema.Notifications},
	})
	phone := g.connect(t, "alice")
	alice.post("Who hears it?")
	phone.hears("post:create", "user:alice")
	deaf.heardNothing()
}
