package api

import (
	"errors"
	"net/http"

	"sluice/access"
)

// authenticate finds out who calls: a Bearer token, or Basic with a local
// user's name and password or token, or the session of a browser. It refuses a login that names nobody: a
// zero Subject must not be anybody's equal.
func (a *API) authenticate(r *http.Request) (Caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" && !a.sessionSecret(r).Empty() {
		return a.browser(r)
	}
	if header == "" {
		return Caller{}, WithHint(Errorf(ErrCredential, "a credential is needed"),
			"send Authorization: Bearer TOKEN; the command line takes it from SLUICE_TOKEN, or SLUICE_USER and SLUICE_PASSWORD")
	}
	c, err := a.Identity.Authenticate(r.Context(), header, r.RemoteAddr)
	switch {
	case errors.Is(err, ErrTooMany):
		return Caller{}, WithHint(Errorf(ErrTooMany, "too many failed attempts"), "wait a while before the next")
	case err != nil || c.Subject.Issuer == "" || c.Subject.ID == "":
		return Caller{}, WithHint(Errorf(ErrCredential, "user name or credential not accepted"),
			"tokens live for a short time: sluice token prints a new one")
	}
	return c, nil
}

// browser finds out who is signed in. What changes something needs the CSRF
// token: a browser sends its cookie whoever made it ask.
func (a *API) browser(r *http.Request) (Caller, error) {
	v, err := a.Visitor(r)
	if err != nil {
		return Caller{}, err
	}
	if !safeMethod(r.Method) && !v.confirms(r.Header.Get(CSRFHeader)) {
		return Caller{}, errForged
	}
	return v.Caller, nil
}

// key tells one caller from all others.
func (c *Caller) key() string {
	key := ""
	for _, party := range c.Subject.Chain() {
		key += party.Issuer + "\x00" + party.ID + "\x00"
	}
	return key
}

// SeesAll reports whether what belongs to others may be shown to the caller.
func (c *Caller) SeesAll() bool { return c.Admin || c.Auditor }

// Owns reports whether something of s is the caller's own, or of an agent of
// theirs. An agent acting for somebody does not own what is theirs.
func (c *Caller) Owns(s *access.Subject) bool {
	if s == nil || c.Subject.Actor != nil {
		return false
	}
	for _, party := range s.Chain() {
		if c.Subject.Same(*party) || party.Owner != "" && party.Owner == c.Subject.ID && party.Issuer == c.Subject.Issuer {
			return true
		}
	}
	return false
}
