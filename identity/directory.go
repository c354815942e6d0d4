package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/internal/seal"
	"sluice/protocol"
	"sluice/store"
)

// Local is the issuer of users from configuration.
const Local = "local"

var (
	_ protocol.Directory = (*Directory)(nil)

	// ErrRefused is the one answer to a wrong name, password, token or
	// certificate. It does not say which.
	ErrRefused = errors.New("user name or credential not accepted")
)

// A User is a local user.
type User struct {
	Name     string
	Kind     access.Kind // zero: human
	Email    string
	Owner    string // name of the human who answers for an agent or workload
	Groups   []string
	Password access.Secret // empty: cannot log in with a password
}

// A Journal is where logins and credentials are recorded; see pipeline.Journal.
type Journal interface {
	Append(events ...*access.Event) (access.Mark, error)
	Wait(ctx context.Context, m access.Mark) error
}

// Options says what a [Directory] is built from. Key, Tokens, People and Journal are required.
type Options struct {
	Users   []User
	Key     access.Secret // at least 16 bytes, the same at every start: salts depend on it
	Tokens  store.Tokens
	People  store.People
	Journal Journal

	Now        func() time.Time // nil: time.Now
	Rounds     int              // SCRAM iteration count; zero: 4096
	MaxTTL     time.Duration    // longest life of a token; zero: 24 hours
	MaxSession time.Duration    // how long a session may outlive its token; zero: 12 hours
	LoginTTL   time.Duration    // how long a login by an identity provider lives between renewals; zero: 1 hour
	MaxAge     time.Duration    // how long after authenticating such a login ends for good; zero: 12 hours
}

// A Directory proves who clients are and keeps watch over it. Safe for
// concurrent use.
type Directory struct {
	o        Options
	key      []byte
	box      *seal.Box // for refresh tokens
	throttle *throttle
	version  atomic.Uint64

	change sync.Mutex // held by whoever changes users or tokens; taken before mu

	mu     sync.RWMutex        // guards what follows
	users  map[string]*account // local ones, by name
	people map[string]*account // those whom providers vouch for, by name; a local user of that name hides one
	tokens tokenTable
}

// An account is a user as loaded, with what is kept of the password.
type account struct {
	subject     access.Subject
	provided    string // the provider's own name for the person; empty: a local user
	fingerprint []byte // keyed hash of the password: did it change?
	generation  uint64 // of the password, over the life of the process
	passwords   []keys // one for each accepted spelling; empty: no password
}

// New returns a directory of o.Users and the tokens in the store.
func New(ctx context.Context, o Options) (*Directory, error) {
	if o.Tokens == nil || o.People == nil || o.Journal == nil {
		return nil, errors.New("identity: incomplete options")
	}
	if len(o.Key.Reveal()) < 16 {
		return nil, errors.New("identity: key shorter than 16 bytes")
	}
	o.defaults()
	box, err := seal.New([]byte(o.Key.Reveal()), "refresh token v1")
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	d := &Directory{o: o, key: []byte(o.Key.Reveal()), box: box, throttle: newThrottle(), people: map[string]*account{}, tokens: newTokenTable()}
	if err := errors.Join(d.load(ctx), d.loadPeople(ctx)); err != nil {
		return nil, err
	}
	return d, d.Swap(o.Users)
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rounds <= 0 {
		o.Rounds = defaultRounds
	}
	if o.MaxTTL <= 0 {
		o.MaxTTL = 24 * time.Hour
	}
	if o.MaxSession <= 0 {
		o.MaxSession = 12 * time.Hour
	}
	if o.LoginTTL <= 0 {
		o.LoginTTL = time.Hour
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 12 * time.Hour
	}
}

// Swap replaces all local users. Open sessions see it at their next statement.
// Unchanged passwords are not derived again, so a reload is cheap.
func (d *Directory) Swap(users []User) error {
	d.change.Lock()
	defer d.change.Unlock()
	next := make(map[string]*account, len(users))
	for _, u := range users {
		if u.Name == "" || next[u.Name] != nil {
			return fmt.Errorf("identity: user name %q empty or given twice", u.Name)
		}
		next[u.Name] = d.account(u)
	}
	d.mu.Lock()
	d.users = next
	d.mu.Unlock()
	d.version.Add(1)
	return nil
}

