package kernel

// quartersMaxFast is quartersMax, or says that it has to be done elsewhere.
func quartersMaxFast[F Float](y []F, winners []int32, x []F, p *Pool) bool {
	if !vectorized[F]() || len(y) == 0 {
		return false
	}
	pitch, rows, width := p.Size[1], p.Size[0]/2, p.Size[1]/2
	x, y = x[:p.Size[0]*pitch], y[:rows*width]
	var places [5][8]int32
	for i, place := range [8]int32{0, 2, 8, 10, 4, 6, 12, 14} { // in the order of halves that were shuffled
		w := int32(pitch)
		places[0][i], places[1][i], places[2][i], places[3][i], places[4][i] = place, 1, w, w+1, 2*w
	}
	var won *int32
	if winners != nil {
		won = &winners[:len(y)][0]
	}
	tail := (width-1)%lanes + 1
	quartersMax8(rows, width, start(y), start(x), 4*pitch, won, &places, mask(2*tail), mask(tail))
	return true
}
