// Summary checks the summary.json of an example: that it has what the README
// quotes, and that the distilled students beat those that had no teacher. Two
// numbers behind its path are the least mean accuracy of the distilled students,
// and the least mean difference.
//
//	go run .ci/summary.go runs/cnn/summary.json 0.95 0.03
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// An arm is students of one kind, one for each seed.
type arm struct {
	Params   int       `json:"params"`
	Accuracy []float64 `json:"test_accuracy"`
}

type summary struct {
	Teacher struct {
		Params   int     `json:"params"`
		Accuracy float64 `json:"test_accuracy"`
	} `json:"teacher"`
	Control    arm `json:"control"`
	Student    arm `json:"student"`
	Difference struct {
		Mean float64 `json:"mean"`
		Low  float64 `json:"low"`
		High float64 `json:"high"`
	} `json:"difference"`
	Regimes []json.RawMessage `json:"regimes"`
}

func main() {
	if err := check(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(path string, least []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s summary
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	d, seeds := s.Difference, len(s.Student.Accuracy)
	switch {
	case s.Teacher.Accuracy <= 0:
		return fmt.Errorf("teacher.test_accuracy is %v; want more than 0", s.Teacher.Accuracy)
	case s.Student.Params < 1 || s.Student.Params >= s.Teacher.Params:
		return fmt.Errorf("student.params is %d; want 1 or more, and fewer than the teacher's %d", s.Student.Params, s.Teacher.Params)
	case s.Control.Params != s.Student.Params:
		return fmt.Errorf("control.params is %d; want the student's %d", s.Control.Params, s.Student.Params)
	case seeds < 2 || len(s.Control.Accuracy) != seeds:
		return fmt.Errorf("%d students and %d controls; want as many, and 2 or more", seeds, len(s.Control.Accuracy))
	case !(0 < d.Low && d.Low <= d.Mean && d.Mean <= d.High):
		return fmt.Errorf("difference is %v in [%v, %v]; want 0 < low <= mean <= high", d.Mean, d.Low, d.High)
	case len(s.Regimes) == 0:
		return fmt.Errorf("regimes is empty; want 1 or more")
	}
	accuracy := 0.0
	for _, a := range s.Student.Accuracy {
		accuracy += a / float64(seeds)
	}
	for i, value := range []float64{accuracy, d.Mean}[:len(least)] {
		bound, err := strconv.ParseFloat(least[i], 64)
		if err != nil {
			return err
		}
		if !(value >= bound) {
			return fmt.Errorf("the %s is %v; want %v or more", [...]string{"mean accuracy of students", "mean difference"}[i], value, bound)
		}
	}
	return nil
}
