// Package replay shows the log to those who audit it: which record, by whom,
// about what, and what the log's order made of it; and proves to them that it is
// the log that it was. It saves and restores the log, and takes it out as CloudEvents
// and in.
//
// Invariants of what is shown:
//   - Records come in the order of the log, each once, and never before they
//     are durable.
//   - What is asked of one name (an entity, an actor, a room, an id) is found by the
//     history index: the log is not scanned for it.
//   - The past is never guessed at either: what a record changed, and what was to be
//     seen at a place, is told by read models that stand there.
//   - Whoever replays changes nothing, wherever the log is.
//   - A line's outcome is what the read models decided at the record's place;
//     a record that they have not reached yet is "pending", never guessed at.
//   - Memory does not grow with the log: records are read and handed on in
//     batches, and no read transaction stays open while a slow reader takes one.
//
// Invariants of what is saved:
//   - A backup takes the place of the one before, and a restored directory that of the
//     one that it replaces, in one moment, when all of it is on disk.
//   - A restored log keeps its epoch only if nothing that anybody was told of is missing
//     from it, as far as can be shown.
//
// Invariants of what is signed (Signer):
//   - A checkpoint is over durable records that are in the read models, and no others:
//     after a power loss the log has all that was ever signed.
//   - Nothing is signed that does not go on from what was signed before: the tree must
//     have the newest checkpoint's root at its size. What does not is a Loss, and the
//     log is not gone on with.
//   - A checkpoint is durable before anybody is told of it, and each of its files is
//     replaced as a whole.
//   - Checkpoints do not grow without end, and those that hand over from a key to the
//     next one are never dropped. The old key signs the new one, so that trust in the
//     first leads to trust in all that follow.
//
// Invariants of what is verified (Verify):
//   - The tree is made anew from the log's records alone, by the files where it can be;
//     nothing is changed, and no server is started on them.
//   - What is found is wrong beyond doubt, given the keys that are trusted. The place of
//     it is exact where the read models' tree or the log's own order tells, and otherwise
//     lies between two checkpoints, which are named.
//   - Read models count for less than a signature: where the log is as it was signed,
//     they are what is wrong.
//   - A proof needs nothing but its text and a key.
//
// It stands on eventlog and projections and knows nothing of sockets.
package replay
