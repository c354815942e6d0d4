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
	if header == "" || len(header) > maxAuthorization {
		return protocol.Login{}, ErrRefused // nothing was guessed
	}
	user, secret, basic := parseAuthorization(header)
	if basic {
		return d.Attempt(user, address, func() (protocol.Login, error) { return d.Password(ctx, user, secret) })
	}
	return d.Attempt("", address, func() (protocol.Login, error) { return d.Token(ctx, secret) })
}

// Attempt calls prove if address may try to log in as user now, and counts a
// failure. The error wraps [ErrThrottled] or is prove's.
func (d *Directory) Attempt(user, address string, prove func() (protocol.Login, error)) (protocol.Login, error) {
	if err := d.Allow(user, address); err != nil {
		return protocol.Login{}, err
	}
	login, err := prove()
	if err != nil {
		d.Failed(user, address)
	}
	return login, err
}

// parseAuthorization returns what the header offers. Anything malformed offers
// an empty token, which nobody has.
func parseAuthorization(header string) (user string, secret access.Secret, basic bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "bearer":
		return "", access.NewSecret(rest), false
	case "basic":
		b, err := base64.StdEncoding.DecodeString(rest)
		if user, password, ok := strings.Cut(string(b), ":"); ok && err == nil {
			return user, access.NewSecret(password), true
		}
	}
	return "", access.Secret{}, false
}
