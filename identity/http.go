package identity

import (
	"context"
	"encoding/base64"
	"strings"

	"sluice/access"
	"sluice/protocol"
)

// maxAuthorization bounds the header, in bytes: a name, a password and base64.
const maxAuthorization = 4096

// Authorization checks an HTTP Authorization header: "Bearer TOKEN", or "Basic"
// (RFC 7617) with a user's name and password or token. Failures count against
// address. The error wraps [ErrRefused] or [ErrThrottled].
func (d *Directory) Authorization(ctx context.Context, header, address string) (protocol.Login, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if header == "" || len(header) > maxAuthorization {
		return protocol.Login{}, ErrRefused // nothing was guessed
	}
	user, check := "", func(string, access.Secret) (protocol.Login, error) { return protocol.Login{}, ErrRefused }
	secret := access.NewSecret(strings.TrimSpace(rest))
	switch strings.ToLower(scheme) {
	case "bearer":
		check = func(_ string, s access.Secret) (protocol.Login, error) { return d.Token(ctx, s) }
	case "basic":
		var ok bool
		if user, secret, ok = basic(rest); ok {
			check = func(u string, s access.Secret) (protocol.Login, error) { return d.Password(ctx, u, s) }
		}
	}
	if err := d.Allow(user, address); err != nil {
		return protocol.Login{}, err
	}
	login, err := check(user, secret)
	if err != nil {
		d.Failed(user, address)
	}
	return login, err
}

func basic(encoded string) (user string, secret access.Secret, ok bool) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", access.Secret{}, false
	}
	user, password, ok := strings.Cut(string(b), ":")
	return user, access.NewSecret(password), ok
}
