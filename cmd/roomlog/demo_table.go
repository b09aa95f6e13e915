package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"roomlog/schema"
)

// topUsers is how many users the demo's table shows.
const topUsers = 10

func decode(frame schema.Frame, v any) error {
	if err := json.Unmarshal(frame.Data, v); err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	return nil
}

// tables shows what the read models say of the play, asked over a socket.
func (t *company) tables(a *app, scenes []*scene) error {
	spectator := t.players[scenes[0].cast[0]]
	out := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "comments\tlikes\t  scene\t")
	for i, s := range scenes {
		var post schema.Post
		if err := spectator.ask(a.ctx, "post:get", schema.PostRef{PostID: t.posts[i]}, &post); err != nil {
			return err
		}
		fmt.Fprintf(out, "%d\t%d\t  %s\n", *post.CommentsCount, *post.LikesCount, s.title)
	}
	out.Flush()
	profiles, err := t.profiles(a.ctx, spectator)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	fmt.Fprintln(out, "followers\tfollowing\tposts\t  user\t")
	for _, p := range profiles[:min(topUsers, len(profiles))] {
		fmt.Fprintf(out, "%d\t%d\t%d\t  %s\n", p.FollowersCount, p.FollowingCount, p.PostsCount, p.User.Username)
	}
	return out.Flush()
}

// profiles returns every player's, those with the most followers first.
func (t *company) profiles(ctx context.Context, spectator *player) ([]schema.Profile, error) {
	var profiles []schema.Profile
	for r := range maps.Keys(t.players) {
		var p schema.Profile
		if err := spectator.ask(ctx, "user:get", map[string]string{"userId": r.id}, &p); err != nil {
			return nil, err
		}
		profiles = append(profiles, p)
	}
	slices.SortFunc(profiles, func(a, b schema.Profile) int {
		return cmp.Or(cmp.Compare(b.FollowersCount, a.FollowersCount), cmp.Compare(b.PostsCount, a.PostsCount), cmp.Compare(a.User.ID, b.User.ID))
	})
	return profiles, nil
}
