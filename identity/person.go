package identity

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"sluice/access"
	"sluice/protocol"
	"sluice/store"
)

// A Person is somebody whom an identity provider vouches for.
type Person struct {
	Provider string // its configured name
	Issuer   string
	Subject  string // the issuer's own name for them: what stays when Name changes
	Name     string // by which they are known here and log in
	Email    string // verified
	Groups   []string
	Claims   map[string]any
	AuthTime time.Time     // zero: the provider does not say
	Refresh  access.Secret // asks the provider again; empty: it cannot be asked
}

var (
	// ErrNameTaken says that a name belongs to somebody else: a local user, or
	// another person of a provider.
	ErrNameTaken = errors.New("the name belongs to somebody else")

	// ErrGone is what a [Renewer] returns if the provider does not vouch for the
	// login any more.
	ErrGone = errors.New("the identity provider does not vouch for this login any more")
)

// loadPeople reads whom providers vouched for.
func (d *Directory) loadPeople(ctx context.Context) error {
	all, err := d.o.People.People(ctx)
	if err != nil {
		return fmt.Errorf("identity: load people: %w", err)
	}
	for _, p := range all {
		d.people[p.Name] = personAccount(p)
	}
	return nil
}

func personAccount(p store.Person) *account {
	return &account{provided: p.Subject, subject: access.Subject{Issuer: p.Issuer, ID: p.Name, Kind: access.Human, Email: p.Email, Groups: p.Groups, Claims: p.Claims}}
}

// Admit lets a person in and returns the secret of a new login, once. The login
// lives for Options.LoginTTL; [Directory.Renew] prolongs it, up to
// Options.MaxAge after the person authenticated. The first person of a name has
// it: nobody takes it over by having it changed at the provider.
func (d *Directory) Admit(ctx context.Context, p Person, note string) (access.Secret, protocol.Login, error) {
	d.change.Lock()
	defer d.change.Unlock()
	subject, err := d.settle(ctx, p)
	if err != nil {
		return access.Secret{}, protocol.Login{}, fmt.Errorf("identity: admit %s: %w", p.Name, err)
	}
	t := d.login(p, note)
	secret := newTokenSecret()
	if err := d.keep(ctx, subject, t, secret); err != nil {
		return access.Secret{}, protocol.Login{}, fmt.Errorf("identity: admit %s: %w", p.Name, err)
	}
	subject.AuthTime = t.Authenticated
	return secret, protocol.Login{Subject: subject, Credential: t.ID, Expires: t.Expires}, nil
}

// login drafts the token of a person's login.
func (d *Directory) login(p Person, note string) *token {
	t := &token{store.Token{ID: newTokenID(), Issuer: p.Issuer, User: p.Name, Note: note, Provider: p.Provider, Created: stamp(d.o.Now())}}
	d.prolong(t, p)
	return t
}

// prolong sets how long a login lives from now, after p authenticated.
func (d *Directory) prolong(t *token, p Person) {
	now := stamp(d.o.Now())
	since := now
	if !p.AuthTime.IsZero() && p.AuthTime.Before(now) {
		since = p.AuthTime
	}
	t.Authenticated, t.Until, t.Checked = stamp(p.AuthTime), stamp(since.Add(d.o.MaxAge)), now
	d.extend(t, p.Refresh)
}

// extend keeps the refresh token and moves the expiry.
func (d *Directory) extend(t *token, refresh access.Secret) {
	t.Expires = stamp(d.o.Now().Add(d.o.LoginTTL))
	if t.Until.Before(t.Expires) {
		t.Expires = t.Until
	}
	t.Sealed = nil
	if !refresh.Empty() {
		t.Sealed = d.box.Seal([]byte(refresh.Reveal()), t.ID)
	}
}

// settle takes in who a person is now. The caller holds change.
func (d *Directory) settle(ctx context.Context, p Person) (access.Subject, error) {
	if p.Name == "" || p.Issuer == "" || p.Issuer == Local || p.Subject == "" {
		return access.Subject{}, errors.New("a person without name, issuer or subject")
	}
	d.mu.RLock()
	other, before := d.find(p.Name), d.formerly(p)
	d.mu.RUnlock()
	if other != nil && (other.subject.Issuer != p.Issuer || other.provided != p.Subject) {
		return access.Subject{}, ErrNameTaken
	}
	if before != "" && before != p.Name {
		if err := d.leave(ctx, p.Issuer, before); err != nil {
			return access.Subject{}, err
		}
	}
	kept := store.Person{Name: p.Name, Issuer: p.Issuer, Subject: p.Subject, Email: p.Email, Groups: p.Groups, Claims: p.Claims, Seen: stamp(d.o.Now())}
	switch err := d.o.People.PutPerson(ctx, kept); {
	case errors.Is(err, store.ErrExists):
		return access.Subject{}, ErrNameTaken
	case err != nil:
		return access.Subject{}, err
	}
	d.know(personAccount(kept), before)
	return personAccount(kept).subject, nil
}

