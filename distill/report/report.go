// Package report keeps the books of a run: it writes each step down as it
// happens, and at the end a table, a summary and the curves.
//
//	run := distill.Run{Dir: "runs/digits", /* … */}
//	result, err := run.Fit(ctx, new(report.Folder))
//	if err != nil {
//		return err
//	}
//	// runs/digits now holds
//	//	metrics.jsonl  a line a step, written as it happens
//	//	times.jsonl    the same steps on the clock
//	//	run.json       the configuration, versions of the code, the teacher's hash
//	//	summary.json   what the run came to
//	//	metrics.csv    metrics.jsonl as a table
//	//	summary.md     the summary for people: see Markdown
//	//	curves.png     loss, accuracy, learning rate and gradient norm
//	//	curves.svg     the same
//	//	report.html    all of it, to look at in a browser
//
// The bytes of all but times.jsonl, run.json and report.html, which has what
// these say, depend on the run alone, so a run that was resumed leaves the same
// files as one that never stopped. For that, a resumed run first cuts its logs
// back to the step it goes on from.
//
// [Read] reads metrics.jsonl back, and [Open] all of a folder. [Draw] draws one
// run over its steps, and [Compare] draws several arms over the epochs, each over
// its seeds. A [Page] has either, and what [Examine] finds out about models on
// test data. [Diff] says what two folders do not share, [Markdown] writes tables
// for a pull request, and a [TensorBoard] shows the curves of a run while it
// trains.
//
// The package refuses a log that is not its own: one that does not begin with a
// step, lines that are no JSON, or steps that do not increase. NaN is null in
// it, and an infinity a string.
package report

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/internal/atomicfile"
)

// A Folder is a [distill.Observer] that writes a run's files into a folder.
// Its zero value writes into the run's own.
//
// A run writes a checkpoint after its observers have seen the step, so the logs
// have every step of a checkpoint. Lines that are missing all the same stay
// missing. Runs that train at the same time want a Folder each, and a directory
// each.
type Folder struct {
	// Dir is the folder, made if need be; empty means the run's Dir.
	Dir string
	// NoCurves leaves the pictures and report.html out: they take longer than a
	// small run.
	NoCurves bool
	// Now is the clock of times.jsonl; nil means time.Now.
	Now func() time.Time

	dir            string
	about          description
	metrics, times *os.File
	last           time.Time
	seconds        float64 // since the run's first start, pauses not counted
}

// Start implements [distill.Observer]. It cuts the logs of an earlier run to
// plan.Done steps, and writes run.json.
func (f *Folder) Start(plan distill.Plan) error {
	f.dir, f.about = f.Dir, describe(plan)
	if f.dir == "" {
		f.dir = plan.Dir
	}
	if f.dir == "" {
		return errors.New("report: Folder.Dir and Plan.Dir are empty; want one of them set")
	}
	if err := f.open(plan); err != nil {
		f.close()
		return fmt.Errorf("report: %w", err)
	}
	f.last = f.now()
	return nil
}

func (f *Folder) open(plan distill.Plan) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	var err error
	if f.metrics, _, err = openLog(filepath.Join(f.dir, "metrics.jsonl"), plan.Done); err != nil {
		return err
	}
	var last stamp
	if f.times, last, err = openLog(filepath.Join(f.dir, "times.jsonl"), plan.Done); err != nil {
		return err
	}
	f.seconds = float64(last.Seconds)
	return atomicfile.Write(filepath.Join(f.dir, "run.json"), func(w io.Writer) error {
		return writeJSON(w, f.about)
	})
}

