package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/godistill/godistill"

// A rule is about the packages of this module that match a pattern: a path, or
// a path and all below it, as in "data/...".
type rule struct {
	of      string
	imports string // patterns too
}

const (
	gorgonia = " gorgonia.org/gorgonia gorgonia.org/tensor "
	public   = " data/... student/... teacher/... distill/... "
)

// may is what packages may import besides the standard library. The first rule
// that matches a package holds, and every package needs one.
var may = []rule{
	{"internal/kernel", "golang.org/x/sys/cpu"},
	{"internal/safetensors", "golang.org/x/sys/cpu"},
	{"internal/plan", "internal/kernel"},
	{"internal/graph", "internal/kernel internal/plan github.com/chewxy/hm" + gorgonia},
	{"internal/gradcheck", "internal/graph" + gorgonia},
	{"internal/ahead", ""},
	{"internal/jsonfloat", ""},
	{"internal/atomicfile", ""},
	{"internal/rules", ""},
	{"data", "gorgonia.org/tensor golang.org/x/image/draw"},
	{"data/text", "data/... gorgonia.org/tensor github.com/dlclark/regexp2/v2 golang.org/x/text/unicode/norm"},
	{"data/...", "data/... gorgonia.org/tensor"},
	{"student/infer", "internal/kernel internal/plan internal/safetensors"},
	{"student/...", "data/... student/... internal/..." + gorgonia},
	{"teacher/...", "data/... student/... teacher/... internal/... gorgonia.org/tensor github.com/x448/float16 golang.org/x/sys/windows"},
	{"distill/report", public + "internal/... gonum.org/v1/plot/... google.golang.org/protobuf/encoding/protowire"},
	{"distill/progress", public + "github.com/schollz/progressbar/v3 golang.org/x/term"},
	{"distill/study", public + "gonum.org/v1/gonum/... golang.org/x/sync/errgroup"},
	{"distill/reason", public + "internal/... gorgonia.org/tensor gonum.org/v1/gonum/stat/distuv"},
	{"distill/...", public + "internal/..." + gorgonia},
	{"examples/versus", public + gorgonia + "gonum.org/v1/plot/..."},
	{"examples/...", public + gorgonia},
}

// never is what packages may not depend on, over however many others.
var never = []rule{
	{"data/...", "gorgonia.org/gorgonia"},
	{"student/infer", "gorgonia.org/... data/... net/http"},
	{"student/...", "teacher/... distill/..."},
	{"teacher/...", "distill/..."},
	{"distill", "gonum.org/v1/plot/... github.com/schollz/progressbar/... net/http"},
}

func TestImports(t *testing.T) {
	// What a package imports may depend on the kind of CPU.
	for _, arch := range []string{"amd64", "arm64"} {
		report(t, wrongImports(list(t, arch)))
	}
}

func TestWrongImports(t *testing.T) {
	breaks(t, wrongImports([]listed{
		{ImportPath: module + "/data", Imports: []string{"fmt", "gorgonia.org/tensor", "golang.org/x/image/draw"}},
		{ImportPath: module + "/data/text", Imports: []string{"gorgonia.org/gorgonia", "golang.org/x/image/draw", module + "/data"}},
		{ImportPath: module + "/database", Imports: []string{"fmt"}},
		{ImportPath: module + "/student/infer", Imports: []string{module + "/data"}},
		{ImportPath: module + "/student/lm", Imports: []string{module + "/data"}},
		{ImportPath: module + "/distill", Deps: []string{"net", "net/http", "gonum.org/v1/plot/vg"}},
		{ImportPath: module + "/distill/report", Deps: []string{"net/http", "gonum.org/v1/plot/vg"}},
		{ImportPath: module + "/examples/a", Imports: []string{module + "/examples/b", module + "/internal/graph"}},
	}),
		"data/text imports gorgonia.org/gorgonia",
		"data/text imports golang.org/x/image/draw",
		"database has no rule",
		"student/infer imports data",
		"distill depends on net/http",
		"distill depends on gonum.org/v1/plot/vg",
		"examples/a imports examples/b",
		"examples/a imports internal/graph",
	)
}

// A listed package is what go list says of it. Deps are its imports, theirs,
// and so on.
type listed struct {
	ImportPath    string
	Imports, Deps []string
}

func list(t *testing.T, arch string) []listed {
	t.Helper()
	out, err := goTool(root, []string{"CGO_ENABLED=0", "GOARCH=" + arch}, "list", "-json=ImportPath,Imports,Deps", "./...")
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func wrongImports(all []listed) (broken []string) {
	for _, p := range all {
		name := local(p.ImportPath)
		i := slices.IndexFunc(may, func(r rule) bool { return matches(r.of, name) })
		if i < 0 {
			broken = append(broken, name+" has no rule")
			continue
		}
		for _, path := range p.Imports {
			if !standard(path) && !matches(may[i].imports, local(path)) {
				broken = append(broken, fmt.Sprintf("%s imports %s", name, local(path)))
			}
		}
		for _, r := range never {
			for _, path := range p.Deps {
				if matches(r.of, name) && matches(r.imports, local(path)) {
					broken = append(broken, fmt.Sprintf("%s depends on %s", name, local(path)))
				}
			}
		}
	}
	return broken
}

func local(path string) string { return strings.TrimPrefix(path, module+"/") }

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func matches(patterns, path string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(p string) bool {
		top, below := strings.CutSuffix(p, "/...")
		return path == top || below && strings.HasPrefix(path, top+"/")
	})
}
