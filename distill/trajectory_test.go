package distill

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A trajectory is a training run of PyTorch in float64, on one batch.
type trajectory struct {
	Name      string
	Optimizer struct {
		Name         string
		LR, Momentum float64
		Nesterov     bool
		Decay        float64 `json:"weight_decay"`
		Betas        [2]float64
		Eps          float64
		Schedule     string
	}
	Temperature   float64
	HardWeight    float64 `json:"hard_weight"`
	SoftWeight    float64 `json:"soft_weight"`
	Inputs        array
	Labels        []int
	TeacherLogits array `json:"teacher_logits"`
	Initial       map[string]array
	Final         map[string]array
	Losses        []float64
	Rates         []float64 `json:"learning_rates"`
	ClipNorm      float64   `json:"clip_norm"`
	GradNorms     []float64 `json:"grad_norms_before_clip"`
	EvalLogits    array     `json:"eval_logits"`
}

type array struct {
	Shape []int
	Data  []float64
}

func trajectories(t *testing.T) []trajectory {
	t.Helper()
	text, err := os.ReadFile("testdata/trajectories.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []trajectory }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// optimizer is that of the run, as this package has it.
func (c trajectory) optimizer(t *testing.T) Optimizer {
	o, rate := c.Optimizer, Constant(c.Optimizer.LR)
	if o.Schedule == "cosine to 0 over all steps" {
		rate = Cosine(o.LR, 0, len(c.Losses))
	}
	switch o.Name {
	case "sgd":
		return SGD{Rate: rate, Momentum: o.Momentum, Nesterov: o.Nesterov, Decay: o.Decay}
	case "adam":
		return Adam{Rate: rate, Beta1: o.Betas[0], Beta2: o.Betas[1], Epsilon: o.Eps, Decay: o.Decay}
	case "adamw":
		return AdamW{Rate: rate, Beta1: o.Betas[0], Beta2: o.Betas[1], Epsilon: o.Eps, Decay: o.Decay}
	}
	t.Fatalf("no optimizer is called %q", o.Name)
	return nil
}

// TestRunFollowsPyTorch runs the whole path, from batch to weights: a run that
// has every loss of the trajectory has the forward pass, the gradients, the
// losses, the optimizer and the schedule right. PyTorch's own float32 leaves the
// trajectories of the CNN in float64, but for plain SGD and momentum.
func TestRunFollowsPyTorch(t *testing.T) {
	followed := map[string]int{}
	single := []string{"cnn_sgd", "cnn_sgd_momentum"}
	for _, c := range trajectories(t) {
		kind, _, _ := strings.Cut(c.Name, "_")
		followed[kind]++
		t.Run(c.Name+"/float64", func(t *testing.T) { follow[float64](t, c, 1e-8) })
		if kind == "mlp" || slices.Contains(single, c.Name) {
			t.Run(c.Name+"/float32", func(t *testing.T) { follow[float32](t, c, 1e-5) })
		}
	}
	if followed["mlp"] != 7 || followed["cnn"] != 5 || len(followed) != 2 {
		t.Errorf("%v trajectories; want 7 and 5", followed)
	}
}

// network is that of the trajectory.
func (c trajectory) network() student.Module {
	classes := c.TeacherLogits.Shape[1]
	if strings.HasPrefix(c.Name, "mlp_") {
		return student.MLP{Hidden: []int{c.Initial["l1.bias"].Shape[0]}, Out: classes}
	}
	return student.Sequence{
		{Name: "conv1", Layer: student.Conv2d{Out: c.Initial["conv1.bias"].Shape[0], Kernel: 3, Pad: 1}},
		{Name: "bn1", Layer: student.BatchNorm{Act: student.ReLU}},
		{Name: "pool", Layer: student.MaxPool2d{Kernel: 2}},
		{Name: "conv2", Layer: student.Conv2d{Out: c.Initial["conv2.bias"].Shape[0], Kernel: 3, Stride: 2, Pad: 1, Act: student.ReLU}},
		{Name: "flatten", Layer: student.Flatten{}},
		{Name: "fc", Layer: student.Linear{Out: classes}},
	}
}

// follow trains the network as the trajectory did and compares every step.
func follow[T floating](t *testing.T, c trajectory, tolerance float64) {
	near := func(what string, step int, got, want float64) {
		if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
			t.Fatalf("step %d: %s is %v, want %v", step, what, got, want)
		}
	}
	run := trajectoryRun[T](t, c)
	for step, err := range run.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		i := step.N - 1
		near("the loss", i, step.Loss, c.Losses[i])
		near("the rate", i, step.Rate, c.Rates[i])
		if c.ClipNorm > 0 {
			near("the norm", i, step.GradNorm, c.GradNorms[i])
		}
	}
	for p := range run.Student.Params() {
		for j, got := range wide(p.Value) {
			near(p.Name, len(c.Losses), got, c.Final[p.Name].Data[j])
		}
	}
	for batch, err := range run.Train.Batches(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		logits, err := run.Student.Predict(batch)
		if err != nil {
			t.Fatal(err)
		}
		for j, got := range wide(logits["logits"]) {
			near("a logit", len(c.Losses), got, c.EvalLogits.Data[j])
		}
	}
}

// trajectoryRun is the run of a trajectory, as this package writes it down.
func trajectoryRun[T floating](t *testing.T, c trajectory) *Run {
	labels := tensor.New(tensor.WithShape(len(c.Labels)), tensor.WithBacking(slices.Clone(c.Labels)))
	set, err := data.NewMemory(data.Signals{"x": dense[T](c.Inputs.Data, c.Inputs.Shape...)}, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	classes := c.TeacherLogits.Shape[1]
	model, err := student.New(c.network(), set.Spec(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for p := range model.Params() {
		convert(floats[T](p.Value), dense[T](c.Initial[p.Name].Data, c.Initial[p.Name].Shape...))
	}
	logits := dense[T](c.TeacherLogits.Data, c.TeacherLogits.Shape...)
	return &Run{
		Student: model,
		Teacher: teacher.Func{
			Says: teacher.Card{Signals: map[string]data.Field{"logits": {Shape: tensor.Shape{classes}, Dtype: logits.Dtype()}}},
			Do:   func(context.Context, data.Batch) (data.Signals, error) { return data.Signals{"logits": logits}, nil },
		},
		Terms: []Term{
			{Name: "hard", Weight: Constant(c.HardWeight), Loss: CrossEntropy{}},
			{Name: "soft", Weight: Constant(c.SoftWeight), Loss: KL{T: Constant(c.Temperature)}},
		},
		Train:     data.Loader{Set: set, Batch: len(c.Labels), InOrder: true},
		Optimizer: c.optimizer(t),
		Clip:      c.ClipNorm,
		Epochs:    len(c.Losses),
	}
}

// wide is a copy of a tensor in float64.
func wide(t *tensor.Dense) []float64 {
	if t.Dtype() == tensor.Float32 {
		return cast[float64](t.Float32s())
	}
	return cast[float64](t.Float64s())
}

func cast[U, T floating](x []T) []U {
	y := make([]U, len(x))
	for i, v := range x {
		y[i] = U(v)
	}
	return y
}

// dense is a tensor of T with the given values, or zeros.
func dense[T floating](values []float64, shape ...int) *tensor.Dense {
	backing := cast[T](values)
	if values == nil {
		backing = make([]T, tensor.Shape(shape).TotalSize())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
}
