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
// # Losses of logits
//
// Of classes there is more to choose from than KL. With p the teacher's softmax
// at temperature T, q the student's, y the label, and p̂ and q̂ the distributions
// over the other classes alone, in nats for each row:
//
//	KL              T²·KL(p ‖ q)                                     T 1               Hinton 2015, 1503.02531
//	ReverseKL       T²·KL(q ‖ p)                                     T 1               MiniLLM, 2306.08543
//	JSD             β·KL(p ‖ m) + (1-β)·KL(q ‖ m), m = βp + (1-β)q   T 1, β 0.5        GKD, 2306.13649
//	SkewKL          T²·KL(p ‖ λp + (1-λ)q)                           T 1, λ 0.1        DistiLLM, 2402.03898
//	SkewReverseKL   T²·KL(q ‖ (1-λ)p + λq)                           T 1, λ 0.1        DistiLLM, 2402.03898
//	AlphaDivergence T²·(1 - Σ p^α·q^(1-α))/(α(1-α))                  T 1, α 0.5        AlphaNet, 2102.07954
//	TotalVariation  ½·Σ|p - q|                                       T 1               2307.15190
//	UniversalLogit  Σ|p sorted - q sorted|, of other classes too     T 1               ULD, 2402.12030
//	MSE             mean (s - t)² of the logits                                        1312.6184
//	DKD             T²·(α·KL of y or not + β·KL(p̂ ‖ q̂))              T 4, α 1, β 8     2203.08679
//	NKD             -p_y·log q_y - γT²·Σ p̂·log q̂                     T 1, γ 1.5        2303.13005
//	WSLD            (1 - exp(-CE_s/CE_t))·T²·-Σ p·log q              T 2               2102.00650
//	DIST            T²·(β·(1 - ρ of rows) + γ·(1 - ρ of classes))    T 1, β 1, γ 1     2205.10536
//	Standardized    any of them on (z - mean)/sd                     KL at T 2         2403.01427
//	Corrected       T²·KL(p with y in the lead ‖ q)                  T 1, margin 0.2   2404.03693
//	Order           mean over pairs of log(1 + exp(s_j - s_i))       5 classes         RankNet, 2005
//	VirtualTeacher  T²·KL(p of y alone ‖ q), without a teacher       T 20, a 0.99      1909.11723
//
// Their temperatures and other numbers are schedules. Only [KL] takes a teacher of
// top-k logits, only [DIST] is [Joint], and what needs labels gives rows without
// one no weight, but for [Corrected].
//
// # Losses of features
//
// They look at hidden places, by the names of a tap and a signal. The weights of
// their terms are those that are usual:
//
//	Hint                   (r(s) - t)², r learned                 100      FitNets, 1412.6550
//	AttentionTransfer      of maps of mean squares                1000     1612.03928
//	VID                    a Gaussian around a learned mean       1        1904.05835
//	NST                    MMD of what channels respond to        50       1707.01219
//	FSP                    flow between two layers                50       CVPR 2017
//	OFD                    behind a margin ReLU                   1e-3     1904.01866
//	ReviewKD               several layers, fused from the last    1        2104.09044
//	SimKD                  the last features, the teacher's head  1        2203.14001
//	SimilarityPreserving   Gram matrices of a batch               3000     1907.09682
//	RKD                    distances and angles of a batch        1        1904.05068
//	PKT                    similarities as probabilities          30000    1803.10837
//	CorrelationCongruence  kernels between rows                   .02      ICCV 2019
//	CRD                    contrasts with a memory of all         .8       1910.10699
//
// The last five compare rows, and OFD and ReviewKD have norms of the batch: they are
// [Joint]. What they come to changes with the size of the batch, and so does the
// weight that is good. Where others add up what is a mean here, a weight of theirs
// may be off by a factor of ten thousand.
//
// # Regimes
//
// Most are a few lines, and all have an example:
//
//	a mean of several teachers       teacher.Mean, of logits or of probabilities
//	a term for each of several       teacher.Named
//	one of several for each sample   teacher.Route before any is asked, teacher.Surest after
//	a teacher of other classes       teacher.Select
//	a teacher of another vocabulary  UniversalLogit
//	assistants, born-again networks  one Run after the other
//	students that teach each other   Mutual
//	a moving average as the teacher  Run.Average, and teacher.Live
//	layers that teach those before   Self
//	no teacher at all                VirtualTeacher, and CrossEntropy.Smoothing
//	a student cut from its teacher   student.Cut
//	one view for both, and many      data.Mixup and other views
//	texts that a teacher writes      lm.Sampler, text.Sequences and CrossEntropy
//	those of them that are right     reason.Collect
//	texts that the student writes    reason.Own, and JSD or ReverseKL
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
