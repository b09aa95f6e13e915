// Package replay shows the log to those who audit it: which record, by whom,
// about what, and what the log's order made of it.
//
// Invariants:
//   - Records come in the order of the log, each once, and never before they
//     are durable.
//   - A line's outcome is what the read models decided at the record's place;
//     a record that they have not reached yet is "pending", never guessed at.
//   - Memory does not grow with the log: records are read and handed on in
//     batches, and no read transaction stays open while a slow reader takes one.
//
// It stands on eventlog and projections and knows nothing of sockets.
package replay
