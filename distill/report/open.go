package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/study"
)

// A Log is what the folder of a run says of it.
type Log struct {
	// Name is the run's, and Steps are those of metrics.jsonl.
	Name  string
	Steps []distill.Step
	// Times are when steps were done.
	Times []Time
	// Config is everything that the run's bytes depend on, and Versions are those
	// of the code and the machine.
	Config, Versions []distill.Setting
	// Ended says why the run did, "" of one that is under way.
	Ended string
}

// A Time is when a step was done, in seconds from the first start, pauses not
// counted, and how many rows a second it saw.
type Time struct {
	Step                   int
	Seconds, RowsPerSecond float64
}

// Open reads what a [Folder] wrote into a folder, also while the run lasts. It
// fails where there is no metrics.jsonl; what else is missing stays empty.
func Open(dir string) (Log, error) {
	l, err := open(dir)
	if err != nil {
		return Log{}, fmt.Errorf("report: %s: %w", dir, err)
	}
	return l, nil
}

func open(dir string) (l Log, err error) {
	f, err := os.Open(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return l, err
	}
	defer f.Close()
	if l.Steps, err = read(f); err != nil {
		return l, fmt.Errorf("metrics.jsonl: %w", err)
	}
	var run description
	var end summary
	for _, file := range []struct {
		name string
		take func([]byte) error
	}{
		{"times.jsonl", func(b []byte) (err error) { l.Times, err = readTimes(bytes.NewReader(b)); return err }},
		{"run.json", func(b []byte) error { return json.Unmarshal(b, &run) }},
		{"summary.json", func(b []byte) error { return json.Unmarshal(b, &end) }},
	} {
		b, err := os.ReadFile(filepath.Join(dir, file.name))
		if err == nil {
			err = file.take(b)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l, fmt.Errorf("%s: %w", file.name, err)
		}
	}
	l.Name, l.Config, l.Versions = run.Name, run.Config, run.versions()
	if l.Ended = string(end.Why); end.Error != "" {
		l.Ended = end.Error
	}
	return l, nil
}

func readTimes(r io.Reader) (all []Time, err error) {
	for line, err := range lines(r) {
		if err != nil {
			return nil, err
		}
		var s stamp
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(all)+1, err)
		}
		all = append(all, Time{s.Step, float64(s.Seconds), float64(s.RowsPerSecond)})
	}
	return all, nil
}

// versions are the module's of the program before those of others.
func (d description) versions() []distill.Setting {
	var all []distill.Setting
	for _, s := range []distill.Setting{{Name: "Go", Value: d.Go}, {Name: "platform", Value: d.Platform}, {Name: "revision", Value: d.Revision}} {
		if s.Value != "" {
			all = append(all, s)
		}
	}
	for _, m := range d.Modules {
		all = append(all, distill.Setting{Name: m.Path, Value: m.Version})
	}
	return all
}

// Arms reads the logs of the trials at the chosen learning rates. The first arm is
// the control of the others. It fails where the study kept no folders, or its
// runs had no [Folder].
func Arms(outcomes study.Outcomes) ([]Arm, error) {
	var arms []Arm
	for _, o := range outcomes {
		a := Arm{Name: o.Arm, Params: o.Params, Rate: o.Rate, Test: o.Test}
		for _, t := range o.Trials {
			l, err := Open(t.Dir)
			if err != nil {
				return nil, err
			}
			if a.Config == nil {
				a.Config = l.Config
			}
			a.Runs = append(a.Runs, l.Steps)
		}
		if len(arms) > 0 {
			a.Control = arms[0].Name
		}
		arms = append(arms, a)
	}
	return arms, nil
}
