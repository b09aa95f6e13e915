package projections

import (
	"maps"
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// docket is what moderators should find, kept in plain lists as recount is: what is
// removed, what was reported, and who is suspended. It decides the facts of /admin
// by itself, and believes the codes of all others.
type docket struct {
	*recount
	things  map[schema.Target]*thing
	reports []*schema.Report       // the oldest first
	until   map[string]schema.Time // when suspensions end, 0: never
	acted   map[string]bool
}

// thing is what may be reported and removed.
type thing struct {
	post             string   // a comment's
	seenBy           []string // a message's
	deleted, removed bool
}

func newDocket(m *recount) *docket {
	return &docket{recount: m, things: map[schema.Target]*thing{}, until: map[string]schema.Time{}, acted: map[string]bool{}}
}

func (d *docket) suspended(user string, at schema.Time) bool {
	until, ok := d.until[user]
	return ok && (until == 0 || at < until)
}

// apply returns what should have become of a record of which that is said, after
// the recount has it.
func (d *docket) apply(r eventlog.Record, code schema.Code) schema.Code {
	switch {
	case d.suspended(r.Actor.ID, r.Time):
		return schema.Suspended
	case code == schema.Suspended:
		return ""
	case code == schema.DuplicateKey:
		return code
	}
	if schema.NamespaceOf(r.Event) == schema.Admin {
		code = d.rule(r)
	}
	if code == "" {
		d.acted[r.Actor.ID] = true
		d.happen(r)
	}
	return code
}

// happen keeps up with what there is.
func (d *docket) happen(r eventlog.Record) {
	ref := read[schema.MessageRef](r)
	here := func(target schema.Target) bool {
		return target.Type == schema.TargetMessage && target.ConversationID == ref.ConversationID
	}
	leave := func(users ...string) {
		for target, t := range d.things {
			if here(target) {
				t.seenBy = slices.DeleteFunc(t.seenBy, func(user string) bool { return slices.Contains(users, user) })
			}
		}
	}
	switch r.Event {
	case "post:create":
		d.things[onPost(r.ID)] = &thing{}
	case "post:delete":
		d.things[onPost(read[schema.PostRef](r).PostID)].deleted = true
	case "post:comment":
		d.things[onComment(r.ID)] = &thing{post: read[schema.PostComment](r).PostID}
	case "comment:delete":
		d.things[onComment(read[schema.CommentDelete](r).CommentID)].deleted = true
	case "message:send":
		d.things[onMessage(ref.ConversationID, r.ID)] = &thing{seenBy: slices.Clone(d.talks[ref.ConversationID].users)}
	case "message:delete":
		d.things[onMessage(ref.ConversationID, ref.MessageID)].deleted = true
	case "conversation:update":
		leave(read[schema.ConversationUpdate](r).Updates.RemoveParticipants...)
	case "conversation:delete":
		if t := d.talks[ref.ConversationID]; t.group {
			t.users = nil
		}
		leave(r.Actor.ID)
	}
}

// fate returns what has become of a target of content, and whether a user sees it. What
// was said in a group goes with it.
func (d *docket) fate(target schema.Target, user string) (now fate, shown bool) {
	t, post := d.things[target], &thing{}
	if t != nil && target.Type == schema.TargetComment {
		post = d.things[onPost(t.post)]
	}
	talk := d.talks[target.ConversationID]
	switch {
	case t == nil || t.deleted || post.deleted, talk != nil && talk.group && len(talk.users) == 0:
		return deleted, false
	case t.removed:
		return removed, false
	}
	return there, !post.removed && (target.Type != schema.TargetMessage || slices.Contains(t.seenBy, user))
}

// rule decides a fact of /admin.
func (d *docket) rule(r eventlog.Record) schema.Code {
	switch r.Event {
	case "admin:report":
		return d.report(r, read[schema.AdminReport](r))
	case "admin:resolve-report":
		return d.resolve(r, read[schema.AdminResolveReport](r))
	case "admin:suspend":
		s := read[schema.AdminSuspend](r)
		if s.Until != nil && *s.Until <= r.Time {
			return schema.InvalidField
		}
		d.until[s.UserID] = 0
		if s.Until != nil {
			d.until[s.UserID] = *s.Until
		}
	case "admin:reinstate":
		user := read[schema.AdminReinstate](r).UserID
		if !d.suspended(user, r.Time) {
			return schema.NotSuspended
		}
		delete(d.until, user)
	case "admin:remove", "admin:restore":
		target := read[schema.AdminContent](r).Target
		now, _ := d.fate(target, "")
		switch {
		case target.Type == schema.TargetUser:
			return schema.InvalidField
		case now == deleted:
			return missing(target)
		case now == removed && r.Event == "admin:remove":
			return schema.AlreadyRemoved
		case now == there && r.Event == "admin:restore":
			return schema.NotRemoved
		}
		d.things[target].removed = r.Event == "admin:remove"
	}
	return ""
}

func missing(t schema.Target) schema.Code {
	return map[string]schema.Code{
		schema.TargetPost: schema.PostNotFound, schema.TargetComment: schema.CommentNotFound,
		schema.TargetMessage: schema.MessageNotFound, schema.TargetUser: schema.UserNotFound,
	}[t.Type]
}

func (d *docket) report(r eventlog.Record, data schema.AdminReport) schema.Code {
	target, me := data.Target, r.Actor.ID
	_, shown := d.fate(target, me)
	if target.Type == schema.TargetUser {
		shown = d.acted[target.ID]
	}
	switch {
	case target.Type == schema.TargetUser && target.ID == me:
		return schema.Oneself
	case target.Type == schema.TargetMessage && !slices.Contains(d.talks[target.ConversationID].users, me):
		return schema.ConversationNotFound
	case !shown:
		return missing(target)
	}
	for _, p := range d.reports {
		if p.Reporter.ID == me && p.Target == target && p.Resolution == "" {
			return schema.AlreadyReported
		}
	}
	d.reports = append(d.reports, &schema.Report{ID: r.ID, Reporter: r.Actor, Target: target, Reason: data.Reason, CreatedAt: r.Time})
	return ""
}

func (d *docket) resolve(r eventlog.Record, data schema.AdminResolveReport) schema.Code {
	for _, p := range d.reports {
		switch {
		case p.ID != data.ReportID:
		case p.Resolution != "":
			return schema.AlreadyResolved
		default:
			p.Resolution, p.Note, p.ResolvedBy, p.ResolvedAt = data.Resolution, data.Note, r.Actor.ID, &r.Time
			return ""
		}
	}
	return schema.ReportNotFound
}

// compareDocket asks for the reports, of each type and of all, and who is suspended.
func (g *gossip) compareDocket(v *View) {
	open := 0
	for _, targetType := range []string{"", schema.TargetPost, schema.TargetComment, schema.TargetMessage, schema.TargetUser} {
		var waiting, resolved []schema.Report
		for _, p := range slices.Backward(g.docket.reports) {
			shown := *p
			shown.Reporter = v.actor(p.Reporter.ID)
			switch {
			case targetType != "" && targetType != p.Target.Type:
			case p.Resolution == "":
				waiting = append(waiting, shown)
			default:
				resolved = append(resolved, shown)
			}
		}
		for status, want := range map[string][]schema.Report{
			"": slices.Concat(waiting, resolved), schema.StatusOpen: waiting, schema.StatusResolved: resolved,
		} {
			same(g.T, "reports about "+targetType+", "+status, pages(g.T, func(before string) (schema.Items[schema.Report], error) {
				return v.Reports(schema.AdminReports{Status: status, TargetType: targetType, Page: schema.Page{Before: before, Limit: 3}})
			}), want)
		}
		open = max(open, len(waiting))
	}
	same(g.T, "open reports", v.OpenReports(), open)
	now := g.records[len(g.records)-1].Time
	for user := range maps.Keys(g.docket.acted) {
		for _, at := range []schema.Time{now, now + 4000} {
			same(g.T, user+" is suspended", v.Suspended(user, at), g.docket.suspended(user, at))
		}
	}
}

func (g *gossip) moderate() {
	if user := g.pick(cast[:4]...); g.roll(8) == 0 {
		g.does("mod", "admin:suspend", schema.AdminSuspend{UserID: user, Until: new(start + schema.Time(len(g.records)+g.roll(9))*1000), Reason: "spam"})
		return
	} else if g.roll(16) == 0 {
		g.does("mod", "admin:reinstate", schema.AdminReinstate{UserID: user, Reason: "sorry"})
		return
	}
	g.does("mod", g.pick("admin:remove", "admin:remove", "admin:restore"), spam(g.target()))
}

// complain is what a user reports, and what moderators say of it.
func (g *gossip) complain(user string) {
	switch g.roll(6) {
	case 0:
		g.does("mod", "admin:announce", schema.AdminAnnounce{Content: g.text()})
	case 1, 2:
		id := unborn
		if all := g.docket.reports; len(all) > 0 {
			id = one(g, all[max(0, len(all)-4):]).ID
		}
		g.does("mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: id, Resolution: schema.ResolutionDismissed, Note: "no"})
	default:
		target := g.target()
		if all := g.docket.reports; len(all) > 0 && g.roll(3) == 0 { // once more
			p := one(g, all[max(0, len(all)-4):])
			user, target = p.Reporter.ID, p.Target
		}
		g.does(user, "admin:report", schema.AdminReport{Target: target, Reason: "rude"})
	}
}

// target draws what is reported, or removed: a user now and then.
func (g *gossip) target() schema.Target {
	switch {
	case g.roll(2) == 0 && len(g.messages) > 0:
		return one(g, g.messages[max(0, len(g.messages)-6):])
	case g.roll(2) == 0 && len(g.comments) > 0:
		return onComment(one(g, g.comments).CommentID)
	case g.roll(4) == 0:
		return onUser(g.pick(append(slices.Sorted(maps.Keys(g.docket.acted)), "yorick")...))
	}
	return onPost(g.recent(g.posts))
}
