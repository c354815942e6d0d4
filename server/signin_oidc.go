package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/access"
	"sluice/api"
	"sluice/identity"
	"sluice/identity/oidc"
	"sluice/protocol"
)

// Providers implements [api.SignIn].
func (s signIn) Providers() []string {
	names := []string{}
	for _, p := range s.issuers().providers {
		names = append(names, p.Name())
	}
	return names
}

func (s signIn) provider(name string) (*oidc.Provider, error) {
	p, ok := s.issuers().provider(name)
	if !ok {
		return nil, api.Errorf(api.ErrNotFound, "there is no identity provider of that name")
	}
	return p, nil
}

// Start implements [api.SignIn].
func (s signIn) Start(ctx context.Context, ask api.LoginAsk) (api.Started, error) {
	p, err := s.provider(ask.Provider)
	if err != nil {
		return api.Started{}, err
	}
	var begun oidc.Started
	if ask.Device {
		begun, err = p.StartDevice(ctx, ask.Fresh)
	} else {
		begun, err = p.StartCode(ctx, ask.Redirect, ask.Fresh)
	}
	return api.Started(begun), s.say(err)
}

// Finish implements [api.SignIn].
func (s signIn) Finish(ctx context.Context, f api.LoginFinish) (api.Opened, error) {
	p, err := s.provider(f.Provider)
	if err != nil {
		return api.Opened{}, err
	}
	var who oidc.Person
	if f.Device {
		who, err = p.Poll(ctx, f.Attempt)
	} else {
		who, err = p.FinishCode(ctx, f.Attempt, oidc.Return{State: f.State, Code: f.Code, Issuer: f.Issuer, Error: f.Error})
	}
	if err != nil {
		return api.Opened{}, s.say(err)
	}
	return s.open(ctx, person(who), f)
}

// open lets a person in: with the login that they have, made fresh, or a new one.
func (s signIn) open(ctx context.Context, who identity.Person, f api.LoginFinish) (api.Opened, error) {
	if f.Credential != "" {
		old, _ := s.directory.Held(f.Credential)
		if login, err := s.directory.Reauthenticate(ctx, f.Credential, who); err == nil && old != "" {
			return api.Opened{Caller: s.caller(login)}, nil
		}
	}
	secret, login, err := s.directory.Admit(ctx, who, f.Note)
	switch {
	case errors.Is(err, identity.ErrNameTaken):
		return api.Opened{}, api.WithHint(api.Errorf(api.ErrForbidden, "the name %s belongs to somebody else here", who.Name),
			"an administrator can tell you whose it is, and have the provider give you another")
	case err != nil:
		return api.Opened{}, err
	}
	return api.Opened{Caller: s.caller(login), Secret: secret}, nil
}

// say puts what came of asking a provider into the API's words. The cause of
// one that cannot be asked is for the log.
func (s signIn) say(err error) error {
	var down *oidc.Unavailable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &down):
		s.log.Warn("identity provider", "provider", down.Provider, "error", down.Cause)
		return api.WithHint(api.Errorf(api.ErrUnavailable, "%s", down), "logins that you have go on; try again in a moment, or use another way to sign in")
	case errors.Is(err, oidc.ErrPending):
		return api.ErrPending
	case errors.Is(err, oidc.ErrSlowDown):
		return api.Errorf(api.ErrTooMany, "%s", err)
	case errors.Is(err, oidc.ErrDenied), errors.Is(err, oidc.ErrExpired), errors.Is(err, oidc.ErrRejected), errors.Is(err, oidc.ErrGone):
		return api.Errorf(api.ErrForbidden, "signing in failed: %s", err)
	}
	return err
}

