package data_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

func TestReadCSV(t *testing.T) {
	x := dense([]float32{1, -2.5, 3, 4, 5, 600}, 3, 2)
	for _, test := range []struct {
		name, text string
		csv        data.CSV
		x, label   *tensor.Dense
	}{
		{"numbers", "1,-2.5\n3,4\n5,6e2\n", data.CSV{}, x, nil},
		{"header", "a, b\n1, -2.5\n3, 4\n5, 6e2\n", data.CSV{Header: true}, x, nil},
		{"label by number", "1,2,-2.5\n3,,4\n5,0,600", data.CSV{Label: "2"}, x, dense([]int{2, -1, 0}, 3)},
		{
			"label by name", "kind;a;b\nblue;1;-2.5\n;3;4\n\"red\";5;6e2\n",
			data.CSV{Header: true, Label: "kind", Classes: classes, Comma: ';'}, x, dense([]int{2, -1, 0}, 3),
		},
		{"byte order mark", "\ufeffk,a,b\n2,1,-2.5\n,3,4\n0,5,600\n", data.CSV{Header: true, Label: "k"}, x, dense([]int{2, -1, 0}, 3)},
		{"shape", "1,-2.5\n3,4\n5,6e2\n", data.CSV{Shape: tensor.Shape{2, 1}}, dense([]float32{1, -2.5, 3, 4, 5, 600}, 3, 2, 1), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, raw := range [][]byte{[]byte(test.text), zip([]byte(test.text))} {
				set, err := data.ReadCSV(bytes.NewReader(raw), test.csv)
				if err != nil {
					t.Fatal(err)
				}
				b := must(drain(data.Loader{Set: set, Batch: 3, InOrder: true}, 0, 0))[0]
				if diff := cmp.Diff(test.x, b.In["x"], denses); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(test.label, b.Label, denses); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestReadCSVRefuses(t *testing.T) {
	for _, test := range []struct {
		name, text string
		csv        data.CSV
		want       string
	}{
		{"empty", "", data.CSV{}, "data: csv: no samples"},
		{"header only", "a,b\n", data.CSV{Header: true}, "no samples"},
		{"word", "1,2\n3,four\n", data.CSV{}, `line 2, column 2: "four" is not a finite number`},
		{"line of a quoted cell", "a,b\n\"1\",2\n\"3\n\",\"4\n5\"\n", data.CSV{Header: true}, `line 4, column 2: "4\n5"`},
		{"nan", "1,NaN\n", data.CSV{}, "line 1, column 2"},
		{"infinity", "-Inf,1\n", data.CSV{}, "line 1, column 1"},
		{"overflow", "1e99,1\n", data.CSV{}, "line 1, column 1"},
		{"missing number", "1,\n", data.CSV{}, `line 1, column 2: ""`},
		{"ragged", "1,2\n3\n", data.CSV{}, "wrong number of fields"},
		{"quote", "1,2\n3,\"4\n", data.CSV{}, "line 2"},
		{"comma", "1,2\n", data.CSV{Comma: '"'}, "invalid"},
		{"label name", "a,b\n1,2\n", data.CSV{Header: true, Label: "c"}, `CSV.Label is "c"; the columns are ["a" "b"]`},
		{"label number", "1,2\n", data.CSV{Label: "3"}, "want the number of a column, 1 to 2"},
		{"label twice", "k,a,k\n1,2,red\n", data.CSV{Header: true, Label: "k"}, `CSV.Label is "k", the name of columns 1 and 3; want that of one`},
		{"header unsaid", "a,b\n1,2\n", data.CSV{}, `line 1, column 1: "a" is not a finite number (if the first line names the columns, set CSV.Header)`},
		{"label without header", "a,b\n1,2\n", data.CSV{Label: "b"}, "or a CSV.Header that names it"},
		{"label 0", "1,2\n", data.CSV{Label: "0"}, "want the number of a column, 1 to 2"},
		{"label word", "1,x\n", data.CSV{Label: "2"}, `line 1, column 2: label "x" is not a whole number`},
		{"label below 0", "1,-1\n", data.CSV{Label: "2"}, `label "-1"`},
		{"label class", "1,pink\n", data.CSV{Label: "2", Classes: classes}, `label "pink" is not one of the classes`},
		{"only labels", "1\n2\n", data.CSV{Label: "1"}, "CSV.Shape: one sample has shape (0)"},
		{"shape", "1,2,3\n", data.CSV{Shape: tensor.Shape{2, 2}}, "CSV.Shape is (2, 2); want 3 elements"},
		{"shape below 0", "1,2,3\n", data.CSV{Shape: tensor.Shape{-3, -1}}, "CSV.Shape: one sample has shape"},
		{"gzip", "\x1f\x8b", data.CSV{}, "gzip"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := data.ReadCSV(strings.NewReader(test.text), test.csv)
			wantError(t, err, test.want)
		})
	}
}

func TestReadersWantAReader(t *testing.T) {
	_, err := data.ReadCSV(nil, data.CSV{})
	wantError(t, err, "data: csv: the io.Reader is nil")
	_, err = data.ReadIDX(nil)
	wantError(t, err, "data: the io.Reader is nil")
}

func TestCSVFirstID(t *testing.T) {
	a := must(data.ReadCSV(strings.NewReader("1,2\n3,4\n5,6\n"), data.CSV{}))
	b := must(data.ReadCSV(strings.NewReader("7,8\n9,10\n"), data.CSV{FirstID: 3}))
	_, err := data.Concat(a, a)
	wantError(t, err, "sets 0 and 1 both have id 0; want ids of their own (see Memory.WithIDs and CSV.FirstID)")
	both := must(data.Concat(a, b))
	if diff := cmp.Diff([]uint64{0, 1, 2, 3, 4}, ids(must(drain(data.Loader{Set: both, Batch: 3, InOrder: true}, 0, 0)))); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, text := range []string{"", "1,2\n3,4\n", "a,b\n1,\"2\n\"\n", "1;NaN", "1,2,3\n,,\n", "\x1f\x8b\x08"} {
		f.Add([]byte(text), false, "", 0)
		f.Add(zip([]byte(text)), true, "a", 2)
		f.Add([]byte(text), false, "2", 1)
	}
	f.Fuzz(func(t *testing.T, raw []byte, header bool, label string, axis int) {
		c := data.CSV{Header: header, Label: label}
		if axis != 0 {
			c.Shape = tensor.Shape{axis, axis}
		}
		if set, err := data.ReadCSV(bytes.NewReader(raw), c); err == nil {
			read(t, set, set.Len()-1, 0)
		}
	})
}
