package kernel

// int8Rows is how many rows a tile has at most.
const int8Rows = 4

func quantizeFast(q []int8, x []float32, inverse float32) int {
	n := vectors[float32](len(x))
	if n > 0 {
		quantize8(n, &q[0], &x[0], inverse)
	}
	return n
}

func magnitudeFast(x []float32) (done int, top uint32) {
	n := vectors[float32](len(x))
	if n > 0 {
		var tops [lanes]uint32
		magnitudes(n, &x[0], &tops)
		for _, v := range tops {
			top = max(top, v)
		}
	}
	return n, top
}

// fast computes some panels for all rows, or says that it has to be done
// elsewhere. Of one row, four panels at once keep the adders busy.
func (p *int8Job) fast(from, to int) bool {
	if !simd {
		return false
	}
	for panel := from; panel < to; {
		panels := 1
		if p.beside > 1 && (panel+p.beside)*int8Columns <= p.out {
			panels = p.beside
		}
		p.tiles(panel, panels)
		panel += panels
	}
	return true
}

// tiles computes a panel for all rows, or several for one.
func (p *int8Job) tiles(panel, panels int) {
	from := panel * int8Columns
	width := min(panels*int8Columns, p.out-from)
	t := int8Tile{job: p, panels: panels, w: &p.packed[from*p.depth], scales: &p.scales[from]}
	switch {
	case p.bias == nil:
	case width < int8Columns:
		t.bias = &p.edge[0]
	default:
		t.bias = &p.bias[from]
	}
	for top := 0; top < p.rows; top += int8Rows {
		rows := min(int8Rows, p.rows-top)
		if width >= int8Columns {
			t.compute(top, rows, &p.y[top*p.out+from], 4*p.out)
			continue
		}
		var edge [int8Rows][int8Columns]float32
		t.compute(top, rows, &edge[0][0], 4*int8Columns)
		for r := range rows {
			copy(p.y[(top+r)*p.out+from:], edge[r][:width])
		}
	}
}

// An int8Tile is what the tiles of a panel share.
type int8Tile struct {
	job          *int8Job
	panels       int
	w            *int8
	scales, bias *float32
}

func (t *int8Tile) compute(top, rows int, y *float32, ld int) {
	depth := t.job.depth
	groups, x, scale := depth/int8Group, &t.job.q[top*depth], &t.job.xScales[top]
	switch {
	case t.panels == int8Beside:
		int8Row64(groups, x, depth, t.w, int8Columns*depth, y, ld, scale, t.scales, t.bias)
	case rows == 4:
		int8Tile4(groups, x, depth, t.w, 0, y, ld, scale, t.scales, t.bias)
	case rows == 3:
		int8Tile3(groups, x, depth, t.w, 0, y, ld, scale, t.scales, t.bias)
	case rows == 2:
		int8Tile2(groups, x, depth, t.w, 0, y, ld, scale, t.scales, t.bias)
	case rows == 1:
		int8Tile1(groups, x, depth, t.w, 0, y, ld, scale, t.scales, t.bias)
	}
}
