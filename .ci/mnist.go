// Mnist checks the summary.json of examples/mnist: that the lists have an element
// for each seed, and that the medians of the test errors are no more than given,
// of teachers, of students alone and of distilled ones.
//
//	go run .ci/mnist.go runs/mnist/summary.json 200 230 200
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
)

func main() {
	if err := check(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(path string, most []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s struct {
		Teacher   []int `json:"teacher_errors"`
		Alone     []int `json:"student_errors"`
		Distilled []int `json:"distilled_errors"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	for i, list := range [][]int{s.Teacher, s.Alone, s.Distilled} {
		limit, err := strconv.Atoi(most[i])
		if err != nil {
			return err
		}
		if len(list) < 2 || len(list) != len(s.Teacher) {
			return fmt.Errorf("list %d has %d seeds; want 2 or more, and as many as the others", i, len(list))
		}
		slices.Sort(list)
		if median := list[(len(list)-1)/2]; median > limit || list[0] < 1 {
			return fmt.Errorf("list %d is %v; want errors, and a median of %d at most", i, list, limit)
		}
	}
	return nil
}
