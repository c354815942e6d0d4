package api

import (
	"time"

	v1 "sluice/api/v1"
)

func (a *API) whoami(c *call) error {
	s := c.caller.Subject
	w := v1.Whoami{Issuer: s.Issuer, ID: s.ID, Kind: string(s.Kind), Email: s.Email, Groups: filled(s.Groups),
		Roles: c.caller.roles(), Credential: c.caller.Credential, Expires: c.caller.Expires}
	if s.Actor != nil {
		w.Actor = s.Actor.Issuer + "/" + s.Actor.ID
	}
	return c.answer(w)
}

func (c *Caller) roles() []string {
	roles := []string{}
	if c.Admin {
		roles = append(roles, "admin")
	}
	if c.Auditor {
		roles = append(roles, "auditor")
	}
	return roles
}

// filled makes an empty list of no list, so that JSON says [] and not null.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *API) listResources(c *call) error {
	list, err := a.Resources.List(c.Context(), c.caller.Subject)
	if err != nil {
		return err
	}
	return c.answer(filled(list))
}

func (a *API) listTokens(c *call) error {
	user := c.caller.Subject.ID
	if c.flag("all") {
		if !c.caller.Admin {
			return Errorf(ErrForbidden, "only administrators see everybody's tokens")
		}
		user = ""
	}
	if err := c.forThemselves(); err != nil {
		return err
	}
	list, err := a.Tokens.List(c.Context(), user)
	if err != nil {
		return err
	}
	return c.answer(filled(list))
}

// forThemselves refuses agents that act for somebody: that person's credentials
// are not theirs.
func (c *call) forThemselves() error {
	if c.caller.Subject.Actor != nil {
		return Errorf(ErrForbidden, "an agent that acts for somebody has no part in their tokens")
	}
	return nil
}

// issueToken issues a credential for the caller.
func (a *API) issueToken(c *call) error {
	if err := c.forThemselves(); err != nil {
		return err
	}
	var ask v1.TokenRequest
	if err := c.decode(&ask); err != nil {
		return err
	}
	var ttl time.Duration
	if ask.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(ask.TTL); err != nil || ttl <= 0 {
			return Errorf(ErrInvalid, "ttl %q is not a duration like 30m", clip(ask.TTL, 40))
		}
	}
	t, err := a.Tokens.Issue(c.Context(), &c.caller, ttl)
	if err != nil {
		return err
	}
	return c.answer(t)
}

// revokeToken ends a token of the caller's, or anybody's for administrators.
// Others' tokens don't exist for everyone else.
func (a *API) revokeToken(c *call) error {
	id := c.PathValue("id")
	if err := c.forThemselves(); err != nil {
		return err
	}
	user := c.caller.Subject.ID
	if c.caller.Admin {
		user = ""
	}
	list, err := a.Tokens.List(c.Context(), user)
	if err != nil {
		return err
	}
	for _, t := range list {
		if t.ID != id {
			continue
		}
		if err := a.Tokens.Revoke(c.Context(), id, c.caller.Subject); err != nil {
			return err
		}
		t.Revoked = true
		return c.answer(t)
	}
	return WithHint(Errorf(ErrNotFound, "no live token %s", clip(id, 100)), "sluice token ls shows them")
}

func (a *API) can(c *call) error {
	var q v1.Question
	if err := c.decode(&q); err != nil {
		return err
	}
	me := c.caller.Subject.ID
	if q.Subject == "" {
		q.Subject = me
	}
	if q.Subject != me && !c.caller.SeesAll() {
		return WithHint(Errorf(ErrForbidden, "only administrators and auditors may ask about others"), "leave the subject out to ask about yourself")
	}
	verdicts, err := a.Policy.Can(c.Context(), q, &c.caller)
	if err != nil {
		return err
	}
	if !c.caller.SeesAll() {
		for i := range verdicts {
			verdicts[i].Reasons = brief(verdicts[i].Reasons)
			verdicts[i].Would, verdicts[i].Nearest = nil, "" // both name places in files
		}
	}
	return c.answer(filled(verdicts))
}

// brief keeps what the user of an action may know of the rules behind it: their
// names and messages, not where they stand, what they looked at, and which
// others lost.
func brief(reasons []v1.Reason) []v1.Reason {
	kept := []v1.Reason{}
	for _, r := range reasons {
		if r.Lost {
			continue
		}
		kept = append(kept, v1.Reason{Rule: r.Rule, Effect: r.Effect, Message: r.Message})
	}
	return kept
}
