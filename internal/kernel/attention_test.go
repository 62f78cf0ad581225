package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// attentions have sizes that fill tiles and blocks, and such that do not.
var attentions = []Attention{
	{Heads: 6, Shared: 3, Width: 10, Values: 7, Queries: 37, Keys: 37, Scale: 0.3},
	{Heads: 4, Shared: 4, Width: 32, Values: 32, Queries: 64, Keys: 64, Scale: 0.2},
	{Heads: 3, Shared: 1, Width: 24, Values: 16, Queries: 5, Keys: 70, Scale: 0.25},
	{Heads: 5, Shared: 5, Width: 6, Values: 9, Queries: 1, Keys: 1, Scale: 0.5},
	{Heads: 3, Shared: 3, Width: 8, Values: 50, Queries: 1, Keys: 200, Scale: 0.5},
	{Heads: 2, Shared: 1, Width: 18, Values: 3, Queries: 193, Keys: 193, Scale: 0.5},
}

const attentionSamples = 3

// attended is what an attention reads and writes: queries, keys and values side by
// side, as one layer makes them, with a gap.
type attended[F Float] struct {
	Attention
	rotary             *Rotary[F]
	q, k, v, y, dy     []F
	dq, dk, dv         []F
	lse                []F
	apartQ, apartK     int
	apartV, apartY     int
	queryRows, keyRows int
}

func newAttended[F Float](a Attention, rotary *Rotary[F], seed uint64) *attended[F] {
	x := &attended[F]{Attention: a, rotary: rotary}
	x.queryRows, x.keyRows = attentionSamples*a.Queries, attentionSamples*a.Keys
	x.apartQ, x.apartK = a.Heads*a.Width+3, a.Shared*a.Width+5
	x.apartV, x.apartY = a.Shared*a.Values+1, a.Heads*a.Values+2
	x.q, x.k = converted[F](random[float32](x.queryRows*x.apartQ, seed)), converted[F](random[float32](x.keyRows*x.apartK, seed+1))
	x.v, x.dy = converted[F](random[float32](x.keyRows*x.apartV, seed+2)), converted[F](random[float32](x.queryRows*x.apartY, seed+3))
	x.y, x.lse = make([]F, len(x.dy)), make([]F, attentionSamples*a.Heads*a.Queries)
	x.dq, x.dk, x.dv = make([]F, len(x.q)), make([]F, len(x.k)), make([]F, len(x.v))
	return x
}

func converted[F Float](x []float32) []F {
	y := make([]F, len(x))
	for i, v := range x {
		y[i] = F(v)
	}
	return y
}

func (x *attended[F]) forward() {
	Attend(Positions[F]{x.y, x.apartY}, x.lse, Positions[F]{x.q, x.apartQ}, Positions[F]{x.k, x.apartK}, Positions[F]{x.v, x.apartV},
		attentionSamples, x.Attention, x.rotary)
}

func (x *attended[F]) backward() {
	AttendGrad(Positions[F]{x.dq, x.apartQ}, Positions[F]{x.dk, x.apartK}, Positions[F]{x.dv, x.apartV}, x.lse,
		Positions[F]{x.q, x.apartQ}, Positions[F]{x.k, x.apartK}, Positions[F]{x.v, x.apartV}, Positions[F]{x.dy, x.apartY},
		attentionSamples, x.Attention, x.rotary)
}

// naive is attention by its definition.
func (x *attended[F]) naive() []float64 {
	all := make([]float64, len(x.y))
	head := func(data []F, row, apart, head, width, position int, turn bool) []float64 {
		h := make([]float64, width)
		for i := range h {
			h[i] = float64(data[row*apart+head*width+i])
		}
		if turn && x.rotary != nil {
			turnedBy(h, position, x.rotary.half, x.rotary.beside)
		}
		return h
	}
	for s := range attentionSamples {
		for h := range x.Heads {
			shared := h / (x.Heads / x.Shared)
			for i := range x.Queries {
				at, row := x.Keys-x.Queries+i, s*x.Queries+i
				q := head(x.q, row, x.apartQ, h, x.Width, at, true)
				weights, sum := make([]float64, at+1), 0.0
				for j := range weights {
					score := 0.0
					for e, v := range head(x.k, s*x.Keys+j, x.apartK, shared, x.Width, j, true) {
						score += q[e] * v
					}
					weights[j] = math.Exp(score * x.Scale)
					sum += weights[j]
				}
				for j, w := range weights {
					for e, v := range head(x.v, s*x.Keys+j, x.apartV, shared, x.Values, j, false) {
						all[row*x.apartY+h*x.Values+e] += w / sum * v
					}
				}
			}
		}
	}
	return all
}

const theta = 100

