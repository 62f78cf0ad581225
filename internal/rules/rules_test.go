// Package rules is the tests that keep the project's own rules: who imports
// whom, that every exported name is documented, what is in the tree, and that
// the README tells the truth.
//
// Each rule is a function of what it is shown, so that a test can show it
// something forbidden.
package rules

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// tree lists the files of the project by their paths from its root: all but
// what .gitignore names. It reads directories itself, where git or go list
// could be asked, because go test then knows when a cached result is stale.
func tree(t *testing.T) []string {
	t.Helper()
	ignored := strings.Fields(read(t, ".gitignore") + " /.git")
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ignores(ignored, name) && d.IsDir():
			return fs.SkipDir
		case !ignores(ignored, name) && !d.IsDir():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ignores knows two kinds of pattern: "/runs/" from the root, and "*.test".
func ignores(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if strings.HasPrefix(p, "/") {
			return strings.Trim(p, "/") == name
		}
		ok, _ := path.Match(p, path.Base(name))
		return ok
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A source is one Go file.
type source struct {
	path string
	*ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func sources(t *testing.T, fset *token.FileSet) []source {
	t.Helper()
	var all []source
	for _, name := range tree(t) {
		if path.Ext(name) == ".go" {
			all = append(all, parse(t, fset, name, read(t, name)))
		}
	}
	return all
}

func parse(t *testing.T, fset *token.FileSet, name, text string) source {
	t.Helper()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{name, file}
}

// goTool runs the go command in dir and returns what it printed.
func goTool(dir string, env []string, args ...string) ([]byte, error) {
	var stderr strings.Builder
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &stderr, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out, err
}

// report fails the test once for each broken rule.
func report(t *testing.T, broken []string) {
	t.Helper()
	for _, b := range broken {
		t.Error(b)
	}
}

// breaks checks that a rule, shown something forbidden, says just that.
func breaks(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("broken rules:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
