package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"roomlog/schema"
)

// The exit codes.
const (
	exitGood = iota
	exitFailed
	exitUsage
	exitDiffers
)

type cli struct {
	Config string `placeholder:"FILE" help:"YAML file with flags by their names; weaker than flags and ROOMLOG_* variables."`

	Serve   serveCmd   `cmd:"" help:"Run the server: log, read models and gateway in one process."`
	Token   tokenCmd   `cmd:"" help:"Mint a token for a user, signed with the shared secret."`
	Connect connectCmd `cmd:"" help:"Connect to a server as a user: type EVENT JSON, see acks and pushes."`
	Demo    demoCmd    `cmd:"" help:"Play Hamlet through real sockets: scenes are conversations, asides direct messages."`
	Replay  replayCmd  `cmd:"" help:"Show the records of the log, each with what became of it."`
	Inspect inspectCmd `cmd:"" help:"Show the admin stream: what moderators did, and what the server noted."`
	Verify  verifyCmd  `cmd:"" help:"Hold the log against what was signed of it, prove a record, or rotate the key that signs."`
	Rebuild rebuildCmd `cmd:"" help:"Build the read models anew from the log and compare."`
	Status  statusCmd  `cmd:"" help:"Show where the log and the read models stand."`
	Backup  backupCmd  `cmd:"" help:"Save the log into a directory, or bring the backup there up to date; the server may run."`
	Restore restoreCmd `cmd:"" help:"Put a backup in the place of a data directory."`
	Export  exportCmd  `cmd:"" help:"Write the log as CloudEvents, one JSON object a line."`
	Import  importCmd  `cmd:"" help:"Append CloudEvents, as export writes them, to the log of a stopped server."`
	Schema  schemaCmd  `cmd:"" help:"Write the event catalogue as an AsyncAPI 3 document, or into a description of the protocol."`
	Bench   benchCmd   `cmd:"" help:"Measure a server: ingest, fanout, idle connections, those that come back, or all of a social network."`
}

// app is what a subcommand runs in.
type app struct {
	ctx      context.Context // ends with the first SIGINT or SIGTERM
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) int {
	helped := false
	config := &configFile{}
	parser, err := kong.New(&cli{},
		kong.Name("roomlog"),
		kong.Description("A realtime social backend: every event a record in a log, a read model and a push."),
		kong.DefaultEnvars("ROOMLOG"),
		kong.Resolvers(config),
		kong.Vars{"server": defaultServer, "auditKinds": strings.Join(schema.AuditKinds, ", ")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(out, stderr),
		kong.Exit(func(int) { helped = true }), // only --help exits by itself
	)
	if err != nil {
		panic(err) // the struct tags above are wrong
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitGood
	}
	if config.err != nil {
		err = config.err // Kong puts it down to whichever flag it asked for first
	}
	if err != nil {
		fmt.Fprintf(stderr, "roomlog: %s; see roomlog --help\n", oneLine(err))
		return exitUsage
	}
	err = parsed.Run(&app{ctx: ctx, in: in, out: out, err: stderr})
	if err == nil {
		return exitGood
	}
	fmt.Fprintln(stderr, "roomlog:", oneLine(err))
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// exitError is an error with an exit code other than 1.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }

func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// warnings logs what an operator of a command for people must know, and no more.
func (a *app) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// isTerminal reports whether stream, a reader or a writer, has a person at its end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// self is how a person calls this binary, for hints that can be pasted.
func self() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/roomlog"
	}
	return "roomlog"
}
