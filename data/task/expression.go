package task

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

// longest bounds expressions, and with that how deep they are nested.
const longest = 1000

// evaluate is the exact value of an expression of whole numbers, the four
// operations with their precedence, and parentheses; and the numbers in it.
func evaluate(text string) (value *big.Rat, used []int, err error) {
	if len(text) > longest {
		return nil, nil, fmt.Errorf("has an expression of %d bytes; want %d at most", len(text), longest)
	}
	e := &expression{text: text}
	if value, err = e.sum(); err != nil {
		return nil, nil, err
	}
	if e.at < len(text) {
		return nil, nil, e.unexpected()
	}
	return value, e.used, nil
}

// An expression is read from left to right.
type expression struct {
	text string
	at   int
	used []int
}

// next is the byte that is read next, 0 at the end.
func (e *expression) next() byte {
	if e.at == len(e.text) {
		return 0
	}
	return e.text[e.at]
}

func (e *expression) unexpected() error {
	if e.at == len(e.text) {
		return errors.New("ends within its expression")
	}
	return fmt.Errorf("has %q at byte %d of its expression", e.text[e.at], e.at)
}

// sum is products with + and - between them.
func (e *expression) sum() (*big.Rat, error) {
	value, err := e.product()
	for err == nil && (e.next() == '+' || e.next() == '-') {
		op := e.next()
		e.at++
		var right *big.Rat
		if right, err = e.product(); err != nil {
			break
		}
		if op == '-' {
			right.Neg(right)
		}
		value.Add(value, right)
	}
	return value, err
}

// product is atoms with * and / between them.
func (e *expression) product() (*big.Rat, error) {
	value, err := e.atom()
	for err == nil && (e.next() == '*' || e.next() == '/') {
		op := e.next()
		e.at++
		var right *big.Rat
		if right, err = e.atom(); err != nil {
			break
		}
		if op == '/' {
			if right.Sign() == 0 {
				return nil, errors.New("divides by 0")
			}
			right.Inv(right)
		}
		value.Mul(value, right)
	}
	return value, err
}

// atom is a number, or an expression in parentheses.
func (e *expression) atom() (*big.Rat, error) {
	if e.next() != '(' {
		return e.number()
	}
	e.at++
	value, err := e.sum()
	if err != nil {
		return nil, err
	}
	if e.next() != ')' {
		return nil, e.unexpected()
	}
	e.at++
	return value, nil
}

func (e *expression) number() (*big.Rat, error) {
	start := e.at
	for c := e.next(); c >= '0' && c <= '9'; c = e.next() {
		e.at++
	}
	if e.at == start {
		return nil, e.unexpected()
	}
	n, err := strconv.Atoi(e.text[start:e.at])
	if err != nil {
		return nil, fmt.Errorf("has too large a number at byte %d of its expression", start)
	}
	e.used = append(e.used, n)
	return big.NewRat(int64(n), 1), nil
}
