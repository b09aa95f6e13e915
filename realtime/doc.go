// Package realtime is the gateway: it takes WebSocket clients, turns what they
// send into records, and tells rooms of sockets what the log made of them.
//
// The way of a command: a session reads a frame (read.go), the registry finds
// the command (commands.go), the log takes the record, the projections decide
// it, and Deliver brings the ack to the sender (acks.go) and the pushes to the
// rooms (hub.go), through each socket's send queue (write.go). A client that comes
// back is told what it missed from the log, and then goes live (resume.go).
//
// Invariants:
//   - Nobody hears of a fact before it is durable and in the read models: acks
//     and pushes of facts come from Deliver alone.
//   - Acks of facts and pushes reach one socket in the order of the log, each at
//     most once. A socket that cannot keep up is closed, never waited for.
//   - A socket is let into a room as of a place in the log: who has left the room
//     since does not get in, and what the place shows is not pushed again
//     (rooms.go). That holds for joining, and for coming back.
//   - A client that comes back is told every push that it missed and may hear now,
//     once and in order, then socket:resumed, and then every later one; or else
//     socket:resync, and nothing of what it missed. Until then its commands wait.
//   - Who is told what is said in one place, the projections, for a push as for what
//     was missed. So is who may do what: package schema says it, and the projections
//     know who is what to what; here only roles are held against the token.
//   - What comes after a record that suspends somebody finds their sockets closed or
//     closing, and none of theirs gets in: who is let in is looked at again when a
//     suspension came in between.
//   - Of one record's pushes a socket hears its notifications first and only the last
//     one carries the record's place: a cursor never stands in the middle (notes.go).
//   - A moderator's tail reads the log at the moderator's pace: what it has not sent
//     is in the log, not in memory (tail.go).
//   - Who a user is comes from the verified token alone.
//   - A quiet socket costs one goroutine, blocked in a read with a small stack
//     and a small buffer: no writer, no timer, no payload buffer of its own.
//   - Every queue and table that clients can fill has a named limit in Config.
//
// Locks are taken in one order: circles.mu, which Deliver holds, then hub.mu, then a send
// queue's mu, or that of another part which calls nothing of this package. Nothing that
// can block is called under the last two: the read models are viewed, and the log is
// read, without.
//
// It imports schema, eventlog and projections; how a count is computed is not
// its business.
package realtime
