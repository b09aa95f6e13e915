package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"roomlog/replay"
)

// What is saved of a data directory beside the log, as patterns of names.
var (
	signedFiles = []string{"checkpoint", "checkpoints"} // by the key in log.key
	publicFiles = append([]string{"log.pub", "checkpoint*.lost-*", "checkpoint*.before-restore"}, signedFiles...)
	secretFiles = []string{secretName, "nats.*.password", "log.key"}
)

type backupCmd struct {
	Dir            string `arg:"" placeholder:"DIR" help:"Where to: an empty directory, a new one, or an earlier backup of the same log, of which only what is new is written."`
	Data           string `default:"./roomlog-data" placeholder:"DIR" help:"The server's data directory (${default}), whether it runs or not."`
	NATSURL        string `name:"nats-url" placeholder:"URL" help:"A NATS cluster makes its own backups."`
	WithoutSecrets bool   `help:"Leave the server's secrets out: a restored server makes new ones, and tokens and passwords of now are worth nothing there."`
	JSON           bool   `name:"json" help:"One JSON object."`
}

// backupReport is what a backup holds, for machines.
type backupReport struct {
	Dir     string    `json:"dir"`
	Epoch   string    `json:"epoch"`
	First   uint64    `json:"first"`
	Last    uint64    `json:"last"`
	Records uint64    `json:"records"`
	New     uint64    `json:"new"` // records since the backup before
	Made    time.Time `json:"made"`
	Running bool      `json:"running"`
	Copied  int64     `json:"copied"` // bytes
	Size    int64     `json:"size"`
}

// Run saves the log.
func (c *backupCmd) Run(a *app) error {
	if c.NATSURL != "" {
		return usageError(errOutside)
	}
	o := replay.BackupOptions{
		Data: c.Data, Dir: c.Dir, WithoutSecrets: c.WithoutSecrets,
		Files: publicFiles, Secrets: secretFiles, Version: version(),
	}
	if server := dialControl(c.Data); server != nil {
		if _, _, err := server.logEnd(a.ctx); err != nil {
			return err // its log may be elsewhere
		}
		o.Where = server.logEnd
	} else if err := c.stopped(a); err != nil {
		return err
	}
	bar := newProgress(a.err, "backup", "bytes")
	o.Progress = bar.set
	report, err := replay.Backup(a.ctx, o)
	bar.finish()
	if err != nil {
		return fmt.Errorf("cannot make the backup: %w", err)
	}
	return c.print(a.out, report)
}

// stopped makes sure that there is a log to save.
func (c *backupCmd) stopped(a *app) error {
	if err := finishRestore(c.Data, a.warnings()); err != nil {
		return err
	}
	return source{Data: c.Data}.hasLog()
}

func (c *backupCmd) print(out io.Writer, r *replay.BackupReport) error {
	report := backupReport{
		Dir: c.Dir, Epoch: r.Epoch, First: r.First, Last: r.Last, Records: r.Records, New: r.Last - r.Since,
		Made: r.Made, Running: r.Running, Copied: r.Copied, Size: r.Size,
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(report)
	}
	fmt.Fprintf(out, "saved seq %d to %d in %s: %d new records, %s written, %s in all\nepoch %s\n",
		r.First, r.Last, c.Dir, report.New, bytesOf(r.Copied), bytesOf(r.Size), r.Epoch)
	if !c.WithoutSecrets {
		fmt.Fprintln(out, "it holds the server's secrets: keep it as safe as the data directory, or use --without-secrets")
	}
	return nil
}

// errOutside says what to do about a log that is not in the data directory.
var errOutside = fmt.Errorf("the log is in a NATS cluster, whose own backup is the one to use: nats stream backup EVENTS DIR (roomlog export --nats-url URL works everywhere)")

// logEnd is where a log ends.
type logEnd struct {
	Epoch   string `json:"epoch"`
	Durable uint64 `json:"durable"`
	Outside bool   `json:"outside"` // it is in a NATS cluster
}

func (s *Server) serveLogEnd(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(logEnd{s.log.Epoch(), s.log.Durable(), s.cfg.NATSURL != ""})
}

// logEnd asks the running server where its log ends.
func (r *remote) logEnd(ctx context.Context) (epoch string, durable uint64, err error) {
	var end logEnd
	err = r.lines(ctx, "GET", "/log", nil, func(text json.RawMessage) error { return json.Unmarshal(text, &end) })
	if err == nil && end.Outside {
		err = errOutside
	}
	return end.Epoch, end.Durable, err
}

// bytesOf is a number of bytes for people.
func bytesOf(n int64) string {
	const units = "kMGT"
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 1000 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, units[unit])
}

// version is that of this binary, as the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && info.Main.Version == "(devel)" {
			return s.Value
		}
	}
	return info.Main.Version
}
