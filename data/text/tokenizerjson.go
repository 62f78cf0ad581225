package text

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dlclark/regexp2/v2"
)

// Names are the special tokens of a file, which does not say what they are for:
// "<|begin_of_text|>", for instance. "" means that there is none.
type Names struct {
	Pad, BOS, EOS string
}

// ReadBPE reads a tokenizer.json of Hugging Face's tokenizers, of which it knows
// byte-level BPE: the normalizer NFC, and the pre-tokenizers Split with behavior
// Isolated, Digits and, last, ByteLevel without a prefix space. Anything else
// that tokens depend on is refused. What adds tokens or takes some away is passed
// over, for that is what [Sequences] does: post_processor, truncation, padding.
//
// The regular expressions of such files look ahead, which package regexp does
// not. They are read as .NET has them, which is how Oniguruma reads those of
// GPT-2, Llama 3 and Qwen; those that it does not understand are refused. Where one
// of a file takes more than a second for a match, Encode fails.
func ReadBPE(r io.Reader, names Names) (*BPE, error) {
	b, err := readBPE(r, names)
	if err != nil {
		return nil, fmt.Errorf("text: tokenizer.json: %w", err)
	}
	return b, nil
}

func readBPE(r io.Reader, names Names) (*BPE, error) {
	if r == nil {
		return nil, errors.New("the io.Reader is nil")
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	b := &BPE{text: make(map[int]string), merges: make(map[pair]merge)}
	err = cmp.Or(b.setModel(f.Model), b.setNormalizer(f.Normalizer), b.setAdded(f), b.setSplits(f.PreTokenizer))
	if err != nil {
		return nil, err
	}
	if b.special, err = names.find(f); err != nil {
		return nil, err
	}
	d := newDigest("bpe")
	d.add("%q", names)
	d.Write(raw)
	b.fingerprint = d.sum()
	return b, nil
}

// A file is what a tokenizer.json holds, as far as it is read.
type file struct {
	Added        []added `json:"added_tokens"`
	Normalizer   *part   `json:"normalizer"`
	PreTokenizer *part   `json:"pre_tokenizer"`
	Model        model   `json:"model"`
}

// An added token is found in a text before the model sees it.
type added struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
}

