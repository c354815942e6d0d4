package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"sluice/access"
	"sluice/internal/uuid7"
	"sluice/protocol"
	"sluice/store"
)

const (
	// TokenPrefix begins every token's secret.
	TokenPrefix = "slc_" // lets people and secret scanners recognise a token
	tokenDigits = 43     // of base 62, for 256 bits: 47 characters in all, far below the 64 that old clients take

	// maxTokens bounds a user's live tokens: a SCRAM login tries each, at about
	// a microsecond.
	maxTokens = 256

	maxNote = 200 // bytes

	// maxGenerations bounds how often a token may be asked for with another:
	// a login, a shell, a client and room to spare.
	maxGenerations = 6
)

type token struct{ store.Token }

func (t *token) live(now time.Time) bool { return t.Revoked.IsZero() && now.Before(t.Expires) }

// involves reports whether the token is a user's, or lets them act for another.
func (t *token) involves(user string) bool {
	return t.User == user || slices.ContainsFunc(t.Actors, func(p store.Party) bool { return p.ID == user })
}

func (t *token) actors() string {
	var names []string
	for _, p := range t.Actors {
		names = append(names, p.Issuer+"/"+p.ID)
	}
	return strings.Join(names, ", ")
}

// A tokenTable holds every token that still matters to a login or a session.
type tokenTable struct {
	byID   map[string]*token
	byHash map[[sha256.Size]byte]*token
	byUser map[string][]*token
}

func newTokenTable() tokenTable {
	return tokenTable{map[string]*token{}, map[[sha256.Size]byte]*token{}, map[string][]*token{}}
}

func (tt *tokenTable) of(user string) []*token { return tt.byUser[user] }

func (tt *tokenTable) add(t *token) {
	tt.byID[t.ID] = t
	tt.byHash[[sha256.Size]byte(t.Hash)] = t
	tt.byUser[t.User] = append(tt.byUser[t.User], t)
}

// load reads the tokens from the store. Those made with another key cannot be
// proven by SCRAM and are left out.
func (d *Directory) load(ctx context.Context) error {
	all, err := d.o.Tokens.Tokens(ctx, store.TokenFilter{})
	if err != nil {
		return fmt.Errorf("identity: load tokens: %w", err)
	}
	for _, t := range all {
		if len(t.Hash) == sha256.Size && string(t.Salt) == string(d.salt(t.User)) && t.Rounds == d.o.Rounds {
			d.tokens.add(&token{t})
		}
	}
	return nil
}

// Issue makes a token for the subject of a login and returns its secret, once.
// A ttl of zero means one hour. A token asked for with another token does not
// outlive that one and is revoked with it: a stolen token cannot renew itself.
func (d *Directory) Issue(ctx context.Context, by protocol.Login, ttl time.Duration, note string) (access.Secret, store.Token, error) {
	d.change.Lock()
	defer d.change.Unlock()
	t, err := d.draft(by, ttl, note)
	if err != nil {
		return access.Secret{}, store.Token{}, fmt.Errorf("identity: issue token: %w", err)
	}
	secret := newTokenSecret()
	if err := d.keep(ctx, by.Subject, t, secret); err != nil {
		return access.Secret{}, store.Token{}, fmt.Errorf("identity: issue token: %w", err)
	}
	return secret, t.Token, nil
}

// keep records and stores a new token; then it is good. The caller holds change.
func (d *Directory) keep(ctx context.Context, by access.Subject, t *token, secret access.Secret) error {
	if d.countLive(t.User, t.Created) >= maxTokens {
		return fmt.Errorf("%d live tokens are the limit: revoke some", maxTokens)
	}
	d.seal(t, secret)
	if err := d.record(ctx, access.TokenIssued, by, t); err != nil {
		return err
	}
	if err := d.o.Tokens.PutToken(ctx, t.Token); err != nil {
		return err
	}
	d.mu.Lock()
	d.tokens.add(t)
	d.mu.Unlock()
	return nil
}

func (d *Directory) draft(by protocol.Login, ttl time.Duration, note string) (*token, error) {
	now := d.o.Now()
	if ttl == 0 {
		ttl = min(time.Hour, d.o.MaxTTL)
	}
	switch {
	case ttl < 0 || ttl > d.o.MaxTTL:
		return nil, fmt.Errorf("a token lives between a moment and %s, not %s", d.o.MaxTTL, ttl)
	case by.Subject.Actor != nil:
		return nil, errors.New("an agent acting for somebody cannot have tokens of theirs")
	case len(note) > maxNote:
		return nil, fmt.Errorf("note longer than %d bytes", maxNote)
	}
	if _, err := d.Current(by.Subject, by.Credential); err != nil {
		return nil, err
	}
	t := &token{store.Token{
		ID: newTokenID(), Issuer: by.Subject.Issuer, User: by.Subject.ID, Note: note, Authenticated: stamp(by.Subject.AuthTime),
		Created: stamp(now), Expires: stamp(now.Add(ttl)),
	}}
	return t, d.derive(t, by, now)
}

