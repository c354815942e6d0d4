package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/access"
	"sluice/protocol"
	"sluice/store"
)

// maxActors bounds who acts for whom, each for the one before.
const maxActors = 4

// Vouch gives a configured program a token because somebody whom the
// configuration trusts vouches for it; note says who. People are not vouched for.
func (d *Directory) Vouch(ctx context.Context, user string, ttl time.Duration, note string) (access.Secret, protocol.Login, error) {
	d.change.Lock()
	defer d.change.Unlock()
	d.mu.RLock()
	a := d.of(Local, user)
	d.mu.RUnlock()
	if a == nil || a.subject.Kind == access.Human {
		return access.Secret{}, protocol.Login{}, fmt.Errorf("identity: no program is configured as %q", user)
	}
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	now := d.o.Now()
	t := &token{store.Token{ID: newTokenID(), Issuer: Local, User: user, Note: note, Created: stamp(now), Authenticated: stamp(now),
		Expires: stamp(now.Add(min(max(ttl, time.Second), d.o.MaxTTL)))}}
	return d.hand(ctx, a.subject, t)
}

// hand keeps a token and returns what it proves.
func (d *Directory) hand(ctx context.Context, by access.Subject, t *token) (access.Secret, protocol.Login, error) {
	secret := newTokenSecret()
	if err := d.keep(ctx, by, t, secret); err != nil {
		return access.Secret{}, protocol.Login{}, fmt.Errorf("identity: issue token: %w", err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	login, err := d.tokenLogin(t, d.o.Now())
	return secret, login, err
}

// Delegate gives an agent a token to act for a subject: who holds both their
// tokens may ask. The subject stays who it is; the agent is added to those who
// act for it (the act claim of RFC 8693, section 4.1), so that policy asks what
// each of them may. The token is revoked with the subject's and lives no longer
// than either.
func (d *Directory) Delegate(ctx context.Context, subject, actor protocol.Login, ttl time.Duration) (access.Secret, protocol.Login, error) {
	d.change.Lock()
	defer d.change.Unlock()
	t, err := d.delegation(subject, actor, ttl)
	if err != nil {
		return access.Secret{}, protocol.Login{}, fmt.Errorf("identity: delegate: %w", err)
	}
	return d.hand(ctx, actor.Subject, t)
}

func (d *Directory) delegation(subject, actor protocol.Login, ttl time.Duration) (*token, error) {
	now := d.o.Now()
	if ttl == 0 {
		ttl = min(time.Hour, d.o.MaxTTL)
	}
	var parties []store.Party
	for _, s := range append(subject.Subject.Chain()[1:], actor.Subject.Chain()...) {
		parties = append(parties, store.Party{Issuer: s.Issuer, ID: s.ID})
	}
	switch {
	case ttl < 0 || ttl > d.o.MaxTTL:
		return nil, fmt.Errorf("a token lives between a moment and %s, not %s", d.o.MaxTTL, ttl)
	case subject.Subject.Kind != access.Human:
		return nil, errors.New("agents act for people, not for programs")
	case actor.Subject.Kind == access.Human || actor.Subject.Actor != nil:
		return nil, errors.New("the actor must be a program with a token of its own")
	case len(parties) > maxActors:
		return nil, fmt.Errorf("more than %d act for each other", maxActors)
	}
	for _, l := range []protocol.Login{subject, actor} {
		if _, err := d.Current(l.Subject, l.Credential); err != nil {
			return nil, err
		}
	}
	t := &token{store.Token{ID: newTokenID(), Issuer: subject.Subject.Issuer, User: subject.Subject.ID, Actors: parties, Note: "acting: " + actor.Subject.ID,
		Created: stamp(now), Expires: stamp(now.Add(ttl)), Authenticated: stamp(subject.Subject.AuthTime)}}
	if !actor.Expires.IsZero() && actor.Expires.Before(t.Expires) {
		t.Expires = actor.Expires
	}
	return t, d.derive(t, subject, now)
}
