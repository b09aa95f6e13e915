package projections

import (
	"encoding/binary"
	"iter"
	"slices"

	"roomlog/schema"
)

// conversations is who talks with whom, what was said, and how far everyone has
// read. It is home to the facts of /messaging.
//
// Who has read a message follows from markers: one a participant, never a row a
// message and participant. A participant's number of unread messages follows from
// the number of messages ever sent, so that sending costs the same in every
// conversation.
type conversations struct {
	heads    table // conversation id → head of a conversation
	rosters  table // conversation id → its participants, in the order in which they joined
	members  table // user, conversation id → membership
	messages table // place of the conversation, place → message
	places   table // message id → where it is
	direct   table // two users in order → their direct conversation's id
	blocks   table // blocker, blocked → present; a copy of the graph's, for this projector may read no other's
}

// participant is an entry of a roster.
type participant struct {
	user   string
	joined uint64 // place of the record that made them one
}

func encodeRoster(roster []participant) []byte {
	var b []byte
	for _, p := range roster {
		b = appendText(b, p.user)
		b = binary.AppendUvarint(b, p.joined)
	}
	return b
}

func (c *conversations) roster(id string) []participant {
	var roster []participant
	for f := (fields{c.rosters.get([]byte(id))}); len(f.rest) > 0; {
		roster = append(roster, participant{f.text(), f.uint()})
	}
	return roster
}

// participants returns the ids of a conversation's participants; nil for no
// conversation.
func (c *conversations) participants(id string) []string {
	if id == "" {
		return nil
	}
	var users []string
	for _, p := range c.roster(id) {
		users = append(users, p.user)
	}
	return slices.Clip(users)
}

// membership is a row of members.
type membership struct {
	joined uint64 // place of the record that made them a participant
}

func (m membership) encode() []byte { return binary.AppendUvarint(nil, m.joined) }

func decodeMembership(row []byte) membership {
	f := fields{row}
	return membership{f.uint()}
}

func (c *conversations) membership(user, id string) (m membership, ok bool) {
	row := c.members.get(pair(user, id))
	if row == nil {
		return membership{}, false
	}
	return decodeMembership(row), true
}

// of yields the conversations of a user.
func (c *conversations) of(user string) iter.Seq2[string, membership] {
	return func(yield func(string, membership) bool) {
		prefix := owned(user)
		for key, row := range c.members.scan(prefix, prefix) {
			if !yield(string(key[len(prefix):]), decodeMembership(row)) {
				return
			}
		}
	}
}

func (c *conversations) observe(r *record, v *verdict) error {
	if d, ok := r.data.(*schema.TargetAction); ok && r.Event == "user:block" && v.Code == "" {
		if d.Action == schema.ActionBlock {
			c.blocks.put(pair(r.Actor.ID, d.TargetID), present)
		} else {
			c.blocks.remove(pair(r.Actor.ID, d.TargetID))
		}
	}
	return nil
}
