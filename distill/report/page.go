package report

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/internal/atomicfile"
)

// A Page is a report in one file of HTML that needs neither network nor anything
// beside it: curves to hover over, zoom and toggle, tables, and pictures. What is
// not set is left out. Without JavaScript there are no curves.
//
//	arms, err := report.Arms(outcomes) // of a study
//	seen, err := report.Examine(ctx, test, teacher.Of(big), report.Named{Name: "student", Model: small})
//	err = report.Page{Title: "Digits", Arms: arms, Examined: seen}.WriteFile("report.html")
//
// The bytes depend on what is in the Page alone.
type Page struct {
	// Title is what the page is about; "" means "Report". Note is a paragraph
	// below it.
	Title, Note string
	// Run is one run, over its steps. A zero Log is none.
	Run Log
	// Arms are compared: in a table, and in curves over the epochs.
	Arms []Arm
	// Examined is how models do on test data, beside their teacher.
	Examined *Examination
	// Reasoning is how models answer problems that are verified, with curves over
	// the levels of difficulty, and answers to read.
	Reasoning Reasoning
	// Differences are between two runs each.
	Differences []Difference
}

//go:embed page
var pageFiles embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"percent": percent, "plainly": plainly, "briefly": briefly, "picture": picture,
	"share":   func(p float64) string { return plainly(100*p, 1) + "%" },
	"hue":     func(i int) int { return i % len(palette) },
	"verdict": verdict, "headline": headline,
}).ParseFS(pageFiles, "page/page.html"))

// picture is a PNG as an address.
func picture(png []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png))
}

// A view is what the template sees.
type view struct {
	Page
	Style  template.CSS
	Script template.JS
	Charts []chart
	Curves []slot // those of runs and arms
	Facts  []distill.Setting
	Table  *table // of the arms
	Terms  *table
	Epochs *table
	Graded *graded
	Solved *reasoned
	Config []settings
}

// A slot is where the script draws a chart of the page.
type slot struct {
	Chart    int
	Title, Y string
}

// hang adds charts, and returns their slots.
func (v *view) hang(charts []chart) (slots []slot) {
	for _, c := range charts {
		slots = append(slots, slot{len(v.Charts), c.Title, c.Y})
		v.Charts = append(v.Charts, c)
	}
	return slots
}

// Write writes the page.
func (p Page) Write(w io.Writer) error {
	if w == nil {
		return errors.New("report: Page.Write: the io.Writer is nil")
	}
	v, err := p.view()
	if err != nil {
		return fmt.Errorf("report: Page.Write: %w", err)
	}
	var out bytes.Buffer // all of it or nothing
	if err := pageTemplate.Execute(&out, v); err != nil {
		return fmt.Errorf("report: Page.Write: %w", err)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("report: Page.Write: %w", err)
	}
	return nil
}

// WriteFile writes the page to a file, all of it or nothing.
func (p Page) WriteFile(path string) error {
	if err := atomicfile.Write(path, p.Write); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (p Page) view() (view, error) {
	style, err1 := pageFiles.ReadFile("page/page.css")
	script, err2 := pageFiles.ReadFile("page/page.js")
	v := view{Page: p, Style: template.CSS(style), Script: template.JS(script)}
	v.Title = cmp.Or(p.Title, p.Run.Name, "Report")
	if len(p.Run.Steps) > 0 {
		v.Curves = v.hang(chartsOf(p.Run))
		v.Facts, v.Terms, v.Epochs = factsOf(p.Run), termTable(p.Run.Steps), epochTable(p.Run.Steps)
	}
	if len(p.Arms) > 0 {
		v.Curves = append(v.Curves, v.hang(chartsOfArms(p.Arms))...)
		v.Table = armTable(p.Arms)
	}
	if p.Examined != nil {
		v.Graded = gradedOf(*p.Examined)
	}
	if len(p.Reasoning) > 0 {
		if err := p.Reasoning.check(); err != nil {
			return view{}, err
		}
		v.Solved = p.Reasoning.view(v.hang(p.Reasoning.charts()))
	}
	v.Config = append(configOf(p.Run), configOfArms(p.Arms)...)
	return v, errors.Join(err1, err2)
}
