package task_test

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godistill/godistill/data/task"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error is %v; want %q in it", err, part)
	}
}

var tasks = []task.Task{task.Modular{}, task.Written{}, task.Written{Op: '+'}, task.Written{Op: '*'}, task.Countdown{}}

// each calls f with many problems of each task and level.
func each(t *testing.T, f func(t *testing.T, k task.Task, level int, p task.Problem)) {
	for _, k := range tasks {
		t.Run(k.Name(), func(t *testing.T) {
			low, high := k.Levels()
			for level := low; level <= high; level++ {
				for seed := range uint64(200) {
					f(t, k, level, must(k.Make(seed, level)))
				}
			}
		})
	}
}

func TestProblems(t *testing.T) {
	each(t, func(t *testing.T, k task.Task, level int, p task.Problem) {
		completion := p.Completion()
		for _, r := range p.Prompt + completion {
			if !strings.ContainsRune(k.Alphabet(), r) {
				t.Fatalf("%q of %q is not in the alphabet", r, p.Prompt+completion)
			}
		}
		if right := must(k.Verify(p, completion)); !right {
			t.Fatalf("%s%s is not verified", p.Prompt, completion)
		}
		if right := must(k.Verify(p, p.Answer)); !right {
			t.Fatalf("%s%s is not verified without its chain", p.Prompt, p.Answer)
		}
		if right, err := k.Verify(p, p.Chain+";1"+p.Answer); right && err == nil {
			t.Fatalf("%s1%s is taken for right", p.Prompt, p.Answer)
		}
		chain, answer, err := task.Parse(completion)
		if chain != p.Chain || answer != p.Answer || err != nil {
			t.Fatalf("%q is parsed as %q, %q, %v", completion, chain, answer, err)
		}
	})
}

func TestMakeIsPure(t *testing.T) {
	for _, k := range tasks {
		low, high := k.Levels()
		if a, b := must(k.Make(7, high)), must(k.Make(7, high)); a != b {
			t.Errorf("%s: one seed makes %v and %v", k.Name(), a, b)
		}
		different := map[string]bool{}
		for seed := range uint64(100) {
			different[must(k.Make(seed, high)).Prompt] = true
		}
		if len(different) < 95 {
			t.Errorf("%s: 100 seeds make %d problems", k.Name(), len(different))
		}
		for _, level := range []int{low - 1, high + 1, math.MinInt, math.MaxInt} {
			_, err := k.Make(1, level)
			wantError(t, err, "task: level of "+k.Name())
		}
	}
	_, err := task.Written{Op: '-'}.Make(1, 3)
	wantError(t, err, "task: Written.Op is '-'; want '+', '*' or 0")
}

var step = regexp.MustCompile(`^(\d)((?:[-+*]\d)+)=$`)

// The results are computed once more, another way: by polynomials of whole
// numbers, modulo 10 at the end.
func TestModular(t *testing.T) {
	for level := 2; level <= 8; level++ {
		for seed := range uint64(300) {
			p := must(task.Modular{}.Make(seed, level))
			parts := step.FindStringSubmatch(p.Prompt)
			if parts == nil || len(parts[2]) != 2*level {
				t.Fatalf("prompt of level %d is %q", level, p.Prompt)
			}
			value := int64(parts[1][0] - '0')
			var chain []string
			for i := 0; i < len(parts[2]); i += 2 {
				digit := int64(parts[2][i+1] - '0')
				switch parts[2][i] {
				case '+':
					value += digit
				case '-':
					value -= digit
				case '*':
					value *= digit
				}
				chain = append(chain, strconv.FormatInt((value%10+10)%10, 10))
			}
			want := strings.Join(chain, ",") + ";" + chain[len(chain)-1]
			if got := p.Completion(); got != want {
				t.Fatalf("%s%s; want %s", p.Prompt, got, want)
			}
		}
	}
}

func TestWritten(t *testing.T) {
	ops := map[string]int{}
	each(t, func(t *testing.T, k task.Task, level int, p task.Problem) {
		if _, ok := k.(task.Written); !ok {
			return
		}
		op := string(p.Prompt[level])
		ops[k.Name()+op]++
		a, b, _ := strings.Cut(strings.TrimSuffix(p.Prompt, "="), op)
		if len(a) != level || len(b) != level || a[0] == '0' || b[0] == '0' {
			t.Fatalf("prompt of level %d is %q", level, p.Prompt)
		}
		if got := eval(t, a+op+b); got != p.Answer {
			t.Fatalf("%s%s; want %s", p.Prompt, p.Answer, got)
		}
		for _, step := range strings.Split(p.Chain, ",") {
			left, right, _ := strings.Cut(step, "=")
			if got := eval(t, left); got != right {
				t.Fatalf("%s%s: step %s; want %s", p.Prompt, p.Completion(), step, got)
			}
		}
	})
	if len(ops) != 4 || ops["written+"] < 500 || ops["written*"] < 500 || ops["written ++"] != 1800 || ops["written **"] != 1800 {
		t.Errorf("operations are %v", ops)
	}
}

