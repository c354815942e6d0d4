package storetest

import (
	"errors"
	"testing"
	"time"

	"sluice/store"
)

// renewal: a login that a provider renews keeps what it is made of, and a
// revoked one neither comes back nor keeps the provider's token.
func renewal(t *testing.T, s store.State) {
	login := token("login", "alice")
	login.Authenticated, login.Until, login.Checked = begin.Add(-time.Minute), begin.Add(12*time.Hour), begin
	login.Provider, login.Sealed = "okta", []byte{9}
	login.Actors, login.Scope = []store.Party{{Issuer: "local", ID: "bot"}}, []string{"shop"}
	must(t, s.PutToken(t.Context(), login))
	all, err := s.Tokens(t.Context(), store.TokenFilter{ID: "login"})
	must(t, err)
	equal(t, "as stored", all, []store.Token{login})

	login.Expires, login.Checked, login.Sealed = begin.Add(2*time.Hour), begin.Add(time.Hour), []byte{10}
	login.Authenticated, login.Until = begin.Add(time.Minute), begin.Add(13*time.Hour)
	must(t, s.RenewToken(t.Context(), login))
	all, err = s.Tokens(t.Context(), store.TokenFilter{ID: "login"})
	must(t, err)
	equal(t, "renewed", all, []store.Token{login})

	_, err = s.RevokeTokens(t.Context(), store.TokenFilter{ID: "login"}, begin.Add(time.Hour))
	must(t, err)
	for _, id := range []string{"login", "other"} {
		login.ID = id
		if err := s.RenewToken(t.Context(), login); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("renewed %s: %v", id, err)
		}
	}
	all, err = s.Tokens(t.Context(), store.TokenFilter{ID: "login"})
	must(t, err)
	if len(all) != 1 || len(all[0].Sealed) != 0 {
		t.Errorf("revoked: %+v", all)
	}
}

// people: one name, one person, and a person has one name at a time.
func people(t *testing.T, s store.State) {
	alice := store.Person{Name: "alice@example.test", Issuer: "https://idp.test", Subject: "1", Email: "alice@example.test",
		Groups: []string{"dba"}, Claims: map[string]any{"acr": "mfa"}, Seen: begin}
	bob := store.Person{Name: "bob", Issuer: "https://idp.test", Subject: "2", Seen: begin}
	must(t, s.PutPerson(t.Context(), bob))
	must(t, s.PutPerson(t.Context(), alice))
	all, err := s.People(t.Context())
	must(t, err)
	equal(t, "by name", all, []store.Person{alice, bob})

	for _, thief := range []store.Person{{Name: "bob", Issuer: "https://idp.test", Subject: "3"}, {Name: "bob", Issuer: "https://other.test", Subject: "2"},
		{Name: "bob", Issuer: alice.Issuer, Subject: alice.Subject}} {
		if err := s.PutPerson(t.Context(), thief); !errors.Is(err, store.ErrExists) {
			t.Errorf("another's name: %v", err)
		}
	}
	alice.Name, alice.Groups = "alice", []string{"security"}
	must(t, s.PutPerson(t.Context(), alice))
	all, err = s.People(t.Context())
	must(t, err)
	equal(t, "renamed", all, []store.Person{alice, bob})
}
