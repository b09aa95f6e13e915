package realtime

import (
	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// adminFacts are the facts of /admin. The gateway asks the token for roles, the
// projector decides the rest at the record's place in the log.
var adminFacts = map[string]command{
	"admin:report":         fact(func(r *eventlog.Record, p *schema.AdminReport) { r.Entity = "report:" + r.ID }),
	"admin:resolve-report": fact(func(r *eventlog.Record, p *schema.AdminResolveReport) { r.Entity = "report:" + p.ReportID }),
	"admin:remove":         fact(func(r *eventlog.Record, p *schema.AdminContent) { r.Entity = p.Target.Type + ":" + p.Target.ID }),
	"admin:restore":        fact(func(r *eventlog.Record, p *schema.AdminContent) { r.Entity = p.Target.Type + ":" + p.Target.ID }),
	"admin:suspend":        fact(func(r *eventlog.Record, p *schema.AdminSuspend) { r.Entity = "user:" + p.UserID }),
	"admin:reinstate":      fact(func(r *eventlog.Record, p *schema.AdminReinstate) { r.Entity = "user:" + p.UserID }),
	"admin:announce":       fact(func(*eventlog.Record, *schema.AdminAnnounce) {}),
}

var adminReportQueries = map[string]command{
	"admin:reports": query(func(_ *session, v *projections.View, q *schema.AdminReports) (any, error) {
		return v.Reports(*q)
	}),
}