// turnedBy turns the last elements of a head as a complex number would.
func turnedBy(x []float64, position, half int, beside bool) {
	x = x[len(x)-2*half:]
	for i := range half {
		a, b := &x[i], &x[half+i]
		if beside {
			a, b = &x[2*i], &x[2*i+1]
		}
		angle := float64(position) * math.Pow(theta, -float64(i)/float64(half))
		z := complex(*a, *b) * complex(math.Cos(angle), math.Sin(angle))
		*a, *b = real(z), imag(z)
	}
}

// eachAttention calls f for every case, with and without a rotary.
func eachAttention[F Float](t *testing.T, f func(t *testing.T, x *attended[F])) {
	for i, a := range attentions {
		for name, rotary := range map[string]*Rotary[F]{
			"plain": nil, "apart": NewRotary[F](a.Keys, Angles{a.Width, theta, false, nil}), "beside": NewRotary[F](a.Keys, Angles{a.Width - 2, theta, true, nil}),
		} {
			t.Run(fmt.Sprint(i, name), func(t *testing.T) { f(t, newAttended(a, rotary, uint64(i))) })
		}
	}
}

func TestAttendIsItsDefinition(t *testing.T) {
	eachAttention(t, func(t *testing.T, x *attended[float64]) {
		x.forward()
		for i, want := range x.naive() {
			if math.Abs(x.y[i]-want) > 1e-13 {
				t.Fatalf("element %d is %v, want %v", i, x.y[i], want)
			}
		}
	})
}

// What assembly computes is what the portable path does, but for rounding.
func TestAttendOnEachPath(t *testing.T) {
	paths(t, func(t *testing.T) {
		eachAttention(t, func(t *testing.T, x *attended[float32]) {
			y := newAttended[float64](x.Attention, nil, 0)
			y.q, y.k, y.v, y.dy = converted[float64](x.q), converted[float64](x.k), converted[float64](x.v), converted[float64](x.dy)
			if r := x.rotary; r != nil {
				y.rotary = NewRotary[float64](x.Keys, Angles{2 * r.half, theta, r.beside, nil})
			}
			x.forward()
			y.forward()
			x.backward()
			y.backward()
			near := func(name string, got []float32, want []float64) {
				t.Helper()
				for i, w := range want {
					if math.Abs(float64(got[i])-w) > 3e-5 {
						t.Fatalf("%s: element %d is %v, want %v", name, i, got[i], w)
					}
				}
			}
			near("y", x.y, y.y)
			near("lse", x.lse, y.lse)
			near("dq", x.dq, y.dq)
			near("dk", x.dk, y.dk)
			near("dv", x.dv, y.dv)
		})
	})
}

// The gradients are those of finite differences.
func TestAttendGrad(t *testing.T) {
	a := Attention{Heads: 4, Shared: 2, Width: 6, Values: 5, Queries: 4, Keys: 7, Scale: 0.4}
	for _, rotary := range []*Rotary[float64]{nil, NewRotary[float64](7, Angles{6, theta, false, nil}), NewRotary[float64](7, Angles{4, theta, true, nil})} {
		x := newAttended(a, rotary, 9)
		cost := func() (sum float64) {
			x.forward()
			for i, v := range x.y {
				sum += v * x.dy[i]
			}
			return sum
		}
		cost()
		x.backward()
		for name, pair := range map[string][2][]float64{"q": {x.q, x.dq}, "k": {x.k, x.dk}, "v": {x.v, x.dv}} {
			const h = 1e-5
			for i, v := range pair[0] {
				pair[0][i] = v + h
				up := cost()
				pair[0][i] = v - h
				want := (up - cost()) / (2 * h)
				pair[0][i] = v
				if math.Abs(pair[1][i]-want) > 1e-8 {
					t.Fatalf("the gradient of %s at %d is %v, want %v", name, i, pair[1][i], want)
				}
			}
		}
	}
}

// Nothing that comes later changes a position, in a single bit.
func TestAttendIsCausal(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := newAttended[float32](attentions[1], NewRotary[float32](64, Angles{32, theta, false, nil}), 3)
		x.forward()
		before := append([]float32(nil), x.y...)
		const seen = 41
		for s := range attentionSamples {
			for r := seen; r < 64; r++ {
				x.k[(s*64+r)*x.apartK], x.v[(s*64+r)*x.apartV] = 7, -8
			}
		}
		x.forward()
		for s := range attentionSamples {
			at, end := s*64*x.apartY, (s*64+seen)*x.apartY
			if !same(before[at:end], x.y[at:end]) {
				t.Fatal("a later position changed an earlier one")
			}
			if same(before[end:(s+1)*64*x.apartY], x.y[end:(s+1)*64*x.apartY]) {
				t.Fatal("no position changed")
			}
		}
	})
}

