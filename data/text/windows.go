package text

import (
	"fmt"

	"github.com/godistill/godistill/data"
)

// Windows is a set of a long text, cut into rows of the context without a gap:
// BOS, the text and EOS, each of which but the first is predicted once. A row
// begins with the token that the row before it predicts last, and its ids are 0,
// 1 and so on. All labels have weight 1; Truncate has no say, for nothing is left
// out. The tokens are kept in memory.
func (s Sequences) Windows(text string) (data.Set, error) {
	list := List{{Completion: text}}
	if err := s.check(list); err != nil {
		return nil, err
	}
	tokens, err := s.Start(text)
	if err != nil {
		return nil, err
	}
	if tokens = s.end(tokens); len(tokens) < 2 {
		return nil, fmt.Errorf("text: Windows of %d tokens; want 2 or more, to predict one", len(tokens))
	}
	p := &packed{rows: rows{s.spec(list, "windows"), s}}
	for at := 0; at < len(tokens)-1; at += s.Context {
		window := sequence{tokens: tokens[at:min(at+s.Context+1, len(tokens))]}
		p.ids = append(p.ids, uint64(len(p.texts)))
		p.texts = append(p.texts, []sequence{window})
	}
	return p, nil
}
