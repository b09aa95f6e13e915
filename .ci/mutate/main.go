// Mutate takes every check out of the authorisation code, one at a time, and sees to
// it that a test fails then: go run ./.ci/mutate [-only REGEXP] [-tests DIR,DIR].
//
// All mutants are compiled into the test binaries at once, asleep; the tree is not
// touched. First each test runs alone, to see which mutants would have made a
// difference to it. Then each mutant is woken in those tests, the quickest first,
// until one fails. Survivors must be explained in survivors.txt, which must name no
// others.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	_ "embed"
)

//go:embed awake.go.txt
var awake string

func main() {
	only := flag.String("only", "", "mutate only files whose name matches")
	tests := flag.String("tests", strings.Join(packages, ","), "run only the tests of these folders")
	flag.Parse()
	ok, err := mutate(regexp.MustCompile(*only), strings.Split(*tests, ","))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func mutate(only *regexp.Regexp, folders []string) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	l := &lab{dir: dir, overlay: map[string]string{}}
	if l.root, err = os.Getwd(); err != nil {
		return false, err
	}
	if err := l.mutateFiles(only); err != nil {
		return false, err
	}
	first := slices.IndexFunc(packages, func(p string) bool { return l.overlay[filepath.Join(l.root, p, awakeFile)] != "" })
	for _, folder := range folders {
		if first >= 0 && slices.Index(packages, folder) >= first {
			if err := l.buildTests(folder); err != nil {
				return false, err
			}
		}
	}
	r, err := openReport(only)
	if err != nil {
		return false, err
	}
	fmt.Printf("%d mutants, %d tests\n", len(l.mutants), len(l.tests))
	each(len(l.tests), func(i int) { l.tests[i].baseline(l) })
	each(len(l.mutants), func(i int) { r.line(&l.mutants[i], l.kill(i+1)) })
	return r.close(), nil
}

// lab is where mutants are made and tried.
type lab struct {
	root, dir string
	overlay   map[string]string // of go build: file of the tree → file of the lab
	mutants   []mutant
	tests     []*test
}

const awakeFile = "mutant_awake.go"

