package kernel

import (
	"math"
	"math/big"
)

// precise is how many bits the references have that are exact to a float64.
const precise = 160

func exactly(x float64) *big.Float { return new(big.Float).SetPrec(precise).SetFloat64(x) }

// bigExp is exp(x): a Taylor series for x/2^halvings, squared as often.
func bigExp(x *big.Float) *big.Float {
	const halvings = 16
	r := new(big.Float).SetMantExp(x, -halvings)
	term, sum := exactly(1), exactly(1)
	for i := 1.0; i < 16; i++ {
		term.Mul(term, r)
		term.Quo(term, exactly(i))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog is log(x), by a step of Halley's method from float64's, which is not to
// be given a denormal.
func bigLog(x *big.Float) *big.Float {
	fraction := new(big.Float)
	e := x.MantExp(fraction)
	near, _ := fraction.Float64()
	y := exactly(math.Log(near) + float64(e)*math.Ln2)
	back := bigExp(y)
	step := new(big.Float).Quo(new(big.Float).Sub(x, back), new(big.Float).Add(x, back))
	return y.Add(y, step.Mul(step, exactly(2)))
}

// bigSoftmax is softmax(z·invT) and its logarithm.
func bigSoftmax(z []float32, invT float64) (p, logp []*big.Float) {
	sum := exactly(0)
	for _, v := range z {
		x := new(big.Float).Mul(exactly(float64(v)), exactly(invT))
		e := bigExp(x)
		p, logp = append(p, e), append(logp, x)
		sum.Add(sum, e)
	}
	lse := bigLog(sum)
	for i := range p {
		p[i].Quo(p[i], sum)
		logp[i].Sub(logp[i], lse)
	}
	return p, logp
}

// apart is how far got is from want, in units of the last place of F.
func apart[F Float](got F, want *big.Float) float64 {
	d, _ := new(big.Float).Sub(exactly(float64(got)), want).Float64()
	w, _ := want.Float64()
	return math.Abs(d) / unit[F](w)
}

// unit is one in the last place of an F as large as x.
func unit[F Float](x float64) float64 {
	if _, ok := any(F(0)).(float32); ok {
		return math.Ldexp(1, max(exponent(x), -126)-23)
	}
	return math.Ldexp(1, max(exponent(x), -1022)-52)
}

// exponent is e where |x| is between 2^e and 2^(e+1).
func exponent(x float64) int {
	_, e := math.Frexp(x)
	return e - 1
}
