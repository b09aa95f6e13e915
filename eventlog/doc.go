// Package eventlog is the log of roomlog: every event as an immutable record in
// JetStream, in one total order, on disk before anyone hears of it.
//
// It runs a NATS server inside the process (or uses one outside) with three
// streams: EVENTS holds the facts for ever, SIGNALS what is short-lived, ADMIN
// what moderators watch. A record travels as a CloudEvents 1.0 message in binary
// mode, so that stock NATS and CloudEvents tools read it.
//
// Invariants:
//   - A record is acked only once it is on disk. Nothing that this package
//     hands out (Read, Get, Follow) lies past the durable sequence.
//   - Records of one goroutine are committed in the order of its calls, each
//     exactly once, and their done functions are called in the log's order.
//   - Nothing in EVENTS is ever changed or deleted.
//   - A failed fsync is final: the kernel may have dropped the pages, so the
//     log takes and acks nothing more.
//
// Who only reads needs no server of their own and changes nothing: OpenFiles opens a log
// by its files, OpenReader through NATS with a reader's rights.
//
// It imports schema and no other package of roomlog. It knows nothing of read
// models or sockets.
package eventlog

// BUG(admin): ADMIN is filled by the server itself, from EVENTS, before an fsync.
// After a power loss it may hold a fact of /admin that EVENTS lost (it was never
// acked), and then misses a fact that takes the lost one's sequence. EVENTS is what
// counts; the way out is to fill ADMIN from a follower of the durable log.

// BUG(readers): what the NATS users auditor and moderator read by themselves is not
// held back at the durable sequence: they may see a record some milliseconds before
// its fsync; so may who opened the log with OpenReader. Others do not.
