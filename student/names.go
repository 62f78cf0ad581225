package student

import (
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/safetensors"
)

// Names say what the tensors of a file that another program wrote are called
// here. A name in the file is looked up in Map, and else goes through Rules:
// what comes out is the name of a parameter. The zero Names take all as they
// are.
//
//	names := student.Names{
//		Rules:  []student.Rule{{`^layer(\d+)\.(\d+)\.`, `stage$1.block$2.`}, {`^fc\.`, `logits.`}},
//		Ignore: []string{"*.num_batches_tracked"},
//	}
type Names struct {
	// Map has the names of parameters by the names in the file, each of which has
	// to be there.
	Map map[string]string
	// Rules are applied to a name one after the other, all of them.
	Rules []Rule
	// Ignore are patterns, as in path.Match, for names in the file that are not
	// wanted: counters, another head. A dot is like any other character.
	Ignore []string
	// Keep are such patterns for parameters that the file need not have, as that
	// of a new head: they stay as they are.
	Keep []string
}

// A Rule replaces what a regular expression matches of a name, everywhere, as
// regexp.Regexp.ReplaceAllString does: $1, or ${1} before a letter, digit or
// underscore, is what its first group matched.
type Rule struct{ From, To string }

// Loaded is what [Model.LoadNamed] did.
type Loaded struct {
	// Read are the names in the file by those of the parameters.
	Read map[string]string
	// Ignored are the names in the file that Names.Ignore matched, and Kept the
	// parameters that the file does not have, sorted.
	Ignored, Kept []string
}

// LoadNamed reads parameters under other names than the model's, from a file in
// the safetensors format such as PyTorch, torchvision and timm use: with
// safetensors.torch.save_file(net.state_dict(), "net.safetensors") there,
//
//	loaded, err := model.LoadNamed(file, student.Names{Map: map[string]string{"fc.weight": "logits.weight"}})
//
// reads it here. Tensors are of float16, bfloat16, float32 or float64, and are
// rounded to the model's dtype. Every parameter must be in the file, with its
// shape and finite values, or in Names.Keep, and every tensor must be a parameter
// or in Names.Ignore. The error names all that are not; the model is not changed
// when it fails.
func (m *Model) LoadNamed(r io.Reader, names Names) (Loaded, error) {
	rules, err := names.compile()
	if err != nil {
		return Loaded{}, fmt.Errorf("student: %w", err)
	}
	f, err := safetensors.Read(r)
	if err != nil {
		return Loaded{}, fmt.Errorf("student: load: %w", err)
	}
	x := &matching{model: m, names: names, rules: rules, tensors: map[string]safetensors.Tensor{}}
	x.match(f)
	if err = x.err(); err == nil {
		err = x.fill()
	}
	if err != nil {
		return Loaded{}, fmt.Errorf("student: load: %w", err)
	}
	return x.loaded, nil
}

// compile checks the names, and compiles the rules.
func (n Names) compile() ([]*regexp.Regexp, error) {
	if err := checkPatterns("Names.Ignore", n.Ignore); err != nil {
		return nil, err
	}
	if err := checkPatterns("Names.Keep", n.Keep); err != nil {
		return nil, err
	}
	return compileRules("Names.Rules", n.Rules)
}

func checkPatterns(field string, patterns []string) error {
	for i, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%s[%d] is %q; want a pattern of path.Match: %w", field, i, p, err)
		}
	}
	return nil
}

func compileRules(field string, rules []Rule) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for i, r := range rules {
		re, err := regexp.Compile(r.From)
		if err != nil {
			return nil, fmt.Errorf("%s[%d].From is %q; want a regular expression: %w", field, i, r.From, err)
		}
		all = append(all, re)
	}
	return all, nil
}

// A matching finds the tensor of each parameter, and all that is wrong with it.
type matching struct {
	model   *Model
	names   Names
	rules   []*regexp.Regexp
	tensors map[string]safetensors.Tensor // by the names of parameters
	wrong   []string
	loaded  Loaded
}

func (x *matching) match(f *safetensors.File) {
	x.loaded.Read = map[string]string{}
	absent := maps.Clone(x.names.Map)
	var unknown []string
	for _, t := range f.Tensors {
		delete(absent, t.Name)
		name := x.ours(t.Name)
		other, taken := x.loaded.Read[name]
		switch {
		case matches(x.names.Ignore, t.Name):
			x.loaded.Ignored = append(x.loaded.Ignored, t.Name)
		case x.model.params.Lookup(name) == nil:
			unknown = append(unknown, arrow(t.Name, name))
		case taken:
			x.fail("%s and %s are both %s", other, t.Name, name)
		default:
			x.loaded.Read[name], x.tensors[name] = t.Name, t
		}
	}
	slices.Sort(x.loaded.Ignored)
	x.list(sorted(absent), "the file does not have %s, which Names.Map has")
	x.list(unknown, "the model does not have %s; want a name for each in Names.Map or Names.Rules, or a pattern in Names.Ignore")
	x.compare()
}

// ours is what a name in the file is called here.
func (x *matching) ours(name string) string {
	if ours, ok := x.names.Map[name]; ok {
		return ours
	}
	for i, re := range x.rules {
		name = re.ReplaceAllString(name, x.names.Rules[i].To)
	}
	return name
}

// compare looks at every parameter.
func (x *matching) compare() {
	var missing []string
	for p := range x.model.Params() {
		t, ok := x.tensors[p.Name]
		switch {
		case !ok && matches(x.names.Keep, p.Name):
			x.loaded.Kept = append(x.loaded.Kept, p.Name)
		case !ok:
			missing = append(missing, p.Name)
		case !slices.Equal(t.Shape, p.Value.Shape()):
			x.fail("%s is %v in the file; the model wants %v", arrow(t.Name, p.Name), t.Shape, p.Value.Shape())
		}
	}
	slices.Sort(x.loaded.Kept)
	x.list(missing, "the file does not have %s; want a name for each in Names.Map or Names.Rules, or a pattern in Names.Keep")
}

func (x *matching) fail(format string, args ...any) {
	x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
}

// list fails with what there is to say of some names, if there are any.
func (x *matching) list(names []string, format string) {
	if len(names) > 0 {
		x.fail(format, strings.Join(names, ", "))
	}
}

// err is all that is wrong, nil if nothing is.
func (x *matching) err() error {
	if len(x.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("the file and the model do not fit:\n\t%s", strings.Join(x.wrong, "\n\t"))
}

// arrow is a name in the file and what became of it.
func arrow(theirs, ours string) string {
	if theirs == ours {
		return ours
	}
	return theirs + " → " + ours
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// fill writes the tensors to the parameters, if all of them can be written.
func (x *matching) fill() error {
	if x.model.dtype == tensor.Float64 {
		return fillAll[float64](x)
	}
	return fillAll[float32](x)
}

func fillAll[F float32 | float64](x *matching) error {
	all := map[*Param][]F{}
	for p := range x.model.Params() {
		t, ok := x.tensors[p.Name]
		if !ok {
			continue
		}
		values, err := safetensors.Floats[F](t)
		if err != nil {
			x.fail("%v", err)
			continue
		}
		if i := slices.IndexFunc(values, func(v F) bool { return v-v != 0 }); i >= 0 {
			x.fail("element %d of %s is %v; want finite numbers of %v", i, arrow(t.Name, p.Name), values[i], x.model.dtype)
		}
		all[p] = values
	}
	if err := x.err(); err != nil {
		return err
	}
	for p, values := range all {
		copy(p.Value.Data().([]F), values)
		p.Touch()
	}
	return nil
}