// account derives what is kept of u. Only Swap calls it, so d.users may be read
// without mu.
func (d *Directory) account(u User) *account {
	a := &account{subject: access.Subject{
		Issuer: Local, ID: u.Name, Kind: u.Kind, Email: u.Email, Owner: u.Owner, Groups: u.Groups,
	}}
	if a.subject.Kind == "" {
		a.subject.Kind = access.Human
	}
	a.fingerprint = mac(d.key, "password v1\x00", u.Name, "\x00", u.Password.Reveal())
	old := d.users[u.Name]
	if old != nil && subtle.ConstantTimeCompare(old.fingerprint, a.fingerprint) == 1 {
		a.generation, a.passwords = old.generation, old.passwords
		return a
	}
	a.generation = d.version.Load() + 1
	if !u.Password.Empty() {
		for _, s := range spellings(u.Password.Reveal()) {
			a.passwords = append(a.passwords, deriveKeys(s, d.salt(u.Name), d.o.Rounds))
		}
	}
	return a
}

// salt is stable for a name, whether or not there is such a user.
func (d *Directory) salt(user string) []byte {
	return mac(d.key, "scram salt v1\x00", user)[:saltSize]
}

// find returns the account of a name. The caller holds mu.
func (d *Directory) find(name string) *account {
	if a := d.users[name]; a != nil {
		return a
	}
	return d.people[name]
}

// of returns the account of a name if issuer vouches for it: names are unique,
// but a local user may have taken one over. The caller holds mu.
func (d *Directory) of(issuer, name string) *account {
	if a := d.find(name); a != nil && a.subject.Issuer == issuer {
		return a
	}
	return nil
}

// Lookup returns a user as of now; one of an identity provider as of the last
// sign-in or renewal.
func (d *Directory) Lookup(issuer, id string) (access.Subject, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.of(issuer, id); a != nil {
		return a.subject, nil
	}
	return access.Subject{}, fmt.Errorf("identity: no user %s/%s", issuer, id)
}

// Users returns all users, in no order.
func (d *Directory) Users() []access.Subject {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]access.Subject, 0, len(d.users)+len(d.people))
	for _, a := range d.users {
		all = append(all, a.subject)
	}
	for name, a := range d.people {
		if d.users[name] == nil {
			all = append(all, a.subject)
		}
	}
	return all
}

// Version changes with every change of users, groups, passwords and tokens that
// may concern an open session.
func (d *Directory) Version() uint64 { return d.version.Load() }

// Current returns the subject as it is now. It is an error if the user, or
// anyone in its chain of actors, is gone, or the credential was withdrawn: a
// token revoked, a password changed. A token's expiry alone is none until
// MaxSession has passed since.
func (d *Directory) Current(s access.Subject, credential string) (access.Subject, error) {
	now := d.o.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	fresh, err := d.chain(&s)
	if err != nil {
		return access.Subject{}, err
	}
	if err := d.stands(s.ID, credential, now); err != nil {
		return access.Subject{}, err
	}
	if at := d.authenticated(d.tokens.byID[credential]); at.After(fresh.AuthTime) {
		fresh.AuthTime = at // they proved it again since
	}
	return *fresh, nil
}

func (d *Directory) chain(s *access.Subject) (*access.Subject, error) {
	if s == nil {
		return nil, nil
	}
	a := d.of(s.Issuer, s.ID)
	if a == nil {
		return nil, fmt.Errorf("user %s was removed", s.ID)
	}
	actor, err := d.chain(s.Actor)
	if err != nil {
		return nil, err
	}
	fresh := a.subject
	fresh.AuthTime, fresh.Actor = s.AuthTime, actor
	if a.provided == "" {
		fresh.Claims = s.Claims
	}
	return &fresh, nil
}
