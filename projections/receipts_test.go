package projections

import (
	"fmt"
	"slices"
	"testing"

	"roomlog/schema"
)

// crowd opens a group of so many, alice among them.
func (p *parlour) crowd(size int) (id string) {
	p.Helper()
	others := make([]string, size-1)
	for i := range others {
		others[i] = fmt.Sprintf("reader%03d", i)
	}
	return p.group("alice", others...)
}

// Of a group of 100 everyone is told and shown who has read what; of one of 101
// nobody but the reader.
func TestReceiptsInSmallAndLargeGroups(t *testing.T) {
	for _, size := range []int{maxReceipts, maxReceipts + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := newParlour(t)
			c := p.crowd(size)
			m := p.says("alice", c, "hello")
			_, push := p.must("reader007", "message:read", schema.MessageRef{ConversationID: c, MessageID: m})
			rooms, read := []string{"conversation:" + c, "user:reader007"}, []string{"reader007"}
			if size > maxReceipts {
				rooms, read = rooms[1:], nil
			}
			if !slices.Equal(push.Rooms, rooms) {
				t.Errorf("told %v, want %v", push.Rooms, rooms)
			}
			viewOf(t, p.w, func(v *View) {
				page, err := v.Messages("alice", schema.MessageList{ConversationID: c})
				if err != nil || !slices.Equal(page.Items[0].ReadBy, read) || !slices.Equal(page.Items[0].DeliveredTo, read) {
					t.Errorf("shown %+v, %v", page.Items, err)
				}
			})
			p.unread("reader007", c, 0)
			p.unread("reader008", c, 1)
		})
	}
}

// A receipt that was told to a room is told to it again, and one that was not is
// not, whatever the group has grown or shrunk to since.
func TestReceiptsAreToldAgainAsTheyWere(t *testing.T) {
	p := newParlour(t)
	c := p.crowd(maxReceipts)
	m := p.says("alice", c, "hello")
	small := schema.MessageRef{ConversationID: c, MessageID: m}
	p.must("reader001", "message:read", small)
	p.adds("alice", c, "bob")
	p.must("reader002", "message:read", small)
	p.says("alice", c, "the next that the room is told")
	told := fact(3, "reader001", "message:read", small)
	kept := fact(5, "reader002", "message:read", small)
	told.Seq, kept.Seq = 3, 5
	viewOf(t, p.w, func(v *View) {
		if push, ok := v.Retell(told); !ok || !slices.Equal(push.Rooms, []string{"conversation:" + c, "user:reader001"}) {
			t.Errorf("told again to %v", push.Rooms)
		}
		if push, ok := v.Retell(kept); !ok || !slices.Equal(push.Rooms, []string{"user:reader002"}) {
			t.Errorf("told again to %v", push.Rooms)
		}
		if missed, _ := v.Missed("reader003", []string{"user:reader003", "conversation:" + c}, 1, 5, 100); !slices.Equal(missed.Seqs, []uint64{2, 3, 4}) {
			t.Errorf("another one has missed %v", missed.Seqs)
		}
	})
}

// The reader's own sockets hear how much is left; the others do not.
func TestTheCountIsTheReadersOwn(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	first := p.says("alice", c, "one")
	p.says("alice", c, "two")
	_, o := p.does("bob", "message:read", schema.MessageRef{ConversationID: c, MessageID: first})
	at := (start + schema.Time(p.n)*1000).String()
	others := `{"messageId":"` + first + `","conversationId":"` + c + `","readBy":"bob","readAt":"` + at + `"}`
	own := others[:len(others)-1] + `,"unreadCount":1}`
	if push := o.Pushes[0]; string(push.Data) != others || string(push.Own) != own || string(o.Result) != own {
		t.Errorf("told %s, own %s, acked %s", push.Data, push.Own, o.Result)
	}
}

// Markers never go back, and stand at others' messages alone.
func TestMarkersMoveForward(t *testing.T) {
	p := newParlour(t)
	c, elsewhere := p.direct("alice", "bob"), p.direct("alice", "carol")
	first, second := p.says("alice", c, "one"), p.says("alice", c, "two")
	mine, other := p.says("bob", c, "mine"), p.says("carol", elsewhere, "psst")
	ref := func(message string) schema.MessageRef {
		return schema.MessageRef{ConversationID: c, MessageID: message}
	}
	p.must("bob", "message:delivered", ref(first))
	p.refused(schema.AlreadyDelivered, "bob", "message:delivered", ref(first))
	p.must("bob", "message:read", ref(second))
	p.refused(schema.AlreadyDelivered, "bob", "message:delivered", ref(second)) // reading is having got
	p.refused(schema.AlreadyRead, "bob", "message:read", ref(first))
	p.refused(schema.NotPermitted, "bob", "message:read", ref(mine))
	p.refused(schema.MessageNotFound, "alice", "message:read", ref(other))
	p.refused(schema.MessageNotFound, "alice", "message:read", ref(id(999)))
	p.refused(schema.ConversationNotFound, "carol", "message:read", ref(first))
}

// Unread messages are those of others that are there, wherever the marker is and
// whatever goes before and after it.
func TestUnreadCountsAroundTheMarker(t *testing.T) {
	p := newParlour(t)
	c := p.group("alice", "bob", "carol")
	var m []string
	for i := range 10 { // bob's are 1, 4, 7
		m = append(m, p.says([]string{"alice", "bob", "carol"}[i%3], c, fmt.Sprint(i)))
	}
	p.unread("bob", c, 7)
	p.reads("bob", c, m[3])
	p.unread("bob", c, 4)       // 5 6 8 9
	p.deletes("carol", c, m[2]) // before the marker
	p.unread("bob", c, 4)
	p.deletes("carol", c, m[5]) // behind it
	p.unread("bob", c, 3)
	p.deletes("bob", c, m[7]) // one's own
	p.unread("bob", c, 3)
	p.reads("bob", c, m[5]) // up to a deleted one
	p.unread("bob", c, 3)
	p.says("bob", c, "10")
	p.says("carol", c, "11")
	p.reads("bob", c, m[8])
	p.unread("bob", c, 2) // 9 11
	p.deletes("alice", c, m[9])
	p.unread("bob", c, 1)
	p.unread("alice", c, 5) // 1 4 8 10 11
}

// The marker moves over a long conversation as a recount says, whichever side of
// it is walked.
func TestMarkersOverALongConversation(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	var m []string
	sender := func(i int) string { return []string{"alice", "alice", "bob"}[i%3] }
	for i := range 60 {
		m = append(m, p.says(sender(i), c, fmt.Sprint(i)))
	}
	gone := map[int]bool{}
	for _, i := range []int{3, 17, 18, 30, 31, 55, 57} {
		p.deletes(sender(i), c, m[i])
		gone[i] = true
	}
	for _, to := range []int{4, 6, 19, 22, 49, 51, 54, 57, 58} {
		p.reads("bob", c, m[to])
		want := 0
		for i := to + 1; i < 60; i++ {
			if sender(i) == "alice" && !gone[i] {
				want++
			}
		}
		p.unread("bob", c, want)
	}
}
