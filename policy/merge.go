package policy

import (
	"fmt"

	"sluice/access"
)

// Decide answers a request. It never fails: what cannot be decided is denied,
// with the failure as reason.
func (s *Set) Decide(r access.Request) access.Decision {
	if s == nil {
		return refusal("no policy is loaded")
	}
	q := newQuestion(&r)
	j, err := s.judge(q)
	if err != nil {
		return refusal(err.Error())
	}
	d := s.merge(j)
	d.Policy = s.digest
	d.Needs = j.needs()
	d.Stable = j.stable && r.Context.Approved == nil
	return d
}

// refusal denies for a reason that is no rule.
func refusal(why string) access.Decision {
	return access.Decision{
		Reasons: []access.Reason{{Rule: "default", Effect: access.Deny.String(), Message: why}},
		Message: why,
	}
}

// merge makes one decision of all findings: deny overrides, then a missing
// allow, then approval; obligations come from every rule that holds.
func (s *Set) merge(j *judgement) access.Decision {
	var d access.Decision
	d.Would = j.would()
	if f := j.denier(); f != nil {
		j.deny(&d, f)
		return d
	}
	grant := j.grant()
	if grant == nil && j.q.r.Action.Verb.Class() == access.ClassSession {
		grant = s.mayAct(j.q.r) // what every session needs: for whoever may do anything
	}
	if grant == nil {
		s.byDefault(j, &d)
		return d
	}
	if m := j.misused(); m != nil {
		j.refuse(&d, m)
		return d
	}
	asks, approved := j.asks()
	d.Obligations = j.obligations()
	if len(asks) > 0 {
		if by, missing := j.unexplained(asks); by != nil {
			d.Obligations = nil
			j.demand(&d, by, missing)
			return d
		}
		j.ask(&d, asks)
		return d
	}
	if approved != nil {
		if l, ok := capped(j.q.r, approved); ok {
			d.Obligations = append(d.Obligations, l)
		}
	}
	d.Effect = access.Allow
	d.Reasons = append(make([]access.Reason, 0, len(j.findings)), grant.reason())
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule != grant && !f.rule.monitor && f.holds() {
			d.Reasons = append(d.Reasons, f.rule.reason())
		}
	}
	if approved != nil {
		d.Message = "approved"
	}
	return d
}

// denier returns the finding that denies, the clearest first: a rule that is
// met, one that failed, one that cannot be told.
func (j *judgement) denier() *finding {
	var best *finding
	rank := func(f *finding) int {
		switch {
		case f.rule.monitor:
			return 0
		case f.err != nil:
			return 2
		case f.stale && f.holds():
			return 3
		case f.rule.effect != effDeny:
			return 0
		case f.met == yes:
			return 3
		case f.met == unknown:
			return 1
		}
		return 0
	}
	for i := range j.findings {
		f := &j.findings[i]
		if rank(f) > 0 && (best == nil || rank(f) > rank(best)) {
			best = f
		}
	}
	return best
}

// grant returns the rule that allows, if every member of the chain has one.
func (j *judgement) grant() *rule {
	var first *rule
	var by uint8
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule.allows() && !f.rule.monitor && f.holds() {
			by |= f.by
			if first == nil {
				first = f.rule
			}
		}
	}
	if by&j.everyone != j.everyone {
		return nil
	}
	return first
}

// asks returns the approval rules that hold, unless the approval in the context
// satisfies all of them together: two rules that each want one vote want two
// people, not one who is in both groups.
func (j *judgement) asks() (open []*finding, approved *access.Quorum) {
	for i := range j.findings {
		if f := &j.findings[i]; f.rule.effect == effApproval && !f.rule.monitor && f.holds() {
			open = append(open, f)
		}
	}
	if j.q.r.Context.Approved != nil && len(open) > 0 {
		if q := mergeQuorums(open); approvedBy(j.q.r, q) {
			return nil, &q
		}
	}
	return open, nil
}

