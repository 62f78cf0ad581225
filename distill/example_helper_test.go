package distill_test

import (
	"context"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// trained is a network with one hidden layer, "l1", that has learned a set from
// its labels.
func trained(set data.Set, hidden int, seed uint64) *student.Model {
	m := network(set, hidden, seed)
	run := distill.Run{
		Student:   m,
		Terms:     []distill.Term{{Name: "labels", Loss: distill.CrossEntropy{}}},
		Train:     data.Loader{Set: set, Batch: 32, Seed: seed},
		Optimizer: distill.Adam{Rate: distill.Constant(0.01)},
		Epochs:    10,
	}
	must(run.Fit(context.Background()))
	return m
}

// network is such a network before it learns.
func network(set data.Set, hidden int, seed uint64) *student.Model {
	spec := set.Spec()
	return must(student.New(student.MLP{Hidden: []int{hidden}, Out: len(spec.Classes)}, spec, seed))
}
