package rules

import (
	"go/ast"
	"go/doc"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryExportedNameIsDocumented(t *testing.T) {
	fset := token.NewFileSet()
	packages := map[string][]source{}
	for _, s := range sources(t, fset) {
		dir := path.Dir(s.path)
		packages[dir] = append(packages[dir], s)
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		report(t, undocumented(t, fset, dir, packages[dir]))
	}
}

func TestUndocumented(t *testing.T) {
	const text = `package p

// Grouped.
const A, B = 1, 2

const (
	C = 3 // of its own
	D = 4
)

var e, F = 5, 6

type G struct {
	H int // and I
	I, J int
	K int
	l int
}

// An M is small.
type M interface{ N() }

// An O has p.
type O interface {
	P()
	Q()
	R() // nothing
	S() // nothing
}

func (M) t() {}

func (*G) U() {}

func V() *G { return nil }

type w struct{ X int }

func (w) Y() {}
`
	fset := token.NewFileSet()
	breaks(t, undocumented(t, fset, "p", []source{parse(t, fset, "p/p.go", text)}),
		"p: D", "p: F", "p: G", "p: G.J", "p: G.K", "p: G.U", "p: O.Q", "p: V", "p: package p")
	breaks(t, undocumented(t, fset, "q", []source{parse(t, fset, "q/q.go", "package main\n\ntype R struct{}")}), "q: package q")
}

// undocumented lists what has no comment in the package of a directory.
func undocumented(t *testing.T, fset *token.FileSet, dir string, files []source) (broken []string) {
	t.Helper()
	all := []entry{{name: "package " + path.Base(dir)}}
	var code []*ast.File
	for _, s := range files {
		all[0].comment += s.Doc.Text()
		if !s.test() {
			code = append(code, s.File)
		}
	}
	p, err := doc.NewFromFiles(fset, code, dir)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "main" { // nobody can import the names of a command
		all = append(all, exported(p)...)
	}
	for _, e := range all {
		if e.comment == "" {
			broken = append(broken, dir+": "+e.name)
		}
	}
	slices.Sort(broken)
	return broken
}

// An entry is a name with what is said of it.
type entry struct{ name, comment string }

func exported(p *doc.Package) (all []entry) {
	values, funcs := slices.Concat(p.Consts, p.Vars), p.Funcs
	for _, typ := range p.Types {
		all = append(append(all, entry{typ.Name, typ.Doc}), members(typ)...)
		values = slices.Concat(values, typ.Consts, typ.Vars)
		funcs = slices.Concat(funcs, typ.Funcs, typ.Methods)
	}
	for _, f := range funcs {
		all = append(all, entry{strings.Trim(f.Recv+"."+f.Name, "*."), f.Doc})
	}
	for _, v := range values {
		for _, spec := range v.Decl.Specs {
			s := spec.(*ast.ValueSpec)
			for _, name := range s.Names {
				if name.IsExported() {
					all = append(all, entry{name.Name, v.Doc + s.Doc.Text() + s.Comment.Text()})
				}
			}
		}
	}
	return all
}

// few is how many fields or methods the comment of their type can speak for.
const few = 3

// members are the fields of a struct or the methods of an interface. Where
// there are more than a few, one without a comment counts as documented if that
// of the type or of another member speaks of it.
func members(typ *doc.Type) (all []entry) {
	var fields []*ast.Field
	switch t := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(type) {
	case *ast.StructType:
		fields = t.Fields.List
	case *ast.InterfaceType:
		fields = t.Methods.List
	}
	text := typ.Doc
	for _, f := range fields {
		comment := f.Doc.Text() + f.Comment.Text()
		text += comment
		for _, name := range f.Names {
			all = append(all, entry{typ.Name + "." + name.Name, comment})
		}
	}
	for i, e := range all {
		_, name, _ := strings.Cut(e.name, ".")
		switch {
		case e.comment != "":
		case len(all) <= few:
			all[i].comment = typ.Doc
		default:
			all[i].comment = regexp.MustCompile(`(?i)\b` + name + `\b`).FindString(text)
		}
	}
	return all
}
