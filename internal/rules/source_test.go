package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// top is all that may stand at the top of the tree.
var top = strings.Fields(`
	distill teacher student data examples internal .ci
	README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md LICENSE NOTICE
	go.mod go.sum .gitignore`)

func TestTree(t *testing.T) {
	for _, name := range tree(t) {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		report(t, misplaced(name, info.Size()))
	}
}

func TestMisplaced(t *testing.T) {
	breaks(t, misplaced("data/digits.csv.gz", 1<<20))
	breaks(t, misplaced("data/digits.csv.gz", 1<<20+1), "data/digits.csv.gz has 1048577 bytes; want 1 MiB or less")
	breaks(t, misplaced("utils/utils.go", 1), "utils is not on the list of what may stand at the top")
}

func misplaced(name string, size int64) (broken []string) {
	if first, _, _ := strings.Cut(name, "/"); !slices.Contains(top, first) {
		broken = append(broken, first+" is not on the list of what may stand at the top")
	}
	if size > 1<<20 {
		broken = append(broken, fmt.Sprintf("%s has %d bytes; want 1 MiB or less", name, size))
	}
	return broken
}

// traps are the packages whose tests may use what is banned of Gorgonia: they
// show what is wrong with it, and that it is found or refused.
const traps = "internal/graph internal/gradcheck student"

// banned are names that must not be used.
var banned = []struct{ path, names, why string }{
	{"gorgonia.org/gorgonia", "Reshape", "it aliases its input"},
	{"gorgonia.org/gorgonia", "SoftMax|LogSoftMax", "of one node they become one node"},
	{"gorgonia.org/gorgonia", "Dropout|AveragePool.D|GlobalAveragePool2D|InverseSqrt|Log2", "its gradient is wrong or missing"},
	{"gorgonia.org/gorgonia", "LogSumExp", "its value is wrong"},
	{"gorgonia.org/gorgonia", "BatchNorm", "its statistics live in the graph"},
	{"gorgonia.org/gorgonia", "New(Tape|Lisp)Machine", "panics in ops kill the process; use internal/graph"},
	{"gorgonia.org/gorgonia", "New.*Solver", "its state cannot be saved, and AdamW does nothing"},
	{"gorgonia.org/gorgonia", "(Gaussian|Uniform|Binomial)(32|64|RandomNode)?|(Glorot|He).*", "it draws from the clock"},
	{"math/rand/v2", "(Int|Uint|Float|Norm|Exp).*|N|Perm|Shuffle", "it draws from the global generator"},
	{"math/rand", ".*", "math/rand/v2 has what is needed"},
}

func TestSources(t *testing.T) {
	fset := token.NewFileSet()
	for _, s := range sources(t, fset) {
		report(t, unwanted(fset, s))
	}
}

func TestUnwanted(t *testing.T) {
	const text = `package p

import (
	G "gorgonia.org/gorgonia"
	"math/rand/v2"
)

// TODO: all of it.
func f(n *G.Node) {
	_ = rand.New(rand.NewPCG(1, 2)).IntN(3)
	_ = rand.IntN(3)
	G.Reshape(n, nil)
	G.ReshapeNot(n, "FIXME in a string")
}
`
	fset := token.NewFileSet()
	breaks(t, unwanted(fset, parse(t, fset, "teacher/p_test.go", text)),
		"teacher/p_test.go:8:1: TODO is for the issue tracker",
		"teacher/p_test.go:11:6: math/rand/v2.IntN: it draws from the global generator",
		"teacher/p_test.go:12:2: gorgonia.org/gorgonia.Reshape: it aliases its input")
	breaks(t, unwanted(fset, parse(t, fset, "student/p_test.go", text)),
		"student/p_test.go:8:1: TODO is for the issue tracker",
		"student/p_test.go:11:6: math/rand/v2.IntN: it draws from the global generator")
}

var todo = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func unwanted(fset *token.FileSet, s source) (broken []string) {
	add := func(at token.Pos, what string) {
		broken = append(broken, fmt.Sprintf("%v: %s", fset.Position(at), what))
	}
	for _, group := range s.Comments {
		if word := todo.FindString(group.Text()); word != "" {
			add(group.Pos(), word+" is for the issue tracker")
		}
	}
	imports := imported(s.File)
	ast.Inspect(s.File, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				if why := whyBanned(s, imports[x.Name], sel.Sel.Name); why != "" {
					add(n.Pos(), imports[x.Name]+"."+sel.Sel.Name+": "+why)
				}
			}
		}
		return true
	})
	return broken
}

var version = regexp.MustCompile(`/v[0-9]+$`)

// imported is the import paths of a file by the names they have in it.
func imported(f *ast.File) map[string]string {
	paths := map[string]string{}
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(version.ReplaceAllString(p, ""))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		paths[name] = p
	}
	return paths
}

func whyBanned(s source, pkg, name string) string {
	for _, b := range banned {
		trap := strings.HasPrefix(pkg, "gorgonia.org/") && s.test() && matches(traps, path.Dir(s.path))
		if b.path == pkg && !trap && regexp.MustCompile("^("+b.names+")$").MatchString(name) {
			return b.why
		}
	}
	return ""
}
