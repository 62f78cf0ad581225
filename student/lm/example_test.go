package lm_test

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student/lm"
)

func Example() {
	c := lm.Config{Vocab: 64, Width: 128, Inner: 344, Layers: 4, Heads: 4, Context: 256}
	model, err := lm.New(c, 6, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tensor.New(tensor.WithShape(2, 6), tensor.WithBacking([]int{1, 7, 3, 9, 63, 0, 5, 5, 2, 8, 4, 6}))
	batch := data.Batch{N: 2, ID: make([]data.ID, 2), In: data.Signals{data.Input: ids}}
	out, err := model.Predict(batch, "logits", "hidden4")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(model.Size(), out["logits"].Shape(), out["hidden4"].Shape())
	// Output: 808064 (2, 6, 64) (2, 6, 128)
}

func ExampleConfig() {
	c := lm.Config{
		Vocab: 64, Width: 96, Inner: 256, Layers: 3, Heads: 4, Context: 128, Ahead: 1,
		Mixture: &lm.Mixture{Experts: 8, Each: 2, Shared: 1, ExpertWidth: 64, Dense: 1, Normalized: true, BiasStep: 0.001},
		Latent:  &lm.Latent{Rank: 32, Plain: 16, Turned: 16, Values: 24},
	}
	fmt.Println(c.Validate())
	c.Each = 9
	fmt.Println(c.Validate())
	// Output:
	// <nil>
	// lm: Mixture.Each is 9; a token chooses from 8 experts
}

func ExampleSampler() {
	model, err := lm.New(lm.Config{Vocab: 64, Width: 32, Inner: 88, Layers: 4, Heads: 4, Context: 48}, 48, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	sampler, err := lm.NewSampler(model, lm.Sampling{Temperature: 0.6, TopP: 0.95, Stop: []int{1}, Max: 20, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	samples, err := sampler.Generate(context.Background(), [][]int{{7, 3, 9}, {12}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range samples {
		fmt.Println(len(s.IDs) > 0, len(s.IDs) == len(s.LogProbs), s.Stopped == (s.IDs[len(s.IDs)-1] == 1))
	}
	// Output:
	// true true true
	// true true true
}

// Parameters have the names that Hugging Face gives them.
func Example_names() {
	model, err := lm.New(lm.Config{Type: lm.Qwen2, Vocab: 64, Width: 32, Inner: 48, Layers: 1, Heads: 4, KeyHeads: 2, Context: 16}, 8, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for p := range model.Params() {
		fmt.Println(p.Name, p.Value.Shape())
	}
	// Output:
	// model.embed_tokens.weight (64, 32)
	// model.layers.0.input_layernorm.weight (32)
	// model.layers.0.self_attn.q_proj.weight (32, 32)
	// model.layers.0.self_attn.q_proj.bias (32)
	// model.layers.0.self_attn.k_proj.weight (16, 32)
	// model.layers.0.self_attn.k_proj.bias (16)
	// model.layers.0.self_attn.v_proj.weight (16, 32)
	// model.layers.0.self_attn.v_proj.bias (16)
	// model.layers.0.self_attn.o_proj.weight (32, 32)
	// model.layers.0.post_attention_layernorm.weight (32)
	// model.layers.0.mlp.gate_proj.weight (48, 32)
	// model.layers.0.mlp.up_proj.weight (48, 32)
	// model.layers.0.mlp.down_proj.weight (32, 48)
	// model.norm.weight (32)
	// lm_head.weight (64, 32)
}
