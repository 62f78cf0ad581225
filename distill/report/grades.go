package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/godistill/godistill/data"
)

const (
	maxMatrix  = 40 // classes of a confusion that is drawn as a matrix
	maxNumbers = 12 // classes of one that has room for numbers
	maxClasses = 30 // rows of the change by class
)

// A graded is an Examination as a page shows it.
type graded struct {
	About     string
	Table     *table
	Diagrams  []diagram
	Classes   *classes
	Confused  []confused
	Apart     []apart
	ApartUnit string
}

func gradedOf(x Examination) *graded {
	g := &graded{About: fmt.Sprintf("%d samples of test data.", x.Samples), ApartUnit: "KL(teacher ‖ student) in nats"}
	switch x.Task {
	case data.MultiLabel:
		g.ApartUnit = "the sum of KL(teacher ‖ student) over the questions, in nats"
	case data.Regression:
		g.ApartUnit = "the root mean square of the difference"
	}
	var all []Grade
	var hues []int
	if x.Teacher != nil {
		all, hues = append(all, *x.Teacher), append(hues, -1)
	}
	for i, m := range x.Models {
		all, hues = append(all, m), append(hues, i)
	}
	g.Table = gradeTable(all, hues)
	g.Classes = classesOf(x, all)
	for i, one := range all {
		if one.Bins != nil {
			g.Diagrams = append(g.Diagrams, diagramOf(one, hues[i]))
		}
		if one.Confusion != nil {
			g.Confused = append(g.Confused, confusedOf(one, x.Classes))
		}
		if len(one.Apart) > 0 {
			g.Apart = append(g.Apart, apartOf(one, x.Classes))
		}
	}
	return g
}

func gradeTable(all []Grade, hues []int) *table {
	t := &table{Head: []string{"model", "accuracy %", "NLL", "ECE", "agreement with teacher %", "KL to teacher"}}
	for i, g := range all {
		t.Rows = append(t.Rows, tableRow{Color: hues[i], Chip: true, Cells: []string{
			g.Name, percent(g.Accuracy), briefly(g.NLL), briefly(g.ECE), percent(g.Agreement), briefly(g.TeacherKL),
		}})
	}
	if t = t.without(); len(t.Head) == 1 {
		return nil
	}
	return t
}

// A diagram is a reliability diagram, in a square of 100 by 100.
type diagram struct {
	Name  string
	Color int
	ECE   float64
	Bars  []bar
}

// A bar is one of the bins: where it is, how high, and how many rows it has.
type bar struct {
	X, W, Y, H, Share float64
	Shade             float64
	At                float64 // the mean confidence
	Text              string
}

func diagramOf(g Grade, color int) diagram {
	d := diagram{Name: g.Name, Color: color, ECE: g.ECE}
	total, most := 0.0, 0.0
	for _, b := range g.Bins {
		total, most = total+b.Rows, max(most, b.Rows)
	}
	for i, b := range g.Bins {
		if b.Rows == 0 {
			continue
		}
		w := 100 / float64(len(g.Bins))
		d.Bars = append(d.Bars, bar{
			X: tenth(float64(i) * w), W: tenth(w), Y: tenth(100 - 100*b.Accuracy), H: tenth(100 * b.Accuracy),
			Share: tenth(12 * b.Rows / most), Shade: math.Round(100*(0.12+0.4*math.Sqrt(b.Rows/most))) / 100, At: tenth(100 * b.Confidence),
			Text: fmt.Sprintf("confidence %s%%, right %s%%, %s of %s rows",
				plainly(100*b.Confidence, 1), plainly(100*b.Accuracy, 1), weight(b.Rows), weight(total)),
		})
	}
	return d
}

func tenth(v float64) float64 { return math.Round(10*v) / 10 }

// weight is a number of rows, which need not be whole.
func weight(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }

// Classes are the accuracies by class, and what changed from the first model to
// the last.
type classes struct {
	Names []string // of the columns
	From  string
	To    string
	Rows  []classRow
	Note  string
}

type classRow struct {
	Name   string
	Rows   string
	Cells  []string
	Change float64 // in points
	Left   float64 // where its bar begins, and how wide it is, in percent
	Width  float64
}

