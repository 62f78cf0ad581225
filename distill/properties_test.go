package distill

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// A property is what the mathematics of a loss grants it.
type property uint

const (
	nonNegative    property = 1 << iota // it is never below 0
	zeroAtTeacher                       // it is 0 for a student that is its teacher
	restsAtTeacher                      // which has no gradient
	freeOfStudent                       // a number added to a row of the student changes nothing
	freeOfTeacher                       // nor one added to a row of the teacher
	freeOfScale                         // nor a factor of a row, on both sides
	freeOfNames                         // classes may stand in any other order
	symmetric                           // student and teacher may change places
	splits                              // it is the weighted mean of parts of a batch

	freeOfLevel = freeOfStudent | freeOfTeacher
	ofClasses   = nonNegative | freeOfLevel | freeOfNames | splits
	divergence  = ofClasses | zeroAtTeacher | restsAtTeacher
)

// A method is a loss with its properties. What it has not, it is shown to lack.
// Rows may stand in any order, and padding changes nothing, in all of them.
type method struct {
	loss Loss
	has  property
	// most is what no row exceeds, 0 if there is no such bound.
	most float64
}

// methods are the definitions at a temperature, and more of some losses, or of
// those that no row defines.
var methods = func() map[string]method {
	all := map[string]method{
		"JSD, 0.5":             {loss: JSD{T: Constant(2)}, has: divergence | symmetric, most: math.Ln2},
		"JSD, 0":               {loss: JSD{Beta: Constant(0)}, has: divergence},
		"JSD, 1":               {loss: JSD{Beta: Constant(1)}, has: divergence},
		"AlphaDivergence, 0.5": {loss: AlphaDivergence{}, has: divergence | symmetric, most: 4},
		"AlphaDivergence, 0":   {loss: AlphaDivergence{Alpha: Constant(0)}, has: divergence},
		"AlphaDivergence, 1":   {loss: AlphaDivergence{Alpha: Constant(1)}, has: divergence},
		"DKD, of the others":   {loss: DKD{Alpha: Constant(0)}, has: divergence},
		"DIST":                 {loss: DIST{T: Constant(2)}, has: divergence&^splits | symmetric, most: 4 * 4},
		"Standardized, DKD":    {loss: Standardized{Of: DKD{}}, has: divergence | freeOfScale},
	}
	for name, d := range definitions(2) {
		all[name] = method{loss: d.loss, has: d.has, most: d.most}
	}
	return all
}()

// properties say how each is tested.
var properties = []struct {
	property
	name  string
	check func(m method, c Case) error
}{
	{nonNegative, "not negative", func(m method, c Case) error {
		if v := m.at(c).value; v < 0 {
			return fmt.Errorf("it is %v; want 0 or more", v)
		}
		return nil
	}},
	{zeroAtTeacher, "zero at its teacher", func(m method, c Case) error {
		c.Teacher = c.Student
		return near(1e-14, []float64{m.at(c).value}, []float64{0})
	}},
	{restsAtTeacher, "at rest at its teacher", func(m method, c Case) error {
		c.Teacher = c.Student
		at := m.at(c)
		return near(1e-14, at.grad, make([]float64, len(at.grad)))
	}},
	{freeOfStudent, "free of the student's level", func(m method, c Case) error {
		shifted := c
		shifted.Student = mapped(c.Student, leveled)
		return m.at(shifted).same(m.at(c), 1e-11)
	}},
	{freeOfTeacher, "free of the teacher's level", func(m method, c Case) error {
		shifted := c
		shifted.Teacher = mapped(c.Teacher, leveled)
		return m.at(shifted).same(m.at(c), 1e-11)
	}},
	{freeOfScale, "free of scale", func(m method, c Case) error {
		scaled, up := c, func(r int, v float64) float64 { return v * float64(r+2) }
		scaled.Student, scaled.Teacher = mapped(c.Student, up), mapped(c.Teacher, up)
		return near(1e-5, []float64{m.at(scaled).value}, []float64{m.at(c).value}) // sd + 1e-7
	}},
	{freeOfNames, "free of the names of classes", otherNames},
	{symmetric, "symmetric", func(m method, c Case) error {
		swapped := c
		swapped.Student, swapped.Teacher = c.Teacher, c.Student
		return near(1e-12, []float64{m.at(swapped).value}, []float64{m.at(c).value})
	}},
	{splits, "split", inParts},
}

