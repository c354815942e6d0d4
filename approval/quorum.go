package approval

import (
	"errors"
	"fmt"
	"strings"

	"sluice/access"
	"sluice/store"
)

// maxPlaces bounds a quorum: more than any organisation asks.
const maxPlaces = 32

// checkQuorum refuses a quorum that nobody, or no number of people, would meet.
func checkQuorum(q access.Quorum) error {
	places := 0
	for _, f := range q.From {
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

// met reports whether each place of the quorum can be taken by a different one
// of people: a maximum matching, found with augmenting paths.
func met(q access.Quorum, people []access.Subject) bool {
	if checkQuorum(q) != nil {
		return false
	}
	holds := make([]string, len(people)) // which group each person answers for
	for _, f := range q.From {
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

// asked reports whether s is a member of some group of the quorum.
func asked(q access.Quorum, s access.Subject) bool {
	for _, f := range q.From {
		if s.In(f.Group) {
			return true
		}
	}
	return false
}

// samePerson errs on the side of yes: one person may have accounts with two issuers.
func samePerson(a, b access.Subject) bool {
	return a.Same(b) || a.Email != "" && strings.EqualFold(a.Email, b.Email)
}

// involved reports whether s has a part in the request: it asks, acts for the
// one who asks, or answers for one of them.
func involved(requester, s access.Subject) bool {
	for _, party := range requester.Chain() {
		if samePerson(*party, s) || party.Owner != "" && (party.Owner == s.ID || strings.EqualFold(party.Owner, s.Email)) {
			return true
		}
	}
	return false
}

// barred says why s may never answer a request, or nil. The requester is looked
// at as when it asked and as it is now: an owner may have changed.
func (e *Engine) barred(a *store.Approval, s access.Subject) error {
	switch {
	case s.ID == "" || s.Kind != access.Human || s.Actor != nil:
		return ErrNotHuman
	case involved(a.Requester, s):
		return ErrSelf
	case !asked(a.Quorum, s):
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
		if err == nil && involved(now, s) {
			return true
		}
		for _, name := range []string{party.Owner, now.Owner} {
			owner, err := e.o.People.Lookup(party.Issuer, name)
			if err == nil && samePerson(owner, s) {
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
		if samePerson(p, s) {
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

// sameQuorum reports whether two quorums ask the same of the same groups.
func sameQuorum(a, b access.Quorum) bool {
	if len(a.From) != len(b.From) {
		return false
	}
	for i := range a.From {
		if a.From[i] != b.From[i] {
			return false
		}
	}
	return true
}
