package student

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"
)

// A Cut makes a student of a teacher's layers: of some of its blocks, as
// DistilBERT begins (Sanh et al. 2019, 1910.01108, section 3), or of some of its
// channels (Li et al. 2017, 1608.08710, section 3.1), or of both.
//
//	small, err := student.Cut{To: student.ResNet{Depth: 14, Out: 10}}.From(teacher, 1)
//
// Channels that belong together, as those of all blocks of a stage do that are
// added up, are kept or left together.
type Cut struct {
	// To is the student: the teacher's network with fewer blocks or channels.
	To Module
	// Rules make the name of the teacher's parameter of that of the student's,
	// one after the other. Without any, blocks, which are numbers in a name, are
	// spread evenly, the first and the last included: of 12, 6 are 0, 2, 4, 7, 9
	// and 11.
	Rules []Rule
	// Keep are patterns, as in path.Match, for parameters that the teacher need
	// not have, as those of a new head: they stay as To begins with them.
	Keep []string
	// First keeps the first channels. Else they are those of the largest L1 norm
	// of the weights that they are computed by.
	First bool
}

// From is the student, with the weights and running statistics of the teacher's,
// which it does not share. What Keep names begins from the seed. It fails where
// the student has a parameter, a block or a channel more than the teacher, and
// where channels are to be left out that are not free: inputs, logits, and what
// goes through a group norm, a grouped convolution, or an operation that cannot be
// followed. The error names all of them.
func (c Cut) From(teacher *Model, seed uint64) (*Model, error) {
	switch {
	case c.To == nil:
		return nil, errors.New("student: Cut.To is nil; want a module")
	case teacher == nil || teacher.module == nil:
		return nil, errors.New("student: Cut.From has no teacher; want a model that New made")
	}
	if err := checkPatterns("Cut.Keep", c.Keep); err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	rules, err := compileRules("Cut.Rules", c.Rules)
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	m, err := New(c.To, teacher.spec, seed)
	if err != nil {
		return nil, err
	}
	x := &cutting{Cut: c, rules: rules, to: m, from: teacher}
	if err := x.cut(); err != nil {
		return nil, fmt.Errorf("student: cut: %w", err)
	}
	return m, nil
}

// A cutting finds what of the teacher each parameter of the student is.
type cutting struct {
	Cut
	rules    []*regexp.Regexp
	to, from *Model
	pieces   []*piece
	wrong    []string
}

// A piece is a parameter of the student's and the teacher's that it is cut from:
// of each axis, the elements that picks have.
type piece struct {
	to, from *Param
	picks    [][]int
}

func (x *cutting) cut() error {
	x.match()
	if len(x.wrong) == 0 {
		x.narrow()
	}
	if len(x.wrong) > 0 {
		return fmt.Errorf("the teacher and the student do not fit:\n\t%s", strings.Join(x.wrong, "\n\t"))
	}
	for _, p := range x.pieces {
		p.copy()
	}
	return nil
}

func (x *cutting) fail(format string, args ...any) {
	x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
}

// match finds the teacher's parameters by name.
func (x *cutting) match() {
	blocks, theirs := blocksOf(x.to), blocksOf(x.from)
	for p := range x.to.Params() {
		if matches(x.Keep, p.Name) {
			continue
		}
		name := p.Name
		if len(x.rules) == 0 {
			name = spread(name, blocks, theirs)
		}
		for i, re := range x.rules {
			name = re.ReplaceAllString(name, x.Rules[i].To)
		}
		from := x.from.params.Lookup(name)
		switch {
		case from == nil:
			x.fail("the teacher has no %s; want a name of its parameters by Cut.Rules, or a pattern in Cut.Keep", arrow(p.Name, name))
		case from.Value.Dims() != p.Value.Dims():
			x.fail("%s; want as many axes", whole(p, from).shapes())
		default:
			x.pieces = append(x.pieces, whole(p, from))
		}
	}
}

// whole is all of a parameter.
func whole(to, from *Param) *piece {
	p := &piece{to: to, from: from}
	for _, n := range from.Value.Shape() {
		p.picks = append(p.picks, count(n))
	}
	return p
}

