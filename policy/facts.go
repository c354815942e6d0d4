package policy

import (
	"cel.dev/cel-go/common/types"

	"sluice/access"
)

// This file is about facts that only the target knows: sql.estimate and
// sql.count. A decision that depends on one says so in Needs; whoever asked may
// find it out and ask again. What stays unknown is unknown, as everywhere.

func estimateView() view {
	type e = *access.Estimate
	return view{
		"rows": at(types.IntType, useEstimate, func(e e) any { return e.Rows }),
		"cost": at(types.IntType, useEstimate, func(e e) any { return e.Cost }),
	}
}

func countView() view {
	return view{"rows": at(types.IntType, useCount, func(n int64) any { return n })}
}

// estimate is the planner's expectation. What is not planned costs nothing: the
// commands of a session, EXPLAIN, and FETCH, whose plan was judged when the cursor
// was declared.
func estimate(q *question) any {
	a := &q.r.Action
	switch {
	case a.SQL != nil && a.SQL.Facts.Estimate != nil:
		return &object{estimateType, a.SQL.Facts.Estimate}
	case planless(a):
		return &object{estimateType, &access.Estimate{}}
	}
	return notKnown()
}

func planless(a *access.Action) bool {
	return a.Verb.Class() == access.ClassSession || a.Verb == access.VerbFetch || a.Verb == access.VerbExplain
}

// count is how many rows would change; none where nothing changes rows.
func count(q *question) any {
	s := q.r.Action.SQL
	switch {
	case s != nil && s.Facts.Count != nil:
		return &object{countType, *s.Facts.Count}
	case s != nil && s.Changes == access.ChangesNone && q.r.Action.Confidence == access.Exact || q.r.Action.Verb.Class() == access.ClassSession:
		return &object{countType, int64(0)}
	}
	return notKnown()
}

// facts are what the rule's expression looks at and the target knows.
func (r *rule) facts() (f access.FactSet) {
	if r.when == nil {
		return 0
	}
	if r.when.uses&useEstimate != 0 {
		f |= access.FactEstimate
	}
	if r.when.uses&useCount != 0 {
		f |= access.FactCount
	}
	return f
}

// needs returns the facts that would settle rules that cannot be told; none where
// the action is denied in any case.
func (j *judgement) needs() (needs access.FactSet) {
	sql := j.q.r.Action.SQL
	if sql == nil {
		return 0
	}
	var by uint8
	for i := range j.findings {
		f := &j.findings[i]
		missing := access.FactSet(0)
		if f.met == unknown && f.err == nil {
			missing = f.rule.facts() &^ sql.Facts.Asked
		}
		needs |= missing
		if f.rule.monitor {
			continue
		}
		if f.err != nil || f.rule.effect == effDeny && missing == 0 {
			return 0
		}
		if f.rule.allows() && (missing != 0 || f.holds()) {
			by |= f.by
		}
	}
	if by&j.everyone != j.everyone && j.q.r.Action.Verb.Class() != access.ClassSession {
		return 0
	}
	if needs != 0 && j.misused() != nil {
		// A mask refuses it. Asked all the same, which rule denies would tell how
		// many rows a condition on a masked column picks.
		return 0
	}
	return needs
}

// unasked says why facts that the rule looks at are not known.
func (j *judgement) unasked(r *rule) string {
	sql := j.q.r.Action.SQL
	if r.facts() == 0 || sql == nil {
		return ""
	}
	why := sql.Facts.Why
	if why == "" {
		why = "the server was not asked"
	}
	return "how much this touches is not known (" + why + "), and the rule may apply to it"
}