// eval is the value of sums, or of a product.
func eval(t *testing.T, text string) string {
	t.Helper()
	sum := new(big.Int)
	for _, product := range strings.Split(text, "+") {
		value := big.NewInt(1)
		for _, factor := range strings.Split(product, "*") {
			n, ok := new(big.Int).SetString(factor, 10)
			if !ok {
				t.Fatalf("%q is no number", factor)
			}
			value.Mul(value, n)
		}
		sum.Add(sum, value)
	}
	return sum.String()
}

func TestVerifyNumbers(t *testing.T) {
	p := task.Problem{Prompt: "3+5*2=", Chain: "8,6", Answer: "6"}
	for completion, want := range map[string]bool{
		"8,6;6": true, "6": true, "1,2;6": true, ";6": true, "8,6;8": false, "66": false, "06": false, "8;0": false,
	} {
		for _, k := range []task.Task{task.Modular{}, task.Written{}} {
			if got := must(k.Verify(p, completion)); got != want {
				t.Errorf("%s: %q is %t; want %t", k.Name(), completion, got, want)
			}
		}
	}
	for completion, want := range map[string]string{
		"": "has no answer", "8,6;": "has no answer", "8,6": "does not end with a number", "8;6;6": "has more than one answer",
		";;": "has more than one answer", "6 ": "does not end with a number", "-6": "does not end with a number", "\xff\x00": "does not end with a number",
		"٦": "does not end with a number",
	} {
		right, err := task.Modular{}.Verify(p, completion)
		wantError(t, err, want)
		if right || !errors.Is(err, task.ErrFormat) {
			t.Errorf("%q is %t, %v; want false and an ErrFormat", completion, right, err)
		}
	}
	_, err := task.Modular{}.Verify(task.Problem{Prompt: "3+5=", Answer: "x"}, "8")
	wantError(t, err, `task: the answer of problem "3+5=" is "x"; want a number`)
	if errors.Is(err, task.ErrFormat) {
		t.Error("a problem without an answer is taken for a bad completion")
	}
}

func TestCountdown(t *testing.T) {
	prompt := regexp.MustCompile(`^\d+(,\d+)+:\d+=$`)
	ops := map[rune]int{}
	each(t, func(t *testing.T, k task.Task, level int, p task.Problem) {
		if (k != task.Countdown{}) {
			return
		}
		if !prompt.MatchString(p.Prompt) || strings.Count(p.Prompt, ",") != level-1 {
			t.Fatalf("prompt of level %d is %q", level, p.Prompt)
		}
		numbers, target, _ := strings.Cut(strings.TrimSuffix(p.Prompt, "="), ":")
		last := 0
		for _, number := range strings.Split(numbers, ",") {
			n := must(strconv.Atoi(number))
			if n < max(last, 1) || n > 25 {
				t.Fatalf("numbers of %s are not in order, from 1 to 25", p.Prompt)
			}
			last = n
		}
		steps := strings.Split(p.Chain, ",")
		if len(steps) != level-1 || !strings.HasSuffix(steps[level-2], "="+target) {
			t.Fatalf("%s%s: want %d steps, the last one to the target", p.Prompt, p.Completion(), level-1)
		}
		for _, step := range steps {
			checkStep(t, step)
		}
		for _, r := range p.Answer {
			ops[r]++
		}
	})
	for _, op := range "+-*/" {
		if ops[op] < 100 {
			t.Errorf("%c comes %d times", op, ops[op])
		}
	}
}

var binary = regexp.MustCompile(`^(\d+)([-+*/])(\d+)=(\d+)$`)

// checkStep checks a step of a countdown: the result is right, 1 to 999.
func checkStep(t *testing.T, step string) {
	t.Helper()
	m := binary.FindStringSubmatch(step)
	if m == nil {
		t.Fatalf("%q is no step", step)
	}
	a, b, c := must(strconv.Atoi(m[1])), must(strconv.Atoi(m[3])), must(strconv.Atoi(m[4]))
	right := map[string]bool{"+": a+b == c, "-": a-b == c, "*": a*b == c, "/": b*c == a}[m[2]]
	if !right || c < 1 || c > 999 {
		t.Fatalf("step %s is wrong", step)
	}
}

