package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/access"
	"sluice/protocol"
	"sluice/store"
)

func login(t *testing.T, d *Directory) protocol.Login {
	t.Helper()
	l, err := d.Password(ctx, "alice", access.NewSecret("wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func issue(t *testing.T, d *Directory, by protocol.Login, ttl time.Duration) (access.Secret, store.Token) {
	t.Helper()
	s, tok, err := d.Issue(ctx, by, ttl, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, tok
}

// works reports whether a token opens every door, or none.
func works(t *testing.T, d *Directory, user string, s access.Secret) bool {
	t.Helper()
	_, byPassword := d.Password(ctx, user, s)
	_, byHeader := d.Authorization(ctx, "Bearer "+s.Reveal(), "192.0.2.1")
	byScram := accepted(d.SCRAM(user), s.Reveal()) != nil
	if (byPassword == nil) != byScram || (byHeader == nil) != byScram {
		t.Fatalf("the doors disagree: password %v, header %v, scram %v", byPassword, byHeader, byScram)
	}
	return byScram
}

func TestTokenOpensEveryDoor(t *testing.T) {
	w := newWorld(alice(), User{Name: "bob"})
	d := w.open(t)
	secret, tok := issue(t, d, login(t, d), time.Hour)
	if s := secret.Reveal(); len(s) > 64 || !isASCII(s) || !strings.HasPrefix(s, "slc_") {
		t.Fatalf("%d characters: old clients stop at 100, the promise is 64", len(s))
	}
	if !works(t, d, "alice", secret) {
		t.Fatal("refused")
	}
	if got := accepted(d.SCRAM("alice"), secret.Reveal()).Login; got.Credential != tok.ID || !got.Expires.Equal(noon.Add(time.Hour)) || got.Subject.ID != "alice" {
		t.Errorf("login %+v", got)
	}
	if _, err := d.Password(ctx, "bob", secret); err == nil {
		t.Error("alice's token opened bob's door")
	}
	if !works(t, w.open(t), "alice", secret) {
		t.Error("a restart lost the token")
	}
}

func TestStoreAndJournalNeverSeeTheSecret(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	secret, _ := issue(t, d, login(t, d), time.Hour)
	kept, err := json.Marshal([]any{w.rows, w.events})
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(secret.Reveal())
	if bytes.Contains(kept, raw) || bytes.Contains(kept, []byte(base64.StdEncoding.EncodeToString(raw))) {
		t.Fatal("the secret was stored")
	}
	if !slices.Equal(w.types(), []access.EventType{access.TokenIssued}) {
		t.Error(w.types())
	}
}

func TestUnrecordedMeansNotIssued(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	w.broken = true
	if s, _, err := d.Issue(ctx, login(t, d), time.Hour, ""); err == nil || !s.Empty() || len(w.rows) != 0 {
		t.Fatalf("issued without a record: %v", err)
	}
}

func TestExpiryAndRevocation(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	short, shortTok := issue(t, d, login(t, d), time.Minute)
	long, longTok := issue(t, d, login(t, d), time.Hour)
	l, err := d.Token(ctx, short)
	if err != nil {
		t.Fatal(err)
	}

	w.now = noon.Add(time.Minute)
	if works(t, d, "alice", short) || !works(t, d, "alice", long) {
		t.Fatal("a token ends at its expiry, and only that one")
	}
	if _, err := d.Current(l.Subject, l.Credential); err != nil {
		t.Errorf("expiry ended an open session: %v", err)
	}

	before := d.Version()
	n, err := d.Revoke(ctx, l.Subject, Revocation{ID: longTok.ID})
	if err != nil || n != 1 || d.Version() == before {
		t.Fatal(n, err)
	}
	if works(t, d, "alice", long) || works(t, w.open(t), "alice", long) {
		t.Error("a revoked token works")
	}
	if _, err := d.Current(l.Subject, longTok.ID); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Error(err)
	}
	if n, err := d.Revoke(ctx, l.Subject, Revocation{ID: longTok.ID}); n != 0 || err != nil {
		t.Error("revoked twice", n, err)
	}

	w.now = noon.Add(time.Minute + 12*time.Hour + 1)
	if _, err := d.Current(l.Subject, shortTok.ID); err == nil {
		t.Error("a session outlived its token by more than MaxSession")
	}
	before = d.Version()
	if err := d.Purge(ctx); err != nil || len(w.rows) != 1 || d.Version() == before {
		t.Errorf("%d rows left, %v", len(w.rows), err)
	}
	if _, err := d.Current(l.Subject, shortTok.ID); err == nil {
		t.Error("a forgotten credential holds a session open")
	}
}

func TestRevokeUser(t *testing.T) {
	w := newWorld(alice(), User{Name: "bob", Password: access.NewSecret("b")})
	d := w.open(t)
	one, _ := issue(t, d, login(t, d), 0)
	two, _ := issue(t, d, login(t, d), 0)
	bob, err := d.Password(ctx, "bob", access.NewSecret("b"))
	if err != nil {
		t.Fatal(err)
	}
	his, _ := issue(t, d, bob, 0)
	if n, err := d.Revoke(ctx, bob.Subject, Revocation{User: "alice"}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if works(t, d, "alice", one) || works(t, d, "alice", two) || !works(t, d, "bob", his) {
		t.Error("wrong tokens ended")
	}
	for _, r := range []Revocation{{}, {ID: "a", User: "b"}} {
		if _, err := d.Revoke(ctx, bob.Subject, r); err == nil {
			t.Errorf("%+v accepted", r)
		}
	}
	if list, err := d.Tokens(ctx, ""); err != nil || len(list) != 1 || list[0].User != "bob" {
		t.Errorf("listed %v, %v", list, err)
	}
}

// Whoever steals a token must not be able to keep it alive.
func TestTokensCannotRenewThemselves(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	secret, parent := issue(t, d, login(t, d), 10*time.Minute)
	stolen, err := d.Token(ctx, secret)
	if err != nil {
		t.Fatal(err)
	}
	childSecret, child := issue(t, d, stolen, time.Hour)
	if child.Expires.After(parent.Expires) {
		t.Error("the child outlives its parent")
	}
	grand, err := d.Token(ctx, childSecret)
	if err != nil {
		t.Fatal(err)
	}
	grandSecret, last := issue(t, d, grand, time.Hour)
	if n, err := d.Revoke(ctx, stolen.Subject, Revocation{ID: parent.ID}); n != 3 || err != nil {
		t.Fatalf("revoked %d, %v", n, err)
	}
	if works(t, d, "alice", childSecret) || works(t, d, "alice", grandSecret) {
		t.Error("descendants live on")
	}
	if _, _, err := d.Issue(ctx, stolen, time.Minute, ""); err == nil {
		t.Error("a revoked token bought a new one")
	}
	if !descends(last.ID, child.ID) || descends(parent.ID, last.ID) || descends(parent.ID, "") || descends("tok-ab", "tok-a") {
		t.Error("wrong family")
	}
}

func TestTokensDoNotChainForEver(t *testing.T) {
	d := newWorld(alice()).open(t)
	by := login(t, d)
	for i := 0; ; i++ {
		secret, _, err := d.Issue(ctx, by, time.Hour, "")
		if err != nil {
			if i != maxGenerations+1 {
				t.Errorf("%d generations: %v", i, err)
			}
			return
		}
		if by, err = d.Token(ctx, secret); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	good := login(t, d)
	agent := good
	agent.Subject.Actor = &access.Subject{Issuer: Local, ID: "alice"}
	stranger := good
	stranger.Subject.ID = "mallory"
	for _, c := range []struct {
		name string
		by   protocol.Login
		ttl  time.Duration
		note string
	}{
		{"too long", good, 25 * time.Hour, ""},
		{"negative", good, -1, ""},
		{"an actor", agent, time.Hour, ""},
		{"no such user", stranger, time.Hour, ""},
		{"nobody", protocol.Login{}, time.Hour, ""},
		{"endless note", good, time.Hour, strings.Repeat("n", maxNote+1)},
	} {
		if s, _, err := d.Issue(ctx, c.by, c.ttl, c.note); err == nil || !s.Empty() {
			t.Errorf("%s: issued", c.name)
		}
	}
	for range maxTokens {
		issue(t, d, good, time.Minute)
	}
	if _, _, err := d.Issue(ctx, good, time.Minute, ""); err == nil {
		t.Error("no limit")
	}
	w.now = noon.Add(time.Minute)
	issue(t, d, good, time.Minute) // expired ones do not count
}

func TestAnotherKeyEndsAllTokens(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	secret, _ := issue(t, d, login(t, d), time.Hour)
	o := w.options()
	o.Key = access.NewSecret("ffffffffffffffffffffffffffffffff")
	d, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if works(t, d, "alice", secret) {
		t.Error("SCRAM cannot prove this token any more, and clear text must not differ")
	}
}

func TestAuthorization(t *testing.T) {
	d := newWorld(alice()).open(t)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	token, _ := issue(t, d, login(t, d), time.Hour)
	for i, c := range []struct {
		header string
		ok     bool
	}{
		{basic("alice:wonderland"), true},
		{basic("alice:" + token.Reveal()), true},
		{"bearer " + token.Reveal(), true},
		{basic("alice:wrong"), false},
		{basic("alice"), false},
		{basic(""), false},
		{basic(":"), false},
		{"Basic !!!", false},
		{"Bearer wonderland", false},
		{"Bearer", false},
		{"Digest x", false},
		{"", false},
		{"Bearer " + strings.Repeat("x", maxAuthorization), false},
	} {
		l, err := d.Authorization(ctx, c.header, fmt.Sprintf("192.0.2.%d:1234", i))
		if c.ok != (err == nil) || c.ok != (l.Subject.ID == "alice") {
			t.Errorf("%q: %+v, %v", c.header, l, err)
		}
	}
	for range addressBurst {
		_, _ = d.Authorization(ctx, basic("alice:wrong"), "198.51.100.1:1")
	}
	if _, err := d.Authorization(ctx, basic("alice:wonderland"), "198.51.100.1:2"); !errors.Is(err, ErrThrottled) {
		t.Errorf("no limit to guessing over HTTP: %v", err)
	}
}

func FuzzAuthorization(f *testing.F) {
	w := newWorld(alice())
	d := w.open(f)
	f.Add("Basic YWxpY2U6eA==")
	f.Add("Bearer slc_0")
	f.Fuzz(func(t *testing.T, header string) {
		w.now = w.now.Add(time.Hour)
		l, err := d.Authorization(ctx, header, "192.0.2.1:1")
		if (err == nil) != (l.Subject.ID != "") {
			t.Fatalf("%+v, %v", l, err)
		}
		w.events = nil
	})
}

// Whatever happens, exactly the tokens that were issued, not revoked and not
// expired work, also after a restart.
func TestTokensProperty(t *testing.T) {
	type held struct {
		secret  access.Secret
		id      string
		expires time.Time
		revoked bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(alice())
		d := w.open(rt)
		var all []*held
		rt.Repeat(map[string]func(*rapid.T){
			"issue": func(rt *rapid.T) {
				l, err := d.Password(ctx, "alice", access.NewSecret("wonderland"))
				if err != nil {
					rt.Fatal(err)
				}
				s, tok, err := d.Issue(ctx, l, time.Duration(rapid.IntRange(1, 60).Draw(rt, "minutes"))*time.Minute, "")
				if err != nil {
					rt.Fatal(err)
				}
				all = append(all, &held{s, tok.ID, tok.Expires, false})
			},
			"revoke": func(rt *rapid.T) {
				if len(all) == 0 {
					rt.Skip()
				}
				h := rapid.SampledFrom(all).Draw(rt, "token")
				if _, err := d.Revoke(ctx, access.Subject{}, Revocation{ID: h.id}); err != nil {
					rt.Fatal(err)
				}
				h.revoked = true
			},
			"time":    func(rt *rapid.T) { w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "m")) * time.Minute) },
			"restart": func(rt *rapid.T) { d = w.open(rt) },
			"purge": func(rt *rapid.T) {
				if err := d.Purge(ctx); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				s := d.SCRAM("alice")
				live := 1 // the password
				for _, h := range all {
					want := !h.revoked && w.now.Before(h.expires)
					if want {
						live++
					}
					if _, err := d.Token(ctx, h.secret); want != (err == nil) {
						rt.Fatalf("token %s: %v, want it to work: %v", h.id, err, want)
					}
				}
				if len(s.Verifiers) != live {
					rt.Fatalf("%d verifiers, want %d", len(s.Verifiers), live)
				}
			},
		})
	})
}

// Meant for the race detector.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	l := login(t, d)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				_, tok, err := d.Issue(ctx, l, time.Hour, "")
				if err != nil {
					t.Error(err)
					return
				}
				d.SCRAM("alice")
				_, _ = d.Current(l.Subject, tok.ID)
				_, _ = d.Revoke(ctx, l.Subject, Revocation{ID: tok.ID})
				d.Failed("alice", "192.0.2.9:1")
				_ = d.Allow("alice", "192.0.2.9:1")
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_ = d.Swap([]User{alice()})
			_ = d.Purge(ctx)
		}
	})
	wg.Wait()
}
