// Mutants makes sure that the tests notice what people who distil suffer from.
// It puts each fault of faults.go into the code, one at a time, in a copy that
// the compiler alone sees (go test -overlay), and runs the tests that guard
// against it: every one of them is to fail.
//
//	go run ./.ci/mutants      # all pains
//	go run ./.ci/mutants 7 15 # some of them
//
// It fails if a test passes all the same, if the code has not just one place for
// an edit any more, or if a pain has no fault and no reason for that.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	some, err := numbers(args)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return len(some) > 0 && !slices.Contains(some, f.pain) })
	fmt.Printf("%4s  %-8s  %-24s  %s\n", "pain", "mutant", "tests of", "fault")
	wrong, verdicts := 0, tryAll(chosen)
	for i, f := range chosen {
		if !f.print(<-verdicts[i]) {
			wrong++
		}
	}
	for pain := 1; pain <= pains; pain++ {
		if reason, ok := harmless[pain]; ok && (len(some) == 0 || slices.Contains(some, pain)) {
			fmt.Printf("%4d  %-8s  %-24s  %s\n", pain, "none", "", reason)
		} else if !ok && !slices.ContainsFunc(faults, func(f fault) bool { return f.pain == pain }) {
			return fmt.Errorf("pain %d has no fault; want one, or a reason", pain)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d mutants live, or cannot be made", wrong, len(chosen))
	}
	fmt.Printf("%d mutants, all killed\n", len(chosen))
	return nil
}

func numbers(args []string) (all []int, err error) {
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || n < 1 || n > pains {
			return nil, fmt.Errorf("%q is no pain; want 1 to %d", a, pains)
		}
		all = append(all, n)
	}
	return all, nil
}

// tryAll tries faults side by side, one for each processor.
func tryAll(all []fault) []chan error {
	verdicts := make([]chan error, len(all))
	for i := range verdicts {
		verdicts[i] = make(chan error, 1)
	}
	go func() {
		free := make(chan bool, runtime.NumCPU())
		var busy sync.WaitGroup
		for i, f := range all {
			free <- true
			busy.Go(func() {
				verdicts[i] <- f.try()
				<-free
			})
		}
		busy.Wait()
	}()
	return verdicts
}

// print says what came of a fault, and whether that is as it should be.
func (f fault) print(err error) bool {
	verdict := "killed"
	if err != nil {
		verdict = "SURVIVED"
	}
	fmt.Printf("%4d  %-8s  %-24s  %s (%s)\n", f.pain, verdict, f.pkg, f.what, f.tests)
	if err != nil {
		fmt.Printf("      %v\n", err)
	}
	return err == nil
}

// try is nil if each test of the fault fails with it.
func (f fault) try() error {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := f.overlay(dir)
	if err != nil {
		return err
	}
	tests := strings.Fields(f.tests)
	cmd := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-vet=off", "-timeout=1m", "-run", "^("+strings.Join(tests, "|")+")$", "./"+f.pkg)
	text, err := cmd.CombinedOutput()
	out := "\n" + string(text)
	if err != nil && !strings.Contains(out, "\nFAIL\t") || strings.Contains(out, " failed]\n") {
		return fmt.Errorf("it cannot be tested: %w\n%s", err, text)
	}
	for _, name := range tests {
		if !strings.Contains(out, "\n--- FAIL: "+name+" ") {
			return fmt.Errorf("%s does not fail\n%s", name, text)
		}
	}
	return nil
}

// overlay writes the files as they are with the fault, and the file that tells
// the go command of them.
func (f fault) overlay(dir string) (path string, err error) {
	texts := map[string]string{}
	for _, e := range f.edits {
		if _, ok := texts[e.file]; !ok {
			text, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			texts[e.file] = string(text)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return "", fmt.Errorf("%s has %d places for the edit; want 1 of\n%s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for file, text := range texts {
		whole, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		overlay.Replace[whole] = copied
		if err := os.WriteFile(copied, []byte(text), 0o666); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o666)
}
