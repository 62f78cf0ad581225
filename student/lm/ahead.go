package lm

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// ahead adds the heads that predict what comes later (DeepSeek-V3, 2412.19437,
// equations 21 to 23): number k makes of what the one before it, or the model, has
// at a position, and of the id that comes k later, the logits of the next after
// that.
//
// Its tap "ahead" and k, (B, T, Vocab), has them where the label is that they
// predict, so that it is a term like any other, as in
// distill.CrossEntropy{Student: "ahead1"}. Its first k positions, of each text, are 0: no gradient,
// and a constant that a loss has besides.
func (n *network) ahead(root *student.Builder, taps student.Taps, x, embedded, head *gorgonia.Node) {
	for k := 1; k <= n.Ahead; k++ {
		i := n.Layers + k - 1
		b := root.Scope(fmt.Sprint("layers.", i))
		later := b.Layer("enorm", n.norm, b.Op(graph.Shift(embedded, n.segments, k)))
		x = b.Layer("hnorm", n.norm, x)
		x = b.Layer("eh_proj", n.linear(n.Width, false), b.Op(graph.Concat(later, x)))
		x = n.layer(b, x, i)
		logits := b.Linear(b.Layer("shared_head.norm", n.norm, x), head, nil, student.Identity)
		taps[fmt.Sprint("ahead", k)] = b.Op(graph.Shift(logits, n.segments, -k))
	}
}
