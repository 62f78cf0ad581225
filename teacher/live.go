package teacher

// Live is t with a card that says it may change while a student learns from
// it, as a peer or a moving average of the student does.
func Live(t Teacher) Teacher { return live{t} }

type live struct{ Teacher }

func (l live) Card() (Card, error) {
	card, err := l.Teacher.Card()
	card.Live = true
	return card, err
}
