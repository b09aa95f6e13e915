package projections

import (
	"fmt"
	"slices"

	"roomlog/schema"
)

// maxParticipants bounds what one message tells.
const maxParticipants = 1000

// distinct refuses what is no list of different users: a foreign record may name
// anything.
func distinct(users []string) schema.Code {
	seen := make(map[string]bool, len(users))
	for _, user := range users {
		if !schema.ValidUserID(user) || seen[user] {
			return schema.InvalidField
		}
		seen[user] = true
	}
	return ""
}

func (c *conversations) create(r *record, d *schema.ConversationCreate) (verdict, error) {
	group := d.Type == schema.ConversationGroup
	switch {
	case !group && (d.Type != schema.ConversationDirect || len(d.Participants) != 1 || d.Name != ""),
		group && (len(d.Participants) == 0 || d.Name == ""):
		return void(schema.InvalidField), nil
	case len(d.Participants) >= maxParticipants:
		return void(schema.TooManyParticipants), nil
	}
	if code := distinct(d.Participants); code != "" {
		return void(code), nil
	}
	if c.heads.has([]byte(r.ID)) {
		return verdict{}, fmt.Errorf("the conversation id %s is taken", r.ID)
	}
	if !group {
		key := couple(r.Actor.ID, d.Participants[0])
		if id := c.direct.get(key); id != nil {
			return c.createAgain(r, d, string(id)), nil
		}
		c.direct.put(key, []byte(r.ID))
	}
	h := conversation{group: group, seq: r.Seq, created: r.Time, creator: []byte(r.Actor.ID), name: []byte(d.Name), size: uint64(1 + len(d.Participants))}
	roster := []participant{c.join(r, r.Actor.ID, r.ID, h)}
	for _, user := range d.Participants {
		roster = append(roster, c.join(r, user, r.ID, h))
	}
	c.setRoster(r.ID, roster)
	c.setConversation(r.ID, h)
	return c.created(r, d, h), nil
}

// createAgain is the second creation of a direct conversation: it brings it back
// to one who deleted it, and does nothing otherwise.
func (c *conversations) createAgain(r *record, d *schema.ConversationCreate, id string) verdict {
	h, m, _ := c.enter(r.Actor.ID, id)
	if m.hidden(h) {
		m.joined, m.at = r.Seq, r.Time
		c.setMembership(r.Actor.ID, id, m)
		return c.conversationCreated(r, d, 0)
	}
	v := shown(r, id, h, string(h.name), c.participants(id))
	v.Code, v.FirstSeq = schema.ConversationExists, h.seq
	return v
}

func (c *conversations) conversationCreated(r *record, d *schema.ConversationCreate, _ uint64) verdict {
	if row := c.heads.get([]byte(r.ID)); row != nil {
		h := decodeConversation(row)
		if h.deleted {
			return void(schema.ConversationNotFound)
		}
		return c.created(r, d, h)
	}
	id := string(c.direct.get(couple(r.Actor.ID, d.Participants[0])))
	h, ok := c.conversation(id)
	if !ok {
		return void(schema.ConversationNotFound)
	}
	return shown(r, id, h, string(h.name), c.participants(id), schema.UserRoom(r.Actor.ID))
}

// created tells of a conversation as it was made.
func (c *conversations) created(r *record, d *schema.ConversationCreate, h conversation) verdict {
	v := shown(r, r.ID, h, d.Name, append([]string{r.Actor.ID}, d.Participants...))
	v.participantsOf = r.ID
	return v
}

// shown tells of a conversation. Of the participants only the actor's name is
// known here.
func shown(r *record, id string, h conversation, name string, users []string, rooms ...string) verdict {
	actors := make([]schema.Actor, len(users))
	for i, user := range users {
		if actors[i].ID = user; user == r.Actor.ID {
			actors[i] = r.Actor
		}
	}
	v := r.applied(schema.ConversationCreated{Conversation: schema.Conversation{
		ID: id, Type: h.kind(), Name: name, Participants: actors, CreatedAt: h.created,
	}}, rooms...)
	v.named = actors
	return v
}

