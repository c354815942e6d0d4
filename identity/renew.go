package identity

import (
	"context"
	"errors"
	"time"

	"sluice/access"
)

// A Renewer asks identity providers.
type Renewer interface {
	// Renew asks a provider whether it still vouches for a person, named by
	// subject, and who they are now. An error that wraps ErrGone is its no; any
	// other means that it could not be asked.
	Renew(ctx context.Context, provider string, refresh access.Secret, subject string) (Person, error)
}

// renewRetry is how long a provider that could not be asked is left alone.
const renewRetry = time.Minute

// Renew prolongs the logins that have less than half their time left, as long
// as their provider says yes, and revokes those it says no to. A provider that
// cannot be asked changes nothing: its logins go on until they expire, and live
// again if it says yes later. Call it now and then. The error is of those that
// could not be asked.
func (d *Directory) Renew(ctx context.Context, r Renewer) (renewed, gone int, err error) {
	for _, id := range d.due() {
		if ctx.Err() != nil {
			return renewed, gone, errors.Join(err, ctx.Err())
		}
		switch e := d.renew(ctx, r, id); {
		case errors.Is(e, ErrGone):
			gone++
		case e != nil:
			err = errors.Join(err, e)
		default:
			renewed++
		}
	}
	return renewed, gone, err
}

// due lists the logins to renew.
func (d *Directory) due() (ids []string) {
	now := d.o.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, t := range d.tokens.byID {
		retry := min(renewRetry, d.o.LoginTTL/4)
		if len(t.Sealed) > 0 && t.Revoked.IsZero() && now.Before(t.Until) && now.After(t.Expires.Add(-d.o.LoginTTL/2)) && t.Expires.Before(t.Until) && now.Sub(t.Checked) >= retry {
			ids = append(ids, id)
		}
	}
	return ids
}

// renew asks about one login. The provider is asked without any lock held.
func (d *Directory) renew(ctx context.Context, r Renewer, id string) error {
	t, ok := d.copyOf(id)
	if !ok {
		return nil
	}
	provider, refresh := d.Held(id)
	p, err := r.Renew(ctx, provider, refresh, d.subjectOf(t))
	d.change.Lock()
	defer d.change.Unlock()
	if t, ok = d.copyOf(id); !ok {
		return nil // it ended meanwhile
	}
	switch {
	case errors.Is(err, ErrGone):
		return errors.Join(ErrGone, d.end(ctx, t))
	case err != nil:
		t.Checked = stamp(d.o.Now())
		return errors.Join(err, d.replace(ctx, t))
	}
	return d.goOn(ctx, t, p)
}

// goOn prolongs a login whose provider said yes.
func (d *Directory) goOn(ctx context.Context, t token, p Person) error {
	subject, err := d.settle(ctx, p)
	if err != nil || p.Name != t.User || p.Issuer != t.Issuer {
		// It has another name now, or one that is another's: not this login's.
		return errors.Join(ErrGone, err, d.end(ctx, t))
	}
	t.Checked = stamp(d.o.Now())
	d.extend(&t, p.Refresh)
	return d.renewed(ctx, subject, t)
}

// end revokes a login with all tokens asked for with it. The caller holds change.
func (d *Directory) end(ctx context.Context, t token) error {
	by := access.Subject{Issuer: t.Issuer, ID: t.User}
	for _, one := range d.choose(Revocation{ID: t.ID}) {
		if err := d.revoke(ctx, by, one); err != nil {
			return err
		}
	}
	return nil
}

// subjectOf is the provider's own name for whose login it is.
func (d *Directory) subjectOf(t token) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.people[t.User]; a != nil && a.subject.Issuer == t.Issuer {
		return a.provided
	}
	return ""
}
