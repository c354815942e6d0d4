// Package storetest is the suite that every implementation of [store.State]
// must pass. Call [Run] from a test of the implementation.
//
// Each part gets a fresh, empty store. What an implementation may do as it
// likes is not tested; what callers rely on is: order, filters, exactly one
// winner where several change one request, and that nothing is kept that should
// be gone.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
	"sluice/store"
)

// Run runs the suite. open returns a fresh store; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) store.State) {
	for name, part := range map[string]func(*testing.T, store.State){
		"tokens": tokens, "revocation": revocation, "renewal": renewal, "people": people, "approvals": approvals, "listing approvals": listing,
		"updates": updates, "once": once, "deliveries": deliveries, "sessions": sessions, "meta": meta, "blocks": blocks,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			part(t, s)
		})
	}
}

var begin = time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func token(id, user string) store.Token {
	return store.Token{
		ID: id, Issuer: "local", User: user, Hash: []byte{1, 2}, Salt: []byte{3}, Rounds: 4096, StoredKey: []byte{4}, ServerKey: []byte{5},
		Note: "laptop", Created: begin, Expires: begin.Add(time.Hour),
	}
}

func tokenIDs(t *testing.T, s store.Tokens, f store.TokenFilter) []string {
	t.Helper()
	all, err := s.Tokens(t.Context(), f)
	must(t, err)
	var ids []string
	for _, x := range all {
		ids = append(ids, x.ID)
	}
	return ids
}

func tokens(t *testing.T, s store.State) {
	a, b := token("a", "alice"), token("b", "bob")
	b.Created = begin.Add(time.Minute)
	must(t, s.PutToken(t.Context(), a))
	must(t, s.PutToken(t.Context(), b))
	if err := s.PutToken(t.Context(), a); !errors.Is(err, store.ErrExists) {
		t.Errorf("the same id twice: %v", err)
	}
	all, err := s.Tokens(t.Context(), store.TokenFilter{})
	must(t, err)
	equal(t, "all tokens, newest first", all, []store.Token{b, a})
	equal(t, "one user's", tokenIDs(t, s, store.TokenFilter{User: "alice"}), []string{"a"})
	equal(t, "another issuer's", tokenIDs(t, s, store.TokenFilter{Issuer: "x"}), []string(nil))
	equal(t, "by id", tokenIDs(t, s, store.TokenFilter{ID: "b"}), []string{"b"})
	equal(t, "live before expiry", tokenIDs(t, s, store.TokenFilter{LiveAt: begin}), []string{"b", "a"})
	equal(t, "live at expiry", tokenIDs(t, s, store.TokenFilter{LiveAt: begin.Add(time.Hour)}), []string(nil))
	n, err := s.PurgeTokens(t.Context(), begin.Add(time.Hour))
	must(t, err)
	equal(t, "purged at expiry", n, 0)
	n, err = s.PurgeTokens(t.Context(), begin.Add(2*time.Hour))
	must(t, err)
	equal(t, "purged later", n, 2)
}

func revocation(t *testing.T, s store.State) {
	for _, x := range []store.Token{token("a1", "alice"), token("a2", "alice"), token("b1", "bob")} {
		must(t, s.PutToken(t.Context(), x))
	}
	n, err := s.RevokeTokens(t.Context(), store.TokenFilter{ID: "a1"}, begin.Add(time.Second))
	must(t, err)
	equal(t, "revoked one", n, 1)
	n, err = s.RevokeTokens(t.Context(), store.TokenFilter{User: "alice", Issuer: "local"}, begin.Add(2*time.Second))
	must(t, err)
	equal(t, "revoked the user's others", n, 1)
	got, err := s.Tokens(t.Context(), store.TokenFilter{ID: "a1"})
	must(t, err)
	equal(t, "the first time counts", got[0].Revoked, begin.Add(time.Second))
	equal(t, "live", tokenIDs(t, s, store.TokenFilter{LiveAt: begin}), []string{"b1"})
}

func approval(id string) store.Approval {
	return store.Approval{
		ID: id, Digest: access.Digest{1, 2, 3}, State: store.Pending,
		Requester: access.Subject{Issuer: "local", ID: "alice", Kind: access.Human, Actor: &access.Subject{Issuer: "local", ID: "bot"}},
		Resource:  access.Resource{Name: "shop", Protocol: "postgres", Labels: map[string]string{"env": "prod"}},
		Verb:      "delete", Action: "delete from t", Whole: true, Reason: "cleanup", Ticket: "CHG-1", Message: "ask first", Session: "s", Client: "127.0.0.1:5", Decision: "d",
		Quorum: access.Quorum{From: []access.Approvers{{Group: "dba", Count: 2}}, Expires: time.Minute, Rules: []string{"p/r"},
			Escalate: &access.Escalation{After: time.Minute, To: []access.Approvers{{Group: "lead", Count: 1}}},
			Grant:    &access.Grant{For: time.Hour, Uses: 3, Rows: 9}},
		Facts:       access.Facts{Asked: access.FactEstimate, Estimate: &access.Estimate{Rows: 3, Cost: 4}, Why: "why"},
		Fingerprint: "f", Shape: access.Digest{7}, Revision: 1,
		Created: begin, Expires: begin.Add(time.Hour), Changed: begin, Sealed: []byte("sealed"),
	}
}

