package report_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// board begins a run, or goes on with one, and takes the given steps.
func board(t *testing.T, dir string, done int, steps []distill.Step) *report.TensorBoard {
	t.Helper()
	b := &report.TensorBoard{Now: clock()}
	if err := b.Start(distill.Plan{Dir: dir, Done: done}); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if err := b.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func closeBoard(t *testing.T, b *report.TensorBoard) {
	t.Helper()
	if err := b.Finish(distill.Result{}, nil); err != nil {
		t.Fatal(err)
	}
}

// An occurrence is an event as it was read.
type occurrence struct {
	wall    float64
	step    int
	version string
	start   bool
	scalars map[string]float32
}

// castagnoli is the CRC32C, bit by bit.
func castagnoli(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	return ^crc
}

// unframe reads TFRecords: those that are whole, and what follows them.
func unframe(t *testing.T, b []byte) (records [][]byte, rest []byte) {
	t.Helper()
	sum := func(b []byte) uint32 {
		crc := castagnoli(b)
		return (crc>>15 | crc<<17) + 0xa282ead8
	}
	for len(b) >= 12 {
		n := int(binary.LittleEndian.Uint64(b))
		if len(b) < 12+n+4 {
			break
		}
		data := b[12 : 12+n]
		if binary.LittleEndian.Uint32(b[8:]) != sum(b[:8]) || binary.LittleEndian.Uint32(b[12+n:]) != sum(data) {
			t.Fatalf("record %d has a wrong CRC", len(records))
		}
		records, b = append(records, data), b[12+n+4:]
	}
	return records, b
}

// fields calls f with each field of a message.
func fields(t *testing.T, message []byte, f func(n protowire.Number, number uint64, text []byte)) {
	t.Helper()
	for len(message) > 0 {
		n, typ, size := protowire.ConsumeTag(message)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		message = message[size:]
		var number uint64
		var text []byte
		switch typ {
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			number, size = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var v uint32
			v, size = protowire.ConsumeFixed32(message)
			number = uint64(v)
		case protowire.BytesType:
			text, size = protowire.ConsumeBytes(message)
		default:
			t.Fatalf("field %d has the type %d", n, typ)
		}
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		message = message[size:]
		f(n, number, text)
	}
}

func decode(t *testing.T, data []byte) (e occurrence) {
	t.Helper()
	fields(t, data, func(n protowire.Number, number uint64, text []byte) {
		switch n {
		case 1:
			e.wall = math.Float64frombits(number)
		case 2:
			e.step = int(number)
		case 3:
			e.version = string(text)
		case 5:
			e.scalars = make(map[string]float32)
			fields(t, text, func(_ protowire.Number, _ uint64, value []byte) {
				tag, v := "", float32(0)
				fields(t, value, func(n protowire.Number, number uint64, text []byte) {
					if n == 1 {
						tag = string(text)
					} else {
						v = math.Float32frombits(uint32(number))
					}
				})
				e.scalars[tag] = v
			})
		case 7:
			fields(t, text, func(n protowire.Number, number uint64, _ []byte) { e.start = n == 1 && number == 1 })
		}
	})
	return e
}

// occurrences are those of the one file in a folder.
func occurrences(t *testing.T, dir string) (all []occurrence) {
	t.Helper()
	for name, text := range files(t, dir) {
		records, rest := unframe(t, []byte(text))
		if len(all) > 0 || len(rest) > 0 {
			t.Fatalf("%s has %d bytes that are no record, or is one file of several", name, len(rest))
		}
		for _, r := range records {
			all = append(all, decode(t, r))
		}
	}
	return all
}

// shown is what TensorBoard shows of a folder, by tag and step: it reads the
// files by name, each up to what is no whole record, and drops steps that a
// session begins again.
func shown(t *testing.T, dir string) map[string]map[int]float32 {
	t.Helper()
	curves := make(map[string]map[int]float32)
	all := files(t, dir)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		records, _ := unframe(t, []byte(all[name]))
		for _, r := range records {
			e := decode(t, r)
			for tag, curve := range curves {
				maps.DeleteFunc(curve, func(step int, _ float32) bool { return e.start && step >= e.step })
				if len(curve) == 0 {
					delete(curves, tag)
				}
			}
			for tag, v := range e.scalars {
				if curves[tag] == nil {
					curves[tag] = make(map[int]float32)
				}
				curves[tag][e.step] = v
			}
		}
	}
	return curves
}

