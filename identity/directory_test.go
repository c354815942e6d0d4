package identity

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/protocol"
)

var ctx = context.Background()

func TestPassword(t *testing.T) {
	d := newWorld(alice(), User{Name: "ci", Kind: access.Workload, Owner: "alice"}).open(t)
	for _, c := range []struct {
		name, user, password string
		ok                   bool
	}{
		{"right", "alice", "wonderland", true},
		{"wrong", "alice", "Wonderland", false},
		{"empty", "alice", "", false},
		{"cut", "alice", "wonderlan", false},
		{"unknown user", "mallory", "wonderland", false},
		{"no user", "", "wonderland", false},
		{"user without a password", "ci", "", false},
		{"user without a password, any", "ci", "x", false},
		{"endless", "alice", strings.Repeat("w", maxPassword+1), false},
	} {
		login, err := d.Password(ctx, c.user, access.NewSecret(c.password))
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok && (login.Subject.ID != "" || !errors.Is(err, ErrRefused)) {
			t.Errorf("%s: refused with %+v, %v", c.name, login, err)
		}
		if s := d.SCRAM(c.user); c.ok != (accepted(s, c.password) != nil) {
			t.Errorf("%s: SCRAM disagrees", c.name)
		}
	}
	got := mustLogin(t, d, "alice", "wonderland").Subject
	if got.Issuer != Local || got.Kind != access.Human || got.Email != "alice@example.test" || !got.In("engineering") || !got.AuthTime.Equal(noon) {
		t.Errorf("subject %+v", got)
	}
}

