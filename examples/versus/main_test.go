package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake makes this test binary a peer that says what the variable holds: a line
// to greet, and one for each message.
const fake = "VERSUS_FAKE_PEER"

func TestMain(m *testing.M) {
	if says, ok := os.LookupEnv(fake); ok {
		heard := bufio.NewScanner(os.Stdin)
		for i, line := range strings.Split(says, "\n") {
			if i == 0 || heard.Scan() {
				io.WriteString(os.Stdout, line)
			}
		}
		return
	}
	os.Exit(m.Run())
}

func TestWithoutPeer(t *testing.T) {
	dir := t.TempDir()
	o := Options{Out: dir, JSON: filepath.Join(dir, "rows.json"), Cases: "predict_64_32_10,gemm_512", Rounds: 1}
	var log strings.Builder
	if err := run(t.Context(), &log, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no PyTorch", "apt-get install python3-torch", "\n| predict_64_32_10 | ", "\n| gemm_512 | ", "no picture"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, log.String())
		}
	}
	text, err := os.ReadFile(o.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("there are %d rows; want 2:\n%s", len(rows), text)
	}
	for _, r := range rows {
		if ms, _ := r["ours_ms"].(float64); ms <= 0 || r["peer_ms"] != nil || r["ratio_median"] != nil {
			t.Errorf("row %v; want our time and no other", r)
		}
	}
}

// TestAgainstPyTorch compares losses, gradients and answers, where PyTorch is.
func TestAgainstPyTorch(t *testing.T) {
	dir := t.TempDir()
	peers, err := startPeers(t.Context(), "/usr/bin/python3", dir)
	defer stopPeers(peers)
	if err != nil {
		t.Skip(err)
	}
	if text := peers[0].String(); !strings.Contains(text, "blas") || !strings.Contains(text, "oneDNN v") {
		t.Errorf("the peer is %q; want its BLAS and its oneDNN", text)
	}
	chosen, err := choose("mlp_step_b32,cnn_step_b64,resnet_step_b64,teacher_resnet_b256,predict_64_32_10,predict_784_800_800_10_int8,lm_step,lm_generate")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := compare(t.Context(), io.Discard, chosen, peers, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(io.Discard, Options{Out: dir}, rows); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "versus.png")); err != nil {
		t.Error(err)
	}
}

