package task

import "testing"

func TestWrittenSteps(t *testing.T) {
	for _, test := range []struct {
		steps      func(a, b int) string
		a, b       int
		want, name string
	}{
		{adding, 4, 9, "4+9=13", "one digit"},
		{adding, 87, 36, "7+6=13,8+3+1=12", "carries"},
		{adding, 478, 521, "8+1=9,7+2=9,4+5=9", "no carry"},
		{adding, 999, 101, "9+1=10,9+0+1=10,9+1+1=11", "a carry each time"},
		{multiplying, 2, 9, "2*9=18", "one digit"},
		{multiplying, 34, 27, "34*7=238,34*20=680,238+680=918", "two digits"},
		{multiplying, 56, 30, "56*0=0,56*30=1680,0+1680=1680", "a zero"},
		{multiplying, 111, 203, "111*3=333,111*0=0,333+0=333,111*200=22200,333+22200=22533", "three digits"},
	} {
		if got := test.steps(test.a, test.b); got != test.want {
			t.Errorf("%s: %d and %d: %s; want %s", test.name, test.a, test.b, got, test.want)
		}
	}
}
