package approval

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
	"sluice/store"
	"sluice/store/sqlite"
)

// like is a request for the same statement with another constant.
func like(s access.Subject, n int) access.Request {
	r := ask(s, fmt.Sprintf("DELETE FROM t WHERE id = %d", n))
	r.Action.SQL, r.Action.Confidence = &access.SQL{Fingerprint: "delete by id", Scoped: true}, access.Exact
	return r
}

func grantDemand(uses int) access.Decision {
	d := demand(oneDBA)
	d.Approval.Grant = &access.Grant{For: 30 * time.Minute, Uses: uses, Rows: 10}
	return d
}

func TestGrantCoversTheShape(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	d := grantDemand(3)
	id := requested(t, e, like(w.who("eve"), 1), d)
	if err := claim(e, like(w.who("eve"), 2), d); err == nil {
		t.Fatal("ran before the answer")
	}
	vote(t, e, w, id, "bob", true)
	other := like(w.who("eve"), 4)
	other.Action.SQL = &access.SQL{Fingerprint: "delete all", Scoped: true}
	unscoped := like(w.who("eve"), 5)
	unscoped.Action.SQL = &access.SQL{Fingerprint: "delete by id"}
	role := like(w.who("eve"), 6)
	role.Action.Binding = []access.Setting{{Name: "role", Value: "owner"}}
	table := like(w.who("eve"), 7)
	table.Action.Objects = []access.Object{{Kind: access.KindTable, Name: "u", Write: true}}
	partial := like(w.who("eve"), 8)
	partial.Action.Confidence = access.Partial
	for name, r := range map[string]access.Request{"another's": like(w.who("alice"), 1), "another statement": other,
		"another condition": unscoped, "another role": role, "another table": table, "not understood": partial} {
		if err := claim(e, r, d); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
	for i := range 3 {
		if err := claim(e, like(w.who("eve"), i), d); err != nil {
			t.Errorf("use %d: %v", i+1, err)
		}
	}
	if err := claim(e, like(w.who("eve"), 1), d); err == nil {
		t.Error("ran a fourth time")
	}
	if w.state(id) != store.Used {
		t.Error(w.state(id))
	}
}

func TestGrantEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *world, e *Engine, id string){
		"time": func(_ *testing.T, w *world, _ *Engine, _ string) {
			w.now = func() time.Time { return noon.Add(30 * time.Minute) }
		},
		"an approver takes it back": func(t *testing.T, w *world, e *Engine, id string) { vote(t, e, w, id, "carol", false) },
		"the requester gives it back": func(t *testing.T, w *world, e *Engine, id string) {
			if _, err := e.Withdraw(ctx, id, w.who("eve")); err != nil {
				t.Fatal(err)
			}
		},
		"the approver left": func(_ *testing.T, w *world, _ *Engine, _ string) { w.move("bob", "sales") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			e := w.open(t)
			d := grantDemand(9)
			id := requested(t, e, like(w.who("eve"), 1), d)
			w.now = func() time.Time { return noon.Add(time.Minute) }
			vote(t, e, w, id, "bob", true)
			if row, _ := w.Approval(ctx, id); !row.Expires.Equal(noon.Add(31 * time.Minute)) {
				t.Errorf("expires %s", row.Expires)
			}
			a, err := e.Approve(ctx, like(w.who("eve"), 2), d, noTell)
			if err != nil || a.Grant == nil {
				t.Fatal(a, err)
			}
			if err := e.Use(ctx, a); err != nil {
				t.Fatal(err)
			}
			end(t, w, e, id)
			if name == "time" {
				w.now = func() time.Time { return noon.Add(31 * time.Minute) }
			}
			if err := e.Use(ctx, a); err == nil {
				t.Error("used after its end")
			}
			if err := claim(e, like(w.who("eve"), 3), d); err == nil {
				t.Error("claimed after its end")
			}
		})
	}
}

// A rule that permits less than was granted asks anew.
func TestGrantUnderAStricterRule(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	d := grantDemand(9)
	vote(t, e, w, requested(t, e, like(w.who("eve"), 1), d), "bob", true)
	exact, fewer, narrow := demand(oneDBA), grantDemand(3), grantDemand(9)
	narrow.Approval.Grant.Rows = 1
	for name, stricter := range map[string]access.Decision{"exact": exact, "fewer": fewer, "rows": narrow} {
		if err := claim(e, like(w.who("eve"), 2), stricter); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
	if err := claim(e, like(w.who("eve"), 2), grantDemand(10)); err != nil {
		t.Error(err)
	}
	forged := access.Approval{ID: w.rows[0].ID, Digest: w.rows[0].Digest, Approved: true}
	if err := e.Use(ctx, forged); err == nil {
		t.Error("a grant used as if it were for one action")
	}
}

// Two gateways over one database, many claims at once and a crash in between:
// never more uses than granted.
func TestGrantIsNeverExceeded(t *testing.T) {
	w := newWorld()
	dir := t.TempDir()
	node := func() (*Engine, func()) {
		db, err := sqlite.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		e := w.open(t)
		e.o.Store = db
		return e, func() { db.Close() }
	}
	one, close := node()
	d := grantDemand(10)
	id := requested(t, one, like(w.who("eve"), 1), d)
	vote(t, one, w, id, "bob", true)
	a, err := one.Approve(ctx, like(w.who("eve"), 2), d, noTell)
	if err != nil {
		t.Fatal(err)
	}
	var ran atomic.Int32
	rush := func(e *Engine, n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if e.Use(ctx, a) == nil {
					ran.Add(1)
				}
			})
		}
		wg.Wait()
	}
	rush(one, 6)
	close()
	two, closeTwo := node()
	three, closeThree := node()
	defer closeTwo()
	defer closeThree()
	var wg sync.WaitGroup
	wg.Go(func() { rush(two, 8) })
	wg.Go(func() { rush(three, 8) })
	wg.Wait()
	if n := ran.Load(); n != 10 {
		t.Errorf("%d uses", n)
	}
	if err := two.Use(ctx, a); !errors.Is(err, ErrUsed) {
		t.Error(err)
	}
	if v, err := two.Show(ctx, w.who("bob"), id); err != nil || v.State != store.Used || v.Uses != 10 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestWithdraw(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	id := requested(t, e, ask(w.who("eve"), "x"), demand(oneDBA))
	for who, want := range map[string]error{"bob": ErrNotYours, "root": ErrNotYours, "dan": ErrNotFound} {
		if _, err := e.Withdraw(ctx, id, w.who(who)); !errors.Is(err, want) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if v, err := e.Withdraw(ctx, id, w.who("eve")); err != nil || v.State != store.Withdrawn {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := e.Vote(ctx, id, w.who("bob"), true, ""); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
