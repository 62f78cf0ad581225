package text_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/dlclark/regexp2/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data/text"
)

// kinds are the tokenizers that testdata/bpe.py prints.
var kinds = []string{"gpt2", "llama3", "qwen3"}

// tokenizerJSON is the file of one of them.
func tokenizerJSON(kind string) string {
	var files map[string]json.RawMessage
	if err := json.Unmarshal(must(os.ReadFile("testdata/bpe.json")), &files); err != nil {
		panic(err)
	}
	return string(files[kind])
}

func bpe(kind string) *text.BPE {
	return must(text.ReadBPE(strings.NewReader(tokenizerJSON(kind)), text.Names{Pad: "<|end|>>", EOS: "<|end|>"}))
}

// TestBPE compares tokens with those that another implementation finds
// (testdata/bpe.mjs).
func TestBPE(t *testing.T) {
	var fixture struct {
		Texts               []string
		GPT2, Llama3, Qwen3 [][]int
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/tokens.json")), &fixture); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string][][]int{"gpt2": fixture.GPT2, "llama3": fixture.Llama3, "qwen3": fixture.Qwen3} {
		if len(want) < 20 || len(want) != len(fixture.Texts) {
			t.Fatalf("%s: tokens of %d texts, of %d", kind, len(want), len(fixture.Texts))
		}
		b := bpe(kind)
		for i, s := range fixture.Texts {
			got := append([]int{}, must(b.Encode(s))...)
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Errorf("%s: %q: %s", kind, s, diff)
			}
		}
	}
}

func TestBPESpecial(t *testing.T) {
	b := bpe("llama3")
	if diff := cmp.Diff(text.Special{Pad: 348, BOS: text.None, EOS: 347}, b.Special()); diff != "" {
		t.Error(diff)
	}
	if b.Size() != 351 {
		t.Errorf("size is %d; want 256 bytes, 90 merges, a word and 4 added tokens", b.Size())
	}
	tokens := must(b.Encode("a<|end|>b<|start|><|end|>><think>"))
	if got := must(b.Decode(tokens)); got != "ab<|start|><think>" {
		t.Errorf("decoded %q; want no Pad, no EOS and all else", got)
	}
	_, err := b.Decode([]int{3, 4, 351})
	wantError(t, err, "text: token 2 is 351, which the vocabulary does not have")
	if b.Fingerprint() == bpe("qwen3").Fingerprint() {
		t.Error("two files have one fingerprint")
	}
}

// Bytes of a character that is cut in two come back as they are.
func TestBPEDecodesParts(t *testing.T) {
	b := bpe("gpt2")
	tokens := must(b.Encode("🙂"))
	if got := must(b.Decode(tokens[:3])); got != "🙂"[:3] {
		t.Errorf("decoded %q", got)
	}
	_, err := b.Encode("ab\xf0\x9f")
	wantError(t, err, "text: byte 2 of the text, 0xf0, is not UTF-8")
}

// A word of a hundred thousand bytes is encoded in no time, and as it is in
// pieces that merges do not cross.
func TestBPELongWord(t *testing.T) {
	b := bpe("gpt2")
	const n = 25_000
	got := must(b.Encode(strings.Repeat("xthe", n)))
	one := must(b.Encode("xthe"))
	if len(got) != n*len(one) {
		t.Fatalf("%d tokens; want %d times %d", len(got), n, len(one))
	}
	for i, token := range got {
		if token != one[i%len(one)] {
			t.Fatalf("token %d is %d; want %d", i, token, one[i%len(one)])
		}
	}
}

