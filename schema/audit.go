package schema

// What the server notes in the ADMIN stream beside the facts of /admin. An entry's
// kind says what its data is.
const (
	AuditFact      = "fact"      // a fact of /admin, from the log: data as the catalogue says
	AuditRefused   = "refused"   // connections and commands that were refused: AuditNote
	AuditSlow      = "slow"      // sockets that were closed since they did not read: AuditNote
	AuditSuspended = "suspended" // sockets that were closed since their user is suspended: AuditNote
	AuditParked    = "parked"    // a record that a read model failed on: AuditParkedRecord
	AuditRebuild   = "rebuild"   // the read models were built anew: AuditRebuildStep
	AuditLoss      = "loss"      // the log lost records that had been applied: AuditLostRecords
	AuditRestored  = "restored"  // the log was restored from a backup: AuditRestoredLog

	AuditCheckpoint = "checkpoint" // what the log holds was signed: AuditSigned
)

// AuditKinds are all kinds of entries.
var AuditKinds = []string{AuditFact, AuditRefused, AuditSlow, AuditSuspended, AuditParked, AuditRebuild, AuditLoss, AuditRestored, AuditCheckpoint}

// AuditNote is what a user's sockets met with. The first of a kind is noted at
// once; those like it that follow are counted, and noted together a minute later:
// the counts of all entries add up to what happened.
type AuditNote struct {
	User   string `json:"userId,omitempty"`   // "" before a token was verified
	Socket string `json:"socketId,omitempty"` // the latest one
	Event  string `json:"event,omitempty"`    // the command, the latest one
	Code   string `json:"code"`               // error code; before the upgrade "HTTP_403" and the like, or "CUT_OFF"
	Detail string `json:"detail,omitempty"`   // why a connection was refused: "origin", "full", …
	Count  uint64 `json:"count"`              // how many of them this entry stands for
	// Others says that these were more users, or more kinds of refusals, than have
	// entries of their own in such a time.
	Others bool `json:"others,omitempty"`
	Since  Time `json:"since"` // of the first that the entry stands for
}

// AuditRebuildStep says how a rebuild of the read models went.
type AuditRebuildStep struct {
	State       string   `json:"state"` // one of the states below
	Seq         uint64   `json:"seq"`   // the read models' place in the log
	TookMs      int64    `json:"tookMs,omitempty"`
	Same        *bool    `json:"same,omitempty"`        // finished: the old ones had the same content
	Differences []string `json:"differences,omitempty"` // the read models that had not
	Error       string   `json:"error,omitempty"`       // failed: why
}

// The states of a rebuild.
const (
	RebuildStarted    = "started"
	RebuildFinished   = "finished"    // the new read models are in use
	RebuildCompared   = "compared"    // they were asked for to be compared, and no more
	RebuildRefused    = "refused"     // they differ, and were not asked for all the same
	RebuildFailed     = "failed"      // this, or a rollback
	RebuildCommitted  = "committed"   // the replaced ones were removed, since an operator said so
	RebuildExpired    = "expired"     // the replaced ones were removed, since their time was over
	RebuildRolledBack = "rolled back" // the replaced ones are in use again
)

// AuditParkedRecord is a record that a read model failed on: the other ones have it.
type AuditParkedRecord struct {
	Seq       uint64 `json:"seq"`
	ID        string `json:"id"`
	Event     string `json:"event"`
	Projector string `json:"projector"` // "log": nobody could read it
	Error     string `json:"error"`
}

// AuditLostRecords says that the log lacks records that were applied or signed, and that
// an operator had it go on without them, in a new epoch.
type AuditLostRecords struct {
	Reason  string `json:"reason"`
	Applied uint64 `json:"applied"` // up to which place they were
	Durable uint64 `json:"durable"` // the log's end
}

// AuditRestoredLog says from which backup the log was restored.
type AuditRestoredLog struct {
	Made     Time   `json:"made"` // the backup
	Seq      uint64 `json:"seq"`  // its end
	NewEpoch bool   `json:"newEpoch"`
	Why      string `json:"why"` // the epoch is new, or the same
}

// AuditSigned is a checkpoint of the log: who keeps one can tell later whether the log
// still begins with what it had then.
type AuditSigned struct {
	Size    uint64 `json:"size"` // it is over the records up to this place
	Root    string `json:"root"` // of the log's Merkle tree, base64
	Epoch   string `json:"epoch"`
	Key     string `json:"key"`               // verifier key of what signed it
	NextKey string `json:"nextKey,omitempty"` // that of what signs from now on, when the key was rotated
	Note    string `json:"note"`              // the checkpoint itself, c2sp.org/tlog-checkpoint
}