// The last queries come to the same bits with a cache of keys as among all.
func TestAttendWithCache(t *testing.T) {
	paths(t, func(t *testing.T) {
		a := attentions[0]
		all := newAttended[float32](a, NewRotary[float32](a.Keys, Angles{a.Width, theta, false, nil}), 6)
		all.forward()
		a.Queries = 3
		some := newAttended[float32](a, all.rotary, 6)
		some.k, some.v = all.k, all.v
		for s := range attentionSamples {
			from := ((s+1)*all.Queries - 3) * all.apartQ
			copy(some.q[s*3*some.apartQ:], all.q[from:from+3*all.apartQ])
		}
		some.forward()
		for r := range attentionSamples * 3 {
			s, i := r/3, r%3
			from := ((s+1)*all.Queries - 3 + i) * all.apartY
			if n := a.Heads * a.Values; !same(some.y[r*some.apartY:][:n], all.y[from:][:n]) {
				t.Fatalf("query %d of sample %d differs", i, s)
			}
		}
	})
}

// Threads change no bit.
func TestAttendOnThreads(t *testing.T) {
	paths(t, func(t *testing.T) {
		var first *attended[float32]
		threaded(func(threads int) {
			x := newAttended[float32](attentions[0], nil, 4)
			x.forward()
			x.backward()
			if first == nil {
				first = x
			}
			for i, v := range [][]float32{x.y, x.lse, x.dq, x.dk, x.dv} {
				if want := [][]float32{first.y, first.lse, first.dq, first.dk, first.dv}[i]; !same(v, want) {
					t.Fatalf("output %d differs with %d threads", i, threads)
				}
			}
		})
	})
}

// Scores beyond what an exponential holds do no harm.
func TestAttendOfLargeScores(t *testing.T) {
	paths(t, func(t *testing.T) {
		x := newAttended[float32](attentions[0], nil, 5)
		for i := range x.q {
			x.q[i] *= 1e4
		}
		x.forward()
		x.backward()
		for _, all := range [][]float32{x.y, x.lse, x.dq, x.dk, x.dv} {
			for i, v := range all {
				if v-v != 0 {
					t.Fatalf("element %d is %v", i, v)
				}
			}
		}
	})
}

// Texts of any length that stand one after the other are as each is alone, forward
// and backward, to the last bit.
func TestAttendTexts(t *testing.T) {
	texts := []int{0, 5, 6, 43, 111}
	paths(t, func(t *testing.T) {
		for i, a := range attentions {
			a.Queries, a.Keys = 37, 37 // of each of 3 samples, which are 111 rows
			rotary := NewRotary[float32](68, Angles{a.Width - 2, theta, true, nil})
			threaded(func(threads int) {
				x := newAttended(a, rotary, uint64(i))
				q, k, v := Positions[float32]{x.q, x.apartQ}, Positions[float32]{x.k, x.apartK}, Positions[float32]{x.v, x.apartV}
				dy := Positions[float32]{x.dy, x.apartY}
				AttendTexts(Positions[float32]{x.y, x.apartY}, x.lse, q, k, v, texts, a, rotary)
				AttendTextsGrad(Positions[float32]{x.dq, x.apartQ}, Positions[float32]{x.dk, x.apartK}, Positions[float32]{x.dv, x.apartV},
					x.lse, q, k, v, dy, texts, a, rotary)
				z := newAttended(a, rotary, uint64(i))
				for n, row := range texts[:len(texts)-1] {
					a := a
					a.Queries = texts[n+1] - row
					a.Keys = a.Queries
					from := func(p Positions[float32]) Positions[float32] {
						return Positions[float32]{p.Data[row*p.Apart:], p.Apart}
					}
					Attend(from(Positions[float32]{z.y, z.apartY}), z.lse[row*a.Heads:], from(q), from(k), from(v), 1, a, rotary)
					AttendGrad(from(Positions[float32]{z.dq, z.apartQ}), from(Positions[float32]{z.dk, z.apartK}), from(Positions[float32]{z.dv, z.apartV}),
						z.lse[row*a.Heads:], from(q), from(k), from(v), from(dy), 1, a, rotary)
				}
				for j, got := range [][]float32{x.y, x.lse, x.dq, x.dk, x.dv} {
					if want := [][]float32{z.y, z.lse, z.dq, z.dk, z.dv}[j]; !same(got, want) {
						t.Fatalf("attention %d: output %d is another alone, with %d threads", i, j, threads)
					}
				}
			})
		}
	})
}

func TestTexts(t *testing.T) {
	for _, test := range []struct{ numbers, want []int }{
		{nil, []int{0, 5, 10, 15}},
		{[]int{1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 1, 2, 3, 3, 1}, []int{0, 3, 5, 7, 10, 11, 12, 14, 15}},
		{make([]int, 15), []int{0, 5, 10, 15}},
	} {
		if got := Texts(nil, test.numbers, 3, 5); !slices.Equal(got, test.want) {
			t.Errorf("texts are %v; want %v", got, test.want)
		}
	}
	if got := Texts(nil, []float64{1, math.NaN(), math.NaN(), 2}, 1, 4); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("texts are %v; want one for each position", got)
	}
}