func TestBPERoundTrip(t *testing.T) {
	all := map[string]*text.BPE{}
	for _, kind := range kinds {
		all[kind] = must(text.ReadBPE(strings.NewReader(tokenizerJSON(kind)), text.Names{}))
	}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		s := strings.Join(rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{"the", " the", " student", "'s", "  ", "\n", "\r\n", "12", "<|end|>", "e\u0301", "学"}),
			rapid.StringN(1, 9, -1),
		)).Draw(t, "parts"), "")
		want := s
		if kind == "qwen3" {
			want = norm.NFC.String(s)
		}
		if got := must(all[kind].Decode(must(all[kind].Encode(s)))); got != want {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

// The expressions of files mean what they do in Oniguruma: their classes are
// Unicode's.
func TestClassesAreUnicodes(t *testing.T) {
	for expr, table := range map[string]*unicode.RangeTable{`\s`: unicode.White_Space, `\p{L}`: unicode.L, `\p{N}`: unicode.N} {
		re := regexp2.MustCompile(expr)
		for r := range rune(unicode.MaxRune + 1) {
			if r >= 0xd800 && r < 0xe000 {
				continue // no characters
			}
			if got := must(re.MatchRunes([]rune{r})); got != unicode.Is(table, r) {
				t.Errorf("%s of %U is %t", expr, r, got)
			}
		}
	}
}

func TestReadBPEReads(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		text           string
		want           []string
	}{
		{"digits", `{"type": "ByteLevel"`, `{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel"`,
			"he 00", []string{"he", " ", "0", "0"}},
		{"numbers", `{"type": "ByteLevel"`, `{"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"`,
			"he 00", []string{"he", " ", "00"}},
		{"split by a text", `{"type": "ByteLevel"`, `{"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated", "pattern": {"String": "h"}}, {"type": "ByteLevel"`,
			"he 00", []string{"h", "e", " ", "00"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := strings.Replace(tokenizerJSON("gpt2"), test.old, test.new, 1)
			raw = strings.Replace(raw, `"use_regex": true}, "post`, `"use_regex": true}]}, "post`, 1)
			b := must(text.ReadBPE(strings.NewReader(raw), text.Names{}))
			var got []string
			for _, token := range must(b.Encode(test.text)) {
				got = append(got, must(b.Decode([]int{token})))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadBPENormalizedNames(t *testing.T) {
	raw := strings.Replace(tokenizerJSON("qwen3"), `"<think>"`, `"e\u0301<"`, 1)
	at := strings.Index(raw, `e\u0301<`)
	raw = raw[:at] + strings.Replace(raw[at:], `"normalized": false`, `"normalized": true`, 1)
	b := must(text.ReadBPE(strings.NewReader(raw), text.Names{}))
	for _, s := range []string{"e\u0301<", "é<"} {
		if diff := cmp.Diff([]int{349}, must(b.Encode(s))); diff != "" {
			t.Errorf("%+q: %s", s, diff)
		}
	}
}

func TestReadBPERefuses(t *testing.T) {
	_, err := text.ReadBPE(nil, text.Names{})
	wantError(t, err, "text: tokenizer.json: the io.Reader is nil")
	_, err = text.ReadBPE(strings.NewReader(tokenizerJSON("gpt2")), text.Names{Pad: "he", BOS: "<s>"})
	wantError(t, err, `text: tokenizer.json: token Names.BOS is "<s>"; want one of the file`)
	for _, test := range []struct{ kind, old, new, want string }{
		{"gpt2", `{`, `[`, "text: tokenizer.json: "},
		{"gpt2", `"BPE"`, `"Unigram"`, `model.type is "Unigram"; want BPE`},
		{"gpt2", `"dropout": null`, `"dropout": 0.1`, "model.dropout is 0.1"},
		{"gpt2", `"continuing_subword_prefix": null`, `"continuing_subword_prefix": "##"`, "model.continuing_subword_prefix"},
		{"gpt2", `"end_of_word_suffix": null`, `"end_of_word_suffix": "</w>"`, "model.end_of_word_suffix"},
		{"gpt2", `"byte_fallback": false`, `"byte_fallback": true`, "model.byte_fallback is true"},
		{"gpt2", `"vocab"`, `"words"`, "model.vocab is empty"},
		{"gpt2", `"a": 64`, `"a": 65`, `model.vocab: "b" has id 65, as another token has`},
		{"gpt2", `"a": 64`, `"a": -3`, `model.vocab: "a" has id -3`},
		{"gpt2", `"a": 64`, `"a": 4294967297`, `model.vocab: "a" has id 4294967297`},
		{"gpt2", `"merges": ["`, `"merges": ["?? ?", "`, `model.merges[0] is ["??" "?"]`},
		{"gpt2", `"merges": ["`, `"merges": ["a b c", "`, `model.merges has "a b c"; want two tokens`},
		{"gpt2", `"merges": ["`, `"merges": [null, "`, "model.merges has null; want two tokens"},
		{"qwen3", `"merges": [`, `"merges": [["a"], `, `model.merges has ["a"]; want two tokens`},
		{"gpt2", `"lstrip": false`, `"lstrip": true`, `added_tokens[0], "<|end|>", has single_word, lstrip or rstrip`},
		{"gpt2", `"content": "<|end|>"`, `"content": ""`, `added_tokens[0], "", is empty`},
		{"gpt2", `"content": "<|end|>"`, `"content": "he"`, `added_tokens[0], "he", has id 347, and`},
		{"gpt2", `"id": 348`, `"id": 347`, `added_tokens[1], "<|end|>>", has id 347, as another token has`},
		{"qwen3", `"NFC"`, `"Lowercase"`, `normalizer is "Lowercase"; want NFC or none`},
		{"qwen3", `{"type": "NFC"}`, `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFD"}]}`, `normalizer is "NFD"`},
		{"gpt2", `"pre_tokenizer": {`, `"pre_tokenizer": null, "was": {`, "pre_tokenizer does not end with ByteLevel"},
		{"gpt2", `"pre_tokenizer": {"type": "ByteLevel"`, `"pre_tokenizer": {"type": "Metaspace"`, "pre_tokenizer does not end with ByteLevel"},
		{"gpt2", `"add_prefix_space": false`, `"add_prefix_space": true`, "ByteLevel.add_prefix_space is true"},
		{"gpt2", `"add_prefix_space": false, `, ``, "ByteLevel.add_prefix_space is true"},
		{"llama3", `"type": "Split"`, `"type": "Whitespace"`, `pre_tokenizer is "Whitespace"`},
		{"llama3", `"type": "Split"`, `"type": "ByteLevel"`, "pre_tokenizer has ByteLevel before its end"},
		{"llama3", `"Isolated"`, `"Removed"`, `Split.behavior is "Removed"`},
		{"llama3", `"invert": false`, `"invert": true`, "invert true"},
		{"llama3", `"Regex": "`, `"Regex": "(`, "pre_tokenizer: "},
		{"llama3", `"Regex"`, `"Rule"`, "Split.pattern is empty"},
	} {
		raw := tokenizerJSON(test.kind)
		if !strings.Contains(raw, test.old) {
			t.Fatalf("%s has no %s", test.kind, test.old)
		}
		_, err := text.ReadBPE(strings.NewReader(strings.Replace(raw, test.old, test.new, 1)), text.Names{})
		wantError(t, err, test.want)
	}
}

// Without a token for a byte, a text that has it is refused.
func TestBPEUnknownByte(t *testing.T) {
	raw := strings.Replace(tokenizerJSON("gpt2"), `"q": 80`, `"<q>": 80`, 1)
	b := must(text.ReadBPE(strings.NewReader(raw), text.Names{}))
	_, err := b.Encode("the quill")
	wantError(t, err, `text: byte 0x71, in " quill", has no token`)
}

// An expression that would go back for longer than anybody waits is named, and what
// it cannot match is not repeated.
func TestBPESlowExpression(t *testing.T) {
	raw := strings.Replace(tokenizerJSON("llama3"), `"Regex": "`, `"Regex": "^(e|ee)+$|`, 1)
	b := must(text.ReadBPE(strings.NewReader(raw), text.Names{}))
	must(b.Encode("the student"))
	_, err := b.Encode(strings.Repeat("e", 90) + "h")
	wantError(t, err, "text: the expression ^(e|ee)+$|")
	wantError(t, err, "takes more than 1s for a match in 91 bytes")
	_, err = text.Sequences{Tokenizer: b, Context: 99}.Of(text.List{{Completion: strings.Repeat("e", 90) + "h"}})
	wantError(t, err, "text: example 0, id 0: completion: the expression ^(e|ee)+$|")
}

func FuzzReadBPE(f *testing.F) {
	for _, raw := range []string{
		`{"model": {"vocab": {"a": 3}}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}`,
		`{"model": {"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "ab": 2, "aab": 4}, "merges": ["a b", ["a", "ab"]]},
			"added_tokens": [{"id": 2, "content": "ab"}, {"id": 5, "content": "<>", "normalized": true}], "normalizer": {"type": "NFC"},
			"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "Split", "behavior": "Isolated", "pattern": {"String": "b"}},
			{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}}`,
	} {
		f.Add([]byte(raw), "aabab<>a")
	}
	f.Fuzz(func(t *testing.T, raw []byte, s string) {
		b, err := text.ReadBPE(bytes.NewReader(raw), text.Names{})
		if err != nil || bytes.Contains(bytes.ToLower(raw), []byte("regex")) {
			return // expressions of one's own may take a second for each match
		}
		if tokens, err := b.Encode(s); err == nil {
			must(b.Decode(tokens))
		}
	})
}

func FuzzBPE(f *testing.F) {
	f.Add("the student's 12\r\n  x", 1)
	f.Add("e\u0301\u0323 <|end|>>", 2)
	all := []*text.BPE{bpe("gpt2"), bpe("llama3"), bpe("qwen3")}
	f.Fuzz(func(t *testing.T, s string, kind int) {
		b := all[uint(kind)%uint(len(all))]
		tokens, err := b.Encode(s)
		if err != nil {
			return
		}
		for _, token := range tokens {
			if token < 0 || token >= b.Size() {
				t.Errorf("token %d of a size of %d", token, b.Size())
			}
		}
		must(b.Decode(tokens))
	})
}