// Step implements [distill.Observer]. Each log gets its line in one write.
func (f *Folder) Step(s distill.Step) error {
	if f.metrics == nil {
		return errors.New("report: Folder.Step was called before Start")
	}
	now := f.now()
	took := now.Sub(f.last).Seconds()
	f.last, f.seconds = now, f.seconds+took
	err := writeLine(f.metrics, recordOf(s))
	if err == nil {
		err = writeLine(f.times, stamp{
			Step:          s.N,
			Seconds:       number(round(f.seconds)),
			RowsPerSecond: number(round(float64(s.Rows) / took)),
		})
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Finish implements [distill.Observer]. It writes the table, the curves and
// the summary of what metrics.jsonl holds, also when the run ended by an error.
func (f *Folder) Finish(result distill.Result, cause error) error {
	if f.metrics == nil {
		return nil
	}
	err := f.close()
	if err == nil {
		err = f.summarise(result, cause)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (f *Folder) summarise(result distill.Result, cause error) error {
	log, err := os.Open(filepath.Join(f.dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	defer log.Close()
	steps, err := read(log)
	if err != nil {
		return fmt.Errorf("metrics.jsonl: %w", err)
	}
	end := summaryOf(result, cause)
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{"metrics.csv", func(w io.Writer) error { return writeCSV(w, steps) }},
		{"summary.json", func(w io.Writer) error { return writeJSON(w, end) }},
		{"summary.md", saved{f.about, end, steps}.write},
		{"curves.png", func(w io.Writer) error { return Draw(w, PNG, f.about.Name, steps) }},
		{"curves.svg", func(w io.Writer) error { return Draw(w, SVG, f.about.Name, steps) }},
	}
	if f.NoCurves {
		files = files[:3]
	}
	for _, file := range files {
		if err := atomicfile.Write(filepath.Join(f.dir, file.name), file.write); err != nil {
			return err
		}
	}
	if f.NoCurves {
		return nil
	}
	run, err := open(f.dir)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(f.dir, "report.html"), Page{Title: f.about.Name, Run: run}.Write)
}

func (f *Folder) close() error {
	var errs []error
	for _, log := range []*os.File{f.metrics, f.times} {
		if log != nil {
			errs = append(errs, log.Close())
		}
	}
	f.metrics, f.times = nil, nil
	return errors.Join(errs...)
}

func (f *Folder) now() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

// round keeps thousandths.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// A summary is the content of summary.json.
type summary struct {
	Steps     int              `json:"steps"`
	Epochs    int              `json:"epochs"`
	Why       distill.Ending   `json:"why,omitempty"`
	Error     string           `json:"error,omitempty"`
	BestEpoch int              `json:"best_epoch"`
	Valid     *distill.Metrics `json:"valid,omitempty"`
}

func summaryOf(r distill.Result, cause error) summary {
	s := summary{Steps: r.Steps, Epochs: r.Epochs, Why: r.Why, BestEpoch: r.BestEpoch, Valid: r.Valid}
	if cause != nil {
		s.Error = cause.Error()
	}
	return s
}

// A description is the content of run.json.
type description struct {
	Name          string            `json:"name"`
	Steps         int               `json:"steps"`
	StepsPerEpoch int               `json:"steps_per_epoch"`
	Terms         []string          `json:"terms"`
	Config        []distill.Setting `json:"config"`
	Teacher       string            `json:"teacher_fingerprint,omitempty"`
	Go            string            `json:"go"`
	Platform      string            `json:"platform"`
	Revision      string            `json:"revision,omitempty"`
	Modules       []module          `json:"modules,omitempty"`
}

type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

func describe(p distill.Plan) description {
	d := description{
		Name: p.Name, Steps: p.Steps, StepsPerEpoch: p.StepsPerEpoch,
		Terms: p.Terms, Config: p.Config,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if f := p.Preflight; f != nil && f.TeacherFingerprint != [32]byte{} {
		d.Teacher = hex.EncodeToString(f.TeacherFingerprint[:])
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return d
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			d.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			d.Revision += " (modified)"
		}
	}
	for _, m := range append([]*debug.Module{&build.Main}, build.Deps...) {
		for m.Replace != nil {
			m = m.Replace
		}
		d.Modules = append(d.Modules, module{m.Path, m.Version})
	}
	return d
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(v)
}
