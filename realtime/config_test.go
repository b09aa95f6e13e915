package realtime_test

import (
	"strings"
	"testing"

	"roomlog/realtime"
)

func TestConfigThatCannotWork(t *testing.T) {
	g := openGateway(t, nil)
	for name, change := range map[string]func(*realtime.Config){
		"Config.Log is missing":                              func(c *realtime.Config) { c.Log = nil },
		"Config.Models is missing":                           func(c *realtime.Config) { c.Models = nil },
		"Config.Auth is missing":                             func(c *realtime.Config) { c.Auth = nil },
		"Config.MaxConnections is 0; start from Defaults()":  func(c *realtime.Config) { c.MaxConnections = 0 },
		"Config.PongTimeout is -1; start from Defaults()":    func(c *realtime.Config) { c.PongTimeout = -1 },
		"Config.RateWindow is shorter than a millisecond":    func(c *realtime.Config) { c.RateWindow = 1 },
		"none of the rates in Config may be negative":        func(c *realtime.Config) { c.RateEvents = -1 },
		"none of the rates":                                  func(c *realtime.Config) { c.RateReports = -1 },
		"Config.MaxPerAddress and PresenceGrace must not be": func(c *realtime.Config) { c.MaxPerAddress = -1 },
	} {
		cfg := realtime.Defaults()
		cfg.Log, cfg.Models = g.log, g.models
		cfg.Auth = newAuth(t, realtime.AuthConfig{Secret: authSecret})
		change(&cfg)
		if _, err := realtime.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}
