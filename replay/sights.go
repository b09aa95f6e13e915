package replay

import (
	"errors"

	"roomlog/projections"
	"roomlog/schema"
)

func seeConversation(v *projections.View, id string, s Sight) (any, error) {
	var answer struct {
		SeenBy       string                       `json:"seenBy"`
		Conversation schema.Conversation          `json:"conversation"`
		Receipts     []projections.Receipt        `json:"receipts"` // of every participant
		Messages     schema.Items[schema.Message] `json:"messages"` // newest first
	}
	answer.Receipts = v.Receipts(id)
	if len(answer.Receipts) == 0 {
		return nil, schema.NewError(schema.ConversationNotFound, "")
	}
	if answer.SeenBy = s.As; s.As == "" {
		answer.SeenBy = answer.Receipts[0].User
		for _, p := range answer.Receipts { // one who joined first may have left out the past since
			if p.After == 0 {
				answer.SeenBy = p.User
				break
			}
		}
	}
	var err error
	if answer.Conversation, err = v.Conversation(answer.SeenBy, id); err != nil {
		return nil, err
	}
	answer.Messages, err = pages(s, func(p schema.Page) (schema.Items[schema.Message], error) {
		return v.Messages(answer.SeenBy, schema.MessageList{ConversationID: id, Page: p})
	})
	return answer, err
}

func seePost(v *projections.View, id string, s Sight) (any, error) {
	var answer struct {
		Post     schema.Post                  `json:"post"`
		Comments schema.Items[schema.Comment] `json:"comments"` // page by page the newest, each in order
	}
	var err error
	if answer.Post, err = v.Post(s.As, id); err != nil {
		return nil, err
	}
	answer.Comments, err = pages(s, func(p schema.Page) (schema.Items[schema.Comment], error) {
		return v.Comments(s.As, schema.CommentList{PostID: id, Page: p})
	})
	return answer, err
}

// suspension is of a user who is suspended: until then, or for good.
type suspension struct {
	Until   *schema.Time `json:"until,omitempty"`
	ForGood bool         `json:"forGood,omitempty"`
}

func seeUser(v *projections.View, id string, s Sight) (any, error) {
	var answer struct {
		Profile   schema.Profile             `json:"profile"`
		Suspended *suspension                `json:"suspended"` // the last one, which may have ended by itself since
		Blocks    []string                   `json:"blocks"`
		Followers schema.Items[schema.Actor] `json:"followers"`
		Following schema.Items[schema.Actor] `json:"following"`
	}
	var err error
	if answer.Profile, err = v.Profile(s.As, id); err != nil {
		return nil, err
	}
	if until, ok := v.Suspension(id); ok {
		answer.Suspended = &suspension{ForGood: true}
		if until != 0 {
			answer.Suspended = &suspension{Until: &until}
		}
	}
	answer.Blocks = v.Blocks(id)
	s.Page = "" // two lists: neither goes on
	answer.Followers, err = pages(s, func(p schema.Page) (schema.Items[schema.Actor], error) {
		return v.Followers(s.As, schema.UserPage{UserID: id, Page: p})
	})
	if err != nil {
		return nil, err
	}
	answer.Following, err = pages(s, func(p schema.Page) (schema.Items[schema.Actor], error) {
		return v.Following(s.As, schema.UserPage{UserID: id, Page: p})
	})
	return answer, err
}

func seeFeed(v *projections.View, user string, s Sight) (any, error) {
	return pages(s, func(p schema.Page) (schema.Items[schema.FeedItem], error) { return v.Feed(user, p) })
}

func seeNotifications(v *projections.View, user string, s Sight) (any, error) {
	var answer struct {
		Unread int `json:"unread"`
		schema.Items[schema.Notification]
	}
	var err error
	answer.Unread = v.UnreadNotifications(user)
	answer.Items, err = pages(s, func(p schema.Page) (schema.Items[schema.Notification], error) {
		return v.Notifications(user, schema.NotificationList{Page: p})
	})
	return answer, err
}

func seeConversations(v *projections.View, user string, s Sight) (any, error) {
	return pages(s, func(p schema.Page) (schema.Items[schema.Conversation], error) { return v.Conversations(user, p) })
}

func seePresence(v *projections.View, user string, _ Sight) (any, error) {
	seen, ok := v.LastSeen(user)
	if !ok {
		return nil, schema.NewError(schema.UserNotFound, "")
	}
	return map[string]schema.Time{"lastSeen": seen}, nil
}

func seeReports(v *projections.View, _ string, s Sight) (any, error) {
	var answer struct {
		Open int `json:"open"`
		schema.Items[schema.Report]
	}
	var err error
	answer.Open = v.OpenReports()
	answer.Items, err = pages(s, func(p schema.Page) (schema.Items[schema.Report], error) {
		return v.Reports(schema.AdminReports{Page: p})
	})
	return answer, err
}

func seeModel(v *projections.View, name string, s Sight) (any, error) {
	if s.As != "" {
		return nil, errors.New("a read model's rows are the same whoever looks: leave out as whom")
	}
	var answer struct {
		Rows []projections.Row `json:"rows"`
		Next string            `json:"next,omitempty"`
	}
	var err error
	answer.Rows, answer.Next, err = v.Rows(name, s.Page, s.Limit)
	return answer, err
}
