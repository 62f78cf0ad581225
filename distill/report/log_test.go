package report

import (
	"bytes"
	"math"
	"os"
	"testing"

	"github.com/godistill/godistill/distill"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzRead(f *testing.F) {
	log, err := os.ReadFile("testdata/metrics.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log)
	f.Add([]byte("{\"step\":1,\"loss\":\"-Inf\",\"terms\":[{}],\"valid\":{}}\n"))
	f.Add([]byte("{\"step\":1,\"rate\":1e308,\"accuracy\":null}\n{\"step\":2,\"rate\":-1e308}\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		steps, err := Read(bytes.NewReader(log))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, s := range steps {
			if err := writeLine(&again, recordOf(s)); err != nil {
				t.Fatal(err)
			}
		}
		if size, _, err := keep(bytes.NewReader(again.Bytes()), math.MaxInt); err != nil || int(size) != again.Len() {
			t.Errorf("%d bytes are kept of %d, and %v", size, again.Len(), err)
		}
		got, err := Read(&again)
		if err != nil {
			t.Fatal(err)
		}
		same := []cmp.Option{cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(distill.Step{})}
		if diff := cmp.Diff(steps, got, same...); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}

// What a line leaves out was not measured.
func TestReadAbsent(t *testing.T) {
	steps, err := Read(bytes.NewReader([]byte("{\"step\":3,\"loss\":0.5}\n")))
	if err != nil {
		t.Fatal(err)
	}
	if s := steps[0]; s.Loss != 0.5 || !math.IsNaN(s.Accuracy+s.Rate) || !math.IsNaN(s.GradNorm) || s.Valid != nil {
		t.Errorf("got %+v, want NaN for all but the loss", s)
	}
}
