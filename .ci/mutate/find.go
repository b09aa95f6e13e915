package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
)

// mutant is one check taken out of the code.
type mutant struct {
	file string // below the module's root
	line int
	name string // function: what became of the source text; unlike the line, it lasts
}

// finder writes into one file what switches its mutants on. All of them are compiled
// at once, and the environment says which one is awake.
type finder struct {
	fset  *token.FileSet
	info  *types.Info
	src   []byte
	file  string
	funcs []string // those to look at; nil: all, modes: of all the modes of files alone
	all   *[]mutant

	within string // the declaration that is looked at
	edits  []edit
	roots  map[ast.Expr]bool // conditions that are dealt with
	names  map[string]int
}

// edit is text that goes before the byte at an offset of the file.
type edit struct {
	at   int
	text string
}

func (f *finder) find(file *ast.File) {
	for _, decl := range file.Decls {
		f.within = ""
		switch d := decl.(type) {
		case *ast.FuncDecl:
			f.within = d.Name.Name
		case *ast.GenDecl:
			if v, ok := d.Specs[0].(*ast.ValueSpec); ok && d.Tok == token.VAR {
				f.within = v.Names[0].Name
			}
		}
		switch {
		case f.within == "":
		case f.funcs == nil || slices.Contains(f.funcs, f.within):
			ast.Inspect(decl, f.visit)
		case f.funcs[0] == "modes":
			ast.Inspect(decl, f.mode)
		}
	}
}

func (f *finder) visit(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.IfStmt:
		guard := n.Else == nil && refuses(n.Body.List)
		f.check(n.Cond, !guard, true)
	case *ast.SwitchStmt:
		f.cases(n.Body, n.Tag == nil)
	case *ast.TypeSwitchStmt:
		f.cases(n.Body, false)
	case *ast.ReturnStmt:
		f.values(n.Results)
	case *ast.AssignStmt:
		if n.Tok == token.ASSIGN && slices.ContainsFunc(n.Lhs, isEffect) {
			f.leaveOut(n)
		}
		f.values(n.Rhs)
	case *ast.KeyValueExpr:
		f.values([]ast.Expr{n.Value})
		f.cell(n)
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); ok && effects[callee(call)] {
			f.leaveOut(n)
		}
	case *ast.CallExpr:
		f.values(n.Args)
		if name := callee(n); (name == "max" || name == "min") && len(n.Args) == 2 {
			f.instead(n, f.text(n.Args[0]))
			f.instead(n, f.text(n.Args[1]))
		}
	case *ast.BinaryExpr:
		if n.Op == token.AND || n.Op == token.AND_NOT {
			f.instead(n, f.text(n.X))
		}
		if n.Op == token.AND {
			f.instead(n, f.text(n.Y))
		}
	case *ast.BasicLit:
		return f.mode(n)
	case *ast.CompositeLit:
		f.elements(n)
	}
	return true
}

// mode makes a mutant of the mode of a file that is its owner's alone.
func (f *finder) mode(node ast.Node) bool {
	if n, ok := node.(*ast.BasicLit); ok && fileMode.MatchString(n.Value) && f.info.TypeOf(n).String() == "io/fs.FileMode" {
		f.around(n, fmt.Sprintf("mutantMode(%d, ", f.add(n, n.Value+" → open to others")), ", 0o777)")
	}
	return true
}

var fileMode = regexp.MustCompile(`^0o[0-7]00$`)

// effects are calls, and assignments to fields, that are a refusal by themselves.
var effects = map[string]bool{
	"close": true, "closeAfter": true, "Close": true, "stop": true, "leave": true, "evict": true, "hold": true, "Chmod": true,
	"evicted": true, "suspended": true, "checked": true, "since": true, "blocked": true,
	"closed": true, "except": true, "apart": true, "own": true,
}

func isEffect(e ast.Expr) bool {
	field, ok := e.(*ast.SelectorExpr)
	return ok && effects[field.Sel.Name]
}

// refuses reports whether a block's end refuses something: a return of anything but
// true or nil, or a jump.
func refuses(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	switch last := body[len(body)-1].(type) {
	case *ast.ReturnStmt:
		if len(last.Results) == 0 {
			return true
		}
		id, ok := last.Results[len(last.Results)-1].(*ast.Ident)
		return !ok || id.Name != "true" && id.Name != "nil"
	case *ast.BranchStmt:
		return true
	}
	return false
}

// check makes mutants of a condition: that it always or never holds, as asked, and
// for && and || that without each of their operands.
func (f *finder) check(e ast.Expr, always, never bool) {
	if f.roots[e] {
		return
	}
	f.roots[e] = true
	switch x := e.(type) {
	case *ast.ParenExpr:
		f.check(x.X, always, never)
		return
	case *ast.UnaryExpr:
		if _, group := x.X.(*ast.ParenExpr); group && x.Op == token.NOT {
			f.check(x.X, never, always)
			return
		}
	case *ast.BinaryExpr:
		switch x.Op {
		case token.LAND:
			if never {
				f.wrap(e, "No", "false")
			}
			f.check(x.X, true, false)
			f.check(x.Y, true, false)
			return
		case token.LOR:
			if always {
				f.wrap(e, "Yes", "true")
			}
			f.check(x.X, false, true)
			f.check(x.Y, false, true)
			return
		}
	}
	if always {
		f.wrap(e, "Yes", "true")
	}
	if never {
		f.wrap(e, "No", "false")
	}
}