func (c *conversations) update(r *record, d *schema.ConversationUpdate) (verdict, error) {
	h, ok := c.conversation(d.ConversationID)
	switch {
	case !ok:
		return void(schema.ConversationNotFound), nil
	case !h.group:
		return void(schema.NotPermitted), nil
	}
	roster := c.roster(d.ConversationID)
	if code := c.refuseUpdate(r, h, roster, &d.Updates); code != "" {
		return void(code), nil
	}
	if d.Updates.Name != "" {
		h.name = []byte(d.Updates.Name)
	}
	roster = slices.DeleteFunc(roster, func(p participant) bool {
		return slices.Contains(d.Updates.RemoveParticipants, p.user)
	})
	for _, user := range d.Updates.RemoveParticipants {
		c.members.remove(pair(user, d.ConversationID))
	}
	for _, user := range d.Updates.AddParticipants {
		roster = append(roster, c.join(r, user, d.ConversationID, h))
	}
	h.size = uint64(len(roster))
	if len(roster) == 0 {
		h.deleted = true
	} else if slices.Contains(d.Updates.RemoveParticipants, string(h.creator)) {
		h.creator = []byte(roster[0].user)
	}
	c.setRoster(d.ConversationID, roster)
	c.setConversation(d.ConversationID, h)
	return c.conversationUpdated(r, d, 0), nil
}

// refuseUpdate says why the actor may not change a group of theirs so.
func (c *conversations) refuseUpdate(r *record, h conversation, roster []participant, u *schema.ConversationUpdates) schema.Code {
	if u.Name == "" && len(u.AddParticipants)+len(u.RemoveParticipants) == 0 ||
		distinct(slices.Concat(u.AddParticipants, u.RemoveParticipants)) != "" {
		return schema.InvalidField
	}
	here := make(map[string]bool, len(roster))
	for _, p := range roster {
		here[p.user] = true
	}
	for _, user := range u.RemoveParticipants {
		switch {
		case user != r.Actor.ID && string(h.creator) != r.Actor.ID:
			return schema.NotPermitted
		case !here[user]:
			return schema.NotParticipant
		}
	}
	for _, user := range u.AddParticipants {
		if here[user] {
			return schema.AlreadyParticipant
		}
	}
	if len(roster)-len(u.RemoveParticipants)+len(u.AddParticipants) > maxParticipants {
		return schema.TooManyParticipants
	}
	return ""
}

// conversationUpdated is told even when the conversation is gone since: those who
// were removed before have not heard of that.
func (c *conversations) conversationUpdated(r *record, d *schema.ConversationUpdate, _ uint64) verdict {
	rooms := []string{schema.ConversationRoom(d.ConversationID)}
	for _, user := range d.Updates.RemoveParticipants {
		rooms = append(rooms, schema.UserRoom(user))
	}
	v := r.applied(schema.ConversationUpdated{ConversationID: d.ConversationID, Updates: d.Updates, UpdatedAt: r.Time}, rooms...)
	v.participantsOf, v.evicted = d.ConversationID, d.Updates.RemoveParticipants
	return v
}

// delete takes a group away from all. What was said is left where it is: nothing
// leads to it any more, and it may be a million messages. The roster is left for
// those who have to hear of it yet.
func (c *conversations) delete(r *record, d *schema.ConversationRef) (verdict, error) {
	h, m, ok := c.enter(r.Actor.ID, d.ConversationID)
	switch {
	case !ok:
		return void(schema.ConversationNotFound), nil
	case !h.group:
		// For themselves: the other one notices nothing.
		m.since, m.floor, m.delivered, m.read, m.own, m.gone = r.Seq, h.total, h.total, h.total, 0, 0
		c.setMembership(r.Actor.ID, d.ConversationID, m)
	default:
		for _, p := range c.roster(d.ConversationID) {
			c.members.remove(pair(p.user, d.ConversationID))
		}
		h.deleted = true
		c.setConversation(d.ConversationID, h)
	}
	v := c.conversationDeleted(r, d, 0)
	if v.listeners = []string{r.Actor.ID}; h.group {
		v.listeners = c.participants(d.ConversationID)
	}
	return v, nil
}

func (c *conversations) conversationDeleted(r *record, d *schema.ConversationRef, _ uint64) verdict {
	payload := schema.ConversationDeleted{ConversationID: d.ConversationID, DeletedBy: r.Actor.ID}
	if h, _ := c.conversation(d.ConversationID); !h.group {
		return r.applied(payload, schema.UserRoom(r.Actor.ID))
	}
	rooms := []string{schema.ConversationRoom(d.ConversationID)}
	for _, user := range c.participants(d.ConversationID) {
		rooms = append(rooms, schema.UserRoom(user))
	}
	v := r.applied(payload, rooms...)
	v.closed = true
	return v
}
