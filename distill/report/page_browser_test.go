package report_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill/report"
)

// Pages are files: of a run, of a study and of reasoning, with all that a page can
// have.
type pages struct{ run, study, reasoning string }

func writePages(t *testing.T) pages {
	t.Helper()
	dir := t.TempDir()
	all := pages{filepath.Join(dir, "a run.html"), filepath.Join(dir, "study.html"), filepath.Join(dir, "reasoning.html")}
	l := performed(12, 30)
	l.Name = "a name </script><script>console.error('ran')</script> of a length that no phone has room for, and_without_a_single_space_in_it_so_that_it_cannot_be_broken"
	x := must(report.Examine(t.Context(), inOrder(scribbles(), 20), said(scribbles().Spec(), "t"),
		report.Named{Name: "control", Model: identity(scribbles().Spec())}, report.Named{Name: "distilled", Model: identity(scribbles().Spec())}))
	different := []report.Difference{{A: "runs/one", B: "runs/two", Settings: []report.Change{{Name: "Student.Fingerprint", A: strings.Repeat("3f", 32), B: strings.Repeat("a0", 32)}}, Results: []report.Change{{Name: "accuracy", A: "0.91", B: "0.93"}}}}
	for path, p := range map[string]report.Page{
		all.run:       {Run: l},
		all.study:     {Title: "A study", Note: "Of two arms.", Arms: twoArms(), Examined: x, Differences: different},
		all.reasoning: {Title: "Sums", Note: "A teacher, and two students of it.", Reasoning: threeSolved()},
	} {
		if err := p.WriteFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// scribbles are 60 images of ten classes, which teacher and students see in noise.
func scribbles() data.Set {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, classes = 60, 10
	img, s, taught, y := make([]float32, n*7*9), make([]float32, n*classes), make([]float32, n*classes), make([]int, n)
	for i := range img {
		img[i] = rng.Float32()
	}
	for i := range n {
		y[i] = i % classes
		for c := range classes {
			taught[i*classes+c] = float32(rng.NormFloat64())
			s[i*classes+c] = taught[i*classes+c] + float32(rng.NormFloat64())
		}
		taught[i*classes+y[i]] += 3
		s[i*classes+y[i]] += 2
	}
	return must(data.NewMemory(data.Signals{"img": dense(img, n, 7, 9), "s": dense(s, n, classes), "t": dense(taught, n, classes)}, dense(y, n), nil))
}

// The page is looked at as people do, in one browser.
func TestPageInBrowser(t *testing.T) {
	b := startBrowser(t)
	all := writePages(t)
	for _, test := range []struct {
		name string
		look func(t *testing.T, b *browser, p pages)
	}{
		{"all", lookAtAll}, {"hover", lookHover}, {"toggles", lookToggles}, {"zoom", lookZoom}, {"tabs", lookTabs}, {"reasoning", lookReasoning}, {"no scripts", lookWithoutScripts},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.look(t, &browser{t, b.session}, all)
		})
	}
}

// Each page fits its window, in both schemes, and keeps to itself.
func lookAtAll(t *testing.T, b *browser, p pages) {
	files, paper := map[string]string{"run": p.run, "study": p.study, "reasoning": p.reasoning}, map[string]string{}
	if *pageFile != "" {
		files["page"] = *pageFile
	}
	for _, width := range []int{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			for name, file := range files {
				b.open(file, width, scheme)
				b.fits()
				b.shoot(fmt.Sprintf("%s-%s-%d", name, scheme, width))
				if n := number(b, "return [...document.querySelectorAll('.chart')].filter(f => f.querySelectorAll('path.line').length === 0).length"); n != 0 {
					b.Errorf("%s at %d: %d charts are empty", name, width, n)
				}
				paper[scheme] = eval[string](b, "return getComputedStyle(document.body).backgroundColor")
			}
		}
	}
	b.quiet()
	if paper["light"] == paper["dark"] {
		t.Errorf("the page is %s, dark and light", paper["dark"])
	}
}

func number(b *browser, script string) int { return eval[int](b, script) }

// tip is what the box beside the pointer says, "" where there is none.
func tip(b *browser) string {
	b.Helper()
	return eval[string](b, "const t = document.querySelector('.tip:not([hidden])'); return t ? t.innerText : ''")
}

