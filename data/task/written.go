package task

import (
	"fmt"
	"strconv"
	"strings"
)

// Written is addition and multiplication as they are learned at school. The level
// is the number of digits of both numbers, 1 to 9. The chain of an addition goes
// from the last digits to the first, with what was carried; that of a
// multiplication has the product with each digit of the second number, and the
// sum so far:
//
//	prompt      478+356=
//	completion  8+6=14,7+5+1=13,4+3+1=8;834
//
//	prompt      34*27=
//	completion  34*7=238,34*20=680,238+680=918;918
//
// Problems that differ in the order of the numbers alone are in one split.
type Written struct {
	// Op is '+' or '*'. 0 means either, as the seed has it.
	Op rune
}

// Name implements [Task].
func (w Written) Name() string {
	if w.Op == 0 {
		return "written"
	}
	return "written " + string(w.Op)
}

// Levels implements [Task].
func (Written) Levels() (low, high int) { return 1, 9 }

// Alphabet implements [Task].
func (Written) Alphabet() string { return digits + "+*=,;" }

// Make implements [Task].
func (w Written) Make(seed uint64, level int) (Problem, error) {
	if w.Op != 0 && w.Op != '+' && w.Op != '*' {
		return Problem{}, fmt.Errorf("task: Written.Op is %q; want '+', '*' or 0", w.Op)
	}
	rng, err := generator(w, seed, level)
	if err != nil {
		return Problem{}, err
	}
	op := w.Op
	if op == 0 {
		op = []rune{'+', '*'}[rng.IntN(2)]
	}
	low := power10(level - 1)
	a, b := low+rng.IntN(9*low), low+rng.IntN(9*low)
	p := Problem{Prompt: fmt.Sprintf("%d%c%d=", a, op, b), Key: fmt.Sprintf("%d%c%d", min(a, b), op, max(a, b))}
	if op == '+' {
		p.Chain, p.Answer = adding(a, b), strconv.Itoa(a+b)
	} else {
		p.Chain, p.Answer = multiplying(a, b), strconv.Itoa(a*b)
	}
	return p, nil
}

func power10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// adding is the steps of a + b, of as many digits.
func adding(a, b int) string {
	var steps []string
	for carry := 0; a > 0; a, b = a/10, b/10 {
		sum := a%10 + b%10 + carry
		step := fmt.Sprintf("%d+%d", a%10, b%10)
		if carry > 0 {
			step += "+1"
		}
		steps = append(steps, fmt.Sprintf("%s=%d", step, sum))
		carry = sum / 10
	}
	return strings.Join(steps, ",")
}

// multiplying is the steps of a · b.
func multiplying(a, b int) string {
	var steps []string
	for sum, unit := 0, 1; b > 0; b, unit = b/10, unit*10 {
		digit := b % 10 * unit
		steps = append(steps, fmt.Sprintf("%d*%d=%d", a, digit, a*digit))
		if unit > 1 {
			steps = append(steps, fmt.Sprintf("%d+%d=%d", sum, a*digit, sum+a*digit))
		}
		sum += a * digit
	}
	return strings.Join(steps, ",")
}

// Verify implements [Task]. The chain is not looked at.
func (Written) Verify(p Problem, completion string) (bool, error) { return number(p, completion) }