// stamp is a time as the store keeps it.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// derive ties a token to the one that it is asked for with.
func (d *Directory) derive(t *token, by protocol.Login, now time.Time) error {
	if !by.Expires.IsZero() && by.Expires.Before(t.Expires) {
		t.Expires = by.Expires
	}
	if strings.HasPrefix(by.Credential, tokenID) {
		t.ID = by.Credential + "." + strings.ToLower(rand.Text()[:8])
	}
	if strings.Count(t.ID, ".") > maxGenerations {
		return errors.New("too many tokens in a row, each asked for with the one before: log in again")
	}
	if !t.live(now) {
		return errors.New("the credential used has expired")
	}
	return nil
}

func (d *Directory) countLive(user string, now time.Time) (n int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, t := range d.tokens.of(user) {
		if t.live(now) {
			n++
		}
	}
	return n
}

func (d *Directory) seal(t *token, secret access.Secret) {
	hash := sha256.Sum256([]byte(secret.Reveal()))
	t.Salt, t.Rounds = d.salt(t.User), d.o.Rounds
	k := deriveKeys(secret.Reveal(), t.Salt, t.Rounds)
	t.Hash, t.StoredKey, t.ServerKey = hash[:], k.stored, k.server
}

func newTokenSecret() access.Secret {
	var b [32]byte
	rand.Read(b[:])
	digits := new(big.Int).SetBytes(b[:]).Text(62)
	return access.NewSecret(TokenPrefix + strings.Repeat("0", tokenDigits-len(digits)) + digits)
}

// newTokenID names a token asked for with a password. The id of one asked for
// with a token is that one's, a dot and a random part, so that it can be revoked
// with its ancestors.
func newTokenID() string { return tokenID + strings.ToLower(rand.Text()[:12]) }

const tokenID = "tok-"

// descends reports whether the token named id was asked for with ancestor, at
// any remove, or is it.
func descends(id, ancestor string) bool {
	return ancestor != "" && (id == ancestor || strings.HasPrefix(id, ancestor+"."))
}

// A Revocation selects tokens to revoke: one by ID, or all of a user.
type Revocation struct {
	ID   string
	User string
}

// Revoke ends tokens, and those asked for with them. Open sessions end at their
// next statement. It returns the number revoked; zero is no error.
func (d *Directory) Revoke(ctx context.Context, by access.Subject, r Revocation) (int, error) {
	d.change.Lock()
	defer d.change.Unlock()
	if (r.ID == "") == (r.User == "") {
		return 0, errors.New("identity: revoke: say which token or which user")
	}
	chosen := d.choose(r)
	for i, t := range chosen {
		if err := d.revoke(ctx, by, t); err != nil {
			return i, fmt.Errorf("identity: revoke %s: %w", t.ID, err)
		}
	}
	return len(chosen), nil
}

// choose returns the unrevoked tokens that r names, with their descendants.
func (d *Directory) choose(r Revocation) (chosen []*token) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, t := range d.tokens.byID {
		if t.Revoked.IsZero() && (r.User != "" && t.involves(r.User) || descends(t.ID, r.ID)) {
			chosen = append(chosen, t)
		}
	}
	return chosen
}

func (d *Directory) revoke(ctx context.Context, by access.Subject, t *token) error {
	now := stamp(d.o.Now())
	if err := d.record(ctx, access.TokenRevoked, by, t); err != nil {
		return err
	}
	if _, err := d.o.Tokens.RevokeTokens(ctx, store.TokenFilter{ID: t.ID}, now); err != nil {
		return err
	}
	d.mu.Lock()
	t.Revoked, t.Sealed = now, nil
	d.mu.Unlock()
	d.version.Add(1)
	return nil
}

// Tokens lists tokens that are neither revoked nor expired, newest first; of
// one user, or of all if user is empty.
func (d *Directory) Tokens(ctx context.Context, user string) ([]store.Token, error) {
	return d.o.Tokens.Tokens(ctx, store.TokenFilter{User: user, LiveAt: d.o.Now()})
}

// Purge forgets tokens so long expired that no session may rest on them. Call
// it now and then.
func (d *Directory) Purge(ctx context.Context) error {
	d.change.Lock()
	defer d.change.Unlock()
	before := d.o.Now().Add(-d.o.MaxSession)
	if _, err := d.o.Tokens.PurgeTokens(ctx, before); err != nil {
		return fmt.Errorf("identity: purge tokens: %w", err)
	}
	d.mu.Lock()
	kept := newTokenTable()
	for _, t := range d.tokens.byID {
		if !t.Expires.Before(before) {
			kept.add(t)
		}
	}
	forgot := len(kept.byID) != len(d.tokens.byID)
	d.tokens = kept
	d.mu.Unlock()
	if forgot {
		d.version.Add(1) // sessions that rest on them end
	}
	return nil
}

// record makes a change of credentials durable in the journal, before it takes
// effect.
func (d *Directory) record(ctx context.Context, what access.EventType, by access.Subject, t *token) error {
	now := d.o.Now().UTC()
	extra := map[string]any{"token": t.ID, "user": t.User, "expires": t.Expires.Format(time.RFC3339), "note": t.Note}
	if t.Provider != "" {
		extra["provider"] = t.Provider
	}
	if len(t.Actors) > 0 {
		extra["actors"] = t.actors()
	}
	mark, err := d.o.Journal.Append(&access.Event{ID: uuid7.New(now), Time: now, Type: what, Subject: &by, Extra: extra})
	if err != nil {
		return err
	}
	return d.o.Journal.Wait(ctx, mark)
}
