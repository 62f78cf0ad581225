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

// Every regime that the package's doc lists has an example that runs.
func TestRegimesHaveExamples(t *testing.T) {
	regimes := map[string]string{
		"a mean of several teachers":      "ExampleRun_twoTeachers teacher.ExampleMean",
		"a term for each of several":      "ExampleRun_twoTeachers teacher.ExampleNamed",
		"one of several for each sample":  "ExampleRun_specialists ExampleLossFunc_perSample teacher.ExampleRoute teacher.ExampleSurest",
		"a teacher of other classes":      "ExampleRun_otherClasses teacher.ExampleSelect",
		"a teacher of another vocabulary": "ExampleUniversalLogit",
		"assistants, born-again networks": "ExampleRun_assistants ExampleRun_bornAgain",
		"students that teach each other":  "ExampleMutual ExampleMutual_three",
		"a moving average as the teacher": "ExampleAverage_meanTeacher",
		"layers that teach those before":  "ExampleSelf",
		"no teacher at all":               "ExampleRun_teacherFree",
		"a student cut from its teacher":  "ExampleRun_cut student.ExampleCut",
		"one view for both, and many":     "ExampleRun_consistent data.ExampleMixup",
		"texts that a teacher writes":     "ExampleRun_sequenceLevel",
		"those of them that are right":    "distill/reason.ExampleCollect",
		"texts that the student writes":   "distill/reason.ExampleOwn",
	}
	doc, _ := lossesOf(t)
	_, list, _ := strings.Cut(doc, "# Regimes\n")
	list, _, _ = strings.Cut(list, "\n# ")
	listed := 0
	for line := range strings.Lines(list) {
		if line, ok := strings.CutPrefix(line, "\t"); ok {
			what, _, _ := strings.Cut(line, "  ")
			if listed++; regimes[what] == "" {
				t.Errorf("%q has no example", what)
			}
		}
	}
	if listed != len(regimes) {
		t.Errorf("the doc lists %d regimes; want %d", listed, len(regimes))
	}
	known := tests{}
	for what, names := range regimes {
		known.have(t, what, names)
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
