// Package teacher holds what a student learns from besides labels. A teacher
// answers a batch with named values, its signals. A live network, the mean of
// several, and a cache of what one said before look the same to every loss:
//
//	t := teacher.Of(model)                          // a trained student.Model
//	c, err := teacher.Record(ctx, t, train, "runs/teacher", teacher.Recording{})
//	if err != nil {
//		return err
//	}
//	run := distill.Run{Teacher: c, ...}
//
// Several teachers are one: their [Mean], each under its name ([Named]), or for
// each sample one of them ([Route], [Surest]). [Select] finds a student's classes
// among those of its teacher.
//
// A cache answers what was recorded and nothing else; [Or] asks the teacher
// itself about the rest, such as validation rows: teacher.Or(c, t).
//
// What one machine would take long to record, many do: each records a shard into
// a directory of its own, under whatever scheduler, and [Open] reads them as one
// cache where they lie, or [Merge] copies them to one directory.
//
//	r := teacher.Recording{Shard: 2, Shards: 8}     // on the third of eight
//	_, err := teacher.Record(ctx, t, train, "runs/teacher-2", r)
//
// A directory has two files. "manifest.json" says of which teacher, data,
// settings and shard it is a recording, and how many rows there are once all are;
// it is replaced as a whole. "rows" has them one after the other, in one size,
// each with its id, a CRC-32 of the inputs and one of itself. So a process may be
// killed at any byte: [Record] goes on after the last good batch, to the same
// files, and [OpenPart] opens what there is meanwhile. One process at a time
// writes to a directory, and any number read it.
//
// A teacher is never trained through, and a run never writes to it.
package teacher

import (
	"context"

	"github.com/godistill/godistill/data"
)

// Logits is the name of the signal that every classifier has: raw,
// unnormalised scores of shape (N, C), or (N, T, C) for tokens, and (N, C, H, W)
// or (N, H, W, C) for pixels. What says numbers says them under this name too.
const Logits = "logits"

// A Card says what a teacher answers, before it is asked.
type Card struct {
	// Signals are the fields of one sample's answer, by name.
	Signals map[string]data.Field
	// Classes are the names of the classes in the order of the logits, if known.
	Classes []string
	// Temps are the temperatures that top-k logits can answer exactly: for
	// each, the log-sum-exp of the whole row was recorded. Nil for dense logits.
	Temps []float64
	// Fingerprint is a hash of everything that the answers depend on besides
	// the inputs.
	Fingerprint [32]byte
	// Live says that the teacher may change while a student learns from it.
	// Such a teacher cannot be recorded.
	Live bool
}

// A Teacher answers batches.
type Teacher interface {
	// Card says what will be answered. Only that of a live teacher changes.
	Card() (Card, error)
	// Teach answers the samples of a batch and not its padding: the leading
	// axis of each signal is b.N. The answer is the caller's to keep, and the
	// batch too: a run writes others into its memory once its step is done.
	Teach(ctx context.Context, b data.Batch) (data.Signals, error)
}
