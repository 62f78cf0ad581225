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
	return json.Unmarshal(text, m.wire())
}

// wire has pointers to the fields, which serve for both directions: a null
// leaves its field as it is.
func (m *Metrics) wire() any {
	return &struct {
		Rows      *int         `json:"rows"`
		Loss      *number      `json:"loss"`
		Terms     *[]TermValue `json:"terms"`
		Accuracy  *number      `json:"accuracy"`
		Top5      *number      `json:"top5"`
		NLL       *number      `json:"nll"`
		ECE       *number      `json:"ece"`
		Agreement *number      `json:"agreement"`
		TeacherKL *number      `json:"teacher_kl"`
	}{
		&m.Rows, (*number)(&m.Loss), &m.Terms,
		(*number)(&m.Accuracy), (*number)(&m.Top5), (*number)(&m.NLL), (*number)(&m.ECE),
		(*number)(&m.Agreement), (*number)(&m.TeacherKL),
	}
}

// MarshalJSON implements [json.Marshaler], with numbers as in [Metrics].
func (v TermValue) MarshalJSON() ([]byte, error) { return json.Marshal(v.wire()) }

// UnmarshalJSON implements [json.Unmarshaler]. What is absent is NaN.
func (v *TermValue) UnmarshalJSON(text []byte) error {
	*v = TermValue{Value: math.NaN(), Weight: math.NaN()}
	return json.Unmarshal(text, v.wire())
}

func (v *TermValue) wire() any {
	return &struct {
		Name   *string `json:"name"`
		Value  *number `json:"value"`
		Weight *number `json:"weight"`
	}{&v.Name, (*number)(&v.Value), (*number)(&v.Weight)}
}

// A number can be written as JSON whatever it is.
type number = jsonfloat.Float
