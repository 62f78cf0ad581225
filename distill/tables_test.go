package distill

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every loss is in the tables of the package's doc, and in one of the tests'.
func TestEveryLossIsInTheTables(t *testing.T) {
	tested := map[string]bool{"Self": true} // is in self_test.go, as it has no formula
	for name := range strings.FieldsSeq("BCE BinaryKL L1 Huber Bounded") {
		tested[name] = true // are those of target_test.go
	}
	for _, m := range methods {
		tested[reflect.TypeOf(m.loss).Name()] = true
	}
	for _, f := range featureTests() {
		tested[reflect.TypeOf(f.loss).Name()] = true
	}
	doc, losses := lossesOf(t)
	if len(losses) < 30 {
		t.Errorf("there are only %q", losses)
	}
	for _, name := range losses {
		if !tested[name] {
			t.Errorf("no table of the tests has %s", name)
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(doc) {
			t.Errorf("doc.go does not speak of %s", name)
		}
	}
}

// lossesOf are the package's own types with a method Loss, and its doc.
func lossesOf(t *testing.T) (doc string, losses []string) {
	t.Helper()
	for _, path := range must(filepath.Glob("*.go")) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file := must(parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution))
		doc += file.Doc.Text()
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "Loss" {
				continue
			}
			if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok && of.IsExported() && of.Name != "LossFunc" {
				losses = append(losses, of.Name)
			}
		}
	}
	return doc, losses
}
