// Package replay shows the log to those who audit it: which record, by whom,
// about what, and what the log's order made of it. It saves and restores the log, and
// takes it out as CloudEvents and in.
//
// Invariants:
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
//   - A backup takes the place of the one before, and a restored directory that of the
//     one that it replaces, in one moment, when all of it is on disk.
//   - A restored log keeps its epoch only if nothing that anybody was told of is missing
//     from it, as far as can be shown.
//
// It stands on eventlog and projections and knows nothing of sockets.
package replay
