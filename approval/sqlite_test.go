package approval

import (
	"sync"
	"testing"

	"sluice/access"
	"sluice/store"
	"sluice/store/sqlite"
)

// Two nodes over one real database: what they agree on survives reopening it,
// and of many claims one wins.
func TestOverSQLite(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	node := func() (*Engine, *sqlite.Store) {
		db, err := sqlite.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		e := w.open(t)
		e.o.Store = db
		return e, db
	}
	one, db := node()
	r, d := ask(w.who("eve"), "DELETE FROM t"), demand(oneDBA, access.Approvers{Group: "security", Count: 1})
	id := requested(t, one, r, d)
	if v, err := one.Show(ctx, w.who("bob"), id); err != nil || v.Content == nil || v.Content.Text != "DELETE FROM t" {
		t.Fatalf("%+v, %v", v, err)
	}
	vote(t, one, w, id, "carol", true)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	two, _ := node()
	three, _ := node()
	vote(t, two, w, id, "bob", true)
	a, err := three.Approve(ctx, r, d, noTell)
	if err != nil || !a.Approved || len(a.By) != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	won := make(chan *Engine, 8)
	var wg sync.WaitGroup
	for i := range cap(won) {
		e := []*Engine{two, three}[i%2]
		wg.Go(func() {
			if e.Use(ctx, a) == nil {
				won <- e
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d claims succeeded", len(won))
	}
	if v, err := two.Show(ctx, w.who("bob"), id); err != nil || v.State != store.Used || v.Content != nil || len(v.Votes) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}