func TestProperties(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		m := methods[name]
		t.Run(name, func(t *testing.T) {
			if _, joint := m.loss.(Joint); joint != (m.has&splits == 0) {
				t.Errorf("it is Joint: %t; want that of losses that cannot be taken in parts", joint)
			}
			cases := m.cases()
			for _, p := range properties {
				failed := 0
				for i, c := range cases {
					err := p.check(m, c)
					if err != nil {
						failed++
					}
					if err != nil && m.has&p.property != 0 {
						t.Errorf("case %d: it is not %s: %v", i, p.name, err)
					}
				}
				if failed == 0 && m.has&p.property == 0 {
					t.Errorf("it is %s; want that in the table", p.name)
				}
			}
			for i, c := range cases {
				if err := cmp.Or(inAnyOrder(m, c), padded(m, c), masked(m, c), m.bounded(c)); err != nil {
					t.Errorf("case %d: %v", i, err)
				}
			}
		})
	}
}

// cases are those that a method is tried on: mild ones, and far apart ones.
func (m method) cases() (all []Case) {
	for seed := range uint64(3) {
		for _, size := range []float64{1, 10} {
			all = append(all, m.logits(seed, size))
		}
	}
	return all
}

// logits are 6 rows of 5 classes, of which one has no label and one no weight.
func (m method) logits(seed uint64, size float64) Case {
	rng := rand.New(rand.NewPCG(seed, 1))
	draw := func() data.Signals {
		z := make([]float64, 6*5)
		for i := range z {
			z[i] = size * rng.NormFloat64()
		}
		return data.Signals{"logits": dense[float64](z, 6, 5)}
	}
	label, weight := []int{4, 0, -1, 2, 3, 0}, []float64{1, 2, 0.5, 0, 1, 3}
	if _, joint := m.loss.(Joint); joint {
		weight = []float64{1, 1, 1, 0, 1, 1}
	}
	return Case{Student: draw(), Teacher: draw(), Label: tensor.New(tensor.WithBacking(label)), Weight: dense[float32](weight, 6)}
}

// A result is what a loss makes of a case, with the gradients by all taps.
type result struct {
	value, weight float64
	grad          []float64
}

func (m method) at(c Case) result {
	value, weight, grads, err := evaluate(m.loss, c)
	r := result{value: must(value, err), weight: weight}
	for _, name := range slices.Sorted(maps.Keys(grads)) {
		r.grad = append(r.grad, wide(grads[name])...)
	}
	return r
}

func (r result) same(want result, tolerance float64) error {
	return cmp.Or(near(tolerance, []float64{r.value}, []float64{want.value}), near(tolerance, r.grad, want.grad))
}

// near compares, relative to the largest number or 1.
func near(tolerance float64, got, want []float64) error {
	size := 1.0
	for _, w := range want {
		size = max(size, math.Abs(w))
	}
	for i, w := range want {
		if len(got) != len(want) || !(math.Abs(got[i]-w) <= tolerance*size) {
			return fmt.Errorf("number %d of %v is not that of %v", i, got, want)
		}
	}
	return nil
}

// mapped is f of each element, with the row that it stands in.
func mapped(s data.Signals, f func(r int, v float64) float64) data.Signals {
	all := data.Signals{}
	for name, v := range s {
		x := slices.Clone(wide(v))
		for i := range x {
			x[i] = f(i/(len(x)/v.Shape()[0]), x[i])
		}
		all[name] = dense[float64](x, v.Shape()...)
	}
	return all
}

// leveled adds another number to each row.
func leveled(r int, v float64) float64 { return v + float64(r*r) - 7 }

// rows are those rows of a case.
func (c Case) rows(at []int) Case {
	c.Student, c.Teacher = someOf(c.Student, at), someOf(c.Teacher, at)
	c.Label, c.Weight = take(c.Label, at), take(c.Weight, at)
	return c
}

func someOf(s data.Signals, at []int) data.Signals {
	all := data.Signals{}
	for name, v := range s {
		all[name] = take(v, at)
	}
	return all
}

// take is some rows of v, nil of nil.
func take(v *tensor.Dense, rows []int) *tensor.Dense {
	if v == nil {
		return nil
	}
	shape := v.Shape().Clone()
	c := shape.TotalSize() / shape[0]
	shape[0] = len(rows)
	out := tensor.New(tensor.Of(v.Dtype()), tensor.WithShape(shape...))
	for i, r := range rows {
		switch v.Dtype() {
		case tensor.Int:
			copy(out.Ints()[i*c:], v.Ints()[r*c:][:c])
		case tensor.Float32:
			copy(out.Float32s()[i*c:], v.Float32s()[r*c:][:c])
		default:
			copy(out.Float64s()[i*c:], v.Float64s()[r*c:][:c])
		}
	}
	return out
}

