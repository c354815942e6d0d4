package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"sluice/access"
	"sluice/protocol"
	"sluice/store"
)

// How a Login's Credential names what was proven.
const (
	passwordCredential    = "password#"    // and the generation of the password
	certificateCredential = "certificate#" // and the SHA-256 of the certificate
)

// SCRAM returns the salt, iteration count and live verifiers of a user.
func (d *Directory) SCRAM(user string) protocol.SCRAM {
	now := d.o.Now()
	s := protocol.SCRAM{Salt: d.salt(user), Iterations: d.o.Rounds}
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.find(user)
	if a == nil {
		return s
	}
	for _, k := range a.passwords {
		s.Verifiers = append(s.Verifiers, protocol.Verifier{StoredKey: k.stored, ServerKey: k.server, Login: a.passwordLogin(now)})
	}
	for _, t := range d.tokens.of(user) {
		if login, err := d.tokenLogin(t, now); err == nil {
			s.Verifiers = append(s.Verifiers, protocol.Verifier{StoredKey: t.StoredKey, ServerKey: t.ServerKey, Login: login})
		}
	}
	return s
}

func (a *account) proven(now time.Time) access.Subject {
	s := a.subject
	s.AuthTime = now
	return s
}

func (a *account) passwordLogin(now time.Time) protocol.Login {
	return protocol.Login{Subject: a.proven(now), Credential: passwordCredential + strconv.FormatUint(a.generation, 10)}
}

// tokenLogin is what a token proves: its holder, and who acts for them. The
// caller holds mu.
func (d *Directory) tokenLogin(t *token, now time.Time) (protocol.Login, error) {
	if !t.live(now) {
		return protocol.Login{}, ErrRefused
	}
	parties := append([]store.Party{{Issuer: t.Issuer, ID: t.User}}, t.Actors...)
	var subject *access.Subject
	for i := len(parties) - 1; i >= 0; i-- {
		a := d.of(parties[i].Issuer, parties[i].ID)
		if a == nil {
			return protocol.Login{}, ErrRefused
		}
		s := a.subject
		s.Actor = subject
		subject = &s
	}
	subject.AuthTime = d.authenticated(t)
	return protocol.Login{Subject: *subject, Credential: t.ID, Expires: t.Expires}, nil
}

// authenticated is when the holder of a token last proved who they are: the
// login that it comes from may have been made fresh since. The caller holds mu.
func (d *Directory) authenticated(t *token) time.Time {
	if t == nil {
		return time.Time{}
	}
	root, _, _ := strings.Cut(t.ID, ".")
	if first := d.tokens.byID[root]; first != nil && first.Revoked.IsZero() && first.Authenticated.After(t.Authenticated) {
		return first.Authenticated
	}
	return t.Authenticated
}

// Password checks a token or password that came in clear. It derives the
// password's keys for unknown users too, so that the time tells nothing.
func (d *Directory) Password(ctx context.Context, user string, secret access.Secret) (protocol.Login, error) {
	if strings.HasPrefix(secret.Reveal(), TokenPrefix) {
		if login, err := d.Token(ctx, secret); err == nil && login.Subject.ID == user {
			return login, nil
		}
	}
	if secret.Empty() || len(secret.Reveal()) > maxPassword {
		return protocol.Login{}, ErrRefused
	}
	var offered []keys
	for _, s := range spellings(secret.Reveal()) {
		offered = append(offered, deriveKeys(s, d.salt(user), d.o.Rounds))
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.users[user]
	if a == nil || !a.has(offered) {
		return protocol.Login{}, ErrRefused
	}
	return a.passwordLogin(d.o.Now()), nil
}

// maxPassword bounds in bytes what is hashed for a stranger.
const maxPassword = 1024

func (a *account) has(offered []keys) (found bool) {
	for _, o := range offered {
		for _, k := range a.passwords {
			if k.matches(o) {
				found = true
			}
		}
	}
	return found
}

// Token checks a token that came in clear without a user's name.
func (d *Directory) Token(_ context.Context, secret access.Secret) (protocol.Login, error) {
	hash := sha256.Sum256([]byte(secret.Reveal()))
	now := d.o.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tokens.byHash[hash]
	if t == nil {
		return protocol.Login{}, ErrRefused
	}
	return d.tokenLogin(t, now)
}

// Certificate accepts a chain that TLS verified against the gateway's client
// authorities, if its common name is the user's.
func (d *Directory) Certificate(_ context.Context, user string, chain []*x509.Certificate) (protocol.Login, error) {
	now := d.o.Now()
	if len(chain) == 0 || user == "" || chain[0].Subject.CommonName != user || now.After(chain[0].NotAfter) {
		return protocol.Login{}, ErrRefused
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.find(user)
	if a == nil {
		return protocol.Login{}, ErrRefused
	}
	sum := sha256.Sum256(chain[0].Raw)
	return protocol.Login{
		Subject:    a.proven(chain[0].NotBefore), // nobody was asked since
		Credential: certificateCredential + hex.EncodeToString(sum[:]),
		Expires:    chain[0].NotAfter,
	}, nil
}

// stands reports why a credential that opened a session no longer holds it
// open. The caller holds mu and knows that the user exists.
func (d *Directory) stands(user, credential string, now time.Time) error {
	if g, ok := strings.CutPrefix(credential, passwordCredential); ok {
		if a := d.users[user]; a != nil && g == strconv.FormatUint(a.generation, 10) {
			return nil
		}
		return errors.New("the password was changed")
	}
	if strings.HasPrefix(credential, certificateCredential) {
		return nil
	}
	t := d.tokens.byID[credential]
	switch {
	case t == nil || t.User != user:
		return errors.New("the credential is not known any more")
	case !t.Revoked.IsZero():
		return errors.New("the token was revoked")
	case now.After(t.Expires.Add(d.o.MaxSession)):
		return errors.New("the token expired too long ago")
	}
	return nil
}
