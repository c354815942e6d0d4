package policy

import "sluice/access"

// approvedBy reports whether the approval in the request's context satisfies a
// quorum: given for exactly this request, not expired, and by enough distinct
// humans of each group who are neither the requester, nor anybody in its actor
// chain, nor an owner of one. The approval engine has checked the same when the
// votes came in; here it is checked against the rules as they are now.
func approvedBy(r *access.Request, q access.Quorum) bool {
	a := r.Context.Approved
	if a == nil || !a.Approved || a.Digest != r.Digest() {
		return false
	}
	if !a.Expires.IsZero() && !r.Context.Time.Before(a.Expires) {
		return false
	}
	if a.Glass != "" {
		return q.Glass.Opens(r.Subject)
	}
	if a.Grant != nil && (!a.Grant.Within(q.Grant) || a.Shape != r.Shape()) {
		return false // the rule permits less than was granted, by now
	}
	var voters []access.Subject
	for _, v := range a.By {
		if mayVote(&r.Subject, v) && !contains(voters, v) {
			voters = append(voters, v)
		}
	}
	return assign(q.From, voters) || a.Escalated && q.Escalate != nil && assign(q.Escalate.To, voters)
}

func contains(all []access.Subject, s access.Subject) bool {
	for _, o := range all {
		if access.SamePerson(o, s) {
			return true
		}
	}
	return false
}

// mayVote keeps requesters from approving their own.
func mayVote(requester *access.Subject, voter access.Subject) bool {
	if voter.Kind != access.Human || voter.Actor != nil {
		return false
	}
	return !access.Involved(*requester, voter)
}

// assign reports whether the voters can fill every place of a quorum, each
// voter one place at most (a bipartite matching by augmenting paths).
func assign(from []access.Approvers, voters []access.Subject) bool {
	var places []string
	for _, f := range from {
		for range f.Count {
			places = append(places, f.Group)
		}
	}
	if len(places) == 0 || len(places) > len(voters) {
		return false
	}
	holder := make([]int, len(voters)) // the place that a voter fills, plus one
	var fill func(place int, tried []bool) bool
	fill = func(place int, tried []bool) bool {
		for v := range voters {
			if tried[v] || !voters[v].In(places[place]) {
				continue
			}
			tried[v] = true
			if holder[v] == 0 || fill(holder[v]-1, tried) {
				holder[v] = place + 1
				return true
			}
		}
		return false
	}
	for p := range places {
		if !fill(p, make([]bool, len(voters))) {
			return false
		}
	}
	return true
}
