package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student/infer"
	"github.com/godistill/godistill/student/lm"
	"github.com/godistill/godistill/teacher"
	"gorgonia.org/tensor"
)

// openTeach is a teacher that answers a batch.
func openTeach(ctx context.Context, n net, t task, dir string) (*subject, error) {
	set, err := randomSet(t.Batch, n.in...)
	if err != nil {
		return nil, err
	}
	model, err := n.model(set.Spec(), teacherSeed)
	if err != nil {
		return nil, err
	}
	all := data.Loader{Set: set, Batch: t.Batch, InOrder: true}
	if err := errors.Join(save(model, dir, teacherFile), saveBatches(ctx, all, 1, dir)); err != nil {
		return nil, err
	}
	batch, err := first(ctx, all)
	if err != nil {
		return nil, err
	}
	knows := teacher.Of(model)
	call := func() error { _, err := knows.Teach(ctx, batch); return err }
	answer, err := knows.Teach(ctx, batch)
	if err != nil {
		return nil, err
	}
	return &subject{call: call, close: func() {}}, write(dir, expectedFile, answer[teacher.Logits].Float32s())
}

// openGenerate is a language model that adds the most probable ids to prompts.
func openGenerate(ctx context.Context, n net, t task, dir string) (*subject, error) {
	model, err := n.model(lm.Spec(n.in[0]), studentSeed)
	if err != nil {
		return nil, err
	}
	sampler, err := lm.NewSampler(model, lm.Sampling{Max: t.New, Batch: t.Batch})
	if err != nil {
		return nil, err
	}
	ids := tokens(t.Batch*t.In[0], n.vocab, 3)
	prompts := slices.Collect(slices.Chunk(ids, t.In[0]))
	call := func() error { _, err := sampler.Generate(ctx, prompts); return err }
	samples, err := sampler.Generate(ctx, prompts)
	if err != nil {
		return nil, err
	}
	var said []float32
	for _, s := range samples {
		for _, id := range s.IDs {
			said = append(said, float32(id))
		}
	}
	err = errors.Join(save(model, dir, studentFile), write(dir, idsFile, int64s(ids)), write(dir, expectedFile, said))
	return &subject{call: call, close: func() {}}, err
}

// openPredict is a saved student that answers one row.
func openPredict(n net, precision infer.Precision, dir string) (*subject, error) {
	set, err := randomSet(1, n.in...)
	if err != nil {
		return nil, err
	}
	model, err := n.model(set.Spec(), studentSeed)
	if err != nil {
		return nil, err
	}
	var saved bytes.Buffer
	if err := errors.Join(model.Save(&saved), save(model, dir, studentFile)); err != nil {
		return nil, err
	}
	full, err := infer.Load(bytes.NewReader(saved.Bytes()))
	if err != nil {
		return nil, err
	}
	p, err := precision.Load(&saved)
	if err != nil {
		return nil, err
	}
	x := random(tensor.Shape(n.in).TotalSize())
	answer, err := full.Logits(x)
	if err != nil {
		return nil, err
	}
	if err := near(full, p, x, answer); err != nil {
		return nil, err
	}
	var y []float32
	call := func() (err error) { y, err = p.AppendLogits(y[:0], x); return err }
	return &subject{call: call, close: func() {}}, errors.Join(write(dir, inputsFile, x), write(dir, expectedFile, answer))
}

// near checks that rounded weights answer as the others do, which the peer
// compares with its own.
func near(full, rounded *infer.Predictor, x, answer []float32) error {
	const tolerance = 0.05 // of the largest logit
	change, err := infer.Compare(full, rounded, x, nil)
	if err != nil {
		return err
	}
	largest := float64(max(slices.Max(answer), -slices.Min(answer)))
	if !(change.Max <= tolerance*largest) {
		return fmt.Errorf("rounded weights change a logit by %.2g of the largest; want %v or less", change.Max/largest, tolerance)
	}
	return nil
}
