package rules

import (
	"go/ast"
	"go/doc"
	"go/token"
	"iter"
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
}

// undocumented lists what has no comment in the package of a directory.
func undocumented(t *testing.T, fset *token.FileSet, dir string, files []source) (broken []string) {
	t.Helper()
	missing := func(doc, name string) {
		if doc == "" {
			broken = append(broken, dir+": "+name)
		}
	}
	var about string
	var code []*ast.File
	for _, s := range files {
		about += s.Doc.Text()
		if !s.test() {
			code = append(code, s.File)
		}
	}
	missing(about, "package "+path.Base(dir))
	p, err := doc.NewFromFiles(fset, code, dir)
	if err != nil {
		t.Fatal(err)
	}
	values, funcs := slices.Concat(p.Consts, p.Vars), p.Funcs
	for _, typ := range p.Types {
		missing(typ.Doc, typ.Name)
		for name, doc := range members(typ) {
			missing(doc, typ.Name+"."+name)
		}
		values = slices.Concat(values, typ.Consts, typ.Vars)
		funcs = slices.Concat(funcs, typ.Funcs, typ.Methods)
	}
	for _, f := range funcs {
		missing(f.Doc, strings.TrimPrefix(strings.TrimLeft(f.Recv, "*")+"."+f.Name, "."))
	}
	for _, v := range values {
		for _, spec := range v.Decl.Specs {
			s := spec.(*ast.ValueSpec)
			i := slices.IndexFunc(s.Names, (*ast.Ident).IsExported)
			missing(v.Doc+s.Doc.Text()+s.Comment.Text(), s.Names[i].Name)
		}
	}
	slices.Sort(broken)
	return broken
}

// few is how many fields or methods the comment of their type can speak for.
const few = 3

// members yields the fields of a struct or the methods of an interface, with
// their comments. Where there are more than a few, one without a comment counts
// as documented if that of the type or of another member speaks of it.
func members(typ *doc.Type) iter.Seq2[string, string] {
	var fields []*ast.Field
	switch t := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(type) {
	case *ast.StructType:
		fields = t.Fields.List
	case *ast.InterfaceType:
		fields = t.Methods.List
	}
	all, count := typ.Doc, 0
	for _, f := range fields {
		all += f.Doc.Text() + f.Comment.Text()
		count += len(f.Names)
	}
	return func(yield func(name, doc string) bool) {
		for _, f := range fields {
			for _, name := range f.Names {
				doc := f.Doc.Text() + f.Comment.Text()
				if doc == "" && count <= few {
					doc = typ.Doc
				} else if doc == "" {
					doc = regexp.MustCompile(`(?i)\b` + name.Name + `\b`).FindString(all)
				}
				if !yield(name.Name, doc) {
					return
				}
			}
		}
	}
}