// values makes mutants of those expressions that decide something.
func (f *finder) values(exprs []ast.Expr) {
	for _, e := range exprs {
		switch e.(type) {
		case *ast.Ident, *ast.SelectorExpr: // decided elsewhere
			continue
		}
		t := f.info.Types[e]
		if basic, ok := t.Type.(*types.Basic); ok && basic.Info()&types.IsBoolean != 0 && t.Value == nil {
			f.check(e, true, true)
		}
	}
}

// cases makes a mutant of every case of a switch.
func (f *finder) cases(body *ast.BlockStmt, conditions bool) {
	for _, stmt := range body.List {
		clause := stmt.(*ast.CaseClause)
		for _, e := range clause.List {
			switch {
			case conditions:
				f.check(e, !refuses(clause.Body), true)
			case len(clause.List) > 1 && f.isString(e):
				f.instead(e, `"-"`)
			}
		}
		if !conditions && len(clause.List) == 1 {
			id := f.add(clause, "case "+f.text(clause.List[0])+" left out")
			f.put(f.offset(clause.Colon)+1, fmt.Sprintf(" if mutantAwake(%d) { break }; ", id))
		}
	}
}

func (f *finder) isString(e ast.Expr) bool {
	basic, ok := f.info.TypeOf(e).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsString != 0
}

// cell makes mutants of the table of permissions: a refusal is none, a role more or less.
func (f *finder) cell(kv *ast.KeyValueExpr) {
	if row, is := kv.Value.(*ast.CompositeLit); is && row.Type == nil && strings.HasPrefix(f.within, "permissions") {
		f.within = "permissions." + f.text(kv.Key)
		return
	}
	if !strings.HasPrefix(f.within, "permissions.") {
		return
	}
	if f.text(kv.Key) != "roles" {
		f.replace(kv.Value, `""`, f.text(kv)+" → may")
		return
	}
	f.replace(kv.Value, "nil", f.text(kv)+" → any")
	for _, role := range []string{"RoleUser", "RoleModerator", "RoleAdmin", "RoleAuditor", "RoleOperator"} {
		f.replace(kv.Value, "mutantToggled("+f.text(kv.Value)+", "+role+")", f.text(kv)+" → with or without "+role)
	}
}

// elements makes a mutant of every element of a list of names, or of options.
func (f *finder) elements(n *ast.CompositeLit) {
	list, ok := f.info.TypeOf(n).Underlying().(*types.Slice)
	if !ok {
		return
	}
	for _, e := range n.Elts {
		switch {
		case list.Elem().String() == "github.com/golang-jwt/jwt/v5.ParserOption":
			f.instead(e, "func(*jwt.Parser) {}")
		case f.isString(e):
			f.instead(e, `"-"`)
		}
	}
}

func (f *finder) wrap(e ast.Expr, how, becomes string) {
	id := f.add(e, f.text(e)+" → "+becomes)
	f.around(e, fmt.Sprintf("mutant%s(%d, ", how, id), ")")
}

func (f *finder) instead(e ast.Expr, other string) { f.replace(e, other, f.text(e)+" → "+other) }

func (f *finder) replace(e ast.Expr, other, what string) {
	f.around(e, fmt.Sprintf("mutantInstead(%d, ", f.add(e, what)), ", "+other+")")
}

func (f *finder) leaveOut(n ast.Stmt) {
	id := f.add(n, f.text(n)+" left out")
	f.around(n, fmt.Sprintf("if !mutantAwake(%d) { ", id), " }")
}

func (f *finder) add(n ast.Node, what string) int {
	name := f.within + ": " + strings.Join(strings.Fields(what), " ")
	if f.names[name]++; f.names[name] > 1 {
		name = fmt.Sprintf("%s (%d)", name, f.names[name])
	}
	*f.all = append(*f.all, mutant{file: f.file, line: f.fset.Position(n.Pos()).Line, name: name})
	return len(*f.all)
}

// around puts text around a node. What is put around it later goes inside.
func (f *finder) around(n ast.Node, before, after string) {
	f.put(f.offset(n.Pos()), before)
	end := f.offset(n.End())
	first := slices.IndexFunc(f.edits, func(e edit) bool { return e.at == end })
	if first < 0 {
		first = len(f.edits)
	}
	f.edits = slices.Insert(f.edits, first, edit{end, after})
}

func (f *finder) put(at int, text string) { f.edits = append(f.edits, edit{at, text}) }

func (f *finder) mutated() []byte {
	slices.SortStableFunc(f.edits, func(a, b edit) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, e := range f.edits {
		out = append(append(out, f.src[last:e.at]...), e.text...)
		last = e.at
	}
	return append(out, f.src[last:]...)
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

func (f *finder) text(n ast.Node) string { return string(f.src[f.offset(n.Pos()):f.offset(n.End())]) }

func callee(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}
