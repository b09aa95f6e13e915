package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"roomlog/projections"
)

// print shows a status to a person.
func (s status) print(out io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("server", "%s", s.server())
	line("epoch", "%s", s.Epoch)
	line("log", "seq %d to %d, durable up to %d", s.Log.First, s.Log.Last, s.Log.Durable)
	for i, stream := range s.Streams {
		name := "streams"
		if i > 0 {
			name = ""
		}
		line(name, "%-7s %d messages, %s, seq %d to %d", stream.Name, stream.Messages, inBytes(int64(stream.Bytes)), stream.First, stream.Last)
	}
	line("read models", "%s", s.Projections)
	if s.Projections.Remark != "" {
		line("", "%s", s.Projections.Remark)
	}
	if s.Projections.Digest != "" {
		line("digest", "%s", s.Projections.Digest)
	}
	line("disk", "%s", s.Disk)
	line("clients", "%d sockets in %d rooms", s.Sockets, s.Rooms)
	if s.Rebuild != nil {
		line("rebuild", "%s", s.Rebuild)
	}
	for _, p := range s.Projections.Records {
		line("parked", "seq %d in %s: %s", p.Seq, p.Projector, p.Error)
	}
	for _, problem := range s.Problems {
		line("needs a look", "%s", problem)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (s status) server() string {
	switch {
	case s.Server != "running":
		return s.Server
	case s.Unready != "":
		return "running, not ready: " + s.Unready
	}
	return "running, ready"
}

func (p projectionsStatus) String() string {
	behind := "up to date"
	if p.Lag > 0 {
		behind = fmt.Sprintf("%d behind", p.Lag)
	}
	return fmt.Sprintf("at seq %d, %s, version %d, %d parked", p.Applied, behind, p.Version, p.Parked)
}

func (d diskStatus) String() string {
	text := fmt.Sprintf("log %s, read models %s; %s free", inBytes(int64(d.Log)), inBytes(d.Models), inBytes(d.Free))
	if d.Reserve > 0 {
		text += fmt.Sprintf(", below %s the log takes no records", inBytes(d.Reserve))
	}
	return text
}

// inBytes writes a number of bytes for people.
func inBytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for ; value >= 999.95 && unit < len(units)-1; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}

const units = "kMGTPE"

// oneLine is a status on one line, for those who watch it other than on a terminal.
func (s status) oneLine() string {
	text := fmt.Sprintf("%s; log durable up to %d, read models %s; %d sockets; %s free",
		s.server(), s.Log.Durable, s.Projections, s.Sockets, inBytes(s.Disk.Free))
	if s.Rebuild != nil {
		text += "; rebuild " + s.Rebuild.String()
	}
	return text
}

// barWidth is the width of a bar's inside, in characters.
const barWidth = 40

// bars shows a rebuild as rebuildView does: the records, and below them the part that
// each read model has in what was written.
func (s *rebuildStatus) bars() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-15s %s %s\n", "records", bar(s.Records, s.Target), s)
	var all uint64
	for _, m := range s.Models {
		all += m.Bytes
	}
	for _, m := range s.Models {
		fmt.Fprintf(&b, "  %-13s %s %s\n", m.Name, bar(m.Bytes, all), volume(m))
	}
	return b.String()
}

func volume(m projections.Volume) string {
	return fmt.Sprintf("%d rows, %s", m.Rows, inBytes(int64(m.Bytes)))
}

func bar(done, of uint64) string {
	filled := 0
	if of > 0 {
		filled = int(min(done, of) * barWidth / of)
	}
	return "[" + strings.Repeat("=", filled) + strings.Repeat("-", barWidth-filled) + "]"
}

// stamp is the time of a line.
func stamp() string { return time.Now().UTC().Format("15:04:05") }
