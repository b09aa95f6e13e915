package schema

import "encoding/json"

// The payloads of /admin.

// Types of what a report or a removal is about. Users are reported and suspended,
// never removed.
const (
	TargetPost    = "post"
	TargetComment = "comment"
	TargetMessage = "message"
	TargetUser    = "user"
)

// How a report is resolved.
const (
	ResolutionDismissed = "dismissed"
	ResolutionRemoved   = "removed"
	ResolutionSuspended = "suspended"
)

// What has become of a report.
const (
	StatusOpen     = "open"
	StatusResolved = "resolved"
)

// Target is what a report or a removal is about. A message is named with its
// conversation.
type Target struct {
	Type           string `json:"type"`
	ID             string `json:"id"`
	ConversationID string `json:"conversationId,omitempty"`
}

// AdminReport is the data of admin:report.
type AdminReport struct {
	Target Target `json:"target"`
	Reason string `json:"reason"`
}

// AdminResolveReport is the data of admin:resolve-report.
type AdminResolveReport struct {
	ReportID   string `json:"reportId"`
	Resolution string `json:"resolution"`
	Note       string `json:"note,omitempty"`
}

// AdminContent is the data of admin:remove and admin:restore.
type AdminContent struct {
	Target Target `json:"target"`
	Reason string `json:"reason"`
}

// AdminSuspend is the data of admin:suspend; without Until it has no end.
type AdminSuspend struct {
	UserID string `json:"userId"`
	Until  *Time  `json:"until,omitempty"`
	Reason string `json:"reason"`
}

// AdminReinstate is the data of admin:reinstate.
type AdminReinstate struct {
	UserID string `json:"userId"`
	Reason string `json:"reason"`
}

// AdminAnnounce is the data of admin:announce.
type AdminAnnounce struct {
	Content string `json:"content"`
}

// AdminReports is the data of admin:reports. Status is "open", "resolved" or ""
// for both.
type AdminReports struct {
	Status     string `json:"status,omitempty"`
	TargetType string `json:"targetType,omitempty"`
	Page
}

// AdminHistory is the data of admin:history. Its cursors are places in the ADMIN
// stream, in decimal.
type AdminHistory struct {
	Event string `json:"event,omitempty"`
	Actor string `json:"actor,omitempty"`
	Page
}

// AdminTail is the data of admin:tail: a filter to follow by, or Stop.
type AdminTail struct {
	Filter *TailFilter `json:"filter,omitempty"`
	Stop   bool        `json:"stop,omitempty"`
}

// TailFilter picks records: those that match every field given. Events are names,
// or "post:*" for all of a noun.
type TailFilter struct {
	Events []string `json:"events,omitempty"`
	Actor  string   `json:"actor,omitempty"`
	Entity string   `json:"entity,omitempty"`
}

// Report is a report as pushes and queries show it. It is open while Resolution
// is empty.
type Report struct {
	ID         string `json:"id"`
	Reporter   Actor  `json:"reporter"`
	Target     Target `json:"target"`
	Reason     string `json:"reason"`
	CreatedAt  Time   `json:"createdAt"`
	Resolution string `json:"resolution,omitempty"`
	Note       string `json:"note,omitempty"`
	ResolvedBy string `json:"resolvedBy,omitempty"`
	ResolvedAt *Time  `json:"resolvedAt,omitempty"`
}

// The pushes of /admin. The sender's ack carries the same data.
type (
	// Reported is pushed as admin:report.
	Reported struct {
		Report Report `json:"report"`
	}
	// ReportResolved is pushed as admin:resolve-report.
	ReportResolved struct {
		ReportID   string `json:"reportId"`
		Resolution string `json:"resolution"`
		Note       string `json:"note,omitempty"`
		ResolvedBy string `json:"resolvedBy"`
		ResolvedAt Time   `json:"resolvedAt"`
	}
	// ContentModerated is pushed as admin:remove and admin:restore.
	ContentModerated struct {
		Target      Target `json:"target"`
		Reason      string `json:"reason"`
		ModeratorID string `json:"moderatorId,omitempty"` // for moderators alone
		At          Time   `json:"at"`
	}
	// UserSuspended is pushed as admin:suspend.
	UserSuspended struct {
		UserID      string `json:"userId"`
		Until       *Time  `json:"until,omitempty"`
		Reason      string `json:"reason"`
		ModeratorID string `json:"moderatorId"`
		At          Time   `json:"at"`
	}
	// UserReinstated is pushed as admin:reinstate.
	UserReinstated struct {
		UserID      string `json:"userId"`
		Reason      string `json:"reason"`
		ModeratorID string `json:"moderatorId"`
		At          Time   `json:"at"`
	}
	// Announcement is pushed as admin:announce.
	Announcement struct {
		ID        string `json:"id"`
		Author    Actor  `json:"author"`
		Content   string `json:"content"`
		CreatedAt Time   `json:"createdAt"`
	}
	// AdminRecord is pushed as admin:record: a record that a tail's filter matches.
	AdminRecord struct {
		Seq    uint64          `json:"seq"`
		Time   Time            `json:"time"`
		Event  string          `json:"event"`
		Actor  Actor           `json:"actor"`
		Entity string          `json:"entity"`
		Code   Code            `json:"code,omitempty"` // why the record is void; "" for an applied one
		Data   json.RawMessage `json:"data"`
	}
)

// AuditEntry is one entry of the ADMIN stream: a fact of /admin, or what the server
// noted, as audit.go lists it. Only facts have an Event, an Actor and a LogSeq.
type AuditEntry struct {
	Seq    uint64          `json:"seq"` // place in the ADMIN stream
	Time   Time            `json:"time"`
	Kind   string          `json:"kind"` // "fact", or what the server noted: "refused", …
	Event  string          `json:"event,omitempty"`
	Actor  *Actor          `json:"actor,omitempty"`
	LogSeq uint64          `json:"logSeq,omitempty"` // a fact's place in the log
	Code   Code            `json:"code,omitempty"`   // why a fact is void; "" for an applied one
	Data   json.RawMessage `json:"data"`
}

// AdminStats is the answer to admin:stats.
type AdminStats struct {
	Sockets     int      `json:"sockets"`
	Users       int      `json:"users"`
	Rooms       int      `json:"rooms"`
	OpenReports int      `json:"openReports"`
	Log         LogStats `json:"log"`
}

// LogStats says where the log and the read models stand.
type LogStats struct {
	Epoch   string `json:"epoch"`
	First   uint64 `json:"first"`
	Durable uint64 `json:"durable"`
	Applied uint64 `json:"applied"`
}