// mutateFiles writes the mutated files, and the overlay that puts them over the tree.
func (l *lab) mutateFiles(only *regexp.Regexp) error {
	exports, err := l.exports()
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, folder := range packages {
		var files []*ast.File
		names, err := filepath.Glob(filepath.Join(l.root, folder, "*.go"))
		if err != nil {
			return err
		}
		for _, name := range names {
			fits, err := build.Default.MatchFile(filepath.Split(name))
			if err != nil {
				return err
			}
			if !fits || strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			files = append(files, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		config := types.Config{Importer: imports}
		if _, err := config.Check(folder, fset, files, info); err != nil {
			return err
		}
		before := len(l.mutants)
		for _, file := range files {
			if err := l.mutateFile(file, fset, info, only); err != nil {
				return err
			}
		}
		if len(l.mutants) > before {
			text := fmt.Sprintf(awake, files[0].Name.Name)
			if err := l.lay(filepath.Join(folder, awakeFile), []byte(text)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) mutateFile(file *ast.File, fset *token.FileSet, info *types.Info, only *regexp.Regexp) error {
	path := fset.Position(file.Pos()).Filename
	name, err := filepath.Rel(l.root, path)
	if err != nil {
		return err
	}
	for _, target := range targets {
		if target.file != name || !only.MatchString(name) {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f := finder{
			fset: fset, info: info, src: src, file: name, all: &l.mutants,
			roots: map[ast.Expr]bool{}, names: map[string]int{},
		}
		if target.funcs != "" {
			f.funcs = strings.Fields(target.funcs)
		}
		f.find(file)
		return l.lay(name, f.mutated())
	}
	return nil
}

// lay puts a file over one of the tree.
func (l *lab) lay(name string, text []byte) error {
	mine := filepath.Join(l.dir, strings.ReplaceAll(name, "/", "_"))
	l.overlay[filepath.Join(l.root, name)] = mine
	return os.WriteFile(mine, text, 0o600)
}

// exports returns where the compiler left the types of each package.
func (l *lab) exports() (map[string]string, error) {
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return exports, nil
}

// test is a test function in its package's binary.
type test struct {
	name, binary, folder string
	args                 []string
	took                 time.Duration // with all mutants asleep
	seen                 map[int]bool  // mutants that would have made a difference
}

func (l *lab) buildTests(folder string) error {
	text, err := json.Marshal(map[string]any{"Replace": l.overlay})
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.overlayFile(), text, 0o600); err != nil {
		return err
	}
	binary := filepath.Join(l.dir, filepath.Base(folder)+".test")
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", l.overlayFile(), "-o", binary, "./"+folder).CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests of %s: %w\n%s", folder, err, out)
	}
	// The same random cases each time, and none of those that fail kept in the tree.
	args := []string{"-rapid.seed=1", "-rapid.nofailfile"}
	out, err := l.run(folder, binary, nil, append(args, "-test.list=^Test|^Example")...)
	if err != nil {
		args = nil
		if out, err = l.run(folder, binary, nil, "-test.list=^Test|^Example"); err != nil {
			return err
		}
	}
	for name := range strings.FieldsSeq(string(out)) {
		if !regexp.MustCompile(long).MatchString(name) {
			l.tests = append(l.tests, &test{name: name, binary: binary, folder: folder, args: args})
		}
	}
	return nil
}

func (l *lab) overlayFile() string { return filepath.Join(l.dir, "overlay.json") }

func (l *lab) run(folder, binary string, env []string, args ...string) ([]byte, error) {
	cmd := exec.Command(binary, args...)
	cmd.Dir = filepath.Join(l.root, folder)
	// Tests that build the server build it with the mutants in it.
	cmd.Env = append(os.Environ(), append(env, "GOFLAGS=-overlay="+l.overlayFile())...)
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}

// baseline runs a test alone with all mutants asleep. One that fails has another try:
// the machine may be busy.
func (t *test) baseline(l *lab) {
	list := filepath.Join(l.dir, filepath.Base(t.folder)+"."+t.name)
	var began time.Time
	run := func() ([]byte, error) {
		began = time.Now()
		return l.run(t.folder, t.binary, []string{"MUTANTS_SEEN=" + list}, append(t.args, "-test.run=^"+t.name+"$")...)
	}
	out, err := run()
	if err != nil {
		out, err = run()
	}
	if err != nil {
		fmt.Printf("%s fails without a mutant, and is left out:\n%s\n", t.name, out)
		return
	}
	t.took, t.seen = time.Since(began), map[int]bool{}
	lines, _ := os.ReadFile(list)
	for _, line := range bytes.Fields(lines) {
		var n int
		fmt.Sscan(string(line), &n)
		t.seen[n] = true
	}
}

// kill wakes a mutant in the tests that would notice, the quickest first, and returns
// what killed it.
func (l *lab) kill(number int) (killer string) {
	var noticing []*test
	for _, t := range l.tests {
		if t.seen[number] {
			noticing = append(noticing, t)
		}
	}
	slices.SortStableFunc(noticing, func(a, b *test) int { return cmp.Compare(a.took, b.took) })
	for stage := time.Second; len(noticing) > 0 && killer == ""; stage *= 8 {
		n, sum := 0, time.Duration(0)
		for n < len(noticing) && (n == 0 || sum+noticing[n].took <= stage) {
			sum += noticing[n].took
			n++
		}
		killer = l.wake(number, noticing[:n], sum)
		noticing = noticing[n:]
	}
	return killer
}

// patience is how much longer a test may take with a mutant: one that never ends
// has found it.
const patience = 20 * time.Second

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func (l *lab) wake(number int, tests []*test, took time.Duration) (killer string) {
	names := map[string][]string{}
	one := map[string]*test{}
	for _, t := range tests {
		names[t.folder] = append(names[t.folder], t.name)
		one[t.folder] = t
	}
	for _, folder := range packages {
		t := one[folder]
		if t == nil {
			continue
		}
		out, err := l.run(folder, t.binary, []string{fmt.Sprintf("MUTANT=%d", number)}, append(t.args, "-test.failfast",
			"-test.run=^("+strings.Join(names[folder], "|")+")$", "-test.timeout="+(5*took+patience).String())...)
		if err == nil {
			continue
		}
		all := failed.FindAllSubmatch(out, -1)
		switch {
		case bytes.Contains(out, []byte("panic: test timed out")):
			return folder + " does not end"
		case len(all) > 0:
			return folder + " " + string(all[len(all)-1][1])
		}
		return folder + " ends with: " + strings.TrimSpace(string(bytes.SplitN(out, []byte("\n"), 2)[0]))
	}
	return ""
}

// each calls do for 0 to n-1, as many at a time as there are processors.
func each(n int, do func(i int)) {
	var group sync.WaitGroup
	turns := make(chan struct{}, runtime.NumCPU())
	for i := range n {
		turns <- struct{}{}
		group.Go(func() {
			do(i)
			<-turns
		})
	}
	group.Wait()
}
