// Command roomlog is a realtime social backend in one binary: serve runs it, the
// other subcommands try it, watch it, audit it and measure it.
//
// Each subcommand is one small file; server.go wires the packages to a running
// server, and control.go is how the others talk to one that runs. Flags are
// stronger than ROOMLOG_* variables, and those than the file that --config names.
// Output for people goes to standard output, logs and errors to standard error.
// Exit codes: 0 good, 1 failed, 2 wrong usage, 3 found a difference.
package main
