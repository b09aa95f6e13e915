package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"roomlog/realtime"
	"roomlog/schema"
)

// The numbers of SECURITY.md are those of the code, and so are the flags' defaults.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	d := realtime.Defaults()
	rows := make(map[string]string) // default by door
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			rows[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[3])
		}
	}
	minute := func(events int) string { return fmt.Sprintf("%d a minute", events) }
	for door, want := range map[string]string{
		"listen":                              defaultListen,
		"connections":                         fmt.Sprint(d.MaxConnections),
		"… of one address":                    fmt.Sprint(d.MaxPerAddress),
		"… of one user":                       fmt.Sprint(d.MaxSocketsPerUser),
		"handshake":                           inWords(d.HandshakeTimeout),
		"first frame":                         inWords(d.ConnectTimeout),
		"message":                             inWords(d.MessageTimeout),
		"ping, pong":                          fmt.Sprintf("every %s, within %s", inWords(d.PingInterval), inWords(d.PongTimeout)),
		"slow reader":                         fmt.Sprintf("%d frames, %d bytes, %s a write", d.MaxQueuedFrames, d.MaxQueuedBytes, inWords(d.WriteTimeout)),
		"slow readers together":               fmt.Sprintf("%d bytes", d.MaxQueuedBytesInAll),
		"too much to do":                      fmt.Sprintf("%s, %d of each", inWords(d.MaxWait), d.MaxWaiting),
		"connections that are no sockets yet": fmt.Sprint(d.MaxHandshakes),
		"frame":                               fmt.Sprintf("%d bytes", d.MaxFrameBytes),
		"nesting":                             fmt.Sprint(schema.MaxDepth),
		"commands of a socket":                minute(d.RateEvents),
		"… of a user, all sockets":            minute(d.RateUserEvents),
		"connects of a user":                  minute(d.RateConnects),
		"posts, comments, shares":             minute(d.RatePosts),
		"reports":                             minute(d.RateReports),
		"requests of one address":             minute(d.RateUpgrades),
		"pings and pongs of a socket":         minute(d.RateControls),
	} {
		if rows[door] != want {
			t.Errorf("the default of %s is %s, and SECURITY.md says %q", door, want, rows[door])
		}
	}

	help := good(t, "serve", "--help")
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(help, flag[1]) && flag[1] != "--permissions" {
			t.Errorf("serve has no %s", flag[1])
		}
	}
	for field, flag := range map[string]string{
		"MaxWait": "MaxWait", "MaxConnections": "MaxConnections", "MaxPerAddress": "MaxConnectionsPerAddress", "RateEvents": "RateEvents", "RateUserEvents": "RateUserEvents",
		"RateConnects": "RateConnects", "RatePosts": "RatePosts", "RateReports": "RateReports", "RateUpgrades": "RateUpgrades",
	} {
		f, _ := reflect.TypeFor[serverConfig]().FieldByName(flag)
		if got, want := f.Tag.Get("default"), fmt.Sprint(reflect.ValueOf(d).FieldByName(field)); got != want {
			t.Errorf("the flag of %s is %q by default, and in the code %s", flag, got, want)
		}
	}
}
