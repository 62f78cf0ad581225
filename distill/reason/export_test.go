package reason

var (
	PassAt      = passAt
	Consensus   = consensus
	NewRate     = newRate
	EncodeTrace = encodeTrace
)
