package approval

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/access"
	"sluice/store"
)

var shop = access.Resource{Name: "shop", Protocol: "postgres"}

// emergency is a demand that sales may go behind.
func emergency() access.Decision {
	d := demand(oneDBA)
	d.Approval.Glass = &access.Glass{Groups: []string{"sales"}, For: 30 * time.Minute, Review: 24 * time.Hour, Alert: []string{"pager"}}
	return d
}

func broken(t *testing.T, w *world, e *Engine, who string) View {
	t.Helper()
	terms := emergency().Approval
	v, err := e.BreakGlass(ctx, w.who(who), shop, &terms, "the shop is down")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBehindGlass(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	r, d := ask(w.who("eve"), "DELETE FROM t"), emergency()
	requested(t, e, r, d)
	v := broken(t, w, e, "eve")
	if v.Kind != store.Glass || v.State != store.Approved || !v.Expires.Equal(noon.Add(30*time.Minute)) {
		t.Errorf("%+v", v)
	}
	if again := broken(t, w, e, "eve"); again.ID != v.ID {
		t.Error("broken twice")
	}
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil || !a.Approved || a.Glass != v.ID || a.Digest != r.Digest() {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := e.Use(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := e.Use(ctx, a); err == nil {
		t.Error("one review for two actions")
	}
	review, err := e.Show(ctx, w.who("bob"), a.ID)
	if err != nil || review.Kind != store.Review || review.State != store.Pending || review.Content == nil || review.Content.Text != "DELETE FROM t" || !review.MayVote {
		t.Fatalf("%+v, %v", review, err)
	}
	if err := e.Use(ctx, access.Approval{ID: a.ID, Digest: r.Digest(), Approved: true}); err == nil {
		t.Error("a review used as an approval")
	}
	if _, err := e.Vote(ctx, a.ID, w.who("eve"), true, ""); !errors.Is(err, ErrSelf) {
		t.Errorf("reviewed by oneself: %v", err)
	}
	if _, err := e.Withdraw(ctx, a.ID, w.who("eve")); !errors.Is(err, ErrNotYours) {
		t.Errorf("withdrew a review: %v", err)
	}
	vote(t, e, w, a.ID, "bob", true)
	if err := claim(e, ask(w.who("eve"), "DELETE FROM t"), demand(oneDBA)); err == nil {
		t.Error("a review served as an approval")
	}
	if got := w.types(a.ID); !slices.Equal(got, []access.EventType{access.GlassUsed, access.ApprovalApproved}) {
		t.Errorf("journal %v", got)
	}
}

func TestWhoBreaksGlass(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	terms := emergency().Approval
	agent := w.who("eve")
	bot := w.who("bot")
	agent.Actor = &bot
	forged := human("dan", "sales")
	for name, c := range map[string]struct {
		by     access.Subject
		terms  *access.Quorum
		reason string
		want   error
	}{
		"not in the group": {w.who("root"), &terms, "x", ErrNoGlass}, "an agent for somebody": {agent, &terms, "x", ErrNoGlass},
		"an agent": {bot, &terms, "x", ErrNoGlass}, "groups of long ago": {forged, &terms, "x", ErrNoGlass}, "no rule": {w.who("eve"), nil, "x", ErrNoGlass},
		"no reason": {w.who("eve"), &terms, "  ", ErrReason},
	} {
		if _, err := e.BreakGlass(ctx, c.by, shop, c.terms, c.reason); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken(t, w, e, "eve")
	d := emergency()
	elsewhere := ask(w.who("eve"), "x")
	elsewhere.Resource.Name = "crm"
	through := ask(agent, "x")
	for name, r := range map[string]access.Request{"another resource": elsewhere, "through an agent": through, "another person": ask(w.who("alice"), "x")} {
		if err := claim(e, r, d); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
	if err := claim(e, ask(w.who("eve"), "x"), demand(oneDBA)); err == nil {
		t.Error("ran under a rule without a glass")
	}
}

func TestGlassCloses(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *world, e *Engine, id string){
		"time": func(_ *testing.T, w *world, _ *Engine, _ string) {
			w.now = func() time.Time { return noon.Add(30 * time.Minute) }
		},
		"an approver ends": func(t *testing.T, w *world, e *Engine, id string) { vote(t, e, w, id, "bob", false) },
		"the holder ends": func(t *testing.T, w *world, e *Engine, id string) {
			if _, err := e.Withdraw(ctx, id, w.who("eve")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			e := w.open(t)
			v := broken(t, w, e, "eve")
			if _, err := e.Vote(ctx, v.ID, w.who("bob"), true, ""); err == nil {
				t.Error("approved a broken glass")
			}
			r, d := ask(w.who("eve"), "x"), emergency()
			a, err := e.Approve(ctx, r, d, noTell)
			if err != nil {
				t.Fatal(err)
			}
			end(t, w, e, v.ID)
			if err := e.Use(ctx, a); !errors.Is(err, ErrUsed) {
				t.Errorf("used behind a closed glass: %v", err)
			}
			if err := claim(e, r, d); err == nil {
				t.Error("claimed behind a closed glass")
			}
			if err := e.Sweep(ctx); err != nil || w.state(v.ID) == store.Approved {
				t.Errorf("%v, %s", err, w.state(v.ID))
			}
			if got := w.types(v.ID); !slices.Contains(got, access.GlassClosed) && !slices.Contains(got, access.ApprovalRejected) {
				t.Errorf("journal %v", got)
			}
		})
	}
}

// A stricter rule holds its own time, whatever the glass was broken for.
func TestGlassUnderAStricterRule(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	broken(t, w, e, "eve")
	d := emergency()
	d.Approval.Glass.For = 5 * time.Minute
	w.now = func() time.Time { return noon.Add(5 * time.Minute) }
	if err := claim(e, ask(w.who("eve"), "x"), d); err == nil {
		t.Error("ran beyond the rule's time")
	}
	if err := claim(e, ask(w.who("eve"), "x"), emergency()); err != nil {
		t.Error(err)
	}
}

func TestOverdueReviewsBar(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	broken(t, w, e, "eve")
	a, err := e.Approve(ctx, ask(w.who("eve"), "x"), emergency(), noTell)
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) { w.now = func() time.Time { return noon.Add(d) } }
	at(23 * time.Hour)
	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	broken(t, w, e, "eve") // not overdue yet
	at(24 * time.Hour)
	terms := emergency().Approval
	if _, err := e.BreakGlass(ctx, w.who("eve"), shop, &terms, "again"); !errors.Is(err, ErrOverdue) {
		t.Errorf("overdue: %v", err)
	}
	if err := e.Sweep(ctx); err != nil || w.state(a.ID) != store.Pending {
		t.Errorf("an overdue review went away: %v, %s", err, w.state(a.ID))
	}
	vote(t, e, w, a.ID, "bob", false) // objecting is a review too
	if _, err := e.BreakGlass(ctx, w.who("eve"), shop, &terms, "again"); err != nil {
		t.Error(err)
	}
}

// No record, no glass, and nothing behind it.
func TestGlassIsRecorded(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	terms := emergency().Approval
	w.broken = true
	if _, err := e.BreakGlass(ctx, w.who("eve"), shop, &terms, "x"); err == nil || len(w.rows) != 0 {
		t.Error("broken without a record")
	}
	w.broken = false
	broken(t, w, e, "eve")
	w.broken = true
	if a, err := e.Approve(ctx, ask(w.who("eve"), "x"), emergency(), noTell); err == nil || a.Approved {
		t.Error("acted without a record")
	}
}

func TestGlassAlerts(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		pager, chat := &board{name: "pager"}, &board{name: "chat"}
		e.Channels(pager, chat)
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); e.Run(running) }()
		v := broken(t, w, e, "eve")
		expectKinds(t, pager, Broken)
		if n := pager.last(); n.Request.Reason != "the shop is down" || n.Request.Requester.ID != "eve" {
			t.Errorf("told %+v", n)
		}
		a, err := e.Approve(ctx, ask(w.who("eve"), "x"), emergency(), noTell)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Use(ctx, a); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := chat.kinds(); len(got) == 0 || got[0] != Owed {
			t.Errorf("chat was told %v", got)
		}
		vote(t, e, w, a.ID, "bob", true)
		synctest.Wait()
		if last := chat.last(); last.Kind != Reviewed {
			t.Errorf("told %s", last.Kind)
		}
		if _, err := e.Withdraw(ctx, v.ID, w.who("eve")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if last := pager.last(); last.Kind != Closed {
			t.Errorf("told %s", last.Kind)
		}
		stop()
		<-done
	})
}
