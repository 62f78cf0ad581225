// Package distill teaches one network what another knows.
//
// A [Run] says all there is to say: the student, the teacher, the terms of the
// loss, the data and the optimizer. It is plain data, and is checked as a whole
// before the first step.
//
//	run := distill.Run{
//		Student:   small,             // a student.Model
//		Teacher:   teacher.Of(large), // or a mean of several, or a cache on disk
//		Terms:     distill.Hinton(4, 0.9),
//		Train:     data.Loader{Set: digits.Train, Batch: 32},
//		Valid:     data.Loader{Set: digits.Valid, Batch: 100, InOrder: true},
//		Optimizer: distill.AdamW{Rate: distill.Constant(1e-3)},
//		Epochs:    10,
//	}
//	for step, err := range run.Steps(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(step.N, step.Loss)
//	}
//
// # A step
//
// The source yields a batch, and the teacher answers it with named signals. The
// student computes its taps. Each [Term] has a [Loss], which makes of a
// [Lesson], that is taps, signals and labels, a value and a weight for every
// row: a sample, or a token. The run takes the weighted mean over the rows of
// the step, adds up the terms by their weights at this step, and gives the
// gradient to the [Optimizer]. Several batches can make one step
// (Run.Accumulate): the mean is over the rows of all of them, as if they had
// been one. Then the [Step] is yielded; at the end of an epoch the student has
// been measured on Run.Valid.
//
// A new method is a new Loss: see its example. A schedule for a weight or a
// temperature is a function of the step. A learned projection is a parameter
// that the loss asks its builder for, as [Hint] does.
//
// # What is learnt
//
// The Task of the data says what labels mean, and with that what the student is
// measured by; the terms go with it:
//
//	labels                            hard term                    soft term
//	classes (B), (B, T), (B, H, W)    CrossEntropy                 KL
//	classes 0 and 1, a single logit   BCE                          BinaryKL
//	data.MultiLabel                   BCE                          BinaryKL
//	data.Regression                   MSE, L1, Huber with Label    MSE, L1, Huber, Bounded
//
// The student's output is the tap "logits" in all of them, numbers too. A term
// that is of another task is refused before the first step.
//
// # Regimes
//
// Most are a few lines, and all have an example:
//
//	a mean of several teachers       teacher.Mean, of logits or of probabilities
//	a term for each of several       teacher.Named
//	one of several for each sample   teacher.Route before any is asked, teacher.Surest after
//	a teacher of other classes       teacher.Select
//	assistants, born-again networks  one Run after the other
//	students that teach each other   Mutual
//	a moving average as the teacher  Run.Average, and teacher.Live
//	layers that teach those before   Self
//	a student cut from its teacher   student.Cut
//	one view for both, and many      data.Mixup and other views
//
// # What it refuses
//
// Before the first step: data, teacher and student that do not fit each other
// in shape, dtype, task or classes; a teacher that is no better than chance on
// Run.Valid, or than the mean of the labels; a temperature that a top-k cache cannot answer; a checkpoint of
// another run. During it: a loss or a gradient that is no number
// ([ErrDiverged]), and a teacher that changes and is not [teacher.Live]
// ([ErrTeacherChanged]).
//
// It warns, in Run.Log and [Preflight], of what may be meant: a term that no
// student can change, or that another drowns by more than 100 to 1; soft targets
// that say nothing; tokens one place off; validation on the training data.
//
// What a Module, a Loss, a Teacher or the Read of a Set panics with is an error.
// A panic of the caller's other functions passes through: of observers, monitors,
// schedules and sources.
//
// With one build on one kind of CPU, the same run gives the same bytes, and one
// that was resumed gives those of one that never stopped. There is no global
// generator, and no clock but that of Run.Budget.
package distill
