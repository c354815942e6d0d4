package policy

import (
	"slices"

	"sluice/access"
)

// Posture says what could apply to a subject at a resource, before any action
// is known: conditions on the action, the time, the client and the session
// count as possible. Version is left to [Live].
func (s *Set) Posture(subject access.Subject, resource access.Resource) access.Posture {
	if s == nil {
		return access.Posture{}
	}
	r := access.Request{Subject: subject, Resource: resource}
	p := access.Posture{May: s.mayAct(&r) != nil, ReadOnly: true}
	q := newQuestion(&r)
	q.posture = true
	s.forEach(q, func(rule *rule) {
		if rule.monitor {
			return
		}
		if rule.allows() && rule.writes() && rule.couldAllow(q) != 0 {
			p.ReadOnly = false
		}
		t := rule.possible(q)
		switch {
		case t == no:
		case rule.effect == effDeny && t == yes:
			p.May = false // denies whatever is asked
		case rule.mask != nil:
			p.Masked, p.Restricted = true, true
		case rule.onObjects(), rule.facts() != 0, rule.understands():
			p.Restricted = true
		}
	})
	return p
}

// understands reports whether what the rule asks people about must be fully
// understood to be asked about as it says.
func (r *rule) understands() bool {
	return r.approval != nil && (r.approval.At != access.Before || r.approval.Grant != nil)
}

// writes reports whether the rule is about verbs that do more than read.
func (r *rule) writes() bool {
	if !r.match.hasVerbs || r.match.verbs.has(access.VerbUnknown) {
		return true
	}
	return slices.ContainsFunc(access.Verbs(), func(v access.Verb) bool {
		return r.match.verbs.has(v) && v.Class() != access.ClassRead && v.Class() != access.ClassSession
	})
}

// possible says whether the rule can be met by some action: yes if by every one.
func (r *rule) possible(q *question) tri {
	t, _ := r.static(q)
	if r.maxAge > 0 {
		t = min(t, unknown) // another moment, another answer
	}
	if t == no || r.when == nil {
		return t
	}
	w, err := r.when.eval(q)
	if err != nil {
		return unknown // whether it fails may depend on the action
	}
	return min(t, w)
}
