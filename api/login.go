package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

func (a *API) loginRoutes() []route {
	return []route{
		{method: "GET", path: "/api/v1/providers", name: "listProviders", open: true, answer: v1.Providers{}, handle: a.listProviders,
			summary: "The identity providers that people sign in with"},
		{method: "POST", path: "/api/v1/login", name: "startLogin", open: true, body: v1.LoginRequest{}, answer: v1.Login{}, handle: a.startLogin,
			summary: "Begin a sign-in at an identity provider"},
		{method: "POST", path: "/api/v1/login/finish", name: "finishLogin", open: true, body: v1.LoginAnswer{}, answer: v1.LoginResult{}, handle: a.finishLogin,
			summary: "Finish it, or ask whether the person has; with a credential of the same person, that one is made fresh"},
		{method: "POST", path: "/api/v1/logout", name: "logout", answer: v1.LoginResult{}, handle: a.logout,
			summary: "End the caller's credential, with the tokens asked for with it"},
	}
}

func (a *API) listProviders(c *call) error {
	return c.answer(v1.Providers{Names: filled(a.SignIn.Providers())})
}

func (a *API) startLogin(c *call) error {
	var ask v1.LoginRequest
	if err := c.decode(&ask); err != nil {
		return err
	}
	if err := c.asksProvider(); err != nil {
		return err
	}
	if !ask.Device && !ownMachine(ask.Redirect) {
		return Errorf(ErrInvalid, "redirect: want http://127.0.0.1:PORT/callback")
	}
	s, err := a.SignIn.Start(c.Context(), LoginAsk{Provider: ask.Provider, Device: ask.Device, Redirect: ask.Redirect, Fresh: ask.Fresh})
	if err != nil {
		return err
	}
	return c.answer(v1.Login{Attempt: s.Attempt.Reveal(), URL: s.URL, UserCode: s.UserCode, State: s.State, Interval: int(s.Interval / time.Second), Expires: s.Expires})
}

// ownMachine reports whether a browser would return to the machine that it runs
// on (RFC 8252, section 7.3). A name such as localhost may lead elsewhere.
func ownMachine(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Path != "/callback" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || len(redirect) > 100 {
		return false
	}
	at, err := netip.ParseAddrPort(u.Host)
	return err == nil && at.Addr().IsLoopback()
}

func (a *API) finishLogin(c *call) error {
	var f v1.LoginAnswer
	if err := c.decode(&f); err != nil {
		return err
	}
	if err := c.asksProvider(); err != nil {
		return err
	}
	finish := LoginFinish{Provider: f.Provider, Device: f.Device, Attempt: access.NewSecret(f.Attempt), State: f.State, Code: f.Code, Issuer: f.Issuer, Error: f.Error, Note: "sluice login"}
	// A login that has ended is no attempt to guess one: it must not slow down
	// who polls with it.
	if bearer, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer "); ok {
		if caller, err := a.Identity.Session(c.Context(), access.NewSecret(bearer)); err == nil {
			finish.Credential = caller.Credential
		}
	}
	opened, err := a.SignIn.Finish(c.Context(), finish)
	switch {
	case errors.Is(err, ErrPending):
		return c.answer(v1.LoginResult{State: "pending"})
	case err != nil:
		return err
	}
	return c.answer(result(opened))
}

func result(o Opened) v1.LoginResult {
	return v1.LoginResult{State: "done", ID: o.Subject.ID, Issuer: o.Subject.Issuer, Groups: o.Subject.Groups, Expires: o.Expires, Secret: o.Secret.Reveal()}
}

func (a *API) logout(c *call) error {
	if err := a.SignIn.Close(c.Context(), c.caller); err != nil {
		return err
	}
	return c.answer(v1.LoginResult{State: "done", ID: c.caller.Subject.ID, Issuer: c.caller.Subject.Issuer})
}

// Grants and token types of RFC 6749, 8693.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantClient   = "client_credentials"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT       = "urn:ietf:params:oauth:token-type:jwt"
	typeID        = "urn:ietf:params:oauth:token-type:id_token"
)

// oauthToken is the token endpoint of RFC 6749, for programs: client
// credentials, and token exchange (RFC 8693).
func (a *API) oauthToken(c *call) error {
	c.Body = http.MaxBytesReader(c.w, c.Body, maxForm)
	if err := c.ParseForm(); err != nil {
		return c.oauthError("invalid_request", badBody(err))
	}
	e, problem := exchangeOf(c)
	if problem != nil {
		return c.oauthError("invalid_request", problem)
	}
	opened, err := a.SignIn.Exchange(c.Context(), e)
	if err != nil {
		return c.oauthError("", err)
	}
	c.w.Header().Set("Pragma", "no-cache")
	return c.write(http.StatusOK, "application/json", map[string]any{"access_token": opened.Secret.Reveal(), "token_type": "Bearer",
		"issued_token_type": typeAccess, "expires_in": max(0, int(opened.Expires.Sub(a.Now())/time.Second))})
}

func exchangeOf(c *call) (Exchange, error) {
	f := c.PostForm
	e := Exchange{From: c.RemoteAddr}
	for name, values := range f {
		if len(values) > 1 {
			return e, Errorf(ErrInvalid, "%s is given more than once", clip(name, 40))
		}
	}
	if ttl := f.Get("requested_ttl"); ttl != "" {
		d, err := time.ParseDuration(ttl)
		if err != nil || d <= 0 {
			return e, Errorf(ErrInvalid, "requested_ttl is no duration like 30m")
		}
		e.TTL = d
	}
	switch f.Get("grant_type") {
	case grantClient:
		user, password, ok := c.BasicAuth()
		if !ok {
			user, password = f.Get("client_id"), f.Get("client_secret")
		}
		e.Client, e.Secret = user, access.NewSecret(password)
		if e.Client == "" || e.Secret.Empty() {
			return e, Errorf(ErrInvalid, "client_id and client_secret are needed")
		}
	case grantExchange:
		e.Subject, e.Actor = access.NewSecret(f.Get("subject_token")), access.NewSecret(f.Get("actor_token"))
		if e.Subject.Empty() || !knownType(f.Get("subject_token_type")) || !e.Actor.Empty() && !knownType(f.Get("actor_token_type")) {
			return e, Errorf(ErrInvalid, "subject_token and subject_token_type are needed; types are %s", strings.Join([]string{typeAccess, typeJWT, typeID}, ", "))
		}
	default:
		return e, Errorf(ErrInvalid, "grant_type is neither %s nor %s", grantExchange, grantClient)
	}
	return e, nil
}

func knownType(tokenType string) bool {
	return tokenType == typeAccess || tokenType == typeJWT || tokenType == typeID
}

// oauthError answers as RFC 6749, section 5.2.
func (c *call) oauthError(code string, err error) error {
	p := c.problem(err)
	switch {
	case code != "":
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		code = "invalid_grant"
	case p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests:
		code = "temporarily_unavailable"
	case p.Status >= 500:
		code = "server_error"
	default:
		code = "invalid_request"
	}
	if p.Status == http.StatusForbidden || p.Status == http.StatusUnauthorized {
		p.Status = http.StatusBadRequest
	}
	return c.write(p.Status, "application/json", json.RawMessage(mustJSON(map[string]string{"error": code, "error_description": p.Detail})))
}

func mustJSON(v map[string]string) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts always have a JSON form
	}
	return b
}
