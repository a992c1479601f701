package monitor

import (
	"math/big"
	"slices"
)

// within are the lives in the interval, clipped to it.
func (s *story) within(from, to int64) []life {
	if s == nil {
		return nil
	}
	var lives []life
	for _, whole := range s.spans {
		if part, ok := whole.clip(from, to); ok {
			part.inferred = whole.inferred && whole.end <= to
			lives = append(lives, life{part, whole.start >= from && !whole.baseline})
		}
	}
	return lives
}

// described are the traits of an object.
func (s *story) described() []Traits {
	if s == nil {
		return nil
	}
	return []Traits{*s.traits}
}

// life is a span, clipped.
type life struct {
	span
	begun bool // within the interval, and known when
}

// matches says that two lives overlap, or miss each other by no more than the
// grace.
func (l life) matches(other life, grace int64) bool {
	return l.start-grace <= other.end && other.start-grace <= l.end
}

// unmatched is the first life that the other side has nothing for, and which
// is old enough that it should; young tells that there is one that is not.
func (p *comparing) unmatched(lives, others []life) (found *life, young bool) {
	for i, l := range lives {
		switch {
		case slices.ContainsFunc(others, func(o life) bool { return l.matches(o, p.grace) }):
		case l.start+p.grace > p.to:
			young = true
		case found == nil:
			found = &lives[i]
		}
	}
	return found, young
}

// lateness is how long the reports of lives that began in the interval took.
func (p *comparing) lateness(uid string, reported, observed []life) {
	var worst, when int64
	var late [2]*Ref
	for i, o := range observed {
		if !o.begun {
			continue
		}
		n := slices.IndexFunc(reported, func(r life) bool { return o.matches(r, p.grace) })
		if n < 0 {
			if o.start+p.grace <= p.to {
				p.lags = append(p.lags, p.to-o.start)
			}
			continue
		}
		if reported[n].baseline {
			continue // the first scan of whoever reports is no report of what began then
		}
		lag := max(0, reported[n].first.published()-o.start)
		p.lags = append(p.lags, lag)
		if lag > p.grace && lag > worst {
			worst, when = lag, o.start
			late = [2]*Ref{&reported[n].first, &observed[i].first}
		}
	}
	if worst > 0 {
		p.metrics.Late++
		p.find(Finding{Kind: Late, UID: uid, LagMS: worst}, when, when+worst, late[0], late[1])
	}
}

// cover adds the times.
func (p *comparing) cover(reported, observed []life) {
	var covered, seen, said int64
	for _, o := range observed {
		seen += o.end - o.start
		for _, r := range reported {
			covered += max(0, min(o.end, r.end)-max(o.start, r.start))
		}
	}
	for _, r := range reported {
		said += r.end - r.start
	}
	for i, ms := range [...]int64{covered, seen, said} {
		p.sums[i].Add(&p.sums[i], big.NewInt(ms))
	}
}
