package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

// A Trust says which tokens of an issuer are whose.
type Trust struct {
	Issuer   string
	Audience string              // the token must have been made for us
	Claims   map[string][]string // as Claims.Require; at least one
	User     string              // configured user that it becomes
	TTL      time.Duration       // of the credential; zero: as long as the token lives
	Keys     string              // address of the issuer's keys; empty: by discovery
	CA       string              // PEM file with further authorities
}

// A Workload is a program that an issuer vouches for.
type Workload struct {
	User    string // the configured user that it is
	Issuer  string
	Subject string
	Expires time.Time
	TTL     time.Duration
	Claims  map[string]any // those that the rule names, and sub
}

// Workloads verify tokens of CI systems and clusters by a table of trust. They
// are safe for concurrent use.
type Workloads struct {
	o       Options
	trusts  []Trust
	issuers map[string]*issuer
}

// An issuer is where tokens come from. Its keys are found at first use.
type issuer struct {
	name, keysAt string
	guard        *guard
	now          func() time.Time

	mu     sync.Mutex // guards what follows; held while the issuer is asked
	keys   goidc.KeySet
	failed error
	until  time.Time
}

// NewWorkloads checks a table. It asks nobody.
func NewWorkloads(trusts []Trust, o Options) (*Workloads, error) {
	o.defaults()
	w := &Workloads{o: o, trusts: trusts, issuers: map[string]*issuer{}}
	for _, t := range trusts {
		switch {
		case !confidential(t.Issuer) || t.Keys != "" && !confidential(t.Keys):
			return nil, fmt.Errorf("oidc: issuer %q or its keys are not at an https address", t.Issuer)
		case t.Audience == "" || len(t.Claims) == 0 || t.User == "":
			return nil, fmt.Errorf("oidc: trust in %s needs an audience, claims and a user", t.Issuer)
		}
		if err := w.add(t); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *Workloads) add(t Trust) error {
	if known := w.issuers[t.Issuer]; known != nil {
		if known.keysAt != t.Keys {
			return fmt.Errorf("oidc: issuer %s has two addresses of keys", t.Issuer)
		}
		return nil
	}
	g, err := newGuard(t.CA, w.o.Now)
	if err != nil {
		return fmt.Errorf("oidc: CA of %s: %w", t.Issuer, err)
	}
	w.issuers[t.Issuer] = &issuer{name: t.Issuer, keysAt: t.Keys, guard: g, now: w.o.Now}
	return nil
}

// find returns the issuer's keys.
func (i *issuer) find() (goidc.KeySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if now.Before(i.until) && (i.keys != nil || i.failed != nil) {
		return i.keys, i.failed
	}
	i.keys, i.failed = i.ask()
	i.until = now.Add(discoveryTime)
	if i.failed != nil {
		i.until = now.Add(failureTime)
	}
	return i.keys, i.failed
}

func (i *issuer) ask() (goidc.KeySet, error) {
	ctx := goidc.ClientContext(context.Background(), i.guard.client())
	address := i.keysAt
	if address == "" {
		found, err := goidc.NewProvider(ctx, i.name)
		if err != nil {
			return nil, unavailable(i.host(), err)
		}
		var a about
		if err := found.Claims(&a); err != nil || !confidential(a.Keys) {
			return nil, unavailable(i.host(), errors.Join(err, fmt.Errorf("the address of its keys, %q, is missing or not https", a.Keys)))
		}
		address = a.Keys
	}
	i.guard.keysAt(address)
	return goidc.NewRemoteKeySet(ctx, address), nil
}

func (i *issuer) host() string {
	u, err := url.Parse(i.name)
	if err != nil {
		return i.name
	}
	return u.Host
}

// Verify says whose a token is. Its issuer is looked up before anything is
// believed or fetched; exactly the first rule that fits decides.
func (w *Workloads) Verify(ctx context.Context, raw string) (Workload, error) {
	name, err := issuerOf(raw)
	if err != nil {
		return Workload{}, err
	}
	from := w.issuers[name]
	if from == nil {
		return Workload{}, fmt.Errorf("%w: no trust in the issuer %s", ErrRejected, printable(name))
	}
	keys, err := from.find()
	if err != nil {
		return Workload{}, err
	}
	refusal := fmt.Errorf("%w: no rule for this token of %s", ErrRejected, name)
	for _, t := range w.trusts {
		if t.Issuer != name {
			continue
		}
		v, err := verify(ctx, name, keys, raw, t.Audience, w.o)
		if errors.Is(err, ErrUnavailable) {
			return Workload{}, err
		}
		if err == nil && required(v.claims, t.Claims) == nil {
			return workload(t, v), nil
		}
		if err != nil {
			refusal = err
		}
	}
	return Workload{}, refusal
}

func workload(t Trust, v verified) Workload {
	kept := map[string]any{"iss": t.Issuer, "sub": v.subject}
	for name := range t.Claims {
		kept[name] = claim(v.claims, name)
	}
	return Workload{User: t.User, Issuer: t.Issuer, Subject: v.subject, Expires: v.expires, TTL: t.TTL, Claims: kept}
}

// issuerOf reads the issuer that a token names, unverified.
func issuerOf(raw string) (string, error) {
	malformed := fmt.Errorf("%w: this is no token", ErrRejected)
	parts := strings.Split(raw, ".")
	if len(raw) > maxToken || len(parts) != 3 {
		return "", malformed
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", malformed
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(b, &claims) != nil || claims.Issuer == "" {
		return "", malformed
	}
	return claims.Issuer, nil
}
