package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

const grantRules = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: access}
spec:
  rules:
  - {id: engineers, match: {groups: [engineering], access: [read, write]}, effect: allow}
  - id: ask
    match: {groups: [engineering], verbs: [update, delete]}
    effect: require_approval
    message: somebody else must look at it
    approval: {from: [{group: dba}], reason: required, binds: shape, grant: {for: 10m, uses: 2, rows: 1}}
`

// One answer lets two statements of its shape run, each with one row, and no third.
func TestGrantThroughTheGateway(t *testing.T) {
	g := open(t, writeHouse(t, grantRules))
	if _, errs := g.psql(t, "alice", "pw", "UPDATE customers SET email = 'x' WHERE id = 1"); !strings.Contains(errs, "with a reason only") || !strings.Contains(errs, "SET sluice.reason") {
		t.Errorf("without a reason: %s", errs)
	}
	statements := []string{"SET sluice.wait = 0", "SET sluice.reason = 'typo'", "UPDATE customers SET email = 'x' WHERE id = 1"}
	if _, errs := g.psql(t, "alice", "pw", statements...); !strings.Contains(errs, "needs approval") {
		t.Fatalf("asked: %s", errs)
	}
	bob := g.client(t, "bob")
	id := waitForRequest(t, bob)
	shown, err := bob.Request(t.Context(), id)
	if err != nil || shown.Grant == nil || shown.Grant.Uses != 2 || shown.Reason != "typo" || shown.Message != "somebody else must look at it" ||
		shown.Expected == nil || shown.Expected.Count == nil || *shown.Expected.Count != 1 || len(shown.Before) == 0 {
		t.Errorf("show: %v %+v %+v", err, shown, shown.Expected)
	}
	if _, err := bob.Vote(t.Context(), id, true, "fine"); err != nil {
		t.Fatal(err)
	}
	run := func(id, want string) {
		t.Helper()
		statements[len(statements)-1] = "UPDATE customers SET email = 'x' WHERE id " + id
		if out, errs := g.psql(t, "alice", "pw", statements...); !strings.Contains(out+errs, want) {
			t.Errorf("id %s: %s%s", id, out, errs)
		}
	}
	run("= 2", "UPDATE 1")
	run(">= 1", "needs approval") // another statement
	run("= 1", "UPDATE 1")
	run("= 2", "needs approval")
	if r, err := bob.Request(t.Context(), id); err != nil || r.State != "used" || r.Uses != 2 {
		t.Errorf("%v %+v", err, r)
	}
}

// A grant holds every statement to its rows: with constants that pick more, it is
// undone.
func TestGrantLimitsRows(t *testing.T) {
	g := open(t, writeHouse(t, grantRules))
	ask := []string{"SET sluice.wait = 0", "SET sluice.reason = 'typo'", "DELETE FROM customers WHERE id < 2"}
	if _, errs := g.psql(t, "alice", "pw", ask...); !strings.Contains(errs, "needs approval") {
		t.Fatal(errs)
	}
	bob := g.client(t, "bob")
	if _, err := bob.Vote(t.Context(), waitForRequest(t, bob), true, ""); err != nil {
		t.Fatal(err)
	}
	ask[2] = "DELETE FROM customers WHERE id < 3"
	if out, errs := g.psql(t, "alice", "pw", ask...); !strings.Contains(errs, "would change 2 rows, the limit is 1") {
		t.Errorf("%s%s", out, errs)
	}
	if out, errs := g.psql(t, "alice", "pw", "SELECT count(*) FROM customers"); !strings.Contains(out, "2") {
		t.Errorf("%s%s", out, errs)
	}
}

// Values for masked columns are for those who decide, and for nobody's record: not
// in the journal, and not in the request once it is answered.
func TestApprovalRecordsNoMaskedValues(t *testing.T) {
	g := open(t, writeHouse(t, strings.Replace(rules, "verbs: [delete]}\n    effect: require_approval", "verbs: [update]}\n    effect: require_approval", 1)))
	bob, erin := g.client(t, "bob"), g.client(t, "erin")
	if _, errs := g.psql(t, "alice", "pw", "SET sluice.wait = 0", "UPDATE customers SET email = 'needle' WHERE id = 1"); !strings.Contains(errs, "needs approval") {
		t.Fatal(errs)
	}
	id := waitForRequest(t, bob)
	if r, err := bob.Request(t.Context(), id); err != nil || !strings.Contains(r.Action, "'needle'") {
		t.Errorf("who decides does not see what will run: %v %+v", err, r)
	}
	if _, err := bob.Vote(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	if _, errs := g.psql(t, "alice", "pw", "SET sluice.wait = 0", "UPDATE customers SET email = 'needle' WHERE id = 1"); errs != "" {
		t.Errorf("after the answer: %s", errs)
	}
	if r, err := bob.Request(t.Context(), id); err != nil || strings.Contains(fmt.Sprint(r), "needle") {
		t.Errorf("the answered request: %v %+v", err, r)
	}
	events := 0
	err := erin.Audit(t.Context(), false, url.Values{"limit": {"0"}}, func(line []byte) error {
		if events++; strings.Contains(string(line), "needle") {
			t.Errorf("the journal holds %s", line)
		}
		return nil
	})
	if err != nil || events < 4 {
		t.Errorf("%v, %d events", err, events)
	}
}

const commitRules = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: access}
spec:
  rules:
  - {id: engineers, match: {groups: [engineering], access: [read, write]}, effect: allow}
  - id: ask
    match: {groups: [engineering], access: [write]}
    effect: require_approval
    approval: {from: [{group: dba}], at: commit, preview: run}
`