func classesOf(x Examination, all []Grade) *classes {
	first, last, c := 0, len(all)-1, &classes{}
	if x.Teacher != nil && len(all) > 2 {
		first = 1 // the control
	}
	if last < 0 || all[0].Classes == nil {
		return nil
	}
	for _, g := range all {
		c.Names = append(c.Names, g.Name)
	}
	c.From, c.To = all[first].Name, all[last].Name
	for k, name := range x.Classes {
		row := classRow{Name: name, Rows: weight(all[0].Classes[k].Rows)}
		for _, g := range all {
			row.Cells = append(row.Cells, plainly(100*g.Classes[k].share(), 1))
		}
		row.Change = 100 * (all[last].Classes[k].share() - all[first].Classes[k].share())
		if all[0].Classes[k].Rows > 0 {
			c.Rows = append(c.Rows, row)
		}
	}
	c.cut()
	c.scale()
	return c
}

func (t Tally) share() float64 { return t.Right / t.Rows }

// cut leaves the classes that changed most, where there are many.
func (c *classes) cut() {
	if len(c.Rows) <= maxClasses {
		return
	}
	slices.SortStableFunc(c.Rows, func(a, b classRow) int { return cmp.Compare(b.Change, a.Change) })
	c.Note = fmt.Sprintf("Of %d classes, those that gained and those that lost most.", len(c.Rows))
	c.Rows = slices.Delete(c.Rows, maxClasses/2, len(c.Rows)-maxClasses/2)
}

// scale gives the bars room for the largest change.
func (c *classes) scale() {
	most := 1.0
	for _, r := range c.Rows {
		most = max(most, math.Abs(r.Change))
	}
	for i, r := range c.Rows {
		c.Rows[i].Width = tenth(50 * math.Abs(r.Change) / most)
		c.Rows[i].Left = 50
		if r.Change < 0 {
			c.Rows[i].Left = 50 - c.Rows[i].Width
		}
	}
}

// A confused model is one with its confusion beside the teacher: a matrix, or the
// largest confusions of many classes.
type confused struct {
	Name    string
	Classes []string
	Rows    []confusedRow
	Numbers bool
	Largest *table
}

type confusedRow struct {
	Name  string
	Cells []confusedCell
}

// A confusedCell has a share of its row, which is its shade.
type confusedCell struct {
	Text  string
	Title string
	Shade float64
	Same  bool
}

func confusedOf(g Grade, classes []string) confused {
	c := confused{Name: g.Name, Classes: classes, Numbers: len(classes) <= maxNumbers}
	if len(classes) > maxMatrix {
		c.Largest = largestOf(g, classes)
		return c
	}
	for i, row := range g.Confusion {
		total := 0.0
		for _, v := range row {
			total += v
		}
		r := confusedRow{Name: classes[i]}
		for j, v := range row {
			cell := confusedCell{Same: i == j, Title: fmt.Sprintf("teacher %s, %s %s: %s", classes[i], g.Name, classes[j], weight(v))}
			if v > 0 {
				cell.Text, cell.Shade = weight(v), math.Round(100*math.Sqrt(v/total))
			}
			r.Cells = append(r.Cells, cell)
		}
		c.Rows = append(c.Rows, r)
	}
	return c
}

func largestOf(g Grade, classes []string) *table {
	type pair struct {
		i, j int
		v    float64
	}
	var all []pair
	for i, row := range g.Confusion {
		for j, v := range row {
			if i != j && v > 0 {
				all = append(all, pair{i, j, v})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(b.v, a.v) })
	t := &table{Head: []string{"teacher says", "student says", "rows"}, Note: fmt.Sprintf("The largest of %d confusions.", len(all))}
	for _, p := range all[:min(len(all), maxClasses)] {
		t.Rows = append(t.Rows, tableRow{Cells: []string{classes[p.i], classes[p.j], weight(p.v)}})
	}
	return t
}

// An apart is a model with the samples at which it is furthest from the teacher.
type apart struct {
	Name    string
	Samples []apartSample
}

type apartSample struct {
	Sample
	Label, Teacher, Model string
}

func apartOf(g Grade, classes []string) apart {
	a := apart{Name: g.Name}
	name := func(c int) string {
		if c < 0 || c >= len(classes) {
			return ""
		}
		return classes[c]
	}
	for _, s := range g.Apart {
		a.Samples = append(a.Samples, apartSample{s, name(s.Label), name(s.Teacher), name(s.Model)})
	}
	return a
}
