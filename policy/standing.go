package policy

import (
	"slices"
	"time"

	"sluice/access"
)

// A Standing is what the rules say of an action to every member of a group, at
// any moment and from anywhere: as much of a policy as a database can enforce
// by itself.
type Standing struct {
	Allowed bool
	Rule    access.Reason // that decides; the zero Reason: no rule allows it
	Masks   []access.Mask
	Timeout time.Duration // the shortest that a rule sets; 0: none
	TimedBy access.Reason // the rule of Timeout
	// Open are rules that may apply as well, by what a database does not know:
	// conditions, approvals, limits, single subjects, where the client is.
	Open []access.Reason
}

// Standing answers for one group at a resource. A rule that allows under
// conditions counts as allowing, one that restricts under conditions as not
// restricting, and one that allows single subjects as allowing nobody, since what
// is theirs is not their group's: all are named in Open.
func (s *Set) Standing(res access.Resource, group string, a access.Action) Standing {
	var st Standing
	if s == nil {
		return st
	}
	r := access.Request{Resource: res, Action: a, Subject: access.Subject{Kind: access.Human, Groups: []string{group}}}
	q := newQuestion(&r)
	denied := false
	s.forEach(q, func(rule *rule) {
		if rule.monitor {
			return
		}
		met, momentary := rule.match.standing(q, rule.allows()), rule.momentary()
		if met == no || met == unknown && !momentary && rule.allows() {
			return
		}
		if momentary || rule.beyond() {
			st.Open = append(st.Open, rule.reason())
		}
		switch {
		case rule.allows() && len(rule.match.subjects) > 0:
			return
		case rule.allows() && !denied && !st.Allowed:
			st.Allowed, st.Rule = true, rule.reason()
		case momentary:
			return
		case rule.effect == effDeny:
			denied, st.Rule = true, rule.reason()
		}
		if !momentary {
			rule.stands(q, &st)
		}
	})
	st.Allowed = st.Allowed && !denied
	st.Masks = strictest(st.Masks)
	return st
}

// momentary reports whether the rule looks at more than group, resource and
// action.
func (r *rule) momentary() bool { return r.when != nil || r.maxAge > 0 || r.match.momentary() }

func (m *match) momentary() bool {
	return len(m.subjects)+len(m.cidrs) > 0 || m.not != nil && m.not.momentary()
}

// stands adds what a rule that holds asks besides.
func (r *rule) stands(q *question, st *Standing) {
	if r.mask != nil && len(r.mask.detect) == 0 {
		st.Masks = r.masks(q, st.Masks)
	}
	if r.limit != nil && r.limit.Timeout > 0 && (st.Timeout == 0 || r.limit.Timeout < st.Timeout) {
		st.Timeout, st.TimedBy = r.limit.Timeout, r.reason()
	}
}

// beyond reports rules that no database enforces, even without conditions.
func (r *rule) beyond() bool {
	return r.effect == effApproval || r.mask != nil && len(r.mask.detect) > 0 ||
		r.limit != nil && (r.limit.Rows > 0 || r.limit.Bytes > 0 || r.limit.AffectedRows > 0)
}

// standing is eval for everybody in a group: who exactly asks, and from where,
// is not known.
func (m *match) standing(q *question, every bool) tri {
	t := yes
	for i := range m.conds {
		c := &m.conds[i]
		got := unknown
		switch c.key {
		case "subjects", "client.cidr":
		case "not":
			got = m.not.standing(q, !every).negate()
		default:
			got = c.eval(q, &q.r.Subject, every)
		}
		if t = min(t, got); t == no {
			return no
		}
	}
	return t
}

// Groups lists the groups that rules for a resource name, sorted.
func (s *Set) Groups(res access.Resource) []string {
	var all []string
	if s == nil {
		return nil
	}
	q := newQuestion(&access.Request{Resource: res})
	for _, r := range s.rules {
		if !r.onResource(q) {
			continue
		}
		for m := &r.match; m != nil; m = m.not {
			all = append(all, m.groups...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
