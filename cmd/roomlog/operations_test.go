package main

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
)

const operations = "../../OPERATIONS.md"

// operationsRows are the tables' rows of a section of OPERATIONS.md, cell by cell.
func operationsRows(t *testing.T, section string) (rows [][]string) {
	t.Helper()
	page, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+section+"\n")
	if !found {
		t.Fatalf("OPERATIONS.md has no %q", section)
	}
	level := strings.Index(section, " ")
	if end := regexp.MustCompile(fmt.Sprintf(`\n#{1,%d} `, level)).FindStringIndex(text); end != nil {
		text = text[:end[0]]
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// Every flag of serve stands in OPERATIONS.md once, with its default, and no other.
func TestOperationsFlags(t *testing.T) {
	defaults := map[string]string{"config": ""}
	for _, typ := range []reflect.Type{reflect.TypeFor[serverConfig](), reflect.TypeFor[serveCmd]()} {
		for _, f := range reflect.VisibleFields(typ) {
			if !f.IsExported() || f.Anonymous {
				continue
			}
			value := f.Tag.Get("default")
			if f.Type.Kind() == reflect.Bool {
				value = "off"
			}
			name := f.Tag.Get("name")
			if name == "" {
				name = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(f.Name, "$1-$2"))
			}
			defaults[name] = value
		}
	}
	help := good(t, "serve", "--help")
	for name := range defaults {
		if !strings.Contains(help, "--"+name) && name != "tls-cert" {
			t.Errorf("the test looks for --%s, which serve does not have", name)
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^ +(?:-h, )?--([a-z-]+)`).FindAllStringSubmatch(help, -1) {
		if _, known := defaults[flag[1]]; !known && flag[1] != "help" {
			t.Errorf("serve has --%s, which the test does not know", flag[1])
		}
	}
	for _, row := range operationsRows(t, "## The flags of serve") {
		name := strings.TrimPrefix(strings.Trim(row[0], "`"), "--")
		want, known := defaults[name]
		if !known {
			t.Errorf("OPERATIONS.md has --%s twice, or serve does not have it", name)
		} else if row[1] != want {
			t.Errorf("the default of --%s is %q, and OPERATIONS.md says %q", name, want, row[1])
		}
		delete(defaults, name)
	}
	for name := range defaults {
		t.Errorf("OPERATIONS.md does not have --%s", name)
	}
}

// census is a Registerer that notes the names of what is registered.
type census struct{ names []string }

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

func (c *census) Register(collector prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		collector.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		c.names = append(c.names, fqName.FindStringSubmatch(d.String())[1])
	}
	return nil
}

func (c *census) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		c.Register(collector)
	}
}

func (c *census) Unregister(prometheus.Collector) bool { return true }

// Every metric stands in OPERATIONS.md, and no other.
func TestOperationsMetrics(t *testing.T) {
	var c census
	dir := t.TempDir()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir, Registerer: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(dir, modelsName), Log: log, Registerer: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close()
	auth, err := realtime.NewAuth(t.Context(), realtime.AuthConfig{Secret: []byte(strings.Repeat("s", 32))})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	cfg := realtime.Defaults()
	cfg.Log, cfg.Models, cfg.Auth, cfg.Registerer = log, models, auth, &c
	if _, err := realtime.New(cfg); err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, row := range operationsRows(t, "### Metrics") {
		named = append(named, strings.Trim(row[0], "`"))
	}
	slices.Sort(named)
	slices.Sort(c.names)
	if !slices.Equal(named, c.names) {
		t.Errorf("OPERATIONS.md names the metrics\n%q\nand there are\n%q", named, c.names)
	}
}

// The sentences that OPERATIONS.md answers are those of the code; … stands for what
// differs.
func TestOperationsSentences(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, section := range []string{"## When a server will not start", "## When a file is damaged", "## When a record is parked"} {
		for _, row := range operationsRows(t, section) {
			for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Join(row[:len(row)-1], " "), -1) {
				if strings.Count(quoted[1], " ") < 2 {
					continue // the name of a file
				}
				for part := range strings.SplitSeq(quoted[1], "…") {
					if part = strings.Trim(part, " :;,"); len(part) < 8 {
						continue
					}
					seen++
					if !strings.Contains(code.String(), part) {
						t.Errorf("no error of roomlog's says %q", part)
					}
				}
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d parts of sentences were looked for", seen)
	}
}

// Every queue stands in OPERATIONS.md, and no other; each has a length and a bound.
func TestOperationsQueues(t *testing.T) {
	s := serve(t, t.TempDir())
	response, err := http.Get("http://" + s.address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	queues := map[string][]string{} // length and bound
	for _, figure := range regexp.MustCompile(`(?m)^roomlog_queue_(length|bound)\{queue="([a-z_]+)"\}`).FindAllStringSubmatch(string(page), -1) {
		queues[figure[1]] = append(queues[figure[1]], figure[2])
	}
	var named []string
	for _, row := range operationsRows(t, "### Queues") {
		named = append(named, strings.Trim(row[0], "`"))
	}
	slices.Sort(named)
	for _, figure := range []string{"length", "bound"} {
		if slices.Sort(queues[figure]); !slices.Equal(named, queues[figure]) {
			t.Errorf("OPERATIONS.md names the queues\n%q\nand these have a %s\n%q", named, figure, queues[figure])
		}
	}
}
