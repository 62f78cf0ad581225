package graph

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/gorgonia"
)

// refused are the operations of Gorgonia v0.9.18 that corrupt training without
// an error, by the Go type of the op, with what to use instead. The tests named
// TestTrap show each at its worst.
var refused = map[string]string{
	"gorgonia.randomOp":            "it draws from the clock; use Builder.Dropout, or feed the draw as an input",
	"gorgonia.dropoutOp":           "its gradient is divided by the wrong number; use Builder.Dropout",
	"gorgonia.softmaxOp":           "SoftMax and LogSoftMax of one node become one; use Builder.LogSoftmax or Softmax",
	"gorgonia.BatchNormOp":         "its statistics live in the graph and follow the machine's mode",
	"gorgonia.avgPoolOp":           "its gradient is wrong",
	"gorgonia.globalAveragePoolOp": "it has no gradient",
	"gorgonia.byIndicesOp":         "it answers an index out of range with a wrong row; feed a one-hot matrix",
}

// Refused says why n, or what it was made of, cannot be used. Nodes in seen
// were checked before and are passed over; the others are added to it. An input
// that is not in seen is nobody's: Gorgonia merges those that look alike.
func Refused(n *gorgonia.Node, seen map[*gorgonia.Node]bool) error {
	if n == nil {
		return errors.New("the node is nil")
	}
	// Conv2d and Broadcast reshape too, and do no harm: a Machine writes
	// nothing in place.
	if n.Op() != nil && kind(n) == "gorgonia.reshapeOp" {
		return refusal(n, "it aliases its input; use Builder.Reshape")
	}
	return refuse(n, seen)
}

func refuse(n *gorgonia.Node, seen map[*gorgonia.Node]bool) error {
	if seen[n] {
		return nil
	}
	if n.Op() == nil {
		return fmt.Errorf("gorgonia's input %s is refused: it may be merged with another; use Builder.Input, Constant or Param", n.Name())
	}
	seen[n] = true
	if why := fault(n); why != "" {
		return refusal(n, why)
	}
	for _, c := range Children(n) {
		if err := refuse(c, seen); err != nil {
			return err
		}
	}
	return nil
}

func refusal(n *gorgonia.Node, why string) error {
	return fmt.Errorf("gorgonia's %v is refused: %s", n.Op(), why)
}

// fault is what is wrong with n by itself, "" for nothing.
func fault(n *gorgonia.Node) string {
	name := n.Op().String()
	switch k := kind(n); k {
	case "gorgonia.constantTensor":
		return "it may be merged with another; use Builder.Constant"
	case "gorgonia.constantScalar":
		if n.Name() != fmt.Sprint(n.Value()) {
			return "constants of one name are merged; leave it without a name"
		}
	case "gorgonia.elemUnaryOp":
		if name == "invSqrt" || name == "log2" {
			return "its gradient is wrong"
		}
	case "gorgonia.sumOp", "gorgonia.maxOp":
		if misreduced(Children(n)[0].Dims(), axes(name)) {
			return "it is wrong along an axis between the second and the last; bring the axis to an end with Transpose"
		}
	case "gorgonia.repeatOp":
		if misreduced(n.Dims()-repeats(n), axes(name)) {
			return "its gradient is wrong along an axis between the second and the last"
		}
	default:
		return refused[k]
	}
	return ""
}

func kind(n *gorgonia.Node) string { return strings.TrimPrefix(fmt.Sprintf("%T", n.Op()), "*") }

// repeats counts the repetitions that Broadcast has stacked on n.
func repeats(n *gorgonia.Node) int {
	for it := n.Graph().To(n.ID()); it.Next(); {
		if up := it.Node().(*gorgonia.Node); up.Op() != nil && kind(up) == "gorgonia.repeatOp" && Children(up)[0] == n {
			return 1 + repeats(up)
		}
	}
	return 0
}

// misreduced says that the tensor package goes wrong when it reduces these axes
// of so many dimensions. It does one after the other, and knows only the first
// two axes and the last.
func misreduced(dims int, axes []int) bool {
	for i, a := range slices.Sorted(slices.Values(axes)) {
		if a-i >= 2 && a < dims-1 {
			return true
		}
	}
	return false
}

// axes are the numbers in the name of an op, as in "Σ[2 3]" and "Repeat2".
func axes(name string) []int {
	var all []int
	for _, s := range strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' }) {
		if a, err := strconv.Atoi(s); err == nil {
			all = append(all, a)
		}
	}
	return all
}