func lookHover(t *testing.T, b *browser, p pages) {
	for _, width := range []int{1280, 360} {
		b.open(p.run, width, "light")
		b.hover(".chart svg[tabindex]", 0.5)
		at := tip(b)
		for _, want := range []string{"step 1", "weighted sum, training", "hard, validation (step ", "soft, training"} {
			if !strings.Contains(at, want) {
				t.Errorf("at %d the tip says %q; want %q in it", width, at, want)
			}
		}
		if n := number(b, "return document.querySelectorAll('.cross').length"); n != 11 {
			t.Errorf("%d charts have a line at the pointer; want all 11", n)
		}
		b.hover(".chart svg[tabindex]", 0.9)
		if there := tip(b); there == at || there == "" {
			t.Errorf("elsewhere the tip says %q too", there)
		}
		if over := eval[float64](b, "const r = document.querySelector('.tip:not([hidden])').getBoundingClientRect(); return Math.max(r.right - innerWidth, -r.left)"); over > 0 {
			t.Errorf("at %d the tip is %v over the edge", width, over)
		}
		if inside := eval[bool](b, `
			const t = document.querySelector('.tip:not([hidden])'), a = t.getBoundingClientRect(), c = t.parentElement.querySelector('svg[tabindex]').getBoundingClientRect();
			return a.top >= c.top && a.top < c.bottom`); !inside {
			t.Errorf("at %d the tip is not in its chart", width)
		}
		b.fits()
		b.hover("h1", 0.1)
		if still := tip(b); still != "" {
			t.Errorf("with the pointer gone, the tip says %q", still)
		}
	}
	b.open(p.study, 1280, "dark")
	b.hover(".chart svg[tabindex]", 0.6)
	if at := tip(b); !strings.Contains(at, "epoch 4") || !strings.Contains(at, "teacher") || !strings.Contains(at, " to ") {
		t.Errorf("the tip says %q; want the epoch, the teacher and the range of seeds", at)
	}
	b.shoot("hover")
	b.quiet()
}

func lookToggles(t *testing.T, b *browser, p pages) {
	count := func(name string) int {
		return number(b, fmt.Sprintf("return document.querySelectorAll('.curve[data-name=\"%s\"], .curve[data-set=\"%[1]s\"]').length", name))
	}
	for _, test := range []struct {
		file, name string
		curves     int
	}{{p.run, "soft", 5}, {p.run, "validation", 4}, {p.study, "distilled", 14}, {p.study, "training", 4}, {p.study, "teacher", 1}, {p.reasoning, "traces", 2}} {
		b.open(test.file, 1280, "light")
		button := fmt.Sprintf(".legend button[data-key='%s']", test.name)
		if n := count(test.name); n != test.curves {
			t.Errorf("there are %d curves of %s; want %d", n, test.name, test.curves)
		}
		before := eval[string](b, "return document.querySelector('.chart svg[tabindex]').outerHTML")
		b.click(button)
		if n := count(test.name); n != 0 {
			t.Errorf("turned off, there are %d curves of %s", n, test.name)
		}
		if s := eval[[]string](b, fmt.Sprintf("return [...document.querySelectorAll(`%s`)].map(e => e.getAttribute('aria-pressed'))", button)); len(s) == 0 || slices.Contains(s, "true") {
			t.Errorf("turned off, the buttons of %s are pressed: %v", test.name, s)
		}
		eval[any](b, fmt.Sprintf("document.querySelector(`%s`).focus()", button))
		b.key("\ue007") // Enter
		if after := eval[string](b, "return document.querySelector('.chart svg[tabindex]').outerHTML"); after != before {
			t.Errorf("turned off and on, %s is not what it was", test.name)
		}
	}
	b.quiet()
}

// ticks are the labels of the axis of x of a chart, and then of y.
func ticks(b *browser, chart int) []string {
	b.Helper()
	return eval[[]string](b, fmt.Sprintf(`
		const all = document.querySelectorAll('.chart')[%d].querySelectorAll('svg[tabindex] > text');
		return ['middle', 'end'].map(c => [...all].filter(e => e.classList.contains(c)).map(e => e.textContent).join(' '))`, chart))
}

func lookZoom(t *testing.T, b *browser, p pages) {
	b.open(p.run, 1280, "light")
	first, other := ticks(b, 0), ticks(b, 5)
	same := func(what string, changed bool) {
		t.Helper()
		if a, c := ticks(b, 0), ticks(b, 5); (a[0] != first[0]) != changed || (c[0] != other[0]) != changed {
			t.Errorf("%s: the axes are %q and %q", what, a, c)
		}
		if hidden := eval[bool](b, "return document.querySelector('.reset').hidden"); hidden == changed {
			t.Errorf("%s: the reset button is hidden: %v", what, hidden)
		}
	}
	const chart = ".chart svg[tabindex]"
	same("at first", false)
	b.drag(chart, 0.3, 0.6)
	same("zoomed", true)
	if y := ticks(b, 0); y[1] == first[1] {
		t.Errorf("zoomed, the axis of y is still %q", y[1])
	}
	b.shoot("zoomed")
	b.click(".reset")
	same("reset", false)
	b.drag(chart, 0.6, 0.3)
	same("zoomed from the right", true)
	b.pointer(chart, []string{"pointerDown", "pointerUp", "pointerDown", "pointerUp"}, 0.5, 0.5, 0.5, 0.5)
	same("after a double click", false)
	eval[any](b, "document.querySelector('.chart svg[tabindex]').focus()")
	b.key("\ue014") // an arrow to the right
	if at := tip(b); !strings.Contains(at, "step ") {
		t.Errorf("at the arrow key the tip says %q", at)
	}
	b.key("+")
	same("zoomed by key", true)
	b.key("\ue00c") // Escape
	same("after Escape", false)
	b.click(".log")
	if now := ticks(b, 0); now[1] == first[1] {
		t.Errorf("linear or logarithmic, the axis is %q", now[1])
	}
	b.click(".log")
	if now := ticks(b, 0); now[1] != first[1] {
		t.Errorf("logarithmic again, the axis is %q; want %q", now[1], first[1])
	}
	b.quiet()
}

