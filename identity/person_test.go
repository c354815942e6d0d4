package identity

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/access"
	"sluice/protocol"
)

func ann() Person {
	return Person{Provider: "idp", Issuer: "https://idp.test", Subject: "1", Name: "ann@example.test", Email: "ann@example.test",
		Groups: []string{"dba"}, Claims: map[string]any{"acr": "mfa"}, AuthTime: noon.Add(-time.Minute), Refresh: access.NewSecret("refresh-1")}
}

func admitted(t *testing.T, d *Directory, p Person) (access.Secret, protocol.Login) {
	t.Helper()
	secret, login, err := d.Admit(t.Context(), p, "test")
	if err != nil {
		t.Fatal(err)
	}
	return secret, login
}

// oracle answers for a provider.
type oracle struct {
	person Person
	err    error
	asked  []string
}

func (o *oracle) Renew(_ context.Context, provider string, refresh access.Secret, subject string) (Person, error) {
	o.asked = append(o.asked, provider+" "+refresh.Reveal()+" "+subject)
	return o.person, o.err
}

func TestAdmit(t *testing.T) {
	w := newWorld()
	d := w.open(t)
	secret, login := admitted(t, d, ann())
	for name, prove := range map[string]func() (protocol.Login, error){
		"bearer":          func() (protocol.Login, error) { return d.Token(t.Context(), secret) },
		"password":        func() (protocol.Login, error) { return d.Password(t.Context(), "ann@example.test", secret) },
		"after a restart": func() (protocol.Login, error) { return w.open(t).Token(t.Context(), secret) },
	} {
		got, err := prove()
		s := got.Subject
		if err != nil || s.Issuer != "https://idp.test" || s.ID != "ann@example.test" || s.Kind != access.Human || !s.In("dba") || s.Claims["acr"] != "mfa" ||
			!s.AuthTime.Equal(noon.Add(-time.Minute)) || got.Credential != login.Credential || !got.Expires.Equal(noon.Add(time.Hour)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if v := d.SCRAM("ann@example.test").Verifiers; len(v) != 1 {
		t.Errorf("%d verifiers", len(v))
	}
	for _, row := range w.rows {
		if string(row.Sealed) == "" || slices.Contains([]string{"refresh-1"}, string(row.Sealed)) {
			t.Errorf("kept as %q", row.Sealed)
		}
	}
	if s, err := d.Lookup("https://idp.test", "ann@example.test"); err != nil || !s.In("dba") {
		t.Errorf("lookup: %+v, %v", s, err)
	}
	if _, err := d.Lookup(Local, "ann@example.test"); err == nil {
		t.Error("a local user of that name")
	}
}

// Who changes a name at the provider does not become who had it before.
func TestNamesAreNotTakenOver(t *testing.T) {
	w := newWorld(User{Name: "root", Groups: []string{"admin"}, Password: access.NewSecret("pw")})
	d := w.open(t)
	secret, _ := admitted(t, d, ann())
	for name, alter := range map[string]func(*Person){
		"another person":   func(p *Person) { p.Subject = "2" },
		"another provider": func(p *Person) { p.Issuer = "https://other.test" },
		"a local user":     func(p *Person) { p.Name = "root" },
		"nobody":           func(p *Person) { p.Name = "" },
		"no subject":       func(p *Person) { p.Subject = "" },
		"issuer local":     func(p *Person) { p.Issuer = Local },
	} {
		p := ann()
		alter(&p)
		if _, login, err := d.Admit(t.Context(), p, ""); err == nil {
			t.Errorf("%s was let in as %+v", name, login.Subject)
		}
	}
	renamed := ann()
	renamed.Name = "ann.lee"
	admitted(t, d, renamed)
	if got, err := d.Token(t.Context(), secret); err == nil {
		t.Errorf("a token of the old name is good for %+v", got)
	}
	successor := ann()
	successor.Subject = "3"
	admitted(t, d, successor)
	if got, err := d.Token(t.Context(), secret); err == nil {
		t.Errorf("the first person's token is good for the second: %+v", got)
	}
	if got, err := w.open(t).Token(t.Context(), secret); err == nil {
		t.Errorf("after a restart: %+v", got)
	}
}

// A local user who is configured later is nobody's heir.
func TestLocalUserHidesAPerson(t *testing.T) {
	w := newWorld()
	d := w.open(t)
	secret, login := admitted(t, d, ann())
	if err := d.Swap([]User{{Name: "ann@example.test", Groups: []string{"admin"}, Password: access.NewSecret("pw")}}); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Token(t.Context(), secret); err == nil {
		t.Errorf("the person's token logs in as %+v", got.Subject)
	}
	for _, v := range d.SCRAM("ann@example.test").Verifiers {
		if v.Login.Credential == login.Credential {
			t.Error("the person's token logs in by SCRAM")
		}
	}
	if s, err := d.Current(login.Subject, login.Credential); err == nil {
		t.Errorf("the person's session goes on as %+v", s)
	}
}

func TestRenewal(t *testing.T) {
	w := newWorld()
	d := w.open(t)
	secret, login := admitted(t, d, ann())
	child, _, err := d.Issue(t.Context(), login, 0, "psql")
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{person: ann()}
	if n, _, err := d.Renew(t.Context(), o); n != 0 || err != nil || len(o.asked) != 0 {
		t.Fatalf("at once: %d, %v, asked %v", n, err, o.asked)
	}
	w.now = noon.Add(31 * time.Minute)
	o.person.Groups, o.person.Refresh, o.person.AuthTime = []string{"security"}, access.NewSecret("refresh-2"), time.Time{}
	if n, _, err := d.Renew(t.Context(), o); n != 1 || err != nil || !slices.Equal(o.asked, []string{"idp refresh-1 1"}) {
		t.Fatalf("due: %d, %v, asked %v", n, err, o.asked)
	}
	s, err := d.Current(login.Subject, login.Credential)
	if err != nil || !s.In("security") || s.In("dba") || !s.AuthTime.Equal(noon.Add(-time.Minute)) {
		t.Errorf("an open session: %+v, %v", s, err)
	}
	w.now = noon.Add(80 * time.Minute)
	if got, err := d.Token(t.Context(), secret); err != nil || !got.Expires.Equal(noon.Add(91*time.Minute)) {
		t.Errorf("prolonged: %+v, %v", got, err)
	}

	// Down: nothing changes until it expires, and it lives again when the provider is back.
	o.err = errors.New("connection refused")
	if _, gone, err := d.Renew(t.Context(), o); gone != 0 || err == nil {
		t.Errorf("down: %d gone, %v", gone, err)
	}
	if _, err := d.Token(t.Context(), secret); err != nil {
		t.Errorf("down: %v", err)
	}
	asked := len(o.asked)
	if d.Renew(t.Context(), o); len(o.asked) != asked {
		t.Error("asked again at once")
	}
	w.now = noon.Add(2 * time.Hour)
	if _, err := d.Token(t.Context(), secret); err == nil {
		t.Error("good after it expired")
	}
	o.err = nil
	d = w.open(t)
	if n, _, err := d.Renew(t.Context(), o); n != 1 || err != nil || o.asked[len(o.asked)-1] != "idp refresh-2 1" {
		t.Errorf("back, after a restart: %d, %v, asked %v", n, err, o.asked)
	}
	if _, err := d.Token(t.Context(), secret); err != nil {
		t.Errorf("back: %v", err)
	}

	// No: over, with all that came of it.
	w.now = noon.Add(2*time.Hour + 40*time.Minute)
	o.err = ErrGone
	if _, gone, err := d.Renew(t.Context(), o); gone != 1 || err != nil {
		t.Errorf("no: %d gone, %v", gone, err)
	}
	for _, x := range []access.Secret{secret, child} {
		if got, err := d.Token(t.Context(), x); err == nil {
			t.Errorf("good after the provider's no: %+v", got)
		}
	}
	if _, err := d.Current(login.Subject, login.Credential); err == nil {
		t.Error("a session goes on after the provider's no")
	}
	asked = len(o.asked)
	w.now = w.now.Add(time.Hour)
	if d.Renew(t.Context(), o); len(o.asked) != asked {
		t.Error("asked after the provider's no")
	}
}

func TestRenewalEndsAtMaxAge(t *testing.T) {
	w := newWorld()
	d := w.open(t)
	secret, _ := admitted(t, d, ann())
	o := &oracle{person: ann()}
	for w.now.Before(noon.Add(13 * time.Hour)) {
		w.now = w.now.Add(20 * time.Minute)
		if _, _, err := d.Renew(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		_, err := d.Token(t.Context(), secret)
		if live := w.now.Before(noon.Add(12*time.Hour - time.Minute)); live != (err == nil) {
			t.Fatalf("after %s: %v", w.now.Sub(noon), err)
		}
	}
}

// A person whose name became another's at the provider is not renewed into them.
func TestRenewalOfAnotherPerson(t *testing.T) {
	w := newWorld(User{Name: "root", Password: access.NewSecret("pw")})
	for name, alter := range map[string]func(*Person){"renamed": func(p *Person) { p.Name = "ann.lee" }, "a taken name": func(p *Person) { p.Name = "root" }} {
		w.memory = memory{}
		d := w.open(t)
		secret, _ := admitted(t, d, ann())
		o := &oracle{person: ann()}
		alter(&o.person)
		w.now = w.now.Add(40 * time.Minute)
		if _, gone, err := d.Renew(t.Context(), o); gone != 1 || err != nil {
			t.Errorf("%s: %d gone, %v", name, gone, err)
		}
		if got, err := d.Token(t.Context(), secret); err == nil {
			t.Errorf("%s: good for %+v", name, got.Subject)
		}
		w.now = noon
	}
}

func TestReauthenticate(t *testing.T) {
	w := newWorld()
	d := w.open(t)
	_, login := admitted(t, d, ann())
	child, _, err := d.Issue(t.Context(), login, 0, "psql")
	if err != nil {
		t.Fatal(err)
	}
	session, err := d.Token(t.Context(), child)
	if err != nil || !session.Subject.AuthTime.Equal(noon.Add(-time.Minute)) {
		t.Fatalf("%+v, %v", session, err)
	}
	w.now = noon.Add(30 * time.Minute)
	fresh, version := ann(), d.Version()
	fresh.AuthTime = w.now
	if _, err := d.Reauthenticate(t.Context(), login.Credential, fresh); err != nil {
		t.Fatal(err)
	}
	s, err := d.Current(session.Subject, session.Credential)
	if err != nil || !s.AuthTime.Equal(w.now) || d.Version() == version {
		t.Errorf("an open session: %v, %v", s.AuthTime, err)
	}
	other := ann()
	other.Subject, other.Name = "2", "bea"
	for name, c := range map[string]struct {
		id string
		p  Person
	}{"another's login": {login.Credential, other}, "no login": {session.Credential, fresh}, "nothing": {"", fresh}} {
		if _, err := d.Reauthenticate(t.Context(), c.id, c.p); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	if provider, refresh := d.Held(login.Credential); provider != "idp" || refresh.Reveal() != "refresh-1" {
		t.Errorf("held %q", provider)
	}
	if _, err := d.Revoke(t.Context(), s, Revocation{ID: login.Credential}); err != nil {
		t.Fatal(err)
	}
	if _, refresh := d.Held(login.Credential); !refresh.Empty() {
		t.Error("held after it was revoked")
	}
}