// count is 0, 1, ..., n-1.
func count(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// blocksOf are the numbers that stand behind each part of the names of a model:
// 0, 1 and 2 behind "layer1", if it has "layer1.0", "layer1.1" and "layer1.2".
func blocksOf(m *Model) map[string][]int {
	all := map[string][]int{}
	for p := range m.Params() {
		parts := strings.Split(p.Name, ".")
		for i, part := range parts {
			if n, err := strconv.Atoi(part); err == nil {
				before := strings.Join(parts[:i], ".")
				all[before] = append(all[before], n)
			}
		}
	}
	for before, n := range all {
		slices.Sort(n)
		all[before] = slices.Compact(n)
	}
	return all
}

// spread is the name of a parameter among the teacher's blocks.
func spread(name string, ours, theirs map[string][]int) string {
	from, to := strings.Split(name, "."), strings.Split(name, ".")
	for i, part := range from {
		n, err := strconv.Atoi(part)
		few, many := ours[strings.Join(from[:i], ".")], theirs[strings.Join(to[:i], ".")]
		if err != nil || len(few) >= len(many) {
			continue
		}
		at := float64(slices.Index(few, n)) * float64(len(many)-1) / max(1, float64(len(few)-1))
		to[i] = strconv.Itoa(many[int(math.Round(at))])
	}
	return strings.Join(to, ".")
}

// narrow picks channels, where the teacher has more.
func (x *cutting) narrow() {
	if !slices.ContainsFunc(x.pieces, func(p *piece) bool { return !p.from.Value.Shape().Eq(p.to.Value.Shape()) }) {
		return
	}
	plan, err := x.to.lower()
	if err != nil {
		x.fail("the channels of the student cannot be followed: %v", err)
		return
	}
	c, ends := channelsOf(plan), map[int][]end{}
	for _, p := range x.pieces {
		for axis := range p.picks {
			space, each, free := c.free(p.to.Name, axis)
			if free {
				ends[space] = append(ends[space], end{p, axis, each})
			} else if ours, theirs := p.sizes(axis); ours != theirs {
				x.fail("%s; want as many on axis %d, which is not free", p.shapes(), axis)
			}
		}
	}
	for _, space := range slices.Sorted(maps.Keys(ends)) {
		x.pick(ends[space])
	}
}

// An end is an axis of a piece that counts channels, each as so many elements.
type end struct {
	*piece
	axis, each int
}

// sizes are those of an axis in the student and in the teacher.
func (p *piece) sizes(axis int) (ours, theirs int) {
	return p.to.Value.Shape()[axis], p.from.Value.Shape()[axis]
}

// shapes are both shapes, for an error.
func (p *piece) shapes() string {
	return fmt.Sprintf("%s is %v, and %v in the teacher", arrow(p.to.Name, p.from.Name), p.to.Value.Shape(), p.from.Value.Shape())
}

// pick chooses the channels of a space, given all its ends.
func (x *cutting) pick(ends []end) {
	first := ends[0]
	few, many := first.sizes(first.axis)
	few, many = few/first.each, many/first.each
	for _, e := range ends {
		if ours, theirs := e.sizes(e.axis); ours != few*e.each || theirs != many*e.each {
			x.fail("%s; want %d and %d channels on axis %d, as in %s", e.shapes(), few, many, e.axis, first.to.Name)
			return
		}
	}
	if few > many {
		x.fail("%s; want %d channels at most on axis %d", first.shapes(), many, first.axis)
		return
	}
	kept := count(few)
	if !x.First {
		kept = largest(ends, few, many)
	}
	for _, e := range ends {
		e.picks[e.axis] = nil
		for _, channel := range kept {
			for i := range e.each {
				e.picks[e.axis] = append(e.picks[e.axis], channel*e.each+i)
			}
		}
	}
}

// largest are the few channels of many that are computed by the largest weights,
// in the order in which they are.
func largest(ends []end, few, many int) []int {
	norms, kept := make([]float64, many), count(many)
	for _, e := range ends {
		if e.axis > 0 || e.from.Value.Dims() < 2 {
			continue // it reads the channels, or scales them
		}
		w := float64s(e.from.Value)
		for i, v := range w {
			norms[i/(len(w)/many)] += math.Abs(v)
		}
	}
	slices.SortStableFunc(kept, func(a, b int) int { return cmp.Compare(norms[b], norms[a]) })
	kept = kept[:few]
	slices.Sort(kept)
	return kept
}

// float64s are the values of a parameter.
func float64s(t *tensor.Dense) []float64 {
	if v, ok := t.Data().([]float64); ok {
		return v
	}
	var all []float64
	for _, v := range t.Float32s() {
		all = append(all, float64(v))
	}
	return all
}

// copy writes the piece to the student's parameter.
func (p *piece) copy() {
	shape := p.from.Value.Shape()
	switch dst := p.to.Value.Data().(type) {
	case []float32:
		gather(dst, p.from.Value.Float32s(), shape, p.picks)
	case []float64:
		gather(dst, p.from.Value.Float64s(), shape, p.picks)
	}
	p.to.Touch()
}

// gather copies what picks have of src, which has a shape, and returns how much.
func gather[F float32 | float64](dst, src []F, shape []int, picks [][]int) int {
	if len(shape) == 0 {
		return copy(dst, src)
	}
	n, size := 0, len(src)/shape[0]
	for _, i := range picks[0] {
		n += gather(dst[n:], src[i*size:(i+1)*size], shape[1:], picks[1:])
	}
	return n
}
