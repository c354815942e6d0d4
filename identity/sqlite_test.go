package identity

import (
	"testing"
	"time"

	"sluice/store/sqlite"
)

// Tokens survive a restart over the real store, and so does their revocation.
func TestOverSQLite(t *testing.T) {
	w := newWorld(alice())
	dir := t.TempDir()
	reopen := func() *Directory {
		db, err := sqlite.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		o := w.options()
		o.Tokens = db
		d, err := New(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := reopen()
	kept, parent := issue(t, d, login(t, d), time.Hour)
	by, err := d.Token(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	child, _ := issue(t, d, by, time.Hour)
	other, _ := issue(t, d, login(t, d), time.Hour)

	d = reopen()
	if !works(t, d, "alice", kept) || !works(t, d, "alice", child) || !works(t, d, "alice", other) {
		t.Fatal("a restart lost tokens")
	}
	if n, err := d.Revoke(ctx, by.Subject, Revocation{ID: parent.ID}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	d = reopen()
	if works(t, d, "alice", kept) || works(t, d, "alice", child) || !works(t, d, "alice", other) {
		t.Error("a restart lost the revocation")
	}
	w.now = noon.Add(14 * time.Hour)
	if err := d.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if l, err := d.Tokens(ctx, ""); err != nil || len(l) != 0 {
		t.Error(l, err)
	}
}
