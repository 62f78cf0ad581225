package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/godistill/godistill/student/infer"
)

// A match is a case: something that both sides do.
type match struct {
	name string
	// task is what the peer is asked to prepare.
	task task
	// open prepares our side, and leaves in dir what the peer is to have. It is
	// nil where our side is a benchmark of the kernels.
	open func(ctx context.Context, t task, dir string) (*subject, error)
	// gflop are the multiplications and additions of a call, in 1e9; NaN where
	// nobody counted them.
	gflop float64
	// weights are the bytes that a call reads of them, 0 where it waits for
	// something else.
	weights int
	turn    turn
}

// A turn is what a side does in one round: after one call that is not timed,
// so many samples of so many calls each.
type turn struct {
	Samples int `json:"samples"`
	Calls   int `json:"calls"`
}

// A task is a message to the peer.
type task struct {
	Do     string `json:"do"`
	Dir    string `json:"dir"`
	Batch  int    `json:"batch"`
	Cached bool   `json:"cached"` // the teacher's logits are there already
	Steps  int    `json:"steps"`  // how many are compared
	MKN    []int  `json:"mkn"`    // a product (m, k) x (k, n)

	// Of distillation, as in [distill.Hinton] and [distill.Adam].
	Temperature float64 `json:"temperature"`
	Weight      float64 `json:"weight"`
	Rate        float64 `json:"rate"`
}

// The networks, as sizes of their layers.
var (
	large = []int{784, 1200, 1200, 10}
	small = []int{784, 800, 800, 10}
	tiny  = []int{64, 32, 10}
)

var (
	some = turn{Samples: 8, Calls: 1}
	many = turn{Samples: 20, Calls: 200}
	once = turn{Samples: 1, Calls: 1}
)

var cases = []match{
	stepCase("mlp_step_b32", 32, false),
	stepCase("mlp_step_b128", 128, false),
	stepCase("mlp_step_b512", 512, false),
	stepCase("mlp_step_b128_cached", 128, true),
	{name: "epoch_mlp", task: step("epoch", 128, false), open: openEpoch, gflop: nan, turn: once},
	{name: "teacher_mlp_b256", task: task{Do: "teach", Batch: 256}, open: openTeach, gflop: 256 * forward(large), turn: some},
	predictCase("predict_64_32_10", tiny, infer.Full, 0),
	predictCase("predict_784_800_800_10", small, infer.Full, 4),
	predictCase("predict_784_800_800_10_f16", small, infer.Float16, 2),
	predictCase("predict_784_800_800_10_int8", small, infer.Int8, 1),
	gemmCase("gemm_128_784_1200", 128, 784, 1200),
	gemmCase("gemm_512", 512, 512, 512),
}

func stepCase(name string, batch int, cached bool) match {
	gflop := forward(small) + backward(small)
	if !cached {
		gflop += forward(large)
	}
	return match{name: name, task: step("step", batch, cached), open: openStep, gflop: float64(batch) * gflop, turn: some}
}

func step(do string, batch int, cached bool) task {
	return task{Do: do, Batch: batch, Cached: cached, Steps: 5, Temperature: 4, Weight: 0.9, Rate: 1e-4}
}

// predictCase has weights of so many bytes each; the peer has float32 in any
// case.
func predictCase(name string, sizes []int, precision infer.Precision, bytes int) match {
	m := match{name: name, task: task{Do: "predict"}, gflop: forward(sizes), weights: bytes * weights(sizes), turn: many}
	m.open = func(ctx context.Context, t task, dir string) (*subject, error) {
		return openPredict(sizes, precision, dir)
	}
	if precision == infer.Int8 {
		m.gflop = nan // none of them is of floats
	}
	return m
}

func gemmCase(name string, m, k, n int) match {
	return match{name: name, task: task{Do: "gemm", MKN: []int{m, k, n}}, gflop: 2e-9 * float64(m*k*n), turn: turn{20, 5}}
}

// forward is the arithmetic of one sample through a network, in 1e9.
func forward(sizes []int) float64 { return 2e-9 * float64(weights(sizes)) }

// weights are how many a network has, without biases.
func weights(sizes []int) int {
	sum := 0
	for i, in := range sizes[:len(sizes)-1] {
		sum += in * sizes[i+1]
	}
	return sum
}

// backward is that of the gradients: by the weights of all layers, and by the
// inputs of all but the first.
func backward(sizes []int) float64 {
	return forward(sizes) + forward(sizes[1:])
}

// choose is the cases by name, in their own order.
func choose(wanted string) ([]match, error) {
	if wanted == "" {
		return cases, nil
	}
	list := strings.Split(wanted, ",")
	var chosen []match
	for _, m := range cases {
		if i := slices.Index(list, m.name); i >= 0 {
			chosen = append(chosen, m)
			list = slices.Delete(list, i, i+1)
		}
	}
	if len(list) > 0 {
		return nil, fmt.Errorf("-cases has %q; want some of %s", list[0], names(cases))
	}
	return chosen, nil
}

func names(all []match) string {
	var list []string
	for _, m := range all {
		list = append(list, m.name)
	}
	return strings.Join(list, ",")
}
