package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// configFile gives flags the values of the YAML file that --config or
// ROOMLOG_CONFIG names. Kong asks it for flags that the command line does not
// set; it leaves those to the environment that the environment sets.
type configFile struct {
	once   sync.Once
	values map[string]any
	err    error
}

func (c *configFile) Validate(*kong.Application) error { return nil }

func (c *configFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	c.once.Do(func() { c.load(ctx) })
	if c.err != nil {
		return nil, c.err
	}
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	switch v := c.values[flag.Name].(type) {
	case int, int64, uint64, float64:
		return fmt.Sprint(v), nil // as on the command line: Kong would take 30 for 30 ns, and 1.5 for 1
	default:
		return v, nil
	}
}

func (c *configFile) load(ctx *kong.Context) {
	path := ""
	for _, flag := range ctx.Flags() {
		if flag.Name == "config" {
			path, _ = ctx.FlagValue(flag).(string)
		}
	}
	if path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		c.err = fmt.Errorf("cannot read the configuration: %w", err)
		return
	}
	if err := yaml.Unmarshal(text, &c.values); err != nil {
		c.err = fmt.Errorf("%s is not a YAML file of flags by name, such as \"listen: 127.0.0.1:7777\": %s", path, strings.Split(err.Error(), "\n")[0])
		return
	}
	known := flagNames(ctx.Model.Node)
	for name := range c.values {
		if !slices.Contains(known, name) || name == "config" {
			c.err = fmt.Errorf("%s sets %q, which is no flag of any command", path, name)
			return
		}
	}
}

// flagNames returns the flags of a command and of those below it: one file may
// serve all of them.
func flagNames(n *kong.Node) []string {
	var names []string
	for _, flag := range n.Flags {
		names = append(names, flag.Name)
	}
	for _, child := range n.Children {
		names = append(names, flagNames(child)...)
	}
	return names
}
