package report

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godistill/godistill/distill"
	"google.golang.org/protobuf/encoding/protowire"
)

// A TensorBoard is a [distill.Observer] that writes a run's curves as
// TensorBoard reads them. Its zero value writes into the run's own folder, under
// whose name TensorBoard shows it:
//
//	result, err := run.Fit(ctx, new(report.Folder), new(report.TensorBoard))
//	// tensorboard --logdir runs
//
// Each step has the scalars train/loss, train/accuracy, train/rate,
// train/grad_norm, and term/NAME for each term before its weight. One with a
// validation also has valid/loss, valid/term/NAME, and valid/ with each measure
// of the task under its name in metrics.csv, such as valid/accuracy. They are
// float32, as the format has it. NaN, which is what was not measured, is left
// out. Each step is on disk before the next one, for whoever looks on.
//
// Every start, a resumed one too, begins a file of its own, named by the time:
// a TensorBoard that is open reads on from where it is in a file, and would not
// see one that was cut. So the new file says at which step it begins, and
// TensorBoard drops what files before it have from that step on, be it of steps
// after the checkpoint or of an older run. No file is ever removed.
type TensorBoard struct {
	// Dir is the folder, made if need be; empty means the run's Dir.
	Dir string
	// Now is the clock of the file's name and of its events; nil means time.Now.
	Now func() time.Time

	file *os.File
}

// Start implements [distill.Observer]. It begins the file, at the step after
// plan.Done.
func (b *TensorBoard) Start(plan distill.Plan) error {
	dir := cmp.Or(b.Dir, plan.Dir)
	if dir == "" {
		return errors.New("report: TensorBoard.Dir and Plan.Dir are empty; want one of them set")
	}
	if err := b.open(dir, plan.Done+1); err != nil {
		return fmt.Errorf("report: %w", errors.Join(err, b.close()))
	}
	return nil
}

func (b *TensorBoard) open(dir string, step int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	now := b.now()
	var err error
	if b.file, err = createEvents(dir, now.Unix()); err != nil {
		return err
	}
	_, err = b.file.Write(slices.Concat(
		framed(event(now, 0, fileVersion, []byte("brain.Event:2"))),
		framed(event(now, step, sessionLog, sessionStart))))
	return err
}

// createEvents makes a file whose name is after those of the others in the
// folder, for that is the order in which TensorBoard reads them. Two runs may
// start in one second, and a clock may go back.
func createEvents(dir string, second int64) (*os.File, error) {
	const head = "events.out.tfevents."
	others, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		rest, ok := strings.CutPrefix(other.Name(), head)
		digits, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && len(digits) == 10 {
			second = max(second, n+1)
		}
	}
	name := fmt.Sprintf("%s%010d.godistill", head, second)
	return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

// Step implements [distill.Observer]. The step gets its record in one write.
func (b *TensorBoard) Step(s distill.Step) error {
	if b.file == nil {
		return errors.New("report: TensorBoard.Step was called before Start")
	}
	if _, err := b.file.Write(framed(event(b.now(), s.N, summaries, scalars(s)))); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Finish implements [distill.Observer]. It closes the file.
func (b *TensorBoard) Finish(distill.Result, error) error {
	if err := b.close(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (b *TensorBoard) close() (err error) {
	if b.file != nil {
		err = b.file.Close()
	}
	b.file = nil
	return err
}

func (b *TensorBoard) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}

// framed is data as a TFRecord: the length, its masked CRC, the data, their
// masked CRC (https://www.tensorflow.org/tutorials/load_data/tfrecord).
func framed(data []byte) []byte {
	r := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	r = binary.LittleEndian.AppendUint32(r, masked(r))
	r = append(r, data...)
	return binary.LittleEndian.AppendUint32(r, masked(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC32C of b, turned and moved: that of data which hold a CRC
// themselves would say little.
func masked(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// The fields of an Event that hold what happened, as numbered in
// tensorflow/core/util/event.proto.
const (
	fileVersion protowire.Number = 3
	summaries   protowire.Number = 5
	sessionLog  protowire.Number = 7
)

// sessionStart is a SessionLog whose status = 1 is START = 1: what older files
// have from its step on is dropped.
var sessionStart = []byte{1<<3 | byte(protowire.VarintType), 1}

// event is an Event: wall_time = 1 in seconds, step = 2, and what happened.
func event(at time.Time, step int, field protowire.Number, what []byte) []byte {
	e := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, math.Float64bits(float64(at.UnixMicro())/1e6))
	if step != 0 {
		e = protowire.AppendTag(e, 2, protowire.VarintType)
		e = protowire.AppendVarint(e, uint64(step))
	}
	e = protowire.AppendTag(e, field, protowire.BytesType)
	return protowire.AppendBytes(e, what)
}

// scalars is a Summary of tensorflow/core/framework/summary.proto: value = 1,
// each with tag = 1 and simple_value = 2.
func scalars(s distill.Step) (sum []byte) {
	add := func(tag string, v float64) {
		if math.IsNaN(v) {
			return
		}
		value := protowire.AppendTag(nil, 1, protowire.BytesType)
		value = protowire.AppendString(value, strings.ToValidUTF8(tag, "\uFFFD"))
		value = protowire.AppendTag(value, 2, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(v)))
		sum = protowire.AppendTag(sum, 1, protowire.BytesType)
		sum = protowire.AppendBytes(sum, value)
	}
	add("train/loss", s.Loss)
	add("train/accuracy", s.Accuracy)
	add("train/rate", s.Rate)
	add("train/grad_norm", s.GradNorm)
	for _, t := range s.Terms {
		add("term/"+t.Name, t.Value)
	}
	if s.Valid == nil {
		return sum
	}
	add("valid/loss", s.Valid.Loss)
	for _, t := range s.Valid.Terms {
		add("valid/term/"+t.Name, t.Value)
	}
	for _, m := range slices.Concat(common, special) {
		add("valid/"+m.name, m.get(s.Valid))
	}
	return sum
}
