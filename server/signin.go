package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sluice/access"
	"sluice/api"
	"sluice/identity"
	"sluice/protocol"
)

// webSession is how long a person stays signed in on the web with a password.
const webSession = 12 * time.Hour

// signIn opens sessions on the web. Each is a token of the directory, so that
// it is kept as a hash, expires, and is revoked as tokens are.
type signIn struct {
	identities
	issuers func() *issuers
	log     *slog.Logger
}

func (s signIn) Password(ctx context.Context, user string, password access.Secret, from string) (api.Opened, error) {
	login, err := s.directory.Attempt(user, from, func() (protocol.Login, error) { return s.directory.Password(ctx, user, password) })
	if err != nil {
		return api.Opened{}, notAccepted(err)
	}
	if login.Subject.Kind != access.Human || login.Subject.Actor != nil {
		return api.Opened{}, api.Errorf(api.ErrForbidden, "these pages are for people; %s is not", login.Subject.ID)
	}
	value, t, err := s.directory.Issue(ctx, login, min(webSession, s.maxTTL()), "web session")
	if err != nil {
		return api.Opened{}, err
	}
	login.Credential, login.Expires = t.ID, t.Expires
	return api.Opened{Caller: s.caller(login), Secret: value}, nil
}

// notAccepted is refused for people to read. It does not say whether the name or
// the password was wrong.
func notAccepted(err error) error {
	if errors.Is(err, identity.ErrThrottled) {
		return api.Errorf(api.ErrTooMany, "%s", err)
	}
	return api.Errorf(api.ErrCredential, "user name or password not accepted")
}

func (s signIn) Close(ctx context.Context, c api.Caller) error {
	provider, refresh := s.directory.Held(c.Credential)
	if _, err := s.directory.Revoke(ctx, c.Subject, identity.Revocation{ID: c.Credential}); err != nil {
		return err
	}
	s.revoked(ctx, provider, refresh)
	return nil
}
