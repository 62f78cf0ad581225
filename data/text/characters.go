package text

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Characters is a [Tokenizer] of one token for each character of an alphabet.
// The first three tokens are Pad, BOS and EOS. The characters follow, in the
// order of the alphabet.
type Characters struct {
	runes []rune
	token map[rune]int
}

const (
	padToken = iota
	bosToken
	eosToken
	firstCharacter
)

// NewCharacters is the tokenizer of an alphabet, which must be UTF-8 and have no
// character twice.
func NewCharacters(alphabet string) (*Characters, error) {
	if alphabet == "" {
		return nil, errors.New("text: the alphabet is empty; want 1 character or more")
	}
	if i := invalid(alphabet); i >= 0 {
		return nil, fmt.Errorf("text: the alphabet is not UTF-8 at byte %d", i)
	}
	c := &Characters{runes: []rune(alphabet), token: make(map[rune]int)}
	for i, r := range c.runes {
		if _, ok := c.token[r]; ok {
			return nil, fmt.Errorf("text: the alphabet has %q twice", r)
		}
		c.token[r] = firstCharacter + i
	}
	return c, nil
}

// Alphabet is the characters of texts, each once and in the order of Unicode.
func Alphabet(texts ...string) string {
	seen := make(map[rune]bool)
	var all []rune
	for _, text := range texts {
		for _, r := range text {
			if !seen[r] {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	slices.Sort(all)
	return string(all)
}

// Encode implements [Tokenizer]. Bytes that are not UTF-8 are no characters.
func (c *Characters) Encode(text string) ([]int, error) {
	if i := invalid(text); i >= 0 {
		return nil, mistake{fmt.Errorf("byte %d of the text, %#x, is not UTF-8", i, text[i])}
	}
	tokens := make([]int, 0, len(text))
	for i, r := range text {
		token, ok := c.token[r]
		if !ok {
			return nil, mistake{fmt.Errorf("character %q at byte %d of the text is not in the alphabet", r, i)}
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// Decode implements [Tokenizer].
func (c *Characters) Decode(tokens []int) (string, error) {
	var text strings.Builder
	for i, token := range tokens {
		if err := checkToken(i, token, c.Size()); err != nil {
			return "", err
		}
		if token >= firstCharacter {
			text.WriteRune(c.runes[token-firstCharacter])
		}
	}
	return text.String(), nil
}

// Size implements [Tokenizer].
func (c *Characters) Size() int { return firstCharacter + len(c.runes) }

// Special implements [Tokenizer]: 0, 1 and 2.
func (c *Characters) Special() Special {
	return Special{Pad: padToken, BOS: bosToken, EOS: eosToken}
}

// Fingerprint implements [Tokenizer].
func (c *Characters) Fingerprint() [32]byte {
	d := newDigest("characters")
	d.add("%q", string(c.runes))
	return d.sum()
}

// invalid is the place of the first byte that is not UTF-8, or -1.
func invalid(text string) int {
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		// U+FFFD itself takes three bytes.
		if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
			return i
		}
	}
	return -1
}

func checkToken(i, token, size int) error {
	if token < 0 || token >= size {
		return fmt.Errorf("text: token %d is %d; want 0 to %d", i, token, size-1)
	}
	return nil
}
