package main

import (
	"context"
	"errors"
	"runtime/debug"
)

// A side takes turns.
type side interface {
	take(turn) (result, error)
}

// play does a case: our side and each peer prepare it, agree, and take turns.
func (m match) play(ctx context.Context, bench *kernels, peers []*peer, dir string, rounds int) (row, error) {
	debug.FreeOSMemory()
	forgetPeak(self)
	sides := []side{product{bench, ctx, m.name}, peak{bench, ctx}}
	var losses []float64
	if m.open != nil {
		us, err := m.open(ctx, m.task, dir)
		if err != nil {
			return row{}, err
		}
		defer us.close()
		sides[0], losses = us, us.losses
	}
	for _, p := range peers {
		forgetPeak(p.cmd.Process.Pid)
		if err := p.prepare(m.task, dir, losses); err != nil {
			return row{}, err
		}
		sides = append(sides, p)
	}
	results, err := alternate(ctx, sides, m.turn, rounds)
	if err != nil {
		return row{}, err
	}
	return m.judge(results, peers), nil
}

// alternate is what each side came to in each round.
func alternate(ctx context.Context, sides []side, t turn, rounds int) ([][]result, error) {
	results := make([][]result, len(sides))
	for range rounds {
		for i, s := range sides {
			r, err := s.take(t)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			results[i] = append(results[i], r)
		}
	}
	return results, nil
}

// judge makes a row of our results, those of the peak, and those of the faster
// peer.
func (m match) judge(results [][]result, peers []*peer) row {
	r := emptyRow(m.name)
	ours := times(results[0])
	r.Ours, r.Allocs = number(median(ours)), number(median(allocs(results[0])))
	if m.open != nil {
		r.OursMB = peakMB(self)
	}
	share, _, _ := ratios(times(results[1]), ours)
	r.Peak = number(m.gflop) * share
	for i, p := range peers {
		theirs := times(results[i+2])
		if ms := number(median(theirs)); !(r.Peer <= ms) {
			r.Peer, r.Threads, r.PeerMB = ms, p.threads, peakMB(p.cmd.Process.Pid)
			r.Ratio, r.Low, r.High = ratios(theirs, ours)
		}
	}
	return r
}

func times(rs []result) (ms []float64) {
	for _, r := range rs {
		ms = append(ms, r.ms)
	}
	return ms
}

func allocs(rs []result) (n []float64) {
	for _, r := range rs {
		n = append(n, r.allocs)
	}
	return n
}
