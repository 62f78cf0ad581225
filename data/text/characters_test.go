package text_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/godistill/godistill/data/text"
)

func TestCharacters(t *testing.T) {
	c := must(text.NewCharacters("ba€+"))
	if diff := cmp.Diff([]int{4, 4, 3, 5, 6}, must(c.Encode("aab€+"))); diff != "" {
		t.Error(diff)
	}
	if got := must(c.Decode([]int{1, 4, 5, 2, 0, 0, 3})); got != "a€b" {
		t.Errorf("decoded %q; want a€b, and nothing of special tokens", got)
	}
	if c.Size() != 7 {
		t.Errorf("size is %d; want 3 special tokens and 4 characters", c.Size())
	}
	if diff := cmp.Diff(text.Special{Pad: 0, BOS: 1, EOS: 2}, c.Special()); diff != "" {
		t.Error(diff)
	}
}

func TestCharactersRefuses(t *testing.T) {
	for alphabet, want := range map[string]string{
		"":       "text: the alphabet is empty",
		"abca":   "text: the alphabet has 'a' twice",
		"ab\xff": "text: the alphabet is not UTF-8 at byte 2",
	} {
		_, err := text.NewCharacters(alphabet)
		wantError(t, err, want)
	}
	c := must(text.NewCharacters("ab€\ufffd"))
	_, err := c.Encode("ab€c€")
	wantError(t, err, `text: character 'c' at byte 5 of the text is not in the alphabet`)
	_, err = c.Encode("\ufffd\xe2\x82")
	wantError(t, err, "text: byte 3 of the text, 0xe2, is not UTF-8")
	for _, token := range []int{-1, 7} {
		_, err = c.Decode([]int{3, 4, token})
		wantError(t, err, "text: token 2 is")
	}
}

func TestAlphabet(t *testing.T) {
	if got := text.Alphabet("cabba", "€b d"); got != " abcd€" {
		t.Errorf("alphabet is %q", got)
	}
	if must(text.NewCharacters("abc")).Fingerprint() == must(text.NewCharacters("acb")).Fingerprint() {
		t.Error("alphabets of another order have one fingerprint")
	}
}

func TestCharactersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(1, 50, -1).Draw(t, "text")
		c, err := text.NewCharacters(text.Alphabet(s))
		if err != nil {
			t.Fatal(err)
		}
		tokens := must(c.Encode(s))
		if len(tokens) != len([]rune(s)) {
			t.Fatalf("%d tokens of %q", len(tokens), s)
		}
		for _, token := range tokens {
			if token < 3 || token >= c.Size() {
				t.Fatalf("token %d of a size of %d", token, c.Size())
			}
		}
		if got := must(c.Decode(tokens)); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

func FuzzCharacters(f *testing.F) {
	f.Add("abc€", "cab")
	f.Add("a\xffb", "")
	f.Add("\ufffd", "\xff")
	f.Fuzz(func(t *testing.T, alphabet, s string) {
		c, err := text.NewCharacters(alphabet)
		if err != nil {
			return
		}
		if tokens, err := c.Encode(s); err == nil {
			if got := must(c.Decode(tokens)); got != s {
				t.Errorf("%q came back as %q", s, got)
			}
		}
	})
}
