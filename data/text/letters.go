package text

// letters are the characters that byte-level BPE writes bytes as in its files:
// themselves where they can be seen in Latin-1, and else one after the other from
// U+0100 (Radford et al. 2019, bytes_to_unicode).
var letters = func() (all [256]rune) {
	next := rune(256)
	for b := range all {
		r := rune(b)
		if r < '!' || r > '~' && r < '¡' || r == '\u00ad' {
			r = next
			next++
		}
		all[b] = r
	}
	return all
}()

// written is the byte of each letter.
var written = func() map[rune]byte {
	all := make(map[rune]byte, len(letters))
	for b, r := range letters {
		all[r] = byte(b)
	}
	return all
}()

// isSpelled says whether a text is of such letters.
func isSpelled(word string) bool {
	for _, r := range word {
		if _, ok := written[r]; !ok {
			return false
		}
	}
	return true
}

// spelled is the bytes of a token in a file. One that is not of such letters is
// as it is.
func spelled(word string) string {
	if !isSpelled(word) {
		return word
	}
	raw := make([]byte, 0, len(word))
	for _, r := range word {
		raw = append(raw, written[r])
	}
	return string(raw)
}
