package oidc

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/url"
	"strconv"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"sluice/access"
)

// A Started sign-in waits for a person.
type Started struct {
	Attempt  access.Secret // give it back to finish
	URL      string        // where the person goes
	UserCode string        // what they enter there; device flow only
	State    string        // what the browser must bring back; code flow only
	Interval time.Duration // between questions; device flow only
	Expires  time.Time
}

// StartCode begins a sign-in by browser that will return to redirect. fresh
// makes the person prove who they are even if the provider knows them already.
func (p *Provider) StartCode(_ context.Context, redirect string, fresh bool) (Started, error) {
	about, err := p.discover()
	if err != nil {
		return Started{}, err
	}
	now := p.o.Now()
	a := attempt{Kind: byCode, Began: now, Expires: now.Add(attemptTime), Fresh: fresh, Redirect: redirect,
		Verifier: oauth2.GenerateVerifier(), Nonce: random(), State: random()}
	conf := oauth2.Config{ClientID: p.c.ClientID, Endpoint: about.Endpoint(), RedirectURL: redirect, Scopes: p.scopes()}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(a.Verifier), goidc.Nonce(a.Nonce)}
	for name, values := range p.freshness(fresh) {
		options = append(options, oauth2.SetAuthURLParam(name, values[0]))
	}
	return Started{Attempt: p.seal(a), URL: conf.AuthCodeURL(a.State, options...), State: a.State, Expires: a.Expires}, nil
}

// freshness asks the provider to say, and to see to it, how long ago the person
// authenticated.
func (p *Provider) freshness(fresh bool) url.Values {
	v := url.Values{}
	switch {
	case fresh:
		v.Set("prompt", "login")
		v.Set("max_age", "0")
	case p.o.MaxAge > 0:
		v.Set("max_age", strconv.Itoa(int(p.o.MaxAge/time.Second)))
	}
	return v
}

func (p *Provider) scopes() []string {
	more := p.c.Scopes
	if more == nil {
		more = []string{"profile", "email", "offline_access"}
	}
	return append([]string{goidc.ScopeOpenID}, more...)
}

// A Return is what a browser brought back.
type Return struct {
	State, Code string
	Issuer      string // the iss parameter (RFC 9207); empty: none
	Error       string // the error parameter
}

// FinishCode ends a sign-in by browser.
func (p *Provider) FinishCode(ctx context.Context, sealed access.Secret, r Return) (Person, error) {
	a, err := p.open(sealed, byCode)
	if err != nil {
		return Person{}, err
	}
	about, err := p.discover()
	if err != nil {
		return Person{}, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(a.State), []byte(r.State)) != 1:
		return Person{}, fmt.Errorf("%w: the answer belongs to another sign-in", ErrRejected)
	case r.Issuer != "" && r.Issuer != p.c.Issuer, r.Issuer == "" && about.Iss:
		return Person{}, fmt.Errorf("%w: the answer is another provider's", ErrRejected)
	case r.Error != "":
		return Person{}, fmt.Errorf("%w (%s)", ErrDenied, printable(r.Error))
	case r.Code == "":
		return Person{}, fmt.Errorf("%w: the answer has no code", ErrRejected)
	}
	t, err := p.tokens(ctx, about, url.Values{"grant_type": {"authorization_code"}, "code": {r.Code},
		"redirect_uri": {a.Redirect}, "code_verifier": {a.Verifier}})
	if err != nil {
		return Person{}, err
	}
	return p.person(ctx, about, t, expectation{nonce: a.Nonce, fresh: a.Fresh, began: a.Began})
}

// StartDevice begins a sign-in on another device.
func (p *Provider) StartDevice(ctx context.Context, fresh bool) (Started, error) {
	about, err := p.discover()
	if err != nil {
		return Started{}, err
	}
	now := p.o.Now()
	if about.Device == "" {
		return Started{}, fmt.Errorf("%w: the identity provider %s has no device flow; sign in with a browser on this machine", ErrRejected, p.c.Name)
	}
	if !p.paces.start(now) {
		return Started{}, fmt.Errorf("%w: too many sign-ins begin at once; try again in a moment", ErrSlowDown)
	}
	form := p.freshness(fresh)
	form.Set("scope", joinScopes(p.scopes()))
	var d device
	if err := p.post(ctx, about, about.Device, form, &d); err != nil {
		return Started{}, err
	}
	return p.started(d, now, fresh)
}

// device is RFC 8628, section 3.2.
type device struct {
	Code     string `json:"device_code"`
	UserCode string `json:"user_code"`
	URI      string `json:"verification_uri"`
	URL      string `json:"verification_url"` // as some spell it
	Complete string `json:"verification_uri_complete"`
	Expires  int64  `json:"expires_in"`
	Interval int    `json:"interval"`
}

func (p *Provider) started(d device, now time.Time, fresh bool) (Started, error) {
	if d.URI == "" {
		d.URI = d.URL
	}
	if d.Code == "" || len(d.Code) > 4096 || d.UserCode == "" || !confidential(d.URI) || d.Complete != "" && !confidential(d.Complete) {
		return Started{}, unavailable(p.c.Name, fmt.Errorf("its answer to a device authorization request is not as RFC 8628 wants it"))
	}
	life := time.Duration(min(max(d.Expires, 1), 3600)) * time.Second
	interval := min(max(d.Interval, 1), 60)
	if d.Interval == 0 {
		interval = 5 // RFC 8628, section 3.2
	}
	a := attempt{Kind: byDevice, Began: now, Expires: now.Add(life), Fresh: fresh, Device: d.Code, Interval: interval}
	s := Started{Attempt: p.seal(a), URL: d.URI, UserCode: d.UserCode, Interval: time.Duration(interval) * time.Second, Expires: a.Expires}
	if d.Complete != "" {
		s.URL = d.Complete
	}
	return s, nil
}

// Poll asks whether the person has finished: ErrPending, ErrSlowDown until then.
func (p *Provider) Poll(ctx context.Context, sealed access.Secret) (Person, error) {
	a, err := p.open(sealed, byDevice)
	if err != nil {
		return Person{}, err
	}
	about, err := p.discover()
	if err != nil {
		return Person{}, err
	}
	if !p.paces.poll(a.Device, time.Duration(a.Interval)*time.Second, p.o.Now()) {
		return Person{}, ErrSlowDown
	}
	t, err := p.tokens(ctx, about, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {a.Device}})
	if err != nil {
		return Person{}, err
	}
	return p.person(ctx, about, t, expectation{fresh: a.Fresh, began: a.Began})
}

// Refresh asks whether the provider still vouches for a person, whose subject
// at the issuer is given, and who they are now. Person.Refresh is the token to
// use next time. ErrGone is the provider's no.
func (p *Provider) Refresh(ctx context.Context, refresh access.Secret, subject string) (Person, error) {
	about, err := p.discover()
	if err != nil {
		return Person{}, err
	}
	t, err := p.tokens(ctx, about, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}})
	if err != nil {
		return Person{}, err
	}
	if t.Refresh.value == "" {
		t.Refresh.value = refresh.Reveal()
	}
	return p.person(ctx, about, t, expectation{subject: subject})
}

// Revoke tells the provider that a login has ended (RFC 7009), where it can be told.
func (p *Provider) Revoke(ctx context.Context, refresh access.Secret) error {
	about, err := p.discover()
	if err != nil || about.Revoke == "" {
		return err
	}
	return p.post(ctx, about, about.Revoke, url.Values{"token": {refresh.Reveal()}, "token_type_hint": {"refresh_token"}}, nil)
}
