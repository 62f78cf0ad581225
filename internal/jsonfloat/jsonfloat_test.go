package jsonfloat

import (
	"encoding/json"
	"math"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for v, want := range map[float64]string{
		1.5: "1.5", -3e-200: "-3e-200", math.Inf(1): `"+Inf"`, math.Inf(-1): `"-Inf"`, math.NaN(): "null",
	} {
		text, err := json.Marshal(Float(v))
		if err != nil || string(text) != want {
			t.Errorf("%v is %s, %v; want %s", v, text, err, want)
		}
		var back Float
		if err := json.Unmarshal(text, &back); err != nil || math.Float64bits(float64(back)) != math.Float64bits(v) && !math.IsNaN(v) {
			t.Errorf("%s is %v, %v; want %v", text, back, err, v)
		}
	}
	var f Float
	if err := json.Unmarshal([]byte(`"high"`), &f); err == nil {
		t.Error("a word was taken for a number")
	}
}
