package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/config"
	"sluice/identity"
	"sluice/protocol"
	"sluice/secret"
	"sluice/store"
)

// users resolves the passwords of configured users.
func users(ctx context.Context, cfg *config.Config) ([]identity.User, error) {
	var all []identity.User
	for _, u := range cfg.Users {
		user := identity.User{Name: u.Name, Kind: u.Kind, Email: u.Email, Owner: u.Owner, Groups: u.Groups}
		if u.Password.Given() {
			password, err := reference(u.Password).Resolve(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: password of user %s: %w", u.Password.Pos, u.Name, err)
			}
			user.Password = password
		}
		all = append(all, user)
	}
	return all, nil
}

func reference(s config.Secret) secret.Ref {
	return secret.Ref{Env: s.Env, File: s.File, Exec: s.Exec, Value: s.Value}
}

// identities gives the API its view of the directory. Roles change with the
// configuration, so they are asked for at each call.
type identities struct {
	directory *identity.Directory
	roles     func() identity.Roles
	maxTTL    func() time.Duration
}

func (i identities) Authenticate(ctx context.Context, header, from string) (api.Caller, error) {
	login, err := i.directory.Authorization(ctx, header, from)
	if err != nil {
		return api.Caller{}, refused(err)
	}
	return i.caller(login), nil
}

// refused says a failed login in the API's words.
func refused(err error) error {
	if errors.Is(err, identity.ErrThrottled) {
		return fmt.Errorf("%w: %w", api.ErrTooMany, err)
	}
	return fmt.Errorf("%w: %w", api.ErrCredential, err)
}

func (i identities) Session(ctx context.Context, value access.Secret) (api.Caller, error) {
	login, err := i.directory.Token(ctx, value)
	if err != nil {
		return api.Caller{}, refused(err)
	}
	return i.caller(login), nil
}

func (i identities) caller(l protocol.Login) api.Caller {
	roles := i.roles()
	return api.Caller{Subject: l.Subject, Credential: l.Credential, Expires: l.Expires,
		Admin: roles.IsAdmin(l.Subject), Auditor: roles.IsAuditor(l.Subject)}
}

func (i identities) Issue(ctx context.Context, c *api.Caller, ttl time.Duration) (v1.Token, error) {
	if most := i.maxTTL(); ttl > most {
		return v1.Token{}, api.Errorf(api.ErrInvalid, "a token lives %s at most here", most)
	}
	by := protocol.Login{Subject: c.Subject, Credential: c.Credential, Expires: c.Expires}
	value, t, err := i.directory.Issue(ctx, by, ttl, "")
	if err != nil {
		return v1.Token{}, err
	}
	shown := token(t)
	shown.Secret = value.Reveal() // the one time that it is shown
	return shown, nil
}

func (i identities) List(ctx context.Context, user string) ([]v1.Token, error) {
	list, err := i.directory.Tokens(ctx, user)
	var out []v1.Token
	for _, t := range list {
		out = append(out, token(t))
	}
	return out, err
}

func (i identities) Revoke(ctx context.Context, id string, by access.Subject) error {
	n, err := i.directory.Revoke(ctx, by, identity.Revocation{ID: id})
	if err == nil && n == 0 {
		return api.Errorf(api.ErrConflict, "token %s is not live", id)
	}
	return err
}

func token(t store.Token) v1.Token {
	return v1.Token{ID: t.ID, User: t.User, Created: t.Created, Expires: t.Expires, Revoked: !t.Revoked.IsZero()}
}