// Exchange implements [api.SignIn].
func (s signIn) Exchange(ctx context.Context, e api.Exchange) (api.Opened, error) {
	switch {
	case !e.Secret.Empty():
		return s.clientCredentials(ctx, e)
	case strings.HasPrefix(e.Subject.Reveal(), identity.TokenPrefix):
		return s.delegate(ctx, e)
	case e.Actor.Empty():
		return s.workload(ctx, e)
	}
	return api.Opened{}, api.Errorf(api.ErrInvalid, "an actor acts for somebody who has signed in here")
}

// clientCredentials exchanges a configured program's secret for a short-lived token.
func (s signIn) clientCredentials(ctx context.Context, e api.Exchange) (api.Opened, error) {
	login, err := s.directory.Attempt(e.Client, e.From, func() (protocol.Login, error) { return s.directory.Password(ctx, e.Client, e.Secret) })
	if err != nil {
		return api.Opened{}, notAccepted(err)
	}
	if login.Subject.Kind == access.Human {
		return api.Opened{}, api.Errorf(api.ErrForbidden, "client credentials are for programs; people sign in")
	}
	secret, t, err := s.directory.Issue(ctx, login, e.TTL, "client credentials")
	if err != nil {
		return api.Opened{}, err
	}
	login.Credential, login.Expires = t.ID, t.Expires
	return api.Opened{Caller: s.caller(login), Secret: secret}, nil
}

// workload takes a token of a CI system or cluster.
func (s signIn) workload(ctx context.Context, e api.Exchange) (api.Opened, error) {
	var job oidc.Workload
	_, err := s.directory.Attempt("", e.From, func() (protocol.Login, error) {
		var err error
		job, err = s.issuers().workloads.Verify(ctx, e.Subject.Reveal())
		if errors.Is(err, oidc.ErrUnavailable) {
			err = nil // nobody guessed; told below
		}
		return protocol.Login{}, err
	})
	switch {
	case errors.Is(err, identity.ErrThrottled):
		return api.Opened{}, notAccepted(err)
	case err != nil:
		return api.Opened{}, s.say(err)
	case job.User == "":
		return api.Opened{}, api.Errorf(api.ErrUnavailable, "the token's issuer cannot be asked for its keys now")
	}
	ttl := time.Until(job.Expires)
	if job.TTL > 0 {
		ttl = job.TTL
	}
	secret, login, err := s.directory.Vouch(ctx, job.User, ttl, job.Issuer+" "+job.Subject)
	if err != nil {
		return api.Opened{}, err
	}
	return api.Opened{Caller: s.caller(login), Secret: secret}, nil
}

// delegate gives an agent a token to act for a person.
func (s signIn) delegate(ctx context.Context, e api.Exchange) (api.Opened, error) {
	token := func(secret access.Secret) (protocol.Login, error) {
		return s.directory.Attempt("", e.From, func() (protocol.Login, error) { return s.directory.Token(ctx, secret) })
	}
	if e.Actor.Empty() {
		return api.Opened{}, api.Errorf(api.ErrInvalid, "an actor_token is needed: whoever has this token can use it as it is")
	}
	subject, err := token(e.Subject)
	if err != nil {
		return api.Opened{}, api.Errorf(api.ErrCredential, "the subject_token is not accepted")
	}
	actor, err := token(e.Actor)
	if err != nil {
		return api.Opened{}, api.Errorf(api.ErrCredential, "the actor_token is not accepted")
	}
	secret, login, err := s.directory.Delegate(ctx, subject, actor, e.TTL)
	if err != nil {
		return api.Opened{}, api.Errorf(api.ErrForbidden, "%s", err)
	}
	return api.Opened{Caller: s.caller(login), Secret: secret}, nil
}

// revoked tells a provider that a login has ended; it may not be listening.
func (s signIn) revoked(ctx context.Context, name string, refresh access.Secret) {
	p, ok := s.issuers().provider(name)
	if !ok || refresh.Empty() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := p.Revoke(ctx, refresh); err != nil {
		s.log.Warn("identity provider was not told that a login ended", "provider", name, "error", err)
	}
}
