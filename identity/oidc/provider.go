package oidc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"sluice/access"
	"sluice/internal/seal"
)

// What comes of asking a provider. Texts of errors that wrap these are safe to show.
var (
	ErrPending     = errors.New("not answered yet")
	ErrSlowDown    = errors.New("asked too often")
	ErrDenied      = errors.New("refused at the identity provider")
	ErrExpired     = errors.New("not finished in time")
	ErrGone        = errors.New("the identity provider does not vouch for this login any more")
	ErrUnavailable = errors.New("the identity provider cannot be asked")
	ErrRejected    = errors.New("not accepted")
)

// A Config describes a provider. Name, Issuer and ClientID are required.
type Config struct {
	Name         string
	Issuer       string // an address; compared with the issuer of tokens byte by byte
	ClientID     string
	ClientSecret func(context.Context) (access.Secret, error) // nil: a public client
	CA           string                                       // PEM file with further authorities
	Scopes       []string                                     // beside openid; nil: profile, email, offline_access
	Claims       Claims
}

// Options are what providers share.
type Options struct {
	Key    access.Secret    // seals attempts; at least 16 bytes
	Now    func() time.Time // nil: time.Now
	Skew   time.Duration    // how far clocks may be apart
	MaxAge time.Duration    // how long ago a person may have authenticated; zero: for ever
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
}

// How long what a provider said about itself is kept, and that it did not answer.
const (
	discoveryTime = time.Hour
	failureTime   = 3 * time.Second
)

// A Provider signs people in. It is safe for concurrent use.
type Provider struct {
	c     Config
	o     Options
	box   *seal.Box
	guard *guard
	paces *paces

	mu     sync.Mutex // guards what follows; held while the provider is asked
	about  *about
	failed error
	until  time.Time // about or failed is good until then
}

// about is what a provider says about itself.
type about struct {
	*goidc.Provider
	keys   goidc.KeySet
	Device string   `json:"device_authorization_endpoint"`
	Revoke string   `json:"revocation_endpoint"`
	Keys   string   `json:"jwks_uri"`
	Auth   []string `json:"token_endpoint_auth_methods_supported"`
	Iss    bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// New checks a configuration. It asks the provider nothing.
func New(c Config, o Options) (*Provider, error) {
	o.defaults()
	switch {
	case c.Name == "" || c.ClientID == "":
		return nil, errors.New("oidc: a provider needs a name and a client ID")
	case !confidential(c.Issuer):
		return nil, fmt.Errorf("oidc: issuer %q is not an https address", c.Issuer)
	}
	g, err := newGuard(c.CA, o.Now)
	if err != nil {
		return nil, fmt.Errorf("oidc: CA of %s: %w", c.Name, err)
	}
	box, err := seal.New([]byte(o.Key.Reveal()), "oidc attempt v1")
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return &Provider{c: c, o: o, box: box, guard: g, paces: newPaces()}, nil
}

// Name returns the provider's configured name.
func (p *Provider) Name() string { return p.c.Name }

// Issuer returns the provider's configured issuer.
func (p *Provider) Issuer() string { return p.c.Issuer }

// discover returns what the provider says about itself, asking it if need be.
func (p *Provider) discover() (*about, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if now.Before(p.until) && (p.about != nil || p.failed != nil) {
		return p.about, p.failed
	}
	p.about, p.failed = p.ask()
	p.until = now.Add(discoveryTime)
	if p.failed != nil {
		p.until = now.Add(failureTime)
	}
	return p.about, p.failed
}

// ask reads the discovery document. It is not tied to the request that needs
// it first: others wait for the answer too.
func (p *Provider) ask() (*about, error) {
	ctx := goidc.ClientContext(context.Background(), p.guard.client())
	found, err := goidc.NewProvider(ctx, p.c.Issuer)
	if err != nil {
		return nil, unavailable(p.c.Name, err)
	}
	a := &about{Provider: found}
	if err := found.Claims(a); err != nil {
		return nil, unavailable(p.c.Name, err)
	}
	for _, address := range []string{a.Endpoint().AuthURL, a.Endpoint().TokenURL, a.Keys} {
		if !confidential(address) {
			return nil, unavailable(p.c.Name, fmt.Errorf("it names the address %q, which is missing or not https", address))
		}
	}
	for _, address := range []string{a.Device, a.Revoke, a.UserInfoEndpoint()} {
		if address != "" && !confidential(address) {
			return nil, unavailable(p.c.Name, fmt.Errorf("it names the address %q, which is not https", address))
		}
	}
	p.guard.keysAt(a.Keys)
	a.keys = goidc.NewRemoteKeySet(ctx, a.Keys)
	return a, nil
}

// An Unavailable error says why a provider cannot be asked. Error is for
// everybody; Cause is for the log.
type Unavailable struct {
	Provider string
	Cause    error
}

func unavailable(name string, cause error) error { return &Unavailable{name, cause} }

// Error leaves the cause out: it may name hosts inside.
func (u *Unavailable) Error() string {
	return fmt.Sprintf("the identity provider %s cannot be asked now", u.Provider)
}

// Unwrap makes it an ErrUnavailable.
func (u *Unavailable) Unwrap() []error { return []error{ErrUnavailable, u.Cause} }
