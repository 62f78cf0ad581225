package text

import (
	"fmt"

	"github.com/godistill/godistill/data"
)

// Pack is a set with several examples in a row, as many as fit: for texts that
// are much shorter than the context. The examples follow each other without a
// gap, and no label reaches from one to the next: the last token of a text is
// [data.Unlabelled].
//
// A model without attention masks sees the texts before its own in the row. One
// that takes the inputs of [Sequences.Segments], as those of student/lm do, computes
// each text as it computes that text alone.
//
// In their order, examples go each to the row where it leaves the least room, of
// several to the one that has had as much for longest. So the set depends on the
// examples and their order alone. A row has the id of its first example. All are
// encoded now, and their tokens are kept in memory.
func (s Sequences) Pack(e Examples) (data.Set, error) {
	if err := s.check(e); err != nil {
		return nil, err
	}
	p := &packed{rows: rows{s.spec(e, "pack"), s}}
	open := make([][]int, s.Context+2) // rows by how many tokens have room
	for i := range e.Len() {
		q, err := s.sequence(e, i)
		if err != nil {
			return nil, err
		}
		p.add(e.ID(i), q, open)
	}
	return p, nil
}

// packed has several examples in each row.
type packed struct {
	rows
	texts [][]sequence // of each row
	ids   []uint64
}

// add puts a text into a row that is open, or else into a new one.
func (p *packed) add(id uint64, q sequence, open [][]int) {
	n := len(q.tokens)
	for room := n; room < len(open); room++ {
		if len(open[room]) == 0 {
			continue
		}
		row := open[room][0]
		open[room] = open[room][1:]
		p.texts[row] = append(p.texts[row], q)
		open[room-n] = append(open[room-n], row)
		return
	}
	room := len(open) - 1 - n
	open[room] = append(open[room], len(p.texts))
	p.texts = append(p.texts, []sequence{q})
	p.ids = append(p.ids, id)
}

// Len, ID and Read implement [data.Set].
func (p *packed) Len() int        { return len(p.texts) }
func (p *packed) ID(i int) uint64 { return p.ids[i] }

func (p *packed) Read(i int, view uint64, dst data.Sample) error {
	if i < 0 || i >= len(p.texts) {
		return fmt.Errorf("row %d of a set of %d", i, len(p.texts))
	}
	return p.write(dst, view, p.texts[i]...)
}
