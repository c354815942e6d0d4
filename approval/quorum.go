package approval

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"sluice/access"
	"sluice/store"
)

// maxPlaces bounds a quorum: more than any organisation asks.
const maxPlaces = 32

// checkQuorum refuses a quorum that nobody, or no number of people, would meet.
func checkQuorum(q access.Quorum) error {
	if err := checkPlaces(q.From); err != nil {
		return err
	}
	if q.Escalate != nil {
		return checkPlaces(q.Escalate.To)
	}
	return nil
}

func checkPlaces(from []access.Approvers) error {
	places := 0
	for _, f := range from {
		if f.Group == "" || f.Count < 1 || f.Count > maxPlaces {
			return fmt.Errorf("the rule asks %d of group %q", f.Count, f.Group)
		}
		places += f.Count
	}
	if places == 0 {
		return errors.New("the rule does not say who may approve")
	}
	if places > maxPlaces {
		return fmt.Errorf("the rule asks for %d people, more than %d", places, maxPlaces)
	}
	return nil
}

// enough reports whether people meet a quorum, or the second one if it was asked.
func enough(q access.Quorum, escalated bool, people []access.Subject) bool {
	return met(q.From, people) || escalated && q.Escalate != nil && met(q.Escalate.To, people)
}

// agreed reports whether those who approved a request, and still may, are enough.
func (e *Engine) agreed(a *store.Approval) bool {
	return enough(a.Quorum, !a.Escalated.IsZero(), e.supporters(a))
}

// met reports whether each place can be taken by a different one of people: a
// maximum matching, found with augmenting paths.
func met(from []access.Approvers, people []access.Subject) bool {
	if checkPlaces(from) != nil {
		return false
	}
	holds := make([]string, len(people)) // which group each person answers for
	for _, f := range from {
		for range f.Count {
			if !place(f.Group, people, holds, make([]bool, len(people))) {
				return false
			}
		}
	}
	return true
}

// place finds somebody for one more place of group, moving others on if need be.
func place(group string, people []access.Subject, holds []string, tried []bool) bool {
	for i, p := range people {
		if tried[i] || !p.In(group) {
			continue
		}
		tried[i] = true
		if holds[i] == "" || place(holds[i], people, holds, tried) {
			holds[i] = group
			return true
		}
	}
	return false
}

// asked reports whether s is a member of some group that was asked.
func asked(a *store.Approval, s access.Subject) bool {
	return slices.ContainsFunc(whom(a), func(f access.Approvers) bool { return s.In(f.Group) })
}

// whom lists everybody who was asked.
func whom(a *store.Approval) []access.Approvers {
	if a.Escalated.IsZero() || a.Quorum.Escalate == nil {
		return a.Quorum.From
	}
	return slices.Concat(a.Quorum.From, a.Quorum.Escalate.To)
}

// barred says why s may never answer a request, or nil. The requester is looked
// at as when it asked and as it is now: an owner may have changed.
func (e *Engine) barred(a *store.Approval, s access.Subject) error {
	switch {
	case s.ID == "" || s.Kind != access.Human || s.Actor != nil:
		return ErrNotHuman
	case access.Involved(a.Requester, s):
		return ErrSelf
	case !asked(a, s):
		return ErrNotAsked
	}
	if e.involvedNow(a.Requester, s) {
		return ErrSelf
	}
	return nil
}

// involvedNow is involved with what is known today: parties may have new owners,
// and owners other accounts.
func (e *Engine) involvedNow(requester, s access.Subject) bool {
	for _, party := range requester.Chain() {
		now, err := e.o.People.Lookup(party.Issuer, party.ID)
		if err == nil && access.Involved(now, s) {
			return true
		}
		for _, name := range []string{party.Owner, now.Owner} {
			owner, err := e.o.People.Lookup(party.Issuer, name)
			if err == nil && access.SamePerson(owner, s) {
				return true
			}
		}
	}
	return false
}

// supporters are the people who approved and still may, each once.
func (e *Engine) supporters(a *store.Approval) (people []access.Subject) {
	for _, v := range a.Votes {
		if !v.Approve {
			continue
		}
		now, err := e.o.People.Lookup(v.Voter.Issuer, v.Voter.ID)
		if err == nil && e.barred(a, now) == nil && !has(people, now) {
			people = append(people, now)
		}
	}
	return people
}

func has(people []access.Subject, s access.Subject) bool {
	for _, p := range people {
		if access.SamePerson(p, s) {
			return true
		}
	}
	return false
}

// vetoed reports whether anybody said no. Nobody loses that word by leaving.
func vetoed(a *store.Approval) bool {
	for _, v := range a.Votes {
		if !v.Approve {
			return true
		}
	}
	return false
}

// sameQuorum reports whether a request asks the same of the same people as a
// quorum does.
func sameQuorum(a *store.Approval, q access.Quorum) bool {
	old := a.Quorum
	old.Rules, old.Expires, old.Remind, old.Channels = nil, 0, 0, nil
	q.Rules, q.Expires, q.Remind, q.Channels = nil, 0, 0, nil
	if !isGrant(a) {
		q.Grant = nil
	}
	return reflect.DeepEqual(old, q)
}