func TestTensorBoard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "digits") // is made
	steps := sample(3, 4, 1)
	steps[1].Accuracy, steps[2].GradNorm = math.NaN(), math.Inf(1)
	closeBoard(t, board(t, dir, 0, steps))
	got := occurrences(t, dir)
	want := []occurrence{{wall: 1000.25, version: "brain.Event:2"}, {wall: 1000.25, step: 1, start: true}}
	for i, s := range steps {
		e := occurrence{wall: 1000.5 + float64(i)/4, step: s.N, scalars: map[string]float32{
			"train/loss": float32(s.Loss), "train/rate": float32(s.Rate), "train/grad_norm": float32(s.GradNorm),
			"term/hard": float32(s.Terms[0].Value), "term/soft": float32(s.Terms[1].Value),
		}}
		if i != 1 {
			e.scalars["train/accuracy"] = float32(s.Accuracy)
		}
		if m := s.Valid; m != nil {
			maps.Copy(e.scalars, map[string]float32{
				"valid/loss": float32(m.Loss), "valid/term/hard": float32(m.Terms[0].Value), "valid/term/soft": float32(m.Terms[1].Value),
				"valid/accuracy": float32(m.Accuracy), "valid/top5": 0.99, "valid/nll": float32(m.NLL), "valid/ece": 0.02,
				"valid/agreement": float32(m.Agreement), "valid/teacher_kl": float32(m.TeacherKL),
			})
		}
		want = append(want, e)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(occurrence{})); diff != "" {
		t.Errorf("the events (-want +got):\n%s", diff)
	}
}

// The tags are those of the task, in letters that a protobuf may hold.
func TestTensorBoardTags(t *testing.T) {
	nan := math.NaN()
	metrics := distill.Metrics{
		Loss: 2, Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan,
		Numbers: &distill.Numbers{MAE: 1, RMSE: 2, R2: 0.25, TeacherRMSE: nan},
		Answers: &distill.Answers{F1: 0.5, AUROC: 0.75}, Pixels: &distill.Pixels{IoU: 0.125},
	}
	dir := t.TempDir()
	closeBoard(t, board(t, dir, 0, []distill.Step{{
		N: 1, Loss: nan, Accuracy: nan, Rate: 1e300, GradNorm: nan,
		Terms: []distill.TermValue{{Name: "a/b|\xff", Value: 3}}, Valid: &metrics,
	}}))
	want := map[string]float32{
		"train/rate": float32(math.Inf(1)), "term/a/b|\uFFFD": 3, "valid/loss": 2,
		"valid/numbers.mae": 1, "valid/numbers.rmse": 2, "valid/numbers.r2": 0.25,
		"valid/answers.f1": 0.5, "valid/answers.auroc": 0.75, "valid/pixels.iou": 0.125,
	}
	if diff := cmp.Diff(want, occurrences(t, dir)[2].scalars); diff != "" {
		t.Errorf("the scalars (-want +got):\n%s", diff)
	}
}

// A run that was killed anywhere, and went on from any checkpoint, shows what
// one that never stopped does. The clock of the second start is that of the
// first, which is as if it had gone back.
func TestTensorBoardResume(t *testing.T) {
	steps := sample(2, 3, 1)
	whole := t.TempDir()
	closeBoard(t, board(t, whole, 0, steps))
	want := shown(t, whole)
	tails := []string{"", "\x18\x00", "\x18\x00\x00\x00\x00\x00\x00\x00\xa3\x7fK\"\t"}
	for done := range len(steps) + 1 {
		dir := t.TempDir()
		closeBoard(t, board(t, dir, 0, steps[:min(done+2, len(steps))]))
		spoil(t, filepath.Join(dir, "events.out.tfevents.0000001000.godistill"), tails[done%len(tails)])
		closeBoard(t, board(t, dir, done, steps[done:]))
		if diff := cmp.Diff(want, shown(t, dir)); diff != "" {
			t.Errorf("resumed at %d, it shows (-want +got):\n%s", done, diff)
		}
	}
}