// A stranger must not learn who exists.
func TestUnknownUsersLookLikeOthers(t *testing.T) {
	w := newWorld(alice())
	d, again := w.open(t), w.open(t)
	real, fake := d.SCRAM("alice"), d.SCRAM("mallory")
	if len(fake.Verifiers) != 0 {
		t.Fatal("a verifier for nobody")
	}
	if len(fake.Salt) != len(real.Salt) || fake.Iterations != real.Iterations {
		t.Error("the parameters differ in form")
	}
	if string(fake.Salt) != string(again.SCRAM("mallory").Salt) {
		t.Error("the fake salt changed over a restart")
	}
	if string(real.Salt) != string(again.SCRAM("alice").Salt) || string(real.Salt) == string(fake.Salt) {
		t.Error("salts must be stable and each user's own")
	}
	w.users = append(w.users, User{Name: "mallory", Password: access.NewSecret("x")})
	if string(fake.Salt) != string(w.open(t).SCRAM("mallory").Salt) {
		t.Error("the salt told when the user was added")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no key":       func(o *Options) { o.Key = access.Secret{} },
		"short key":    func(o *Options) { o.Key = access.NewSecret("short") },
		"no store":     func(o *Options) { o.Tokens = nil },
		"no journal":   func(o *Options) { o.Journal = nil },
		"two users":    func(o *Options) { o.Users = []User{{Name: "a"}, {Name: "a"}} },
		"nameless one": func(o *Options) { o.Users = []User{{}} },
	} {
		o := newWorld().options()
		spoil(&o)
		if _, err := New(ctx, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSwapBindsOpenSessions(t *testing.T) {
	d := newWorld(alice()).open(t)
	l := mustLogin(t, d, "alice", "wonderland")
	for _, c := range []struct {
		name  string
		users []User
		fails string
		in    string
	}{
		{"nothing changed", []User{alice()}, "", "engineering"},
		{"other groups", []User{{Name: "alice", Groups: []string{"sales"}, Password: access.NewSecret("wonderland")}}, "", "sales"},
		{"other password", []User{{Name: "alice", Password: access.NewSecret("looking-glass")}}, "password was changed", ""},
		{"old password back", []User{alice()}, "password was changed", ""},
		{"removed", nil, "was removed", ""},
	} {
		before := d.Version()
		if err := d.Swap(c.users); err != nil {
			t.Fatal(err)
		}
		if d.Version() == before {
			t.Errorf("%s: no open session will notice", c.name)
		}
		s, err := d.Current(l.Subject, l.Credential)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) || s.ID != "" {
				t.Errorf("%s: %+v, %v", c.name, s, err)
			}
		case err != nil || !slices.Equal(s.Groups, []string{c.in}) || !s.AuthTime.Equal(l.Subject.AuthTime):
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	if err := d.Swap([]User{{Name: "x"}, {Name: "x"}}); err == nil {
		t.Error("one name for two users")
	}
}

// A bad reload must leave the old users in force.
func TestSwapIsAllOrNothing(t *testing.T) {
	d := newWorld(alice()).open(t)
	if err := d.Swap([]User{{Name: "bob"}, {Name: "bob"}}); err == nil {
		t.Fatal("accepted")
	}
	mustLogin(t, d, "alice", "wonderland")
}

func TestCurrentLooksAtTheWholeChain(t *testing.T) {
	d := newWorld(alice(), User{Name: "bot", Kind: access.Agent, Owner: "bob", Groups: []string{"bots"}}).open(t)
	l := mustLogin(t, d, "alice", "wonderland")
	l.Subject.Actor = &access.Subject{Issuer: Local, ID: "bot"}
	s, err := d.Current(l.Subject, l.Credential)
	if err != nil || s.Actor == nil || !s.Actor.In("bots") || s.Actor.Owner != "bob" {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := d.Swap([]User{alice()}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Current(l.Subject, l.Credential); err == nil {
		t.Error("the agent was removed, its session goes on")
	}
	foreign := l.Subject
	foreign.Actor, foreign.Issuer = nil, "https://elsewhere.test"
	if _, err := d.Current(foreign, l.Credential); err == nil {
		t.Error("another issuer's alice is not ours")
	}
}

func TestCertificate(t *testing.T) {
	d := newWorld(alice()).open(t)
	leaf := func(cn string, until time.Time) []*x509.Certificate {
		return []*x509.Certificate{{Raw: []byte(cn), Subject: pkix.Name{CommonName: cn}, NotAfter: until}}
	}
	later := noon.Add(time.Hour)
	login, err := d.Certificate(ctx, "alice", leaf("alice", later))
	if err != nil || login.Subject.ID != "alice" || !login.Expires.Equal(later) {
		t.Fatalf("%+v, %v", login, err)
	}
	if _, err := d.Current(login.Subject, login.Credential); err != nil {
		t.Error(err)
	}
	for name, try := range map[string]func() (protocol.Login, error){
		"another's":    func() (protocol.Login, error) { return d.Certificate(ctx, "alice", leaf("bob", later)) },
		"unknown user": func() (protocol.Login, error) { return d.Certificate(ctx, "bob", leaf("bob", later)) },
		"nameless":     func() (protocol.Login, error) { return d.Certificate(ctx, "", leaf("", later)) },
		"expired":      func() (protocol.Login, error) { return d.Certificate(ctx, "alice", leaf("alice", noon.Add(-1))) },
		"none":         func() (protocol.Login, error) { return d.Certificate(ctx, "alice", nil) },
	} {
		if login, err := try(); err == nil || login.Subject.ID != "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLookup(t *testing.T) {
	d := newWorld(alice()).open(t)
	if s, err := d.Lookup(Local, "alice"); err != nil || s.ID != "alice" {
		t.Error(s, err)
	}
	for _, c := range [][2]string{{Local, "bob"}, {"", "alice"}, {"other", "alice"}} {
		if _, err := d.Lookup(c[0], c[1]); err == nil {
			t.Errorf("found %v", c)
		}
	}
	if len(d.Users()) != 1 {
		t.Error(d.Users())
	}
}

func TestRoles(t *testing.T) {
	r := Roles{Admin: []string{"platform"}, Auditor: []string{"security", ""}}
	in := func(id string, groups ...string) access.Subject {
		return access.Subject{Issuer: Local, ID: id, Groups: groups}
	}
	admin, auditor, nobody := in("ann", "platform"), in("sam", "security"), in("bob", "sales", "")
	bot := access.Subject{Issuer: Local, ID: "bot", Kind: access.Agent, Owner: "bob"}
	delegated := admin
	delegated.Actor = &bot
	for _, c := range []struct {
		name                 string
		s                    access.Subject
		admin, auditor, bobs bool
	}{
		{"admin", admin, true, true, true},
		{"auditor", auditor, false, true, true},
		{"oneself and one's agents", nobody, false, false, true},
		{"an agent for an administrator", delegated, false, false, false},
		{"the zero subject", access.Subject{}, false, false, false},
	} {
		if r.IsAdmin(c.s) != c.admin || r.IsAuditor(c.s) != c.auditor || r.MaySee(c.s, bot) != c.bobs {
			t.Errorf("%s: wrong", c.name)
		}
	}
	if (Roles{}).IsAdmin(admin) || (Roles{}).IsAuditor(in("x", "")) {
		t.Error("the zero Roles gives rights")
	}
}
