package graph

import (
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"
)

// refused are the operations of Gorgonia v0.9.18 that corrupt training without
// an error, by the Go type of the op, with what to use instead. The tests named
// TestTrap show each at its worst.
var refused = map[string]string{
	"gorgonia.reshapeOp":           "it aliases its input; use Builder.Reshape",
	"gorgonia.randomOp":            "it draws from the clock; use Builder.Dropout, or feed the draw as an input",
	"gorgonia.dropoutOp":           "its gradient is divided by the wrong number; use Builder.Dropout",
	"gorgonia.softmaxOp":           "SoftMax and LogSoftMax of one node become one; use Builder.LogSoftmax or Softmax",
	"gorgonia.BatchNormOp":         "its statistics live in the graph and follow the machine's mode",
	"gorgonia.avgPoolOp":           "its gradient is wrong",
	"gorgonia.globalAveragePoolOp": "it has no gradient",
}

// Refused says why n, or what it was made of, cannot be used. Nodes in seen
// were checked before and are passed over; the others are added to it.
func Refused(n *gorgonia.Node, seen map[*gorgonia.Node]bool) error {
	if n == nil {
		return fmt.Errorf("the node is nil")
	}
	if seen[n] {
		return nil
	}
	seen[n] = true
	if n.Op() == nil {
		return nil
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", n.Op()), "*")
	if why, ok := refused[kind]; ok {
		return fmt.Errorf("Gorgonia's %v is refused: %s", n.Op(), why)
	}
	if s := n.Op().String(); kind == "gorgonia.elemUnaryOp" && (strings.Contains(s, "1/√") || strings.Contains(s, "log2")) {
		return fmt.Errorf("Gorgonia's %s is refused: its gradient is wrong", s)
	}
	for _, c := range Children(n) {
		if err := Refused(c, seen); err != nil {
			return err
		}
	}
	return nil
}
