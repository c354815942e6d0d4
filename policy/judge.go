package policy

import (
	"errors"

	"sluice/access"
)

// maxChain bounds how many parties may act for each other.
const maxChain = 8

// A finding is one candidate rule and what it says to the question.
type finding struct {
	rule *rule
	met  tri
	err  error
	// by are the members of the actor chain for whom it is met, one bit each:
	// every member needs an allow, possibly of different rules.
	by uint8
	// stale: the rule asks for a fresh sign-in and this is none, so it denies.
	stale bool
}

// holds reports whether the rule takes effect: a rule that restricts also does
// where it cannot be told, a rule that allows does not.
func (f *finding) holds() bool {
	return f.err == nil && (f.met == yes || f.met == unknown && !f.rule.allows())
}

// A judgement is every finding that matters for one question.
type judgement struct {
	q        *question
	findings []finding // met, unknown or failed
	stable   bool      // no candidate looked at what may change
	everyone uint8     // the members of the actor chain, one bit each
}

// parties checks who asks and where, and returns the members of the actor
// chain, one bit each.
func parties(r *access.Request) (everyone uint8, err error) {
	if r.Resource.Name == "" || r.Resource.Protocol == "" {
		return 0, errors.New("the request names no resource")
	}
	n := 0
	for who := &r.Subject; who != nil; who = who.Actor {
		if n++; n > maxChain {
			return 0, errors.New("too many parties act for each other")
		}
		if who.ID == "" {
			return 0, errors.New("the request names nobody who asks")
		}
		everyone = everyone<<1 | 1
	}
	return everyone, nil
}

// judge evaluates every candidate.
func (s *Set) judge(q *question) (*judgement, error) {
	everyone, err := parties(q.r)
	if err != nil {
		return nil, err
	}
	j := &judgement{q: q, stable: true, everyone: everyone}
	s.forEach(q, func(r *rule) {
		f := finding{rule: r}
		f.met, f.by = r.static(q)
		if f.met == no {
			return
		}
		if r.changing() {
			j.stable = false
		}
		if r.when != nil {
			t, err := r.when.eval(q)
			f.met, f.err = min(f.met, t), err
		}
		f.freshen(q)
		if f.met != no || f.err != nil {
			j.findings = append(j.findings, f)
		}
	})
	return j, nil
}

// forEach calls f for the candidates, in order.
func (s *Set) forEach(q *question, f func(*rule)) {
	var room [16]uint64 // enough for a thousand rules without an allocation
	candidates := bitset(room[:])
	if s.index.words > len(room) {
		candidates = s.index.empty()
	}
	candidates = candidates[:s.index.words]
	s.index.candidates(q, candidates)
	candidates.each(func(i int) { f(s.rules[i]) })
}

// static evaluates the match block for every member of the actor chain. A rule
// that restricts is met if it is for any of them; a rule that allows, for those
// in by.
func (r *rule) static(q *question) (met tri, by uint8) {
	if q.r.Subject.Actor == nil {
		if met = r.match.residual(q, &q.r.Subject, r.allows()); met == yes {
			by = 1
		}
		return met, by
	}
	bit := uint8(1)
	for who := &q.r.Subject; who != nil; who = who.Actor {
		t := r.match.eval(q, who, r.allows())
		if t == yes {
			by |= bit
		}
		met = max(met, t)
		bit <<= 1
	}
	return met, by
}

// mayAct finds a rule that could allow something, whatever the action, for
// every member of the chain; nil if there is none for one of them.
func (s *Set) mayAct(r *access.Request) *rule {
	everyone, err := parties(r)
	if err != nil {
		return nil
	}
	q := newQuestion(r)
	q.posture = true
	var (
		first *rule
		have  uint8
	)
	s.forEach(q, func(rule *rule) {
		if !rule.allows() || rule.monitor {
			return
		}
		if by := rule.couldAllow(q); by != 0 {
			have |= by
			if first == nil {
				first = rule
			}
		}
	})
	if have&everyone != everyone {
		return nil
	}
	return first
}

// couldAllow returns the members of the chain for whom the rule may be met.
func (r *rule) couldAllow(q *question) (by uint8) {
	if r.when != nil {
		if t, err := r.when.eval(q); err != nil || t == no {
			return 0
		}
	}
	bit := uint8(1)
	for who := &q.r.Subject; who != nil; who = who.Actor {
		if r.match.eval(q, who, true) != no {
			by |= bit
		}
		bit <<= 1
	}
	return by
}
