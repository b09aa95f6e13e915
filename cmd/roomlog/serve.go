package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"roomlog/eventlog"
)

type serveCmd struct {
	serverConfig
	LogFormat string     `enum:"text,json" default:"text" help:"Format of the log on standard error: text or json."`
	LogLevel  slog.Level `default:"info" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn or error."`
}

// Run serves until the first signal, then drains.
func (c *serveCmd) Run(a *app) error {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	var handler slog.Handler = slog.NewTextHandler(a.err, options)
	if c.LogFormat == "json" {
		handler = slog.NewJSONHandler(a.err, options)
	}
	s, err := NewServer(a.ctx, c.serverConfig, slog.New(handler))
	if err != nil {
		return err
	}
	err = s.Run(a.ctx, func() { s.greet(a.out) })
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	fmt.Fprintln(a.out, "drained: everything that was accepted is stored and answered")
	return nil
}

// greet tells a person what runs, where, and what to do next.
func (s *Server) greet(out io.Writer) {
	fmt.Fprintf(out, "roomlog ready at %s\n", s.URL())
	if s.cfg.NATSURL != "" {
		fmt.Fprintf(out, "  log          %s\n  read models  %s\n", eventlog.RedactURL(s.cfg.NATSURL), s.cfg.Data)
	} else {
		fmt.Fprintf(out, "  data         %s\n", s.cfg.Data)
	}
	if s.cfg.authConfigured() {
		fmt.Fprintln(out, "  tokens       as configured")
		return
	}
	flags := ""
	if filepath.Clean(s.cfg.Data) != "roomlog-data" {
		flags = " --data " + s.cfg.Data
	}
	fmt.Fprintf(out, "  reachable    from this machine only, until --auth-secret-file or --auth-jwks says whose tokens to trust\n")
	fmt.Fprintf(out, "  a token      %s token --user alice%s\n", self(), flags)
	if s.cfg.Listen != defaultListen {
		flags += " --server " + s.URL()
	}
	fmt.Fprintf(out, "  try it       %s connect --as alice%s\n", self(), flags)
}
