package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	say := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			io.WriteString(w, text)
			return err
		}
	}
	if err := Write(path, say("first", nil)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := Write(path, say("sec", broken)); !errors.Is(err, broken) {
		t.Errorf("error %v; want that of the writer", err)
	}
	if got, err := os.ReadFile(path); string(got) != "first" {
		t.Errorf("the file is %q, %v; want what it was", got, err)
	}
	if err := Write(path, say("third", nil)); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "third" {
		t.Errorf("the file is %q; want the new text", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left; want 1", len(left))
	}
	if err := Write(filepath.Join(path, "b"), say("", nil)); err == nil {
		t.Error("a file within a file; want an error")
	}
}
