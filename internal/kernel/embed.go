package kernel

// MaxIDs is how many ids there are, at most, where they are kept as floats: float32
// has all integers up to it.
const MaxIDs = 1 << 24

// Embed writes row ids[r] of table (ids, width) to row r of y (rows, width). The
// ids are the caller's to check, as all sizes are.
func Embed[F Float](y, table []F, ids []int, width int) {
	Rows(len(ids), width, func(from, to int) {
		for r := from; r < to; r++ {
			copy(y[r*width:(r+1)*width], table[ids[r]*width:])
		}
	})
}

// EmbedGrad writes the gradient of the table, given that of what Embed wrote: the
// sum of the rows of each id, in their order. Threads share the columns.
func EmbedGrad[F Float](dtable, dy []F, ids []int, width int) {
	blocks := (width + embedColumns - 1) / embedColumns
	Rows(blocks, len(ids)*embedColumns+len(dtable)/blocks, func(from, to int) {
		low, high := from*embedColumns, min(to*embedColumns, width)
		for at := low; at < len(dtable); at += width {
			clear(dtable[at : at+high-low])
		}
		for r, id := range ids {
			sum := dtable[id*width+low : id*width+high]
			addBlock(sum, sum, dy[r*width+low:r*width+high], Identity)
		}
	})
}

// embedColumns are so many that a thread reads whole lines of the cache.
const embedColumns = 32
