package api

import (
	"net/http"
	"strings"

	"sluice/access"
)

// maxCredential bounds what is hashed for one attempt.
const maxCredential = 1024

// authenticate finds out who calls: a Bearer token, or Basic with a local
// user's name and password or token.
func (a *API) authenticate(r *http.Request) (Caller, error) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case len(value) > 2*maxCredential:
		return Caller{}, wrap(ErrCredential, "the credential is too long")
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return a.checked(a.Identity.Bearer(r.Context(), access.NewSecret(strings.TrimSpace(value)), r.RemoteAddr))
	case strings.EqualFold(scheme, "Basic"):
		user, password, ok := r.BasicAuth()
		if !ok || user == "" {
			break
		}
		return a.checked(a.Identity.Basic(r.Context(), user, access.NewSecret(password), r.RemoteAddr))
	}
	return Caller{}, hinted(wrap(ErrCredential, "a credential is needed"),
		"send Authorization: Bearer TOKEN; the command line takes it from SLUICE_TOKEN, or SLUICE_USER and SLUICE_PASSWORD")
}

// checked refuses a login that names nobody: a zero Subject must not be
// anybody's equal.
func (a *API) checked(c Caller, err error) (Caller, error) {
	if err == nil && (c.Subject.Issuer == "" || c.Subject.ID == "") {
		return Caller{}, wrap(ErrCredential, "the credential names nobody")
	}
	return c, err
}

// own limits a listing to the caller's own, or to nobody's for those who see all.
func (c *call) own(all bool) *access.Subject {
	if all && c.caller.SeesAll() {
		return nil
	}
	s := c.caller.Subject
	return &s
}
