package graph

// Late makes losses of classes compute their gradient when it is wanted, until it
// is called again.
func Late() (undo func()) {
	before := manyLogits
	manyLogits = 0
	return func() { manyLogits = before }
}
