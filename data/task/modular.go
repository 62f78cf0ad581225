package task

import (
	"fmt"
	"strconv"
	"strings"
)

// Modular is arithmetic modulo 10: a chain of digits that are added, subtracted
// and multiplied from left to right, without precedence. The level is the number
// of operations, 2 to 8. The chain is the results, the last of which is the
// answer:
//
//	prompt      3+5*2-7=
//	completion  8,6,9;9
type Modular struct{}

// Name implements [Task].
func (Modular) Name() string { return "modular" }

// Levels implements [Task].
func (Modular) Levels() (low, high int) { return 2, 8 }

// Alphabet implements [Task].
func (Modular) Alphabet() string { return digits + "+-*=,;" }

// Make implements [Task].
func (m Modular) Make(seed uint64, level int) (Problem, error) {
	rng, err := generator(m, seed, level)
	if err != nil {
		return Problem{}, err
	}
	value := rng.IntN(10)
	prompt := strconv.Itoa(value)
	var chain []string
	for range level {
		op, digit := "+-*"[rng.IntN(3)], rng.IntN(10)
		value = modulo10(value, op, digit)
		prompt += fmt.Sprintf("%c%d", op, digit)
		chain = append(chain, strconv.Itoa(value))
	}
	return Problem{Prompt: prompt + "=", Chain: strings.Join(chain, ","), Answer: strconv.Itoa(value)}, nil
}

func modulo10(a int, op byte, b int) int {
	switch op {
	case '+':
		return (a + b) % 10
	case '-':
		return (a - b + 10) % 10
	}
	return a * b % 10
}

// Verify implements [Task]. The answer is one digit; the chain is not looked at.
func (Modular) Verify(p Problem, completion string) (bool, error) { return number(p, completion) }
