package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"roomlog/schema"
)

const (
	topUsers  = 10 // how many users the demo's table shows
	excerpt   = 48 // how many characters of a last message, its sender included
	pageLimit = 100
)

// standing is what the read models say of a player, who is asked.
type standing struct {
	player  *player
	profile schema.Profile
	talks   map[string]schema.Conversation // by id
	unread  int
}

// tables shows what the read models say of the play.
func (t *company) tables(ctx context.Context, to io.Writer) error {
	var standings []standing
	for _, p := range t.players {
		s, err := p.standing(ctx)
		if err != nil {
			return err
		}
		standings = append(standings, s)
	}
	slices.SortFunc(standings, func(a, b standing) int {
		return cmp.Or(cmp.Compare(b.unread, a.unread), cmp.Compare(len(b.talks), len(a.talks)), cmp.Compare(a.player.role.id, b.player.role.id))
	})
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, rowFormat, "messages", "unread", "by", "conversation", "last message")
	for _, k := range t.talks {
		if err := k.row(ctx, out, standings); err != nil {
			return err
		}
	}
	out.Flush()
	fmt.Fprintln(to)
	fmt.Fprintln(out, "conversations\tunread\tfollowers\tposts\t  user")
	for _, s := range standings[:min(topUsers, len(standings))] {
		fmt.Fprintf(out, "%d\t%d\t%d\t%d\t  %s\n", len(s.talks), s.unread, s.profile.FollowersCount, s.profile.PostsCount, s.player.role.name)
	}
	return out.Flush()
}

// standing asks for what the player may know of themselves.
func (p *player) standing(ctx context.Context) (standing, error) {
	s := standing{player: p, talks: map[string]schema.Conversation{}}
	if err := p.do(ctx, "user:get", schema.UserPage{UserID: p.role.id}, "", &s.profile); err != nil {
		return s, err
	}
	talks, err := pages[schema.Conversation](ctx, p, "conversation:list", func(page schema.Page) any { return page })
	for _, c := range talks {
		s.talks[c.ID] = c
		s.unread += *c.UnreadCount
	}
	return s, err
}

// rowFormat is the widths of names as the play has them.
const rowFormat = "%v\t%v\t  %-17s  %-27s  %s\n"

// row is a line about a conversation: how much was said, how much of it the member
// has not read who has read least, and what was said last.
func (k *talk) row(ctx context.Context, out io.Writer, standings []standing) error {
	p := k.members[0]
	messages, err := pages[schema.Message](ctx, p, "message:list", func(page schema.Page) any {
		return schema.MessageList{ConversationID: k.id, Page: page}
	})
	if err != nil {
		return err
	}
	unread, by, last := 0, "", ""
	for _, s := range standings {
		c, member := s.talks[k.id]
		if !member {
			continue
		}
		if *c.UnreadCount > unread {
			unread, by = *c.UnreadCount, s.player.role.name
		}
		last = shorten(c.LastMessage.Sender.Username + ": " + c.LastMessage.Content)
	}
	title := k.title
	if k.post != "" {
		title, _, _ = strings.Cut(title, ".") // without the place
	}
	_, err = fmt.Fprintf(out, rowFormat, len(messages), unread, by, title, last)
	return err
}

// shorten returns the beginning of a text, on one line, without what steers a terminal.
func shorten(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) <= excerpt {
		return string(line)
	}
	return string(line[:excerpt-1]) + "…"
}

// pages asks for all items of a list, page by page.
func pages[T any](ctx context.Context, p *player, event string, query func(schema.Page) any) ([]T, error) {
	var all []T
	for page := (schema.Page{Limit: pageLimit}); ; {
		var got schema.Items[T]
		if err := p.do(ctx, event, query(page), "", &got); err != nil {
			return nil, err
		}
		all = append(all, got.Items...)
		if page.Before = got.Next; page.Before == "" {
			return all, nil
		}
	}
}
