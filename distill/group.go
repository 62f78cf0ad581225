package distill

import (
	"cmp"
	"fmt"
	"path"
)

// A Group treats some of the parameters in its own way.
type Group struct {
	// Match is a pattern, as in path.Match, for the names of the parameters of
	// the group. A dot is like any other character: "*.bias" matches
	// "block1.conv.bias". It has to match at least one parameter, and none that
	// another group matches; buffers, such as running statistics, are in no
	// group.
	Match string
	// Rate is a factor on the learning rate. 0 means 1.
	Rate float64
	// NoDecay spares the group the weight decay, as is usual for biases and
	// the parameters of norms.
	NoDecay bool
	// MaxNorm bounds the Euclidean norm of the weights into each unit, after
	// every step: of the rows of a parameter (out, in), the filters of one (out,
	// in, kernel...). Vectors are left as they are. It lets one begin with rates
	// that would be too high otherwise (Hinton et al. 2012, 1207.0580, section 2).
	// 0 does not.
	MaxNorm float64
	// Freeze keeps the group as it is. It goes with no other setting. The running
	// statistics of a [student.BatchNorm] move all the same, unless it is Fixed.
	Freeze bool
}

// A treatment is what the groups come to for one parameter.
type treatment struct {
	rate    float64 // a factor
	decay   bool
	freeze  bool
	maxNorm float64
}

// treat finds the treatment of each of the named parameters.
func treat(groups []Group, names []string) ([]treatment, error) {
	treatments := make([]treatment, len(names))
	owner := make([]int, len(names)) // 1 + the index of the group
	for i := range treatments {
		treatments[i] = treatment{rate: 1, decay: true}
	}
	for i, g := range groups {
		if err := g.validate(i); err != nil {
			return nil, err
		}
		used := false
		for j, name := range names {
			if ok, _ := path.Match(g.Match, name); !ok {
				continue
			}
			if k := owner[j] - 1; k >= 0 {
				return nil, fmt.Errorf("distill: Groups[%d].Match %q and Groups[%d].Match %q both match %s; want one group for a parameter", k, groups[k].Match, i, g.Match, name)
			}
			owner[j], treatments[j], used = i+1, g.treatment(), true
		}
		if !used {
			return nil, fmt.Errorf("distill: Groups[%d].Match is %q, which matches no parameter; want a pattern that does", i, g.Match)
		}
	}
	return treatments, nil
}

func (g Group) treatment() treatment {
	t := treatment{rate: g.Rate, decay: !g.NoDecay, freeze: g.Freeze, maxNorm: g.MaxNorm}
	if g.Rate == 0 {
		t.rate = 1
	}
	return t
}

// validate says what is wrong with group i.
func (g Group) validate(i int) error {
	if _, err := path.Match(g.Match, ""); err != nil {
		return fmt.Errorf("distill: Groups[%d].Match is %q; want a pattern of path.Match: %w", i, g.Match, err)
	}
	if g.Freeze && (g.Rate != 0 || g.NoDecay || g.MaxNorm != 0) {
		return fmt.Errorf("distill: Groups[%d].Freeze is true with Rate %v, NoDecay %t and MaxNorm %v; want none of them in a frozen group", i, g.Rate, g.NoDecay, g.MaxNorm)
	}
	return cmp.Or(
		checkFactor(fmt.Sprintf("Groups[%d].Rate", i), g.Rate),
		checkFactor(fmt.Sprintf("Groups[%d].MaxNorm", i), g.MaxNorm),
	)
}
