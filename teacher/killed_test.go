package teacher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/atomicfile"
)

// childDir is where a child process of these tests is to record.
const childDir = "TEACHER_TEST_RECORDS_INTO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		_, err := Record(context.Background(), slowly(), wide{}, dir, Recording{Batch: 16, Progress: func(done, _ int) { fmt.Println(done) }})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) // it should have been killed
	}
	os.Exit(m.Run())
}

// slowly is a teacher that takes some time.
func slowly() Func {
	tr := expert()
	do := tr.Do
	tr.Do = func(ctx context.Context, b data.Batch) (data.Signals, error) {
		time.Sleep(time.Millisecond)
		return do(ctx, b)
	}
	return tr
}

// A process that is killed while it records leaves what it had written. Others
// go on with it, and nothing of that is seen in the end.
func TestKilledProcess(t *testing.T) {
	dir, whole := t.TempDir(), t.TempDir()
	random := rand.New(rand.NewPCG(5, 8))
	for at := random.IntN(200); at < 1600; at += 1 + random.IntN(300) {
		kill(t, dir, at, time.Duration(random.IntN(1500))*time.Microsecond)
		c, err := OpenPart(dir)
		if err != nil {
			t.Fatal(err)
		}
		held, total := c.Rows()
		if held < int64(at) || total != 2000 || len(missing(c, wide{})) != int(total-held) {
			t.Errorf("%d rows of %d after %d were reported, and %d missing", held, total, at, len(missing(c, wide{})))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	record(t, expert(), wide{}, dir, Recording{Batch: 16})
	record(t, expert(), wide{}, whole, Recording{Batch: 16})
	sameFiles(t, files(t, dir), files(t, whole))
}

// kill kills a child process some time after it has reported so many rows. Until
// then, nobody else can record what it does.
func kill(t *testing.T, dir string, rows int, later time.Duration) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err = errors.Join(err, child.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for done := -1; done < rows; {
		if !lines.Scan() {
			t.Fatalf("the child has ended, with %v", child.Wait())
		}
		if done, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Record(t.Context(), expert(), wide{}, dir, Recording{Batch: 16})
	wantError(t, err, ErrBusy, dir)
	time.Sleep(later)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := child.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
}

// At whatever byte the rows end, or are torn, the cache says what it holds, and
// a recording goes on to the same files.
func TestPartAtEveryByte(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	want := files(t, dir)
	size, rows := c.layout.size, want[rowsName]
	unfinished := c.manifest
	unfinished.Rows = 0
	for left := range len(rows) + 1 {
		torn := []byte(rows)
		if left < len(rows) {
			torn[left] ^= 1
		}
		lost := append([]byte(rows[:left]), make([]byte, len(rows)-left)...) // by a power cut
		for _, bytes := range []string{rows[:left], string(torn), string(lost)} {
			restore(t, dir, unfinished, bytes)
			part, err := OpenPart(dir)
			if err != nil {
				t.Fatal(err)
			}
			held, total := part.Rows()
			if least := int64(left / size); held < least || held > least && bytes != rows && held != 7 || total != 7 {
				t.Fatalf("byte %d: %d rows of %d; want %d of 7", left, held, total, least)
			}
			for i, id := range missing(part, set) {
				if id.Sample != set.ID(int(held)+i) {
					t.Fatalf("byte %d: %s is missing; want the last %d", left, describe(id), 7-held)
				}
			}
			if err := part.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if left%7 == 0 { // see also TestRecordKilled and TestRecordRepairs
			recordCounting(t, set, dir)
			sameFiles(t, files(t, dir), want)
		}
	}
}

// A manifest that was being written, the first or the last, is written again.
func TestManifestKilled(t *testing.T) {
	set, dir := toySet{}, t.TempDir()
	c := record(t, toy(1), set, dir, small)
	want := files(t, dir)
	unfinished := c.manifest
	unfinished.Rows = 0
	for left := 0; left <= len(want[manifestName]); left += 13 {
		for _, last := range []bool{false, true} {
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
			if last {
				restore(t, dir, unfinished, want[rowsName])
			} else if err := os.WriteFile(filepath.Join(dir, rowsName), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, manifestName+atomicfile.Suffix), []byte(want[manifestName][:left]), 0o644); err != nil {
				t.Fatal(err)
			}
			recordCounting(t, set, dir)
			sameFiles(t, files(t, dir), want)
		}
	}
}

func measure() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
