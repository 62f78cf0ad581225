package text_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/text"
)

func Example() {
	chars, err := text.NewCharacters("0123456789+=")
	if err != nil {
		panic(err)
	}
	set, err := text.Sequences{Tokenizer: chars, Context: 9}.Of(text.List{
		{Prompt: "12+34=", Completion: "46"},
		{Prompt: "7+8=", Completion: "15"},
	})
	if err != nil {
		panic(err)
	}
	loader := data.Loader{Set: set, Batch: 2, InOrder: true}
	for batch, err := range loader.Batches(context.Background(), 0, 0) {
		if err != nil {
			panic(err)
		}
		for r := range batch.N {
			fmt.Println("inputs ", data.Row[int](batch.In[data.Input], r))
			fmt.Println("labels ", data.Row[int](batch.Label, r))
			fmt.Println("weights", data.Row[float32](batch.Weight, r))
		}
	}
	// Output:
	// inputs  [1 4 5 13 6 7 14 7 9]
	// labels  [4 5 13 6 7 14 7 9 2]
	// weights [0 0 0 0 0 0 1 1 1]
	// inputs  [1 10 13 11 14 4 8 2 0]
	// labels  [10 13 11 14 4 8 2 -1 -1]
	// weights [0 0 0 0 1 1 1 0 0]
}

func ExampleNewCharacters() {
	chars, err := text.NewCharacters(text.Alphabet("to be", "or not to be"))
	if err != nil {
		panic(err)
	}
	tokens, err := chars.Encode("not to be")
	fmt.Println(tokens, err)
	_, err = chars.Encode("to bee or not to be?")
	fmt.Println(err)
	// Output:
	// [6 7 9 3 9 7 3 4 5] <nil>
	// text: character '?' at byte 19 of the text is not in the alphabet
}

func ExampleReadBPE() {
	// Files of models have some hundred thousand tokens. A space is written as Ġ.
	file := strings.NewReader(`{
		"model": {
			"type": "BPE",
			"vocab": {"h": 0, "e": 1, "l": 2, "o": 3, "Ġ": 4, "he": 5, "ll": 6, "hell": 7, "Ġhell": 8},
			"merges": ["h e", "l l", "he ll", "Ġ hell"]
		},
		"added_tokens": [{"id": 9, "content": "<|end|>"}],
		"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}
	}`)
	bpe, err := text.ReadBPE(file, text.Names{EOS: "<|end|>"})
	if err != nil {
		panic(err)
	}
	tokens, err := bpe.Encode("hello hello")
	if err != nil {
		panic(err)
	}
	for _, token := range tokens {
		part, err := bpe.Decode([]int{token})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d %q\n", token, part)
	}
	// Output:
	// 7 "hell"
	// 3 "o"
	// 8 " hell"
	// 3 "o"
}

func ExampleSequences_Pack() {
	chars, err := text.NewCharacters("abcdefgh")
	if err != nil {
		panic(err)
	}
	set, err := text.Sequences{Tokenizer: chars, Context: 9, Segments: true}.Pack(text.List{
		{Completion: "abc"}, {Completion: "de"}, {Completion: "fgh"},
	})
	if err != nil {
		panic(err)
	}
	batch, err := data.NewBatch(set.Spec(), set.Len())
	if err != nil {
		panic(err)
	}
	for i := range set.Len() {
		if err := batch.Append(set, i, 0); err != nil {
			panic(err)
		}
		fmt.Println("inputs  ", data.Row[int](batch.In[data.Input], i))
		fmt.Println("labels  ", data.Row[int](batch.Label, i))
		fmt.Println("segments", data.Row[int](batch.In[text.Segment], i))
	}
	// Output:
	// inputs   [1 3 4 5 2 1 6 7 2]
	// labels   [3 4 5 2 -1 6 7 2 -1]
	// segments [1 1 1 1 1 2 2 2 2]
	// inputs   [1 8 9 10 2 0 0 0 0]
	// labels   [8 9 10 2 -1 -1 -1 -1 -1]
	// segments [1 1 1 1 1 0 0 0 0]
}