func lookTabs(t *testing.T, b *browser, p pages) {
	b.open(p.study, 360, "light")
	shown := func() []string {
		return eval[[]string](b, "return [...document.querySelectorAll('.tab')].filter(e => e.offsetHeight).map(e => e.dataset.tab)")
	}
	if got := shown(); !slices.Equal(got, []string{"distilled", "distilled"}) {
		t.Errorf("at first %q are shown; want the last model", got)
	}
	b.click(".tablist button")
	if got := shown(); !slices.Equal(got, []string{"control", "control"}) {
		t.Errorf("after a click %q are shown; want control", got)
	}
	b.key("\ue014")
	if got := shown(); !slices.Equal(got, []string{"distilled", "distilled"}) {
		t.Errorf("after a key %q are shown; want distilled", got)
	}
	if broken := number(b, "return [...document.images].filter(i => !i.complete || i.naturalWidth !== 9 || i.naturalHeight !== 7).length"); broken != 0 {
		t.Errorf("%d pictures are not shown", broken)
	}
	b.quiet()
}

// The curves over levels begin at 0 and are read with keys, and answers unfold.
func lookReasoning(t *testing.T, b *browser, p pages) {
	b.open(p.reasoning, 1280, "light")
	if axes := ticks(b, 0); !strings.HasPrefix(axes[0], "1 2 3 4 5") || axes[1] != "0 20 40 60 80 100 level" {
		t.Errorf("the axes are %q; want the levels, and from 0 to 100", axes)
	}
	b.hover(".chart svg[tabindex]", 0.99)
	for _, want := range []string{"level 5", "traces", "25 (19.22 to 30.78)", "labels alone", "0 (0 to 2.03)"} {
		if at := tip(b); !strings.Contains(at, want) {
			t.Errorf("the tip says %q; want %q in it", at, want)
		}
	}
	if n := number(b, "return document.querySelectorAll('.cross').length"); n != 2 {
		t.Errorf("%d charts have a line at the pointer; want both", n)
	}
	eval[any](b, "document.querySelector('.chart svg[tabindex]').focus()")
	b.key("\ue012") // an arrow to the left
	if at := tip(b); !strings.Contains(at, "level 4") || !strings.Contains(at, "55 (48.02 to 61.98)") {
		t.Errorf("at the arrow key the tip says %q", at)
	}
	shown := func() string {
		return eval[string](b, "return [...document.querySelectorAll('.answer pre')].filter(e => e.checkVisibility()).map(e => e.textContent).join('|')")
	}
	if text := shown(); text != "" {
		t.Errorf("folded, %q is shown", text)
	}
	b.click(".tab:not([hidden]) summary")
	if text := shown(); text != "5+4=|<think>\n5 and 4\n</think>\n9" {
		t.Errorf("unfolded, %q is shown; want the problem and the answer", text)
	}
	b.click(".tab:not([hidden]) .answer:nth-of-type(2) summary")
	b.click("#reasoning summary")
	b.shoot("reasoning-unfolded")
	b.fits()
	b.quiet()
}

// Without scripts there are the tables, and all models.
func lookWithoutScripts(t *testing.T, b *browser, p pages) {
	b.devtools("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	for file, wants := range map[string][]string{
		p.study:     {"The curves need JavaScript", "91.00 ± 1.00", "Confusion with the teacher", "distilled", "0.93"},
		p.reasoning: {"The curves need JavaScript", "85.0% [80.4, 89.6]", "wrong, not formed", "labels alone"},
	} {
		b.open(file, 360, "light")
		var answer struct{ Result struct{ Value string } }
		b.devtools("Runtime.evaluate", map[string]any{"expression": "document.body.innerText"}, &answer)
		for _, want := range wants {
			if !strings.Contains(answer.Result.Value, want) {
				t.Errorf("without scripts the page lacks %q", want)
			}
		}
		if strings.Contains(answer.Result.Value, "Drag to zoom") {
			t.Error("without scripts the page tells how to zoom")
		}
	}
	b.quiet()
}
