package distill

import (
	"encoding/json"
	"math"

	"github.com/godistill/godistill/internal/jsonfloat"
)

// MarshalJSON implements [json.Marshaler].
func (m Metrics) MarshalJSON() ([]byte, error) { return json.Marshal(m.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	nan := math.NaN()
	*m = Metrics{Loss: nan, Accuracy: nan, Top5: nan, NLL: nan, ECE: nan, Agreement: nan, TeacherKL: nan}
	w := m.wire()
	err := json.Unmarshal(text, w)
	m.Answers, m.Numbers, m.Pixels = w.Answers, w.Numbers, w.Pixels
	return err
}

type wire struct {
	Rows      *int         `json:"rows"`
	Loss      *number      `json:"loss"`
	Terms     *[]TermValue `json:"terms"`
	Accuracy  *number      `json:"accuracy"`
	Top5      *number      `json:"top5"`
	NLL       *number      `json:"nll"`
	ECE       *number      `json:"ece"`
	Agreement *number      `json:"agreement"`
	TeacherKL *number      `json:"teacher_kl"`
	Answers   *Answers     `json:"answers,omitempty"`
	Numbers   *Numbers     `json:"numbers,omitempty"`
	Pixels    *Pixels      `json:"pixels,omitempty"`
}

// wire has pointers to the fields, which serve for both directions: a null
// leaves its field as it is.
func (m *Metrics) wire() *wire {
	return &wire{
		&m.Rows, (*number)(&m.Loss), &m.Terms,
		(*number)(&m.Accuracy), (*number)(&m.Top5), (*number)(&m.NLL), (*number)(&m.ECE),
		(*number)(&m.Agreement), (*number)(&m.TeacherKL), m.Answers, m.Numbers, m.Pixels,
	}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (a Answers) MarshalJSON() ([]byte, error) { return json.Marshal(a.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (a *Answers) UnmarshalJSON(text []byte) error {
	*a = Answers{F1: math.NaN(), AUROC: math.NaN()}
	return json.Unmarshal(text, a.wire())
}

func (a *Answers) wire() any {
	return &struct {
		F1    *number `json:"f1"`
		AUROC *number `json:"auroc"`
	}{(*number)(&a.F1), (*number)(&a.AUROC)}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (n Numbers) MarshalJSON() ([]byte, error) { return json.Marshal(n.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (n *Numbers) UnmarshalJSON(text []byte) error {
	nan := math.NaN()
	*n = Numbers{MAE: nan, RMSE: nan, R2: nan, TeacherRMSE: nan}
	return json.Unmarshal(text, n.wire())
}

func (n *Numbers) wire() any {
	return &struct {
		MAE         *number `json:"mae"`
		RMSE        *number `json:"rmse"`
		R2          *number `json:"r2"`
		TeacherRMSE *number `json:"teacher_rmse"`
	}{(*number)(&n.MAE), (*number)(&n.RMSE), (*number)(&n.R2), (*number)(&n.TeacherRMSE)}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (p Pixels) MarshalJSON() ([]byte, error) { return json.Marshal(p.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (p *Pixels) UnmarshalJSON(text []byte) error {
	*p = Pixels{IoU: math.NaN()}
	return json.Unmarshal(text, p.wire())
}

func (p *Pixels) wire() any {
	return &struct {
		IoU *number `json:"iou"`
	}{(*number)(&p.IoU)}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (v TermValue) MarshalJSON() ([]byte, error) {
	w := v.wire()
	if v.T == 0 {
		w.T = nil
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN, and of the
// temperature 0.
func (v *TermValue) UnmarshalJSON(text []byte) error {
	*v = TermValue{Value: math.NaN(), Weight: math.NaN()}
	return json.Unmarshal(text, v.wire())
}

type termWire struct {
	Name   *string `json:"name"`
	Value  *number `json:"value"`
	Weight *number `json:"weight"`
	T      *number `json:"temperature,omitempty"`
}

func (v *TermValue) wire() *termWire {
	return &termWire{&v.Name, (*number)(&v.Value), (*number)(&v.Weight), (*number)(&v.T)}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (g TapGradient) MarshalJSON() ([]byte, error) { return json.Marshal(g.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (g *TapGradient) UnmarshalJSON(text []byte) error {
	*g = TapGradient{Norm: math.NaN()}
	return json.Unmarshal(text, g.wire())
}

func (g *TapGradient) wire() any {
	return &struct {
		Term *string `json:"term"`
		Tap  *string `json:"tap"`
		Norm *number `json:"norm"`
	}{&g.Term, &g.Tap, (*number)(&g.Norm)}
}

// A number can be written as JSON whatever it is.
type number = jsonfloat.Float