func TestVerifyCountdown(t *testing.T) {
	p := task.Problem{Prompt: "2,3,7,8:6="}
	for answer, want := range map[string]bool{
		"8*3/(7-2)": false, "2*3*(8-7)": true, "(2*3)*(8-7)": true, "((((2)))*3)/(8-7)": true, "2*3/8-7": false,
		"3*8-7*2": false, "7-8+2*3": false, "8-7*2/3": false, "6": false, "2*3": false, "2*3*(8-7)*(8-7)": false,
		"2*3*(8-7)+7-7": false, "23*(8-7)": false, "7-3+8/2/2": false, "3*8/(2+7)": false, "8-(7-3)/2": true,
		"7-8/(2+3)": false, "7-2-3+8/2": false, "3+8/2-7+6": false, "8*7/2/3": false, "(8/3)*(7/2)": false,
	} {
		got, err := task.Countdown{}.Verify(p, "some;"+answer)
		if got != want || err != nil {
			t.Errorf("%s is %t, %v; want %t", answer, got, err, want)
		}
	}
	// Fractions are exact, whole numbers need not be between.
	if !must(task.Countdown{}.Verify(task.Problem{Prompt: "3,3,8,8:24="}, "8/(3-8/3)")) {
		t.Error("8/(3-8/3) is not 24")
	}
	for completion, want := range map[string]string{
		"": "has no answer", "2*3;": "has no answer", "2*3;6;6": "has more than one answer",
		"2*(3+7": "ends within its expression", "2*": "ends within", "2 *3": "has ' ' at byte 1", "-2+8": "has '-' at byte 0",
		"2**3": "has '*' at byte 2", "(2)(3)": "has '(' at byte 3", "()": "has ')' at byte 1", "2/(3-3)": "divides by 0",
		"99999999999999999999": "too large a number at byte 0", strings.Repeat("(", 1001): "of 1001 bytes",
		strings.Repeat("(", 1000): "ends within", "2*3=6": "has '=' at byte 3", "\x00": "at byte 0",
	} {
		right, err := task.Countdown{}.Verify(p, completion)
		wantError(t, err, want)
		if right || !errors.Is(err, task.ErrFormat) {
			t.Errorf("%q is %t, %v; want false and an ErrFormat", completion, right, err)
		}
	}
	for _, prompt := range []string{"", "2,3", ":", "2,3:", ":5=", "2,,3:5=", "2,-3:5=", "2,+3:5=", "2,3:5==", "2,3:x="} {
		right, err := task.Countdown{}.Verify(task.Problem{Prompt: prompt}, "2+3")
		wantError(t, err, "want one of countdown, as 2,3:5=")
		if right || errors.Is(err, task.ErrFormat) {
			t.Errorf("prompt %q: %t, %v", prompt, right, err)
		}
	}
}

func TestParse(t *testing.T) {
	for completion, want := range map[string][2]string{"a,b;c": {"a,b", "c"}, "c": {"", "c"}, ";c": {"", "c"}} {
		chain, answer, err := task.Parse(completion)
		if diff := cmp.Diff(want, [2]string{chain, answer}); diff != "" || err != nil {
			t.Errorf("%q: %v%s", completion, err, diff)
		}
	}
	if got := (task.Problem{Answer: "c"}).Completion(); got != "c" {
		t.Errorf("completion without a chain is %q", got)
	}
}

func FuzzVerify(f *testing.F) {
	for _, k := range tasks {
		p := must(k.Make(3, 3))
		f.Add(p.Prompt, p.Answer, p.Completion())
	}
	f.Add("3,3,8,8:24=", "", "8/(3-8/3)")
	f.Add("2,3:6=", "6", "((2*3")
	f.Fuzz(func(t *testing.T, prompt, answer, completion string) {
		p := task.Problem{Prompt: prompt, Answer: answer}
		for _, k := range tasks {
			right, err := k.Verify(p, completion)
			if right && err != nil {
				t.Errorf("%s: right, and %v", k.Name(), err)
			}
			if _, isCountdown := k.(task.Countdown); right && !isCountdown && !strings.HasSuffix(completion, answer) {
				t.Errorf("%s: %q is taken for %q", k.Name(), completion, answer)
			}
		}
	})
}
