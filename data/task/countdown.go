package task

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Countdown is the numbers game of that name: from given numbers, each used once,
// to a target by +, -, * and /. The level is how many numbers there are, 2 to 6,
// each from 1 to 25 and in their order; no result on the way is over 999. The
// chain is the steps, and the answer is the expression, any that has the value:
//
//	prompt      4,4,5,6:1=
//	completion  5-4=1,4+1=5,6-5=1;6-(4+(5-4))
//
// A problem is made from its solution, so that all have one.
type Countdown struct{}

// Name implements [Task].
func (Countdown) Name() string { return "countdown" }

// Levels implements [Task].
func (Countdown) Levels() (low, high int) { return 2, 6 }

// Alphabet implements [Task].
func (Countdown) Alphabet() string { return digits + "+-*/()=,:;" }

// A term is an expression and its value.
type term struct {
	value int
	text  string
}

// largest bounds the numbers that are given, and highest what they become.
const largest, highest = 25, 999

// Make implements [Task].
func (c Countdown) Make(seed uint64, level int) (Problem, error) {
	rng, err := generator(c, seed, level)
	if err != nil {
		return Problem{}, err
	}
	terms := make([]term, level)
	for i := range terms {
		terms[i].value = 1 + rng.IntN(largest)
	}
	slices.SortFunc(terms, func(a, b term) int { return a.value - b.value })
	for i, t := range terms {
		terms[i].text = strconv.Itoa(t.value)
	}
	given := make([]string, level)
	for i, t := range terms {
		given[i] = t.text
	}
	var steps []string
	for len(terms) > 1 {
		rng.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
		last := len(terms) - 1
		both, step := join(rng, terms[last-1], terms[last])
		terms = append(terms[:last-1], both)
		steps = append(steps, step)
	}
	answer := strings.TrimSuffix(strings.TrimPrefix(terms[0].text, "("), ")")
	prompt := fmt.Sprintf("%s:%d=", strings.Join(given, ","), terms[0].value)
	return Problem{Prompt: prompt, Chain: strings.Join(steps, ","), Answer: answer}, nil
}

// join joins two terms by an operation whose result is whole, 1 or more and not
// too large. There is always one: two that differ can be subtracted, and two
// that do not can be divided.
func join(rng *rand.Rand, a, b term) (both term, step string) {
	if a.value < b.value {
		a, b = b, a
	}
	ops := []byte{}
	values := map[byte]int{'+': a.value + b.value, '-': a.value - b.value, '*': a.value * b.value, '/': a.value / b.value}
	for _, op := range []byte("+-*/") {
		if v := values[op]; v >= 1 && v <= highest && (op != '/' || a.value%b.value == 0) {
			ops = append(ops, op)
		}
	}
	op := ops[rng.IntN(len(ops))]
	both = term{values[op], fmt.Sprintf("(%s%c%s)", a.text, op, b.text)}
	return both, fmt.Sprintf("%d%c%d=%d", a.value, op, b.value, both.value)
}

// Verify implements [Task]: the answer is an expression that has the value of the
// target, exactly, and uses each number once. The chain is not looked at.
func (Countdown) Verify(p Problem, completion string) (bool, error) {
	given, target, err := countdown(p.Prompt)
	if err != nil {
		return false, err
	}
	_, answer, err := Parse(completion)
	if err != nil {
		return false, err
	}
	value, used, err := evaluate(answer)
	if err != nil {
		return false, malformed(completion, err.Error())
	}
	slices.Sort(given)
	slices.Sort(used)
	return slices.Equal(given, used) && value.Cmp(big.NewRat(int64(target), 1)) == 0, nil
}

// countdown is the numbers and the target of a prompt.
func countdown(prompt string) (given []int, target int, err error) {
	numbers, rest, _ := strings.Cut(prompt, ":")
	for _, text := range append(strings.Split(numbers, ","), strings.TrimSuffix(rest, "=")) {
		n, err := strconv.Atoi(text)
		if err != nil || !isNumber(text) {
			return nil, 0, fmt.Errorf("task: the prompt of a problem is %.60q; want one of countdown, as 2,3:5=", prompt)
		}
		given = append(given, n)
	}
	last := len(given) - 1
	return given[:last], given[last], nil
}