// leave revokes the tokens of a name that its person has no more: it may become
// somebody else's. The caller holds change.
func (d *Directory) leave(ctx context.Context, issuer, name string) error {
	for _, t := range d.choose(Revocation{User: name}) {
		if t.Issuer != issuer || t.User != name {
			continue
		}
		if err := d.revoke(ctx, access.Subject{Issuer: issuer, ID: name}, t); err != nil {
			return err
		}
	}
	return nil
}

// formerly is the name under which a person is known. The caller holds mu.
func (d *Directory) formerly(p Person) string {
	for name, a := range d.people {
		if a.subject.Issuer == p.Issuer && a.provided == p.Subject {
			return name
		}
	}
	return ""
}

// know puts an account in force, in place of the one of an old name.
func (d *Directory) know(a *account, before string) {
	d.mu.Lock()
	old := d.people[a.subject.ID]
	if before != "" && before != a.subject.ID {
		delete(d.people, before)
	}
	d.people[a.subject.ID] = a
	d.mu.Unlock()
	if old == nil || !reflect.DeepEqual(old.subject, a.subject) {
		d.version.Add(1) // open sessions see new groups
	}
}

// Reauthenticate makes a login fresh in place: who holds it, and the sessions
// opened with it, have proven who they are anew. It fails if p is not whose
// login it is.
func (d *Directory) Reauthenticate(ctx context.Context, id string, p Person) (protocol.Login, error) {
	d.change.Lock()
	defer d.change.Unlock()
	subject, err := d.settle(ctx, p)
	if err != nil {
		return protocol.Login{}, fmt.Errorf("identity: %w", err)
	}
	t, ok := d.copyOf(id)
	if !ok || t.Provider != p.Provider || t.Issuer != p.Issuer || t.User != p.Name {
		return protocol.Login{}, fmt.Errorf("identity: %w", ErrRefused)
	}
	d.prolong(&t, p)
	if err := d.renewed(ctx, subject, t); err != nil {
		return protocol.Login{}, fmt.Errorf("identity: %w", err)
	}
	subject.AuthTime = t.Authenticated
	return protocol.Login{Subject: subject, Credential: t.ID, Expires: t.Expires}, nil
}

// copyOf returns a login that is not revoked.
func (d *Directory) copyOf(id string) (token, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tokens.byID[id]
	if t == nil || !t.Revoked.IsZero() || t.Provider == "" {
		return token{}, false
	}
	return *t, true
}

// renewed records and stores a login that lives on. The caller holds change.
func (d *Directory) renewed(ctx context.Context, by access.Subject, t token) error {
	if err := d.record(ctx, access.TokenRenewed, by, &t); err != nil {
		return err
	}
	return d.replace(ctx, t)
}

// replace stores what changed of a login.
func (d *Directory) replace(ctx context.Context, t token) error {
	if err := d.o.Tokens.RenewToken(ctx, t.Token); err != nil {
		return err
	}
	d.mu.Lock()
	if live := d.tokens.byID[t.ID]; live != nil {
		live.Expires, live.Checked, live.Sealed, live.Authenticated, live.Until = t.Expires, t.Checked, t.Sealed, t.Authenticated, t.Until
	}
	d.mu.Unlock()
	d.version.Add(1)
	return nil
}

// Held returns the refresh token kept for a login, and whose provider's it is;
// empty if there is none.
func (d *Directory) Held(id string) (provider string, refresh access.Secret) {
	t, ok := d.copyOf(id)
	if !ok || len(t.Sealed) == 0 {
		return "", access.Secret{}
	}
	plain, err := d.box.Open(t.Sealed, t.ID)
	if err != nil {
		return "", access.Secret{}
	}
	return t.Provider, access.NewSecret(string(plain))
}
