package identity

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/store"
)

// memory is a token store that survives a Directory.
type memory struct {
	mu     sync.Mutex
	rows   []store.Token
	people []store.Person
}

func (m *memory) PutToken(_ context.Context, t store.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = append(m.rows, t)
	return nil
}

func match(t store.Token, f store.TokenFilter) bool {
	return (f.ID == "" || t.ID == f.ID) && (f.Issuer == "" || t.Issuer == f.Issuer) && (f.User == "" || t.User == f.User) &&
		(f.LiveAt.IsZero() || t.Revoked.IsZero() && f.LiveAt.Before(t.Expires))
}

func (m *memory) Tokens(_ context.Context, f store.TokenFilter) (out []store.Token, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.rows {
		if match(t, f) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b store.Token) int { return cmp.Compare(b.Created.UnixMicro(), a.Created.UnixMicro()) })
	return out, nil
}

func (m *memory) RevokeTokens(_ context.Context, f store.TokenFilter, at time.Time) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rows {
		if match(m.rows[i], f) && m.rows[i].Revoked.IsZero() {
			m.rows[i].Revoked = at
			n++
		}
	}
	return n, nil
}

func (m *memory) RenewToken(_ context.Context, t store.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rows {
		if r := &m.rows[i]; r.ID == t.ID && r.Revoked.IsZero() {
			r.Expires, r.Checked, r.Sealed, r.Authenticated, r.Until = t.Expires, t.Checked, t.Sealed, t.Authenticated, t.Until
			return nil
		}
	}
	return store.ErrNotFound
}

func (m *memory) PutPerson(_ context.Context, p store.Person) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.people {
		if other.Name == p.Name && (other.Issuer != p.Issuer || other.Subject != p.Subject) {
			return store.ErrExists
		}
	}
	m.people = append(slices.DeleteFunc(m.people, func(o store.Person) bool { return o.Issuer == p.Issuer && o.Subject == p.Subject }), p)
	return nil
}

func (m *memory) People(context.Context) ([]store.Person, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.people), nil
}

func (m *memory) PurgeTokens(_ context.Context, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.rows)
	m.rows = slices.DeleteFunc(m.rows, func(t store.Token) bool { return t.Expires.Before(before) })
	return n - len(m.rows), nil
}

// notes is a journal that can break.
type notes struct {
	mu     sync.Mutex
	events []access.Event
	broken bool
}

func (n *notes) Append(events ...*access.Event) (access.Mark, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		n.events = append(n.events, *e)
	}
	return access.Mark(len(n.events)), nil
}

func (n *notes) Wait(context.Context, access.Mark) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken {
		return errors.New("disk full")
	}
	return nil
}

func (n *notes) types() (out []access.EventType) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		out = append(out, e.Type)
	}
	return out
}

// world is what outlives a directory: the store, the journal and the clock.
type world struct {
	memory
	notes
	now   time.Time
	users []User
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newWorld(users ...User) *world { return &world{now: noon, users: users} }

const fewRounds = 16 // what is tested does not depend on how slow the derivation is

func (w *world) options() Options {
	return Options{
		Users: w.users, Key: access.NewSecret("0123456789abcdef0123456789abcdef"), Tokens: &w.memory, People: &w.memory, Journal: &w.notes,
		Now: func() time.Time { return w.now }, Rounds: fewRounds,
	}
}

func (w *world) open(t interface {
	Helper()
	Fatal(...any)
}) *Directory {
	t.Helper()
	d, err := New(context.Background(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func alice() User {
	return User{Name: "alice", Email: "alice@example.test", Groups: []string{"engineering"}, Password: access.NewSecret("wonderland")}
}

func mustLogin(t *testing.T, d *Directory, user, password string) (l struct {
	Subject    access.Subject
	Credential string
}) {
	t.Helper()
	login, err := d.Password(context.Background(), user, access.NewSecret(password))
	if err != nil {
		t.Fatalf("login as %s: %v", user, err)
	}
	l.Subject, l.Credential = login.Subject, login.Credential
	return l
}
