package projections

import (
	"encoding/binary"
	"fmt"

	"roomlog/schema"
)

// report is a row of reports. It is open while resolution is empty.
type report struct {
	seq                          uint64
	created, resolvedAt          schema.Time
	reporter, reason             string
	target                       schema.Target
	resolution, note, resolvedBy string
}

func (p report) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, p.seq)
	b = appendTime(b, p.created)
	b = appendTime(b, p.resolvedAt)
	for _, s := range [...]string{
		p.reporter, p.reason, p.target.Type, p.target.ID, p.target.ConversationID, p.resolution, p.note, p.resolvedBy,
	} {
		b = appendText(b, s)
	}
	return b
}

func decodeReport(row []byte) report {
	f := fields{row}
	return report{
		seq: f.uint(), created: f.time(), resolvedAt: f.time(), reporter: f.text(), reason: f.text(),
		target:     schema.Target{Type: f.text(), ID: f.text(), ConversationID: f.text()},
		resolution: f.text(), note: f.text(), resolvedBy: f.text(),
	}
}

func (p report) describe() Fields {
	return Fields{
		{"seq", p.seq}, {"status", p.status()}, {"reporter", p.reporter}, {"target", p.target}, {"reason", p.reason}, {"created", p.created},
	}.maybe("resolution", p.resolution).maybe("note", p.note).maybe("resolvedBy", p.resolvedBy).at("resolvedAt", p.resolvedAt)
}

func (p report) status() string {
	if p.resolution == "" {
		return schema.StatusOpen
	}
	return schema.StatusResolved
}

// listed are the keys of a report in the lists that it stands in.
func (p report) listed() [2][]byte {
	return [...][]byte{place(listName(p.status(), ""), p.seq), place(listName(p.status(), p.target.Type), p.seq)}
}

// listName names the reports of a status, about targets of one type or of any ("").
func listName(status, targetType string) string { return status + " " + targetType }

// waitingKey is of what a user waits for an answer about.
func waitingKey(reporter string, t schema.Target) []byte { return pair(reporter, t.Type+":"+t.ID) }

func (m *moderation) report(r *record, d *schema.AdminReport) (verdict, error) {
	key := waitingKey(r.Actor.ID, d.Target)
	switch {
	case d.Target.Type == schema.TargetUser && d.Target.ID == r.Actor.ID:
		return void(schema.Oneself), nil
	case !r.subject.shown:
		return void(notFound(d.Target.Type)), nil
	case m.waiting.has(key):
		return void(schema.AlreadyReported), nil
	case m.reports.has([]byte(r.ID)):
		return verdict{}, fmt.Errorf("the report id %s is taken", r.ID)
	}
	p := report{seq: r.Seq, created: r.Time, reporter: r.Actor.ID, reason: d.Reason, target: d.Target}
	m.reports.put([]byte(r.ID), p.encode(m.reports.blank()))
	for _, key := range p.listed() {
		m.lists.put(key, []byte(r.ID))
	}
	m.waiting.put(key, []byte(r.ID))
	m.countOpen(1)
	return m.reported(r, d, 0), nil
}

func (m *moderation) reported(r *record, d *schema.AdminReport, _ uint64) verdict {
	return r.applied(schema.Reported{Report: schema.Report{
		ID: r.ID, Reporter: r.Actor, Target: d.Target, Reason: d.Reason, CreatedAt: r.Time,
	}}, schema.RoomAdmin)
}

func (m *moderation) resolve(r *record, d *schema.AdminResolveReport) (verdict, error) {
	row := m.reports.get([]byte(d.ReportID))
	if row == nil {
		return void(schema.ReportNotFound), nil
	}
	p := decodeReport(row)
	switch {
	case p.resolution != "":
		return void(schema.AlreadyResolved), nil
	case d.Resolution == "":
		return void(schema.InvalidField), nil
	}
	for _, key := range p.listed() {
		m.lists.remove(key)
	}
	p.resolution, p.note, p.resolvedBy, p.resolvedAt = d.Resolution, d.Note, r.Actor.ID, r.Time
	for _, key := range p.listed() {
		m.lists.put(key, []byte(d.ReportID))
	}
	m.reports.put([]byte(d.ReportID), p.encode(m.reports.blank()))
	m.waiting.remove(waitingKey(p.reporter, p.target))
	m.countOpen(-1)
	return m.resolved(r, d, 0), nil
}

func (m *moderation) resolved(r *record, d *schema.AdminResolveReport, _ uint64) verdict {
	return r.applied(schema.ReportResolved{
		ReportID: d.ReportID, Resolution: d.Resolution, Note: d.Note, ResolvedBy: r.Actor.ID, ResolvedAt: r.Time,
	}, schema.RoomAdmin)
}

// OpenReports returns how many reports are open.
func (v *View) OpenReports() int { return int(v.state.moderation.open()) }

// Reports answers admin:reports: open ones first, of each kind the newest first by
// place in the log. A report that ended a page may be resolved before the next one
// is asked for: a list of one status goes on where it stood, the list of both goes
// on among the resolved ones.
func (v *View) Reports(q schema.AdminReports) (schema.Items[schema.Report], error) {
	page := schema.Items[schema.Report]{Items: []schema.Report{}}
	m := &v.state.moderation
	statuses, bound := []string{schema.StatusOpen, schema.StatusResolved}, uint64(pastEnd)
	if q.Status != "" {
		statuses = []string{q.Status}
	}
	if q.Before != "" {
		row := m.reports.get([]byte(q.Before))
		if row == nil {
			return page, unknownCursor()
		}
		p := decodeReport(row)
		if bound = p.seq; q.Status == "" && p.resolution != "" {
			statuses = statuses[1:]
		}
	}
	limit := pageSize(q.Page)
	for _, status := range statuses {
		list := listName(status, q.TargetType)
		for _, id := range m.lists.before(owned(list), place(list, bound)) {
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].ID
				return page, nil
			}
			page.Items = append(page.Items, v.report(string(id)))
		}
		bound = pastEnd
	}
	return page, nil
}

func (v *View) report(id string) schema.Report {
	p := decodeReport(v.state.moderation.reports.get([]byte(id)))
	return schema.Report{
		ID: id, Reporter: v.actor(p.reporter), Target: p.target, Reason: p.reason, CreatedAt: p.created,
		Resolution: p.resolution, Note: p.note, ResolvedBy: p.resolvedBy, ResolvedAt: optional(p.resolvedAt),
	}
}