// A transaction waits at its commit, with what it did; so does a single statement.
func TestApprovalAtCommit(t *testing.T) {
	g := open(t, writeHouse(t, commitRules))
	bob := g.client(t, "bob")
	answer := func(approve bool, want ...int64) {
		t.Helper()
		id := waitForRequest(t, bob)
		r, err := bob.Request(t.Context(), id)
		if err != nil || len(r.Parts) != len(want) || r.Verb != "commit" {
			t.Errorf("show: %v %+v", err, r)
		}
		for i := range min(len(want), len(r.Parts)) {
			if r.Parts[i].Rows != want[i] || !strings.Contains(r.Action, r.Parts[i].Text) {
				t.Errorf("statement %d: %+v", i+1, r.Parts[i])
			}
		}
		if _, err := bob.Vote(t.Context(), id, approve, "so be it"); err != nil {
			t.Error(err)
		}
	}
	type result struct{ out, errs string }
	run := func(statements ...string) chan result {
		done := make(chan result, 1)
		go func() {
			out, errs := g.psql(t, "alice", "pw", statements...)
			done <- result{out, errs}
		}()
		return done
	}
	waiting := run("BEGIN", "UPDATE customers SET email = 'x'", "DELETE FROM customers WHERE id = 2", "COMMIT")
	answer(true, 2, 1)
	if got := <-waiting; !strings.HasSuffix(got.out, "COMMIT\n") {
		t.Errorf("%+v", got)
	}
	waiting = run("BEGIN", "DELETE FROM customers", "COMMIT", "ROLLBACK")
	answer(false, 1)
	if got := <-waiting; !strings.Contains(got.errs, "was rejected by bob: so be it") || !strings.Contains(got.errs, "rolled back") {
		t.Errorf("%+v", got)
	}
	waiting = run("INSERT INTO customers VALUES (7, 'z')")
	answer(true, 1)
	if got := <-waiting; got.out != "INSERT 0 1\n" {
		t.Errorf("%+v", got)
	}
	if got := <-run("SELECT id, email FROM customers ORDER BY id"); got.out != "1|x\n7|z\n" {
		t.Errorf("%+v", got)
	}
	// Who does not wait sends the same again; with the same effect it is the same.
	later := []string{"SET sluice.wait = 0", "UPDATE customers SET email = 'y' WHERE id = 7"}
	if got := <-run(later...); !strings.Contains(got.errs, "needs approval") {
		t.Errorf("%+v", got)
	}
	answer(true, 1)
	if got := <-run(later...); !strings.HasSuffix(got.out, "UPDATE 1\n") {
		t.Errorf("%+v", got)
	}
	if got := <-run(later...); !strings.Contains(got.errs, "needs approval") {
		t.Errorf("twice: %+v", got)
	}
}

// In an emergency a holder acts at once, and cannot do so again before others have
// looked at it.
func TestBreakGlass(t *testing.T) {
	g := open(t, writeHouse(t, strings.Replace(rules, "expires: 5m}", "expires: 5m, break_glass: {groups: [engineering], for: 10m, review: 1s}}", 1)))
	alice, bob := g.client(t, "alice"), g.client(t, "bob")
	remove := []string{"SET sluice.wait = 0", "DELETE FROM customers WHERE id = 2"}
	if _, err := bob.BreakGlass(t.Context(), "shop", "why not"); err == nil {
		t.Error("a glass for nobody was broken")
	}
	if _, err := alice.BreakGlass(t.Context(), "shop", ""); err == nil {
		t.Error("broken without a reason")
	}
	glass, err := alice.BreakGlass(t.Context(), "shop", "it burns")
	if err != nil || glass.Kind != "break_glass" || glass.State != "approved" {
		t.Fatalf("%v %+v", err, glass)
	}
	if out, errs := g.psql(t, "alice", "pw", remove...); !strings.Contains(out, "DELETE 1") {
		t.Errorf("%s%s", out, errs)
	}
	if out, errs := g.psql(t, "alice", "pw", "DELETE FROM customers"); !strings.Contains(errs, "no-unscoped-writes") {
		t.Errorf("a denial was broken too: %s%s", out, errs)
	}
	review, err := bob.Request(t.Context(), waitForRequest(t, bob))
	if err != nil || review.Kind != "review" || review.Action != remove[1] || !review.MayVote {
		t.Errorf("%v %+v", err, review)
	}
	if _, err := alice.Withdraw(t.Context(), glass.ID); err != nil {
		t.Error(err)
	}
	if _, errs := g.psql(t, "alice", "pw", remove...); !strings.Contains(errs, "needs approval") {
		t.Errorf("behind a closed glass: %s", errs)
	}
	for { // until it is overdue
		if _, err := alice.BreakGlass(t.Context(), "shop", "again"); err != nil {
			if !strings.Contains(err.Error(), "not been reviewed in time") {
				t.Error(err)
			}
			break
		}
		if again, err := alice.Requests(t.Context(), "approved"); err == nil {
			for _, r := range again {
				_, _ = alice.Withdraw(t.Context(), r.ID)
			}
		}
	}
	if _, err := bob.Vote(t.Context(), review.ID, true, "it did burn"); err != nil {
		t.Error(err)
	}
	if _, err := alice.BreakGlass(t.Context(), "shop", "again"); err != nil {
		t.Error(err)
	}
}
