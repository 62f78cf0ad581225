package data

import "math/rand/v2"

// mix hashes words to one, with the finalizer of SplitMix64 (Steele, Lea and
// Flood 2014, doi 10.1145/2660193.2660195) after each.
func mix(words ...uint64) uint64 {
	var h uint64
	for _, w := range words {
		h = (h ^ w) + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// generator is a generator of its own for each list of words.
func generator(seed uint64, words ...uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, mix(words...)))
}