// Of an older run in the folder, nothing is shown, and nothing is removed.
func TestTensorBoardAnew(t *testing.T) {
	steps := sample(3, 4, 1)
	fresh, used := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"events.out.tfevents.9999999990.host.7.v2": "", "events.out.tfevents.99999999999": "", "notes": "mine",
	} {
		if err := os.WriteFile(filepath.Join(used, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	closeBoard(t, board(t, fresh, 0, steps[:5]))
	closeBoard(t, board(t, used, 0, steps))
	closeBoard(t, board(t, used, 0, steps[:5]))
	if diff := cmp.Diff(shown(t, fresh), shown(t, used)); diff != "" {
		t.Errorf("it shows (-want +got):\n%s", diff)
	}
	want := []string{
		"events.out.tfevents.9999999990.host.7.v2", "events.out.tfevents.9999999991.godistill",
		"events.out.tfevents.9999999992.godistill", "events.out.tfevents.99999999999", "notes",
	}
	if got := slices.Sorted(maps.Keys(files(t, used))); !cmp.Equal(got, want) {
		t.Errorf("the files are %q; want %q", got, want)
	}
}

// Each step is on disk before the next one.
func TestTensorBoardStepIsWritten(t *testing.T) {
	dir, steps := t.TempDir(), sample(3, 4, 1)
	b := board(t, dir, 0, nil)
	for n, s := range steps {
		if err := b.Step(s); err != nil {
			t.Fatal(err)
		}
		if got := len(occurrences(t, dir)); got != n+3 {
			t.Fatalf("after step %d the file has %d events; want %d", n+1, got, n+3)
		}
	}
	closeBoard(t, b)
}

func TestTensorBoardErrors(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, b *report.TensorBoard) error
		want string
	}{
		{"no folder", func(t *testing.T, b *report.TensorBoard) error {
			return b.Start(distill.Plan{})
		}, "report: TensorBoard.Dir and Plan.Dir are empty; want one of them set"},
		{"folder is a file", func(t *testing.T, b *report.TensorBoard) error {
			b.Dir = filepath.Join(t.TempDir(), "file")
			os.WriteFile(b.Dir, nil, 0o644)
			return b.Start(distill.Plan{})
		}, "not a directory"},
		{"step before start", func(t *testing.T, b *report.TensorBoard) error {
			return b.Step(distill.Step{N: 1})
		}, "report: TensorBoard.Step was called before Start"},
		{"step after finish", func(t *testing.T, b *report.TensorBoard) error {
			b.Start(distill.Plan{Dir: t.TempDir()})
			closeBoard(t, b)
			return b.Step(distill.Step{N: 1})
		}, "report: TensorBoard.Step was called before Start"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.run(t, new(report.TensorBoard))
			if err == nil || !strings.HasPrefix(err.Error(), "report: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := new(report.TensorBoard).Finish(distill.Result{}, errors.New("no start")); err != nil {
		t.Errorf("Finish without Start: %v", err)
	}
}

// The compiler of protobuf reads what was written as what it is.
func TestTensorBoardProtoc(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("protoc is not here: its reading of the events is not compared; protobuf-compiler has it")
	}
	dir := t.TempDir()
	closeBoard(t, board(t, dir, 0, []distill.Step{{
		N: 300, Loss: 0.5, Accuracy: math.NaN(), Rate: 0.25, GradNorm: math.Inf(1),
		Terms: []distill.TermValue{{Name: "weich \"2\"", Value: -3}},
	}}))
	var got strings.Builder
	for _, text := range files(t, dir) {
		records, _ := unframe(t, []byte(text))
		for _, r := range records {
			c := exec.CommandContext(t.Context(), protoc, "--decode=tensorflow.Event", "testdata/event.proto")
			c.Stdin = strings.NewReader(string(r))
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			got.Write(out)
		}
	}
	golden(t, "events.txt", got.String())
}

func ExampleTensorBoard() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	board := &report.TensorBoard{Dir: dir, Now: func() time.Time { return time.Unix(1700000000, 0) }}
	board.Start(distill.Plan{}) // an observer of a run does this:
	board.Step(distill.Step{N: 1, Loss: 2.5, Accuracy: 0.125, Rate: 0.1, GradNorm: 1.5})
	board.Finish(distill.Result{}, nil)

	files, err := os.ReadDir(dir) // tensorboard --logdir shows it
	for _, f := range files {
		fmt.Println(f.Name())
	}
	// Output: events.out.tfevents.1700000000.godistill
}