// TestSubjects opens the cases that train, which leave files for the peer.
func TestSubjects(t *testing.T) {
	for name, c := range map[string]struct {
		nets         pair
		cached       bool
		size, params int // of a sample, and of the student
	}{
		"perceptrons": {perceptrons, false, 784, 785*800 + 801*800 + 801*10},
		"cached":      {perceptrons, true, 784, 785*800 + 801*800 + 801*10},
		"CNNs":        {cnns, false, 784, 10*16 + 145*32 + 1569*10},
		"ResNets":     {resnets, false, 3072, 78042},
	} {
		t.Run(name, func(t *testing.T) {
			task, dir := step("step", 4, c.cached), t.TempDir()
			s, err := openStep(t.Context(), c.nets, task, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if len(s.losses) != task.Steps || slices.Max(s.losses) == slices.Min(s.losses) {
				t.Errorf("the losses are %v; want %d different ones", s.losses, task.Steps)
			}
			sizes(t, dir, map[string]int{
				inputsFile: task.Steps * 4 * c.size * 4, labelsFile: task.Steps * 4 * 8, expectedFile: 4 * c.params,
			})
			if r, err := s.take(turn{3, 1}); err != nil || !(r.ms > 0) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// TestLanguages opens the cases of language models.
func TestLanguages(t *testing.T) {
	task, dir := step("step", 3, false), t.TempDir()
	task.Steps = 2
	s, err := openStep(t.Context(), languages, task, dir)
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	const params = 64*128*2 + 4*(4*128*128+3*128*336+2*128) + 128
	sizes(t, dir, map[string]int{idsFile: 2 * 3 * 64 * 8, labelsFile: 2 * 3 * 64 * 8, expectedFile: 4 * params})
	task.In, task.New, dir = []int{5}, 7, t.TempDir()
	if s, err = openGenerate(t.Context(), languages.student, task, dir); err != nil {
		t.Fatal(err)
	}
	sizes(t, dir, map[string]int{idsFile: 3 * 5 * 8, expectedFile: 3 * 7 * 4})
	if r, err := s.take(turn{3, 1}); err != nil || !(r.ms > 0) {
		t.Errorf("%v, %v", r, err)
	}
}

// sizes checks files that are left for the peer.
func sizes(t *testing.T, dir string, bytes map[string]int) {
	t.Helper()
	for name, want := range bytes {
		if f, err := os.Stat(filepath.Join(dir, name)); err != nil || f.Size() != int64(want) {
			t.Errorf("%s: %v, %v; want %d bytes", name, f, err, want)
		}
	}
}

func TestPeerMustAgree(t *testing.T) {
	const hello = `{"version": "1", "blas": ["/lib/openblas-openmp/libblas.so.3"], "core": "Haswell", "onednn": "v2"}` + "\n"
	for name, c := range map[string]struct{ says, want string }{
		"agrees":      {hello + `{"losses": [2.5, 2.4], "off": 1e-7}`, ""},
		"loss":        {hello + `{"losses": [2.5, 2.41], "off": 1e-7}`, "at step 2 our loss is 2.4 and PyTorch's 2.41"},
		"fewer":       {hello + `{"losses": [2.5], "off": 1e-7}`, "losses of 1 steps, we of 2"},
		"gradient":    {hello + `{"losses": [2.5, 2.4], "off": 2e-4}`, "differ by 0.0002 of the largest"},
		"exception":   {hello + `{"error": "KeyError: 'l1'"}`, "PyTorch with 2 threads: KeyError: 'l1'"},
		"half a line": {hello + `{"losses":`, "unexpected EOF"},
		"gone":        {"", "EOF"},
		"oneDNN":      {`{"version": "1", "blas": ["/lib/openblas-openmp/libblas.so.3"]}`, "without oneDNN; want a build"},
		"BLAS":        {`{"version": "1", "blas": ["/lib/openblas-pthread/libblas.so.3"]}`, "want the OpenMP build"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fake+"="+c.says)
			p, err := startPeer(cmd, 2, "")
			if err == nil {
				err = p.prepare(task{Do: "step"}, "", []float64{2.5, 2.4})
				p.stop()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v; want %q", err, c.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	results := [][]result{
		{{2, 10}, {4, 12}, {3, 14}},
		{{0.2, nan}, {0.1, nan}, {0.1, nan}},
		{{9, nan}, {9, nan}, {9, nan}},
		{{3, nan}, {8, nan}, {5, nan}},
	}
	slow, fast := &peer{threads: 1, cmd: exec.Command("")}, &peer{threads: 2, cmd: exec.Command("")}
	slow.cmd.Process, fast.cmd.Process = &os.Process{Pid: -1}, &os.Process{Pid: -1}
	got := match{name: "a", gflop: 15}.judge(results, []*peer{slow, fast})
	none := number(nan)
	want := row{Case: "a", Ours: 3, Peer: 5, Ratio: 5. / 3, Low: 1.5, High: 2, Peak: 0.5, Read: none, Plain: none, Allocs: 12, Threads: 2, OursMB: none, PeerMB: none}
	if table([]row{got}) != table([]row{want}) {
		t.Errorf("the row is\n%+v; want\n%+v", got, want)
	}
}

func TestTable(t *testing.T) {
	got := table([]row{{"a", 1234.5, 0.01234, 1.005, 0.9, 1.25, 0.5, 71, 96.3, 12, 2, 99.6, 300}, emptyRow("b")})
	for _, want := range []string{
		"| a | 1234 | 0.0123 (2) | 1.00 (0.90–1.25) | 50% | 71 (96.3) | 12 | 99.6 | 300 |\n",
		"| b |  |  |  |  |  |  |  |  |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
}

func TestPaint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.png")
	if err := paint(file, []row{{Case: "a", Ratio: 0.05, Low: 0.04, High: 0.06}, {Case: "b", Ratio: 20, Low: 18, High: 21}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
}

func TestMetric(t *testing.T) {
	const out = `goos: linux
BenchmarkPeak/1-2      3  104.5 ns/op  98.2 GFLOP/s   0 B/op  7 allocs/op
BenchmarkPeak/2-2      3  1e+03 ns/op  194 GFLOP/s
PASS
`
	for unit, want := range map[string][]float64{"GFLOP/s": {98.2, 194}, "ns/op": {104.5, 1000}, "allocs/op": {7}, "MB/s": nil} {
		if got := metric([]byte(out), unit); !slices.Equal(got, want) {
			t.Errorf("%s: %v; want %v", unit, got, want)
		}
	}
}

// TestForward compares with the counts that are known: of a step of perceptrons
// at batch 128, of LeNet's kind of network, and of ResNet-20, which the
// literature has at 41 million products.
func TestForward(t *testing.T) {
	for name, c := range map[string]struct{ got, want float64 }{
		"step":     {128 * (perceptrons.teacher.forward() + perceptrons.student.forward() + perceptrons.student.backward()), 1.4313472},
		"CNN":      {cnn(16, 32).forward(), 2e-9 * (784*9*16 + 196*9*16*32 + 1568*10)},
		"backward": {cnn(16, 32).backward(), 2e-9 * (784*9*16 + 2*196*9*16*32 + 2*1568*10)},
		"language": {language(128, 336).forward(), 2e-9 * (64*4*(4*128*128+3*128*336) + 64*128*64 + 4*2*128*64*65/2)},
		"ResNet":   {resnet(20).forward(), 2e-9 * (1024*27*16 + 6*1024*9*16*16 + 256*9*16*32 + 5*256*9*32*32 + 64*9*32*64 + 5*64*9*64*64 + 256*16*32 + 64*32*64 + 640)},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v GFLOP; want %v", name, c.got, c.want)
		}
	}
}

func TestBadFlags(t *testing.T) {
	for want, o := range map[string]Options{
		"-rounds is 0":      {},
		`-cases has "gemm"`: {Rounds: 1, Cases: "gemm_512,gemm"},
	} {
		if err := run(t.Context(), io.Discard, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}

// The kernels of OpenBLAS that multiply fastest are taken, whatever others do.
func TestFastestCore(t *testing.T) {
	const hello = `{"version": "1", "onednn": "v2"}` + "\n{}\n"
	says := map[string]string{
		"":        hello + `{"ms": [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]}`,
		"Haswell": hello + `{"ms": [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]}`,
		"Zen":     hello, // ends when it is to multiply
	}
	start := func(threads int, core string) (*peer, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fake+"="+says[core])
		return startPeer(cmd, threads, core)
	}
	if core, err := fastestCore(start); core != "Haswell" || err != nil {
		t.Errorf("the core is %q, %v; want Haswell", core, err)
	}
	says = nil
	if core, err := fastestCore(start); err == nil {
		t.Errorf("the core is %q where none can multiply; want an error", core)
	}
}
