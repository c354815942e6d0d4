package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

// algorithms are the signatures believed: asymmetric ones. With HMAC whoever
// knows the client's secret could sign, and with "none" everybody.
func algorithms() []string {
	return []string{goidc.RS256, goidc.RS384, goidc.RS512, goidc.PS256, goidc.PS384, goidc.PS512, goidc.ES256, goidc.ES384, goidc.ES512, goidc.EdDSA}
}

// maxToken bounds in bytes what is parsed for a stranger.
const maxToken = 32 << 10

// An expectation is what a token must say beside being the issuer's.
type expectation struct {
	nonce   string // of the sign-in; empty: none was sent
	subject string // whom it is about; empty: anybody
	fresh   bool   // the person authenticated after began
	began   time.Time
}

// verified is a token that is believed.
type verified struct {
	subject  string
	audience []string
	issued   time.Time
	expires  time.Time
	nonce    string
	claims   map[string]any
}

// watched remembers why a signature could not be checked.
type watched struct {
	goidc.KeySet
	err error
}

func (w *watched) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, jwt)
	w.err = err
	return payload, err
}

// verify checks signature, issuer, audience and times. client is the audience.
func verify(ctx context.Context, issuer string, keys goidc.KeySet, raw, client string, o Options) (verified, error) {
	if len(raw) > maxToken {
		return verified{}, fmt.Errorf("%w: a token of more than %d bytes", ErrRejected, maxToken)
	}
	w := &watched{KeySet: keys}
	// Expiry is checked below, with the clock skew.
	v := goidc.NewVerifier(issuer, w, &goidc.Config{ClientID: client, SupportedSigningAlgs: algorithms(), SkipExpiryCheck: true, Now: o.Now})
	t, err := v.Verify(ctx, raw)
	if err != nil {
		if fetching(w.err) {
			return verified{}, unavailable(issuer, w.err)
		}
		return verified{}, fmt.Errorf("%w: token of %s: %s", ErrRejected, issuer, printable(err.Error()))
	}
	out := verified{subject: t.Subject, issued: t.IssuedAt, expires: t.Expiry, nonce: t.Nonce}
	if err := t.Claims(&out.claims); err != nil {
		return verified{}, fmt.Errorf("%w: the token's claims are not an object", ErrRejected)
	}
	if out.subject == "" || len(out.subject) > maxName*4 {
		return verified{}, fmt.Errorf("%w: the token names nobody", ErrRejected)
	}
	out.audience = t.Audience
	return out, times(out, o)
}

// fetching reports whether keys were not to be had, so that the token may be
// good: the provider is down, or it was asked a moment ago and may have rotated
// its keys since.
func fetching(err error) bool {
	var u *url.Error
	return errors.As(err, &u)
}

// party checks who the ID token of a sign-in was made for, where it has several
// audiences (OpenID Connect Core, section 3.1.3.7).
func (v verified) party(client string) error {
	azp, there := v.claims["azp"]
	if there && azp != client || !there && len(v.audience) > 1 {
		return fmt.Errorf("%w: the token was made for another client", ErrRejected)
	}
	return nil
}

func times(v verified, o Options) error {
	now := o.Now()
	nbf, err := timeOf(v.claims, "nbf")
	switch {
	case err != nil:
		return err
	case v.expires.IsZero() || v.expires.Unix() <= 0 || !now.Before(v.expires.Add(o.Skew)):
		return fmt.Errorf("%w: the token expired at %s; it is %s here", ErrRejected, v.expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case v.issued.After(now.Add(o.Skew)), nbf.After(now.Add(o.Skew)):
		return fmt.Errorf("%w: the token is from the future; it is %s here: compare the clocks", ErrRejected, now.UTC().Format(time.RFC3339))
	}
	return nil
}

// timeOf reads a time claim; zero: there is none.
func timeOf(claims map[string]any, name string) (time.Time, error) {
	v, ok := claims[name]
	if !ok || v == nil {
		return time.Time{}, nil
	}
	n, ok := v.(float64)
	if !ok || n < 0 || n > 1<<40 {
		return time.Time{}, fmt.Errorf("%w: claim %s is no time", ErrRejected, name)
	}
	return time.Unix(int64(n), 0).UTC(), nil
}

// meets checks what only a sign-in knows.
func (e expectation) meets(v verified) error {
	switch {
	case subtle.ConstantTimeCompare([]byte(e.nonce), []byte(v.nonce)) != 1 && (e.nonce != "" || e.subject == ""):
		return fmt.Errorf("%w: the token belongs to another sign-in", ErrRejected)
	case e.subject != "" && v.subject != e.subject:
		return fmt.Errorf("%w: the token is about somebody else", ErrRejected)
	}
	return nil
}

// authenticated reads when the person authenticated; zero: the provider does
// not say.
func (p *Provider) authenticated(v verified, e expectation) (time.Time, error) {
	at, err := timeOf(v.claims, "auth_time")
	now := p.o.Now()
	switch {
	case err != nil || e.subject != "": // at a renewal nobody authenticates
		return time.Time{}, err
	case at.IsZero() && e.fresh:
		return at, fmt.Errorf("%w: the identity provider %s does not say when you authenticated (auth_time), so it cannot do a fresh sign-in", ErrRejected, p.c.Name)
	case at.After(now.Add(p.o.Skew)):
		return at, fmt.Errorf("%w: authenticated in the future: compare the clocks", ErrRejected)
	case e.fresh && at.Before(e.began.Add(-p.o.Skew).Truncate(time.Second)):
		return at, fmt.Errorf("%w: the identity provider %s did not ask you to authenticate again", ErrRejected, p.c.Name)
	case !at.IsZero() && p.o.MaxAge > 0 && now.Sub(at) > p.o.MaxAge+p.o.Skew:
		return at, fmt.Errorf("%w: you authenticated longer ago than %s", ErrRejected, p.o.MaxAge)
	}
	return at, nil
}
