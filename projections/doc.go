// Package projections turns the log into read models in one bbolt file, decides
// what becomes of every record, and answers the queries.
//
// A projector is a pure function of the record and its own bucket. For every
// fact one projector is home: it decides whether the record is applied or void,
// and the other projectors are given that outcome. The order for one record is
// fixed: keys (is it a retry?), the home projector, the other projectors, among them
// keys again, which remembers the answer.
//
// Before its home, a record is held against the permissions of package schema: whose
// is what it is about, does one of the two block the other, is its sender suspended
// at its time (relations.go)? That is the one place where read models meet in order
// to decide. Queries and signals are asked the same, as of now.
//
// What moderators remove is not there for anybody: its row is kept aside until it is
// restored (moderation_content.go), and no query and no decision looks there.
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
//   - One transaction a batch, with the checkpoint in it, or a whole file in the place
//     of the one before (whole.go). Applied advances, and Deliver is called, only after
//     that. It survives the end of the process; after a power loss the file is made anew
//     (dirty.go says why).
//   - tell writes nothing, and looks up only what stays true. What it tells later is
//     what it told first, or nothing, when that is gone since; but users go by the
//     names that they have then. The count that a push carries is kept in the
//     history, for it is of the record's place.
//   - What is missed is listed as of the view: only in rooms that the caller found
//     open to the user, from the place on since which they follow an author or are
//     a participant.
//   - Sending a message costs the same in every conversation: participants, markers
//     and unread counts are not written, whoever they are of but the sender.
//   - Whether a notification exists, under which id and whether it counts, follows from
//     the log alone. One counts while it is unread, what it is about is there, and, of
//     messages, one for which it stands is; so a count is kept by whoever changes one
//     of these (mail.change, mail.drop), and nowhere else.
//   - The unread notifications of a conversation's messages are one row (of at most 100
//     participants), so that a message renews them all at the cost of one.
//   - A text mentions those whom it mentions when it is written. Edits notify nobody and
//     take nothing back.
//   - A projector that fails on a record leaves no trace of it in its bucket. The
//     record is parked and the others carry on.
//   - A projector reads and writes only its own top-level bucket. Queries may
//     read all of them, at one position of the log.
//   - What the second crew of projectors knows decides nothing of the first's (state.go),
//     but for retries: so a load, which nobody waits for, has both work at once, the
//     second a batch behind (writer.go).
//   - A projector's version rises with every change of what it makes of a record: that
//     is the promise by which a file is known to be this release's own. layout rises
//     besides when older rows could be misread (version.go). Of another release's file
//     nothing is changed until another one is complete, which then takes its place; it
//     is kept for a day, and its own release finds it there.
//   - A rebuild replaces what is served only when both are equal at one place of the
//     log, when other versions made the old one, or when an operator says so. Replacing,
//     and going back, is done between two batches: no record is applied twice or left
//     out, and nobody is told of one again. At every moment of it the process may end
//     (Point).
//   - Every place of the log is a leaf of one Merkle tree (tree.go), whatever became of
//     its record, and what is stored of the tree is written once.
//   - A log that lacks what was applied is not gone on with: Open fails with a Loss until
//     the log is whole again, or begins another epoch.
//   - Rows are bytes to all but describers, which name their parts for people. Every
//     table has one.
//   - Read models of the past (Past) and those that are opened to be read (OpenReadOnly)
//     leave what a server keeps as it is.
//   - What a file shows that cannot have been written ends the read models, whoever
//     meets it: the next start sets the file aside.
//
// It imports schema and eventlog and no other package of roomlog. It knows
// nothing of sockets.
package projections