func approvals(t *testing.T, s store.State) {
	a := approval("R1")
	must(t, s.CreateApproval(t.Context(), a))
	if err := s.CreateApproval(t.Context(), a); !errors.Is(err, store.ErrExists) {
		t.Errorf("the same id twice: %v", err)
	}
	got, err := s.Approval(t.Context(), "R1")
	must(t, err)
	equal(t, "as created", got, a)
	if _, err := s.Approval(t.Context(), "R2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}

func approvalIDs(t *testing.T, s store.Approvals, f store.ApprovalFilter) []string {
	t.Helper()
	all, err := s.Approvals(t.Context(), f)
	must(t, err)
	var ids []string
	for _, x := range all {
		ids = append(ids, x.ID)
	}
	return ids
}

func listing(t *testing.T, s store.State) {
	for i, change := range []func(*store.Approval){
		func(a *store.Approval) {},
		func(a *store.Approval) { a.State = store.Approved },
		func(a *store.Approval) { a.Requester = access.Subject{Issuer: "oidc", ID: "alice"} },
		func(a *store.Approval) { a.Digest, a.Shape, a.Fingerprint = access.Digest{9}, access.Digest{}, "" },
		func(a *store.Approval) { a.Expires = begin.Add(time.Minute) },
		func(a *store.Approval) { a.Kind, a.Expires = store.Review, begin },
	} {
		a := approval(fmt.Sprintf("R%d", i))
		a.Created = begin.Add(time.Duration(i) * time.Second)
		change(&a)
		must(t, s.CreateApproval(t.Context(), a))
	}
	for _, c := range []struct {
		what string
		f    store.ApprovalFilter
		want []string
	}{
		{"all, newest first", store.ApprovalFilter{}, []string{"R4", "R3", "R2", "R1", "R0"}},
		{"reviews", store.ApprovalFilter{Kind: store.Review}, []string{"R5"}},
		{"of any kind", store.ApprovalFilter{AnyKind: true, Limit: 2}, []string{"R5", "R4"}},
		{"two", store.ApprovalFilter{Limit: 2}, []string{"R4", "R3"}},
		{"approved", store.ApprovalFilter{States: []string{store.Approved}}, []string{"R1"}},
		{"open", store.ApprovalFilter{States: []string{store.Approved, store.Pending}, Limit: 9}, []string{"R4", "R3", "R2", "R1", "R0"}},
		{"of a requester", store.ApprovalFilter{Issuer: "oidc", Requester: "alice"}, []string{"R2"}},
		{"of a digest", store.ApprovalFilter{Digest: &access.Digest{9}}, []string{"R3"}},
		{"of a shape", store.ApprovalFilter{Shape: &access.Digest{7}, Limit: 1}, []string{"R4"}},
		{"of a fingerprint before", store.ApprovalFilter{Fingerprint: "f", Resource: "shop", Before: begin.Add(2 * time.Second)}, []string{"R1", "R0"}},
		{"of a fingerprint elsewhere", store.ApprovalFilter{Fingerprint: "f", Resource: "crm"}, nil},
		{"expired by then", store.ApprovalFilter{ExpiresBefore: begin.Add(time.Minute)}, []string{"R4"}},
		{"expired before", store.ApprovalFilter{ExpiresBefore: begin.Add(time.Minute - 1000)}, nil},
	} {
		equal(t, c.what, approvalIDs(t, s, c.f), c.want)
	}
}

func updates(t *testing.T, s store.State) {
	a := approval("R1")
	must(t, s.CreateApproval(t.Context(), a))
	vote := store.Vote{Voter: access.Subject{Issuer: "local", ID: "bob", Kind: access.Human}, Approve: true, Reason: "fine", Evidence: "web", Time: begin.Add(time.Second)}
	must(t, s.UpdateApproval(t.Context(), "R1", func(x *store.Approval) error {
		equal(t, "what the change sees", *x, a)
		x.Votes = append(x.Votes, vote)
		x.State, x.Changed, x.Sealed = store.Approved, begin.Add(time.Second), nil
		x.Expires, x.Escalated, x.Uses = begin.Add(time.Minute), begin.Add(time.Second), 2
		x.Reason = "must not be changed"
		return nil
	}))
	a.Votes, a.State, a.Changed, a.Sealed = []store.Vote{vote}, store.Approved, begin.Add(time.Second), nil
	a.Expires, a.Escalated, a.Uses, a.Revision = begin.Add(time.Minute), begin.Add(time.Second), 2, 2
	got, err := s.Approval(t.Context(), "R1")
	must(t, err)
	equal(t, "after the change", got, a)

	refusal := errors.New("no")
	err = s.UpdateApproval(t.Context(), "R1", func(x *store.Approval) error {
		x.State = store.Used
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Errorf("the change's error: %v", err)
	}
	got, err = s.Approval(t.Context(), "R1")
	must(t, err)
	equal(t, "after a change that failed", got, a)
	if err := s.UpdateApproval(t.Context(), "R2", func(*store.Approval) error { return nil }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}

// deliveries: each channel is told of every change once, in the order of
// changes, and of nothing that somebody else is telling it.
func deliveries(t *testing.T, s store.State) {
	one, two := approval("R1"), approval("R2")
	two.Changed = begin.Add(time.Second)
	must(t, s.CreateApproval(t.Context(), two))
	must(t, s.CreateApproval(t.Context(), one))
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	claim := func(channel string, now int, want string) store.Delivery {
		t.Helper()
		d, err := s.ClaimDelivery(t.Context(), channel, at(now), at(now+1), begin)
		if want == "" {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("claimed %+v, %v", d, err)
			}
			return d
		}
		must(t, err)
		equal(t, "claimed", d.Approval, want)
		return d
	}
	d := claim("slack", 1, "R1")
	equal(t, "a new one", d, store.Delivery{Channel: "slack", Approval: "R1", Due: at(2)})
	claim("slack", 1, "R2")
	claim("slack", 1, "")
	claim("mail", 1, "R1")
	d.Told, d.Ref, d.Attempts, d.Due, d.Remind, d.Escalated = 1, "message 7", 0, time.Time{}, at(5), true
	must(t, s.SaveDelivery(t.Context(), d))
	claim("slack", 2, "R2") // its claim has run out
	claim("slack", 2, "")
	must(t, s.UpdateApproval(t.Context(), "R1", func(a *store.Approval) error { a.Changed = at(3); return nil }))
	got := claim("slack", 3, "R2")
	got.Told = 1
	must(t, s.SaveDelivery(t.Context(), got))
	got = claim("slack", 3, "R1")
	d.Due = at(4)
	equal(t, "a changed one", got, d)
	got.Told = 2
	must(t, s.SaveDelivery(t.Context(), got))
	claim("slack", 4, "")
	claim("slack", 5, "R1") // a reminder
	must(t, s.UpdateApproval(t.Context(), "R1", func(a *store.Approval) error { a.State = store.Rejected; return nil }))
	got.Told, got.Due = 3, time.Time{}
	must(t, s.SaveDelivery(t.Context(), got))
	claim("slack", 9, "") // nobody is reminded of what is answered
	if _, err := s.ClaimDelivery(t.Context(), "new", at(9), at(10), at(8)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an old one: %v", err)
	}
}

// once: of many who want to use an approval at the same time, one does.
func once(t *testing.T, s store.State) {
	a := approval("R1")
	a.State = store.Approved
	must(t, s.CreateApproval(t.Context(), a))
	used := errors.New("used already")
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			err := s.UpdateApproval(context.Background(), "R1", func(x *store.Approval) error {
				if x.State != store.Approved {
					return used
				}
				x.State = store.Used
				return nil
			})
			switch {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, used):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	equal(t, "winners", wins.Load(), int32(1))
}

func session(id string, at time.Duration) store.Session {
	return store.Session{
		ID: id, Node: "n1", Subject: access.Subject{Issuer: "local", ID: "alice"}, Resource: access.Resource{Name: "shop"},
		Client: access.Client{Address: "127.0.0.1:1", TLS: true}, Opened: begin.Add(at), Statements: 3, Denied: 1, Rows: 9,
	}
}

func sessionIDs(t *testing.T, s store.Sessions, f store.SessionFilter) []string {
	t.Helper()
	all, err := s.Sessions(t.Context(), f)
	must(t, err)
	var ids []string
	for _, x := range all {
		ids = append(ids, x.ID)
	}
	return ids
}

func sessions(t *testing.T, s store.State) {
	a, b, c := session("a", 0), session("b", time.Second), session("c", time.Minute)
	b.Subject.ID, b.Resource.Name, b.Node = "bob", "crm", "n2"
	for _, x := range []store.Session{a, b, c} {
		must(t, s.PutSession(t.Context(), x))
	}
	a.Closed, a.Why, a.Statements = begin.Add(time.Hour), "client left", 4
	must(t, s.PutSession(t.Context(), a))
	got, err := s.Sessions(t.Context(), store.SessionFilter{ID: "a"})
	must(t, err)
	equal(t, "replaced", got, []store.Session{a})
	for _, q := range []struct {
		what string
		f    store.SessionFilter
		want []string
	}{
		{"all, newest first", store.SessionFilter{}, []string{"c", "b", "a"}},
		{"newest", store.SessionFilter{Limit: 1}, []string{"c"}},
		{"open", store.SessionFilter{Open: true}, []string{"c", "b"}},
		{"of a subject", store.SessionFilter{Issuer: "local", Subject: "bob"}, []string{"b"}},
		{"at a resource", store.SessionFilter{Resource: "shop"}, []string{"c", "a"}},
		{"since", store.SessionFilter{Since: begin.Add(time.Second)}, []string{"c", "b"}},
		{"until", store.SessionFilter{Until: begin.Add(time.Second)}, []string{"b", "a"}},
	} {
		equal(t, q.what, sessionIDs(t, s, q.f), q.want)
	}
	n, err := s.EndSessions(t.Context(), store.SessionFilter{Node: "n1"}, begin.Add(2*time.Hour), "gateway stopped")
	must(t, err)
	equal(t, "ended", n, 1)
	got, err = s.Sessions(t.Context(), store.SessionFilter{ID: "c"})
	must(t, err)
	c.Closed, c.Why = begin.Add(2*time.Hour), "gateway stopped"
	equal(t, "as ended", got, []store.Session{c})
	equal(t, "still open", sessionIDs(t, s, store.SessionFilter{Open: true}), []string{"b"})
	n, err = s.PurgeSessions(t.Context(), begin.Add(90*time.Minute))
	must(t, err)
	equal(t, "purged", n, 1)
	equal(t, "left", sessionIDs(t, s, store.SessionFilter{}), []string{"c", "b"})
}

func meta(t *testing.T, s store.State) {
	if _, err := s.Meta(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a value that is not there: %v", err)
	}
	for _, v := range [][]byte{{0, 1, 255}, {}, []byte("x")} {
		must(t, s.SetMeta(t.Context(), "k", v))
		got, err := s.Meta(t.Context(), "k")
		must(t, err)
		if !slices.Equal(got, v) {
			t.Errorf("got %v, want %v", got, v)
		}
	}
}

func blocks(t *testing.T, s store.State) {
	var all []store.Block
	for i := range 10 {
		first := uint64(i*100 + 1)
		all = append(all, store.Block{
			Log: "j", First: first, Last: first + 99, Segment: 1, Offset: int64(i) << 20,
			MinTime: begin.Add(time.Duration(i) * time.Minute), MaxTime: begin.Add(time.Duration(i)*time.Minute + 30*time.Second), Tags: []byte{byte(i), 1},
		})
	}
	other := all[0]
	other.Log = "k"
	must(t, s.PutBlocks(t.Context(), append(slices.Clone(all), other)))
	all[9].Last, all[9].Tags = 2000, []byte{7}
	must(t, s.PutBlocks(t.Context(), all[9:]))
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for _, c := range []struct {
		what string
		f    store.BlockFilter
		want []store.Block
	}{
		{"all", store.BlockFilter{Log: "j"}, all},
		{"newest first", store.BlockFilter{Log: "j", Newest: true}, backwards},
		{"the last", store.BlockFilter{Log: "j", Newest: true, Limit: 1}, all[9:]},
		{"since", store.BlockFilter{Log: "j", Since: begin.Add(4*time.Minute + 30*time.Second)}, all[4:]},
		{"until", store.BlockFilter{Log: "j", Until: begin.Add(3 * time.Minute)}, all[:3]},
		{"after", store.BlockFilter{Log: "j", After: 501, Limit: 2}, all[6:8]},
		{"before, newest first", store.BlockFilter{Log: "j", Before: 301, Newest: true}, backwards[7:]},
		{"another journal", store.BlockFilter{Log: "k"}, []store.Block{other}},
		{"none", store.BlockFilter{Log: "x"}, nil},
	} {
		got, err := s.Blocks(t.Context(), c.f)
		must(t, err)
		equal(t, c.what, got, c.want)
	}
	must(t, s.DropBlocks(t.Context(), "j"))
	got, err := s.Blocks(t.Context(), store.BlockFilter{})
	must(t, err)
	equal(t, "after dropping one journal's", got, []store.Block{other})
}
