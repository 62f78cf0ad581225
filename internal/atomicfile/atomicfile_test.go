package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func say(text string, err error) func(io.Writer) error {
	return func(w io.Writer) error {
		io.WriteString(w, text)
		return err
	}
}

// wantFile wants a file that is alone in its folder.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the file is %q, %v; want %q", got, err, want)
	}
	if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
		t.Errorf("the folder has %v; want 1 file", all)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := Write(path, say("first", nil)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := Write(path, say("sec", broken)); !errors.Is(err, broken) {
		t.Errorf("error %v; want that of the writer", err)
	}
	wantFile(t, path, "first")
	if err := os.WriteFile(path+Suffix, []byte("what one leaves that was killed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, say("third", nil)); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "third")
	if err := Write(filepath.Join(path, "b"), say("", nil)); err == nil {
		t.Error("a file within a file; want an error")
	}
}

// What cannot be put in its place is not left beside it.
func TestWriteWhereAFolderIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, say("first", nil)); err == nil {
		t.Error("a file where a folder is; want an error")
	}
	if _, err := os.Stat(path + Suffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file beside it: %v; want none", err)
	}
}

// Until it is committed, what was prepared is beside the old file.
func TestPrepare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	prepare := func(text string) {
		t.Helper()
		if err := Prepare(path, say(text, nil)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path + Suffix); err != nil || string(got) != text {
			t.Fatalf("beside the path is %q, %v; want %q", got, err, text)
		}
	}
	prepare("first")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v; want none yet", err)
	}
	if err := Commit(path); err != nil {
		t.Fatal(err)
	}
	prepare("second")
	for range 2 { // the second time there is nothing to discard
		if err := Discard(path); err != nil {
			t.Fatal(err)
		}
	}
	wantFile(t, path, "first")
	if err := Commit(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v; want that nothing was prepared", err)
	}
}
