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
	Tuned  bool   `json:"tuned"`  // the channels may be last, and a teacher's batch norms folded
	Steps  int    `json:"steps"`  // how many are compared
	In     []int  `json:"in"`     // the shape of a sample
	MKN    []int  `json:"mkn"`    // a product (m, k) x (k, n)
	New    int    `json:"new"`    // ids that follow a prompt

	// Of distillation, as in [distill.Hinton] and [distill.Adam].
	Temperature float64 `json:"temperature"`
	Weight      float64 `json:"weight"`
	Rate        float64 `json:"rate"`

	Tolerance float64 `json:"tolerance"` // of the comparison
}

var (
	few  = turn{Samples: 3, Calls: 1}
	some = turn{Samples: 8, Calls: 1}
	many = turn{Samples: 20, Calls: 200}
	once = turn{Samples: 1, Calls: 1}
)

var cases = []match{
	stepCase("mlp_step_b32", perceptrons, 32, false, some),
	stepCase("mlp_step_b128", perceptrons, 128, false, some),
	stepCase("mlp_step_b512", perceptrons, 512, false, some),
	stepCase("mlp_step_b128_cached", perceptrons, 128, true, some),
	stepCase("cnn_step_b64", cnns, 64, false, some),
	tuned(stepCase("cnn_step_b64_tuned", cnns, 64, false, some)),
	stepCase("resnet_step_b64", resnets, 64, false, few),
	tuned(stepCase("resnet_step_b64_tuned", resnets, 64, false, few)),
	stepCase("lm_step", languages, 64, false, few),
	{name: "epoch_mlp", task: step("epoch", 128, false), open: openEpoch, gflop: nan, turn: once},
	teachCase("teacher_mlp_b256", perceptrons.teacher, 256, some),
	teachCase("teacher_resnet_b256", resnets.teacher, 256, few),
	tuned(teachCase("teacher_resnet_b256_tuned", resnets.teacher, 256, few)),
	generateCase("lm_generate", languages.student, 64, 16, 48, some),
	predictCase("predict_64_32_10", tiny, infer.Full, 0),
	predictCase("predict_784_800_800_10", perceptrons.student, infer.Full, 4),
	predictCase("predict_784_800_800_10_f16", perceptrons.student, infer.Float16, 2),
	predictCase("predict_784_800_800_10_int8", perceptrons.student, infer.Int8, 1),
	gemmCase("gemm_128_784_1200", 128, 784, 1200),
	gemmCase("gemm_512", 512, 512, 512),
}

// tuned is a case that the peer may do as its experts would.
func tuned(m match) match {
	m.task.Tuned = true
	return m
}

func stepCase(name string, nets pair, batch int, cached bool, many turn) match {
	gflop := nets.student.forward() + nets.student.backward()
	if !cached {
		gflop += nets.teacher.forward()
	}
	m := match{name: name, task: step("step", batch, cached), gflop: float64(batch) * gflop, turn: many}
	m.task.In = nets.student.in
	m.open = func(ctx context.Context, t task, dir string) (*subject, error) {
		return openStep(ctx, nets, t, dir)
	}
	return m
}

func step(do string, batch int, cached bool) task {
	return task{Do: do, Batch: batch, Cached: cached, Steps: 5, Temperature: 4, Weight: 0.9, Rate: 1e-4}
}

func teachCase(name string, n net, batch int, many turn) match {
	m := match{name: name, task: task{Do: "teach", Batch: batch, In: n.in}, gflop: float64(batch) * n.forward(), turn: many}
	m.open = func(ctx context.Context, t task, dir string) (*subject, error) {
		return openTeach(ctx, n, t, dir)
	}
	return m
}

// generateCase has a language model add so many ids to prompts of one length.
func generateCase(name string, n net, batch, prompt, new int, many turn) match {
	t := task{Do: "generate", Batch: batch, In: []int{prompt}, New: new}
	computed := float64(batch*(prompt+new-1)) / float64(n.in[0])
	m := match{name: name, task: t, gflop: computed * n.forward(), turn: many}
	m.open = func(ctx context.Context, t task, dir string) (*subject, error) {
		return openGenerate(ctx, n, t, dir)
	}
	return m
}

// predictCase has a perceptron, with weights of so many bytes each; the peer has
// float32 in any case.
func predictCase(name string, n net, precision infer.Precision, bytes int) match {
	m := match{name: name, task: task{Do: "predict", In: n.in}, gflop: n.forward(), weights: bytes * n.products, turn: many}
	m.open = func(ctx context.Context, t task, dir string) (*subject, error) {
		return openPredict(n, precision, dir)
	}
	if precision == infer.Int8 {
		m.gflop = nan // none of them is of floats
	}
	return m
}

func gemmCase(name string, m, k, n int) match {
	return match{name: name, task: task{Do: "gemm", MKN: []int{m, k, n}}, gflop: 2e-9 * float64(m*k*n), turn: turn{20, 5}}
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