// turned are numbers from 0 to n, in an order that is not its own inverse.
func turned(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = (i + 2) % n
	}
	all[0], all[1] = all[1], all[0]
	return all
}

// count is how many rows there are.
func (c Case) count() int {
	for _, v := range c.Student {
		return v.Shape()[0]
	}
	return 0
}

func inAnyOrder(m method, c Case) error {
	order := turned(c.count())
	whole, other := m.at(c), m.at(c.rows(order))
	want := result{value: whole.value, grad: m.gradRows(c, whole, order)}
	return named("other rows first", other.same(want, 1e-12))
}

// gradRows are rows of the gradients of a case.
func (m method) gradRows(c Case, of result, rows []int) (all []float64) {
	from := 0
	_, _, grads, _ := evaluate(m.loss, c)
	for _, name := range slices.Sorted(maps.Keys(grads)) {
		v := grads[name]
		n := v.Shape().TotalSize()
		all = append(all, wide(take(dense[float64](of.grad[from:][:n], v.Shape()...), rows))...)
		from += n
	}
	return all
}

// otherNames gives the classes another order, in signals and labels.
func otherNames(m method, c Case) error {
	renamed, order := c, turned(c.Student["logits"].Shape()[1])
	renamed.Student, renamed.Teacher = reordered(c.Student, order), reordered(c.Teacher, order)
	if c.Label != nil {
		label := slices.Clone(c.Label.Ints())
		for i, y := range label {
			label[i] = slices.Index(order, y) // -1 of none
		}
		renamed.Label = tensor.New(tensor.WithBacking(label))
	}
	whole, n := m.at(c), c.Student["logits"].Shape()
	grads := reordered(data.Signals{"logits": dense[float64](whole.grad, n...)}, order)
	return m.at(renamed).same(result{value: whole.value, grad: wide(grads["logits"])}, 1e-12)
}

func reordered(s data.Signals, order []int) data.Signals {
	all := data.Signals{}
	for name, v := range s {
		x := wide(v)
		for i := range x {
			x[i] = wide(v)[i/len(order)*len(order)+order[i%len(order)]]
		}
		all[name] = dense[float64](x, v.Shape()...)
	}
	return all
}

// inParts takes two parts of a case, of different sizes, for the whole.
func inParts(m method, c Case) error {
	var sum result
	whole, n := m.at(c), c.count()
	for _, rows := range [][]int{{0, 1}, span(2, n)} {
		part := m.at(c.rows(rows))
		share := part.weight / whole.weight
		sum.value += share * part.value
		for _, g := range part.grad {
			sum.grad = append(sum.grad, share*g)
		}
	}
	return sum.same(whole, 1e-12)
}

func span(from, to int) (all []int) {
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// padded ends a case in rows of zeros without weight.
func padded(m method, c Case) error {
	n := c.count()
	longer := c.rows(append(span(0, n), 0, 1))
	longer.Student, longer.Teacher = mapped(longer.Student, zeroFrom(n)), mapped(longer.Teacher, zeroFrom(n))
	if c.Weight == nil {
		longer.Weight = ones(n+2, data.Field{})
	}
	for i := range 2 {
		longer.Weight.Float32s()[n+i] = 0
	}
	whole, more := m.at(c), m.at(longer)
	kept := result{value: more.value, grad: m.gradRows(longer, more, span(0, n))}
	rest := m.gradRows(longer, more, []int{n, n + 1})
	return named("with padding", cmp.Or(kept.same(whole, 1e-12), near(0, rest, make([]float64, len(rest)))))
}

func zeroFrom(n int) func(int, float64) float64 {
	return func(r int, v float64) float64 {
		if r >= n {
			return 0
		}
		return v
	}
}

// masked has no row with weight, and gives 0.
func masked(m method, c Case) error {
	c.Weight = dense[float32](nil, c.count())
	at := m.at(c)
	return named("without weights", at.same(result{grad: make([]float64, len(at.grad))}, 0))
}

func (m method) bounded(c Case) error {
	if v := m.at(c).value; m.most > 0 && v > m.most {
		return fmt.Errorf("it is %v; want %v at most", v, m.most)
	}
	return nil
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
