package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
)

// A careless writer solves problems of task.Modular. After the first ones, with which
// it takes care, it takes another operator for the one that is there, with some
// probability at each: + for -, - for + and + for *. It goes on from what comes of
// that, and never notices.
type careless struct {
	task.Set
	careful int // problems
	slip    float64
}

// mistaken is what an operator is taken for.
var mistaken = map[byte]byte{'+': '-', '-': '+', '*': '+'}

// Example implements [text.Examples].
func (c careless) Example(i int) (text.Example, error) {
	p, err := c.Problem(i)
	if err != nil {
		return text.Example{}, err
	}
	rng := rand.New(rand.NewPCG(^c.Seed, uint64(i))) // another than that of the problem
	rest := strings.TrimSuffix(p.Prompt, "=")
	at := int(rest[0] - '0')
	var chain []string
	for rest = rest[1:]; rest != ""; rest = rest[2:] {
		op := rest[0]
		if rng.Float64() < c.slip && i >= c.careful {
			op = mistaken[op]
		}
		at = apply(op, at, int(rest[1]-'0'))
		chain = append(chain, fmt.Sprint(at))
	}
	p.Chain, p.Answer = strings.Join(chain, ","), fmt.Sprint(at)
	return text.Example{Prompt: p.Prompt, Completion: p.Completion()}, nil
}

// apply is a op b, modulo 10.
func apply(op byte, a, b int) int {
	switch op {
	case '+':
		return (a + b) % 10
	case '-':
		return (a - b + 10) % 10
	}
	return a * b % 10
}

// Fingerprint implements [text.Examples].
func (c careless) Fingerprint() [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "careless %x %d %v", c.Set.Fingerprint(), c.careful, c.slip))
}
