package text

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
	"golang.org/x/text/unicode/norm"
)

// BPE is a [Tokenizer] by byte pair encoding (Sennrich, Haddow and Birch 2016,
// arXiv:1508.07909) of bytes (Radford et al. 2019, GPT-2), as GPT-2, Llama 3 and
// Qwen have it. A text is split into words by regular expressions. The bytes of
// a word are its first tokens; then, again and again, the two neighbours that
// come first in a list of merges become one.
//
// [ReadBPE] reads one. Where the file asks for it, text is brought to Unicode's
// NFC first, so that Decode gives that form.
type BPE struct {
	before, after lexicon // added tokens, found before and after normalization
	nfc           bool
	splits        []*regexp2.Regexp // into words, one after the other
	bytes         [256]int          // the token of each byte, or None
	merges        map[pair]merge
	whole         map[string]int // words that are tokens without a merge, or nil
	text          map[int]string // of tokens
	size          int
	special       Special
	fingerprint   [32]byte
}

// Encode implements [Tokenizer]. Where a text has the name of an added token, as
// "<|endoftext|>", it is that token. Bytes that are not UTF-8 are an error.
func (b *BPE) Encode(text string) ([]int, error) {
	if i := invalid(text); i >= 0 {
		return nil, mistake{fmt.Errorf("byte %d of the text, %#x, is not UTF-8", i, text[i])}
	}
	var tokens []int
	for part, token := range b.parts(text) {
		if token != None {
			tokens = append(tokens, token)
			continue
		}
		words, err := b.words(part)
		if err != nil {
			return nil, mistake{err}
		}
		for _, word := range words {
			if tokens, err = b.word(tokens, word); err != nil {
				return nil, mistake{err}
			}
		}
	}
	return tokens, nil
}

// parts yields the added tokens of a text, and None with the text between them.
func (b *BPE) parts(text string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for part, token := range b.before.parts(text) {
			if token != None {
				if !yield("", token) {
					return
				}
				continue
			}
			for part, token := range b.after.parts(b.normal(part)) {
				if !yield(part, token) {
					return
				}
			}
		}
	}
}

func (b *BPE) normal(text string) string {
	if b.nfc {
		return norm.NFC.String(text)
	}
	return text
}

// patience is for one match of an expression that a file brings: some take longer
// than anybody lives.
const patience = time.Second

// words splits a text at the start and the end of each match.
func (b *BPE) words(text string) ([]string, error) {
	words := []string{text}
	for _, split := range b.splits {
		var finer []string
		for _, word := range words {
			matches, err := split.FindAllStringIndex(word, -1)
			if err != nil {
				return nil, fmt.Errorf("the expression %v takes more than %v for a match in %d bytes; want one that does not go back so often", split, patience, len(word))
			}
			at := 0
			for _, end := range slices.Concat(append(matches, []int{len(word)})...) {
				if end > at {
					finer = append(finer, word[at:end])
					at = end
				}
			}
		}
		words = finer
	}
	return words, nil
}

// word appends the tokens of a word.
func (b *BPE) word(tokens []int, text string) ([]int, error) {
	if token, ok := b.whole[text]; ok {
		return append(tokens, token), nil
	}
	start := len(tokens)
	for i := range len(text) {
		token := b.bytes[text[i]]
		if token == None {
			return nil, fmt.Errorf("byte %#x, in %q, has no token", text[i], text)
		}
		tokens = append(tokens, token)
	}
	return append(tokens[:start], b.merge(tokens[start:])...), nil
}

// Decode implements [Tokenizer].
func (b *BPE) Decode(tokens []int) (string, error) {
	var text strings.Builder
	for i, token := range tokens {
		part, ok := b.text[token]
		if !ok {
			return "", fmt.Errorf("text: token %d is %d, which the vocabulary does not have", i, token)
		}
		if !b.special.has(token) {
			text.WriteString(part)
		}
	}
	return text.String(), nil
}

// Size implements [Tokenizer].
func (b *BPE) Size() int { return b.size }

// Special implements [Tokenizer].
func (b *BPE) Special() Special { return b.special }

// Fingerprint implements [Tokenizer]. It is a hash of the file.
func (b *BPE) Fingerprint() [32]byte { return b.fingerprint }

// A lexicon is names of tokens to look for in texts, by their first byte. Of
// those that begin with it, the longest is first.
type lexicon [256][]name

type name struct {
	text  string
	token int
}

func newLexicon(token map[string]int) (l lexicon) {
	for _, text := range slices.Sorted(maps.Keys(token)) {
		l[text[0]] = append(l[text[0]], name{text, token[text]})
	}
	for _, names := range l {
		slices.SortStableFunc(names, func(a, b name) int { return len(b.text) - len(a.text) })
	}
	return l
}

// parts yields the tokens whose names are in a text, and None with the text
// before, between and after them.
func (l *lexicon) parts(text string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		done := 0
		for i := 0; i < len(text); {
			found := l.at(text[i:])
			if found.token == None {
				i++
				continue
			}
			if done < i && !yield(text[done:i], None) || !yield("", found.token) {
				return
			}
			i += len(found.text)
			done = i
		}
		if done < len(text) {
			yield(text[done:], None)
		}
	}
}

// at is the longest name that text begins with.
func (l *lexicon) at(text string) name {
	for _, n := range l[text[0]] {
		if strings.HasPrefix(text, n.text) {
			return n
		}
	}
	return name{token: None}
}