// A part is a normalizer or a pre-tokenizer.
type part struct {
	Type          string `json:"type"`
	Normalizers   []part `json:"normalizers"`
	Pretokenizers []part `json:"pretokenizers"`
	Pattern       struct {
		Regex  *string `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Behavior         string `json:"behavior"`
	Invert           bool   `json:"invert"`
	IndividualDigits bool   `json:"individual_digits"`
	AddPrefixSpace   *bool  `json:"add_prefix_space"` // true where it is left out
	UseRegex         *bool  `json:"use_regex"`        // so is this
}

type model struct {
	Type         string         `json:"type"`
	Dropout      *float64       `json:"dropout"`
	Prefix       string         `json:"continuing_subword_prefix"`
	Suffix       string         `json:"end_of_word_suffix"`
	ByteFallback bool           `json:"byte_fallback"`
	IgnoreMerges bool           `json:"ignore_merges"`
	Vocab        map[string]int `json:"vocab"`
	Merges       []halves       `json:"merges"`
}

// halves are the two tokens that become one: "a b", or ["a", "b"] in newer files.
type halves [2]string

func (h *halves) UnmarshalJSON(raw []byte) error {
	var both []string
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &both); err != nil {
			return err
		}
	} else {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		both = strings.Split(text, " ")
	}
	if len(both) != 2 {
		return fmt.Errorf("model.merges has %s; want two tokens", raw)
	}
	*h = halves(both)
	return nil
}

func (m model) check() error {
	switch {
	case m.Type != "BPE" && m.Type != "": // old files have none
		return fmt.Errorf("model.type is %q; want BPE", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("model.dropout is %v; want none", *m.Dropout)
	case m.Prefix != "":
		return fmt.Errorf("model.continuing_subword_prefix is %q; want none", m.Prefix)
	case m.Suffix != "":
		return fmt.Errorf("model.end_of_word_suffix is %q; want none", m.Suffix)
	case m.ByteFallback:
		return errors.New("model.byte_fallback is true; want a model of bytes")
	case len(m.Vocab) == 0:
		return errors.New("model.vocab is empty; want tokens")
	}
	return nil
}

// setModel sets the tokens and their merges.
func (b *BPE) setModel(m model) error {
	if err := m.check(); err != nil {
		return err
	}
	for _, word := range slices.Sorted(maps.Keys(m.Vocab)) {
		if err := b.setText(m.Vocab[word], spelled(word)); err != nil {
			return fmt.Errorf("model.vocab: %q %w", word, err)
		}
	}
	for i := range b.bytes {
		b.bytes[i] = None
		if token, ok := m.Vocab[string(letters[i])]; ok {
			b.bytes[i] = token
		}
	}
	if m.IgnoreMerges {
		b.whole = make(map[string]int, len(m.Vocab))
		for word, token := range m.Vocab {
			if isSpelled(word) {
				b.whole[spelled(word)] = token
			}
		}
	}
	return b.setMerges(m)
}

func (b *BPE) setText(token int, text string) error {
	if token < 0 || token >= math.MaxInt32 {
		return fmt.Errorf("has id %d; want 0 to %d", token, math.MaxInt32-1)
	}
	if _, ok := b.text[token]; ok {
		return fmt.Errorf("has id %d, as another token has", token)
	}
	b.text[token] = text
	b.size = max(b.size, token+1)
	return nil
}

func (b *BPE) setMerges(m model) error {
	for rank, h := range m.Merges {
		left, okLeft := m.Vocab[h[0]]
		right, okRight := m.Vocab[h[1]]
		both, ok := m.Vocab[h[0]+h[1]]
		if !okLeft || !okRight || !ok {
			return fmt.Errorf("model.merges[%d] is %q; want tokens of the vocabulary that are one in it", rank, h)
		}
		b.merges[pair{left, right}] = merge{rank, both}
	}
	return nil
}

// setAdded sets the added tokens. The model may have them too.
func (b *BPE) setAdded(f file) error {
	before, after := make(map[string]int), make(map[string]int)
	for i, a := range f.Added {
		if err := b.add(a, f.Model); err != nil {
			return fmt.Errorf("added_tokens[%d], %q, %w", i, a.Content, err)
		}
		if a.Normalized {
			after[b.normal(a.Content)] = a.ID
		} else {
			before[a.Content] = a.ID
		}
	}
	b.before, b.after = newLexicon(before), newLexicon(after)
	return nil
}

// add adds a token, unless the model has it.
func (b *BPE) add(a added, m model) error {
	token, known := m.Vocab[a.Content]
	switch {
	case a.Content == "":
		return errors.New("is empty")
	case a.SingleWord || a.LStrip || a.RStrip:
		return errors.New("has single_word, lstrip or rstrip; want a token that is found wherever it stands")
	case known && token != a.ID:
		return fmt.Errorf("has id %d, and %d in the vocabulary", a.ID, token)
	case known:
		b.text[token] = a.Content
		return nil
	}
	return b.setText(a.ID, a.Content)
}

// setNormalizer knows NFC, and none.
func (b *BPE) setNormalizer(p *part) error {
	if p == nil {
		return nil
	}
	switch p.Type {
	case "NFC":
		b.nfc = true
	case "Sequence":
		for _, each := range p.Normalizers {
			if err := b.setNormalizer(&each); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("normalizer is %q; want NFC or none", p.Type)
	}
	return nil
}

// gpt2 is the expression of ByteLevel (Radford et al. 2019, encoder.py).
const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// setSplits sets the expressions of the pre-tokenizers, of which the last is
// ByteLevel.
func (b *BPE) setSplits(p *part) error {
	all := p.flat()
	if len(all) == 0 || all[len(all)-1].Type != "ByteLevel" {
		return errors.New("pre_tokenizer does not end with ByteLevel; want a model of bytes")
	}
	for i, each := range all {
		if each.Type == "ByteLevel" && i < len(all)-1 {
			return errors.New("pre_tokenizer has ByteLevel before its end")
		}
		expr, err := each.split()
		if err != nil {
			return err
		}
		if expr == "" {
			continue
		}
		split, err := regexp2.Compile(expr)
		if err != nil {
			return fmt.Errorf("pre_tokenizer: %w", err)
		}
		if each.Pattern.Regex != nil {
			split.MatchTimeout = patience
		}
		b.splits = append(b.splits, split)
	}
	return nil
}

// flat is the pre-tokenizers of a sequence, and of those in it.
func (p *part) flat() []part {
	if p == nil {
		return nil
	}
	if p.Type != "Sequence" {
		return []part{*p}
	}
	var all []part
	for _, each := range p.Pretokenizers {
		all = append(all, each.flat()...)
	}
	return all
}

// split is the expression that a pre-tokenizer splits by, or "".
func (p part) split() (string, error) {
	switch p.Type {
	case "Split":
		return p.pattern()
	case "Digits":
		if p.IndividualDigits {
			return `\p{N}`, nil
		}
		return `\p{N}+`, nil
	case "ByteLevel":
		if unsaid(p.AddPrefixSpace) {
			return "", errors.New("pre_tokenizer: ByteLevel.add_prefix_space is true; want false")
		}
		if unsaid(p.UseRegex) {
			return gpt2, nil
		}
		return "", nil
	}
	return "", fmt.Errorf("pre_tokenizer is %q; want Split, Digits or ByteLevel", p.Type)
}

func (p part) pattern() (string, error) {
	switch {
	case p.Behavior != "Isolated" || p.Invert:
		return "", fmt.Errorf("pre_tokenizer: Split.behavior is %q and invert %t; want Isolated and false", p.Behavior, p.Invert)
	case p.Pattern.Regex != nil:
		return *p.Pattern.Regex, nil
	case p.Pattern.String != nil:
		return regexp2.Escape(*p.Pattern.String), nil
	}
	return "", errors.New("pre_tokenizer: Split.pattern is empty; want Regex or String")
}

// unsaid is a value that is true where it is left out.
func unsaid(v *bool) bool { return v == nil || *v }

// find finds the special tokens among all.
func (n Names) find(f file) (Special, error) {
	special := Special{None, None, None}
	for _, role := range []struct {
		field, name string
		token       *int
	}{{"Pad", n.Pad, &special.Pad}, {"BOS", n.BOS, &special.BOS}, {"EOS", n.EOS, &special.EOS}} {
		if role.name == "" {
			continue
		}
		token, ok := f.Model.Vocab[role.name]
		if i := slices.IndexFunc(f.Added, func(a added) bool { return a.Content == role.name }); i >= 0 {
			token, ok = f.Added[i].ID, true
		}
		if !ok {
			return special, fmt.Errorf("token Names.%s is %q; want one of the file", role.field, role.name)
		}
		*role.token = token
	}
	return special, nil
}