func (j *judgement) deny(d *access.Decision, by *finding) {
	d.Message, d.Hint = by.rule.message, by.rule.hint
	first := by.explained(j.q)
	switch {
	case by.err != nil:
		d.Message = "the rule could not be evaluated, so it denies: " + by.err.Error()
		first.Effect, first.Message = access.Deny.String(), d.Message
	case by.stale:
		d.Message, d.Hint = first.Message, loginHint
	case by.met == unknown:
		d.Message = join(d.Message, j.doubt(by.rule))
	case d.Message == "":
		d.Message = fmt.Sprintf("%s on %s is not allowed", j.verb(), j.q.r.Resource.Name)
	}
	if d.Hint == "" && by.rule.owner != "" {
		d.Hint = "ask " + by.rule.owner + ", who owns this policy"
	}
	d.Reasons = j.reasons(first, by.rule)
}

// doubt says what kept a rule from being answered.
func (j *judgement) doubt(r *rule) string {
	a := &j.q.r.Action
	if a.Confidence == access.Exact {
		if why := j.unasked(r); why != "" {
			return why
		}
	}
	why := "what this reaches is not fully understood (" + a.Confidence.String()
	if a.SQL != nil && a.SQL.Why != "" {
		why += ": " + a.SQL.Why
	}
	return why + "), and the rule may apply to it"
}

func (j *judgement) verb() string {
	if op := j.q.r.Action.Op; op != "" {
		return op
	}
	return j.q.r.Action.Verb.String()
}

// reasons puts first first, then every other rule that holds, as overridden.
func (j *judgement) reasons(first access.Reason, but *rule) []access.Reason {
	all := []access.Reason{first}
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule == but || f.rule.monitor || !f.holds() && f.err == nil {
			continue
		}
		r := f.explained(j.q)
		r.Lost = true
		all = append(all, r)
	}
	return all
}

// explained is the rule's reason with the values that decided.
func (f *finding) explained(q *question) access.Reason {
	r := f.rule.reason()
	r.Because = f.because(q)
	if f.stale {
		r.Effect, r.Message = access.Deny.String(), f.staleText()
	}
	if f.err != nil {
		r.Message = "could not be evaluated: " + f.err.Error()
	}
	return r
}

// ask demands approval: everybody whom any rule names, in the highest number,
// within the shortest time.
func (j *judgement) ask(d *access.Decision, asks []*finding) {
	d.Effect = access.RequireApproval
	d.Approval = mergeQuorums(asks)
	first := asks[0]
	d.Message, d.Hint = first.rule.message, first.rule.hint
	if d.Message == "" {
		d.Message = fmt.Sprintf("%s on %s needs approval", j.verb(), j.q.r.Resource.Name)
	}
	if first.met == unknown {
		d.Message = join(d.Message, j.doubt(first.rule))
	}
	d.Reasons = []access.Reason{first.explained(j.q)}
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule == first.rule || f.rule.monitor || !f.holds() {
			continue
		}
		r := f.explained(j.q)
		r.Lost = f.rule.allows()
		d.Reasons = append(d.Reasons, r)
	}
}

// would lists what rules in monitor mode would have done.
func (j *judgement) would() []access.Reason {
	var all []access.Reason
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule.monitor && (f.holds() || f.err != nil) {
			r := f.explained(j.q)
			if m := f.rule.misuse(j.q); m != nil && f.err == nil {
				r.Message = join(r.Message, m.text())
			}
			all = append(all, r)
		}
	}
	return all
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}

// byDefault denies because nothing allows, and says what would.
func (s *Set) byDefault(j *judgement, d *access.Decision) {
	d.Message = fmt.Sprintf("no rule allows %s on %s", j.verb(), j.q.r.Resource.Name)
	if near := s.nearest(j.q); near != nil {
		d.Hint = near.text()
	}
	for i := range j.findings {
		if f := &j.findings[i]; f.rule.effect == effApproval && !f.rule.monitor && f.holds() {
			d.Hint = join(f.rule.name+" asks for approval but grants nothing by itself", d.Hint)
			break
		}
	}
	d.Reasons = j.reasons(access.Reason{Rule: "default", Effect: access.Deny.String(), Message: d.Message}, nil)
}
