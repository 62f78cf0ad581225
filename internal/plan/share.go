package plan

// A Result is what needs memory for a while.
type Result struct {
	Size  int // in elements
	First int // the step that computes it
	Last  int // the last step that reads it
	Kind  any // results share memory with those of their kind
}

// Share places results, which are in the order of their First, in buffers: those
// that are not needed at the same time may share one. It returns which buffer
// each has, and how large the buffers are.
func Share(results []Result) (place, sizes []int) {
	var buffers []buffer
	for _, r := range results {
		b := take(&buffers, r)
		buffers[b].size = max(buffers[b].size, r.Size)
		place = append(place, b)
	}
	for _, b := range buffers {
		sizes = append(sizes, b.size)
	}
	return place, sizes
}

// A buffer is memory for results, one after the other.
type buffer struct {
	size int
	last int // step that needs what it holds
	kind any
}

// take finds room for r: the smallest buffer that is free and large enough, or
// else the largest free one, which grows, or a new one.
func take(buffers *[]buffer, r Result) int {
	best := -1
	for i, b := range *buffers {
		if b.kind == r.Kind && b.last < r.First && (best < 0 || better(b.size, (*buffers)[best].size, r.Size)) {
			best = i
		}
	}
	if best < 0 {
		*buffers = append(*buffers, buffer{kind: r.Kind})
		best = len(*buffers) - 1
	}
	(*buffers)[best].last = r.Last
	return best
}

// better says whether a buffer of size a is better than one of size b for so
// many elements.
func better(a, b, size int) bool {
	if b >= size {
		return a >= size && a < b
	}
	return a > b
}
