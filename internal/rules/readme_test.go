package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What CONTRIBUTING.md says of README.md is kept here: its programs run, its
// fragments are quotations, its commands are those of .ci/run.

const importer = ".ci/importer/main.go.txt"

func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatalf("the project wants a README.md: %v", err)
	}
	var quotable []string
	for _, name := range tree(t) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "examples/") && strings.HasSuffix(name, ".go") {
			quotable = append(quotable, read(t, name))
		}
	}
	report(t, untrue(string(readme), quotable, read(t, ".ci/run"), read(t, importer)))
	for _, program := range programs(string(readme)) {
		if err := run(t, program); err != nil {
			t.Errorf("README.md: a program: %v", err)
		}
	}
}

func TestUntrue(t *testing.T) {
	const readme = "# Title\n" +
		"```go\npackage main\n\nfunc main() {}\n```\n" +
		"```go\nif a {\n\tb()\n}\n```\n" +
		"```go\na()\nb()\n```\n" +
		"```sh\ngit clone x\ngo test ./... # all\ngo run ./examples/a -out runs/a\ngo vet ./...\ngo test\n```\n"
	code := []string{"package p\n\nfunc f() {\n\tif a {\n\t\tb()\n\t}\n}\n", "a()\n// and\nb()\n"}
	const ci = "stage 'tests' go test ./...\nstage 'digits' go run ./examples/a -out \"$tmp\"\n# go vet ./...\n"
	breaks(t, untrue(readme, code, ci, "package main\n\nfunc main() {}\n"),
		"README.md: no test and no example has this fragment:\na()\nb()\n",
		`README.md: .ci/run does not run "go vet ./..."`,
		`README.md: .ci/run does not run "go test"`)
	breaks(t, untrue("", code, ci, "package main\n"), "README.md: "+importer+" is none of its programs")
}

// untrue lists what README.md says that nothing proves.
func untrue(readme string, code []string, ci, importer string) (broken []string) {
	if !slices.Contains(programs(readme), importer) {
		broken = append(broken, "README.md: .ci/importer/main.go.txt is none of its programs")
	}
	for _, fragment := range blocks(readme, "go") {
		if !isProgram(fragment) && !slices.ContainsFunc(code, func(c string) bool { return quotes(fragment, c) }) {
			broken = append(broken, "README.md: no test and no example has this fragment:\n"+fragment)
		}
	}
	run := commands(ci)
	for _, c := range commands(strings.Join(blocks(readme, "sh"), "")) {
		if !slices.Contains(run, c) {
			broken = append(broken, `README.md: .ci/run does not run "`+c+`"`)
		}
	}
	return broken
}

// blocks are the texts that README.md fences off as being in a language.
func blocks(readme, language string) (texts []string) {
	fenced := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, m := range fenced.FindAllStringSubmatch(readme, -1) {
		texts = append(texts, m[1])
	}
	return texts
}

func programs(readme string) []string {
	return slices.DeleteFunc(blocks(readme, "go"), func(text string) bool { return !isProgram(text) })
}

func isProgram(text string) bool { return strings.HasPrefix(text, "package main\n") }

// quotes says whether the lines of a fragment stand together in code, however
// deep.
func quotes(fragment, code string) bool {
	indent := regexp.MustCompile(`(?m)^[ \t]+`)
	return strings.Contains("\n"+indent.ReplaceAllString(code, ""), "\n"+indent.ReplaceAllString(fragment, ""))
}

// commands are the go commands of a shell script, without comments. Where they
// write to is left out.
func commands(script string) (all []string) {
	clean := regexp.MustCompile(`(?m)#.*$| -out \S+`).ReplaceAllString(script, "")
	for _, m := range regexp.MustCompile(`(?m)\bgo [a-z].*$`).FindAllString(clean, -1) {
		all = append(all, strings.TrimSpace(m))
	}
	return all
}

// run compiles and runs a program in a module of its own, which needs this one
// in the version that is here. It downloads nothing.
func run(t *testing.T, program string) error {
	t.Helper()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(read(t, "go.mod"), "module "+module+"\n", "module example.com/readme\n", 1)
	mod += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", module, here)
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": program, "go.mod": mod, "go.sum": read(t, "go.sum")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, err = goTool(dir, []string{"GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off"}, "run", ".")
	return err
}

func TestRun(t *testing.T) {
	const program = `package main

import "github.com/godistill/godistill/data"

func main() {
	if digits, err := data.Digits(); err != nil || digits.Test.Len() != 500 {
		panic("wrong")
	}
}
`
	if err := run(t, program); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{strings.Replace(program, "!= 500", "== 500", 1), strings.Replace(program, "Len", "Length", 1)} {
		if run(t, wrong) == nil {
			t.Errorf("no error from:\n%s", wrong)
		}
	}
}
