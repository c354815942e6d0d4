package server

import (
	"strings"
	"testing"
)

// A stop while somebody waits for approval leaves the request open; the same
// statement takes it up after the restart, and uses it once.
func TestRequestOutlivesARestart(t *testing.T) {
	folder := writeHouse(t, rules)
	g := open(t, folder)
	const statement = "DELETE FROM customers WHERE id = 2"
	done := make(chan string, 1)
	go func() {
		out, errs := g.psql(t, "alice", "pw", statement)
		done <- out + errs
	}()
	id := waitForRequest(t, g.client(t, "bob"))
	if err := g.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; strings.Contains(got, "DELETE 1") {
		t.Fatalf("it ran without approval: %s", got)
	}
	again := open(t, folder)
	bob := again.client(t, "bob")
	if r, err := bob.Request(t.Context(), id); err != nil || r.State != "pending" {
		t.Fatalf("after the restart: %v %+v", err, r)
	}
	if _, err := bob.Vote(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	if out, errs := again.psql(t, "alice", "pw", statement); out != "DELETE 1\n" {
		t.Errorf("%q %s", out, errs)
	}
	if r, err := bob.Request(t.Context(), id); err != nil || r.State != "used" {
		t.Errorf("%v %+v", err, r)
	}
}
