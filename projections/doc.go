// Package projections turns the log into read models in one bbolt file, decides
// what becomes of every record, and answers the queries.
//
// A projector is a pure function of the record and its own bucket. For every
// fact one projector is home: it decides whether the record is applied or void,
// and the other projectors are given that outcome. The order for one record is
// fixed: keys (is it a retry?), the home projector, the other projectors, and
// keys again, which remembers the answer.
//
// What a record tells is a second function of its home: tell follows decide, and is
// asked again when somebody who missed the push comes back. View.Missed lists the
// places of what a user was not told, from the history, and View.Retell makes the
// push of a record again.
//
// Invariants:
//   - Everything in the file comes back, equal in content, from the log alone:
//     no clock, no randomness, no map order and no batch boundary reaches a
//     bucket or a push. Digest makes that comparable.
//   - One transaction a batch, with the checkpoint in it. Applied advances, and
//     Deliver is called, only after that transaction. It survives the end of the
//     process; after a power loss the file is made anew (dirty.go says why).
//   - tell writes nothing, and looks up only what stays true. What it tells later is
//     what it told first, or nothing, when that is gone since; but users go by the
//     names that they have then. The count that a push carries is kept in the
//     history, for it is of the record's place.
//   - What is missed is listed as of the view: only in rooms that the caller found
//     open to the user, from the place on since which they follow an author or are
//     a participant.
//   - Sending a message costs the same in every conversation: participants, markers
//     and unread counts are not written, whoever they are of but the sender.
//   - A projector that fails on a record leaves no trace of it in its bucket. The
//     record is parked and the others carry on.
//   - A projector reads and writes only its own top-level bucket. Queries may
//     read all of them, at one position of the log.
//
// It imports schema and eventlog and no other package of roomlog. It knows
// nothing of sockets.
package projections
