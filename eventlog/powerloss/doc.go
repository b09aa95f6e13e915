// Package powerloss lets a test pull the plug on a data directory.
//
// A Journal notes what a process made durable, as it says so (eventlog's
// Config.OnSync). Once that process has been killed with SIGKILL, Strike rolls the
// directory back to what a power loss at that moment might have left: bytes that
// were never synced are cut off, zeroed or replaced by noise, names that were
// never synced are gone, files replaced since their last sync are back or torn.
// What was synced stays; so a program that finds less than it promised after a
// Strike has promised too early.
//
// It is test support. It models a disk that keeps what fsync was told, and
// anything or nothing of the rest. Left out: the return of files whose removal was
// not synced, and changes inside the synced part of a file (the log only appends).
package powerloss
