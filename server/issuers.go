package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/access"
	"sluice/config"
	"sluice/identity"
	"sluice/identity/oidc"
)

// issuers are who vouches for people and programs, as configured.
type issuers struct {
	providers []*oidc.Provider
	workloads *oidc.Workloads
}

// newIssuers makes providers of a configuration. It asks none of them: one that
// is down must not keep a gateway from starting.
func (s *Server) newIssuers(cfg *config.Config) (*issuers, error) {
	key, err := s.folder.key("signin")
	if err != nil {
		return nil, err
	}
	id := cfg.Gateway.Identity
	o := oidc.Options{Key: key, Now: s.o.Now, Skew: id.ClockSkew, MaxAge: id.MaxAge}
	all := &issuers{}
	for _, p := range id.Providers {
		made, err := oidc.New(providerConfig(p), o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name.Pos, err)
		}
		all.providers = append(all.providers, made)
	}
	all.workloads, err = oidc.NewWorkloads(trusts(id.Workloads), o)
	return all, err
}

func providerConfig(p config.Provider) oidc.Config {
	c := oidc.Config{Name: p.Name.Value, Issuer: p.Issuer.Value, ClientID: p.ClientID, CA: string(p.CA), Scopes: p.Scopes, Claims: oidc.Claims{
		Name: p.Username.Claim, Domain: p.Username.Domain, Groups: p.Groups.Claim, Map: p.Groups.Map, Keep: p.Claims, Require: values(p.Require)}}
	if p.ClientSecret.Given() {
		c.ClientSecret = reference(p.ClientSecret).Resolve
	}
	return c
}

func trusts(all []config.Workload) (out []oidc.Trust) {
	for _, w := range all {
		out = append(out, oidc.Trust{Issuer: w.Issuer.Value, Audience: w.Audience, Claims: values(w.Claims), User: w.User.Value, TTL: w.TTL, Keys: w.Keys, CA: string(w.CA)})
	}
	return out
}

func values(all map[string]config.Values) map[string][]string {
	out := map[string][]string{}
	for name, v := range all {
		out[name] = v
	}
	return out
}

// provider finds one by name.
func (i *issuers) provider(name string) (*oidc.Provider, bool) {
	for _, p := range i.providers {
		if p.Name() == name {
			return p, true
		}
	}
	return nil, false
}

// person is whom a provider vouches for, in the directory's words.
func person(p oidc.Person) identity.Person {
	return identity.Person{Provider: p.Provider, Issuer: p.Issuer, Subject: p.Subject, Name: p.Name, Email: p.Email,
		Groups: p.Groups, Claims: p.Claims, AuthTime: p.AuthTime, Refresh: p.Refresh}
}

// renewer asks the providers that are configured now.
type renewer struct {
	issuers func() *issuers
	log     *slog.Logger
}

// Renew implements [identity.Renewer]. A provider that was taken out of the
// configuration vouches for nobody.
func (r renewer) Renew(ctx context.Context, name string, refresh access.Secret, subject string) (identity.Person, error) {
	p, ok := r.issuers().provider(name)
	if !ok {
		return identity.Person{}, identity.ErrGone
	}
	again, err := p.Refresh(ctx, refresh, subject)
	if errors.Is(err, oidc.ErrGone) || errors.Is(err, oidc.ErrRejected) {
		r.log.Info("a login is not renewed", "provider", name, "person", subject, "reason", err)
		return identity.Person{}, fmt.Errorf("%w: %w", identity.ErrGone, err)
	}
	return person(again), err
}

// renewLogins keeps asking the providers about the logins that they gave.
func (s *Server) renewLogins(ctx context.Context) {
	every := min(30*time.Second, max(time.Second, s.config.Load().Gateway.Identity.LoginTTL/10))
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		renewed, gone, err := s.directory.Renew(ctx, renewer{s.issuers.Load, s.log})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("logins could not be renewed; they go on until they expire", "error", err)
		}
		if renewed+gone > 0 {
			s.log.Info("logins renewed", "renewed", renewed, "ended", gone)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
