package approval

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/access"
	"sluice/store"
)

// A board is a channel that remembers what it was told.
type board struct {
	name string
	fail func(n Notice) error // nil: it works

	mu   sync.Mutex
	seen []Notice
}

func (b *board) Name() string { return b.name }

func (b *board) Notify(_ context.Context, n Notice) (string, error) {
	if b.fail != nil {
		if err := b.fail(n); err != nil {
			return "", err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, n)
	return "message " + n.Request.ID, nil
}

func (b *board) kinds() (all []Kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.seen {
		all = append(all, n.Kind)
	}
	return all
}

func (b *board) last() Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[len(b.seen)-1]
}

// telling runs an engine with channels in a bubble.
func telling(t *testing.T, f func(t *testing.T, w *world, e *Engine, run func(...Notifier))) {
	t.Helper()
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); e.Run(running) }()
		defer func() { stop(); <-done }()
		f(t, w, e, func(all ...Notifier) { e.Channels(all...); synctest.Wait() })
	})
}

func expectKinds(t *testing.T, b *board, want ...Kind) {
	t.Helper()
	synctest.Wait()
	if got := b.kinds(); !slices.Equal(got, want) {
		t.Errorf("%s was told %v, want %v", b.name, got, want)
	}
}

func TestChannelsAreTold(t *testing.T) {
	telling(t, func(t *testing.T, w *world, e *Engine, run func(...Notifier)) {
		b := &board{name: "slack"}
		run(b)
		r, d := ask(w.who("eve"), "DELETE FROM t"), demand(access.Approvers{Group: "dba", Count: 2})
		r.Context.Ticket, d.Message = "CHG-7", "ask a dba"
		r.Action.SQL = &access.SQL{Facts: access.Facts{Estimate: &access.Estimate{Rows: 5}}}
		id := requested(t, e, r, d)
		expectKinds(t, b, Asked)
		v := b.last().Request
		if v.Content == nil || v.Content.Text != "DELETE FROM t" || v.Ticket != "CHG-7" || v.Message != "ask a dba" || v.Whole || *v.Expected.Rows != 5 || v.MayVote {
			t.Errorf("told %+v", v)
		}
		if b.last().Ref != "" || len(b.last().To) != 1 {
			t.Errorf("told %+v", b.last())
		}
		vote(t, e, w, id, "bob", true)
		expectKinds(t, b, Asked, Voted)
		if b.last().Ref != "message "+id {
			t.Errorf("ref %q", b.last().Ref)
		}
		vote(t, e, w, id, "carol", true)
		expectKinds(t, b, Asked, Voted, Approved)
		if b.last().Request.Content != nil {
			t.Error("content of an answered request")
		}
		if err := claim(e, r, d); err != nil {
			t.Fatal(err)
		}
		expectKinds(t, b, Asked, Voted, Approved, Used)
	})
}

func TestEveryEndIsTold(t *testing.T) {
	telling(t, func(t *testing.T, w *world, e *Engine, run func(...Notifier)) {
		b := &board{name: "slack"}
		run(b)
		rejected := requested(t, e, ask(w.who("eve"), "one"), demand(oneDBA))
		expectKinds(t, b, Asked)
		vote(t, e, w, rejected, "bob", false)
		expectKinds(t, b, Asked, Rejected)
		client, cancel := context.WithCancel(ctx)
		k := waiting(client, e, patient(w, 0), demand(oneDBA))
		cancel()
		<-k.done
		expectKinds(t, b, Asked, Rejected, Asked, Withdrawn)
		requested(t, e, ask(w.who("eve"), "three"), demand(oneDBA))
		time.Sleep(15*time.Minute + sweep)
		expectKinds(t, b, Asked, Rejected, Asked, Withdrawn, Asked, Expired)
	})
}

// One channel hangs, one fails, one panics: the others know at once, and those
// that come back are told what is true then.
func TestChannelsAreIndependent(t *testing.T) {
	var mu sync.Mutex
	var reports []Report
	telling(t, func(t *testing.T, w *world, e *Engine, run func(...Notifier)) {
		e.o.Report = func(r Report) { mu.Lock(); defer mu.Unlock(); reports = append(reports, r) }
		down := true
		good := &board{name: "good"}
		bad := &board{name: "bad", fail: func(Notice) error {
			if down {
				return errors.New("no route")
			}
			return nil
		}}
		never := &board{name: "never", fail: func(Notice) error { return Permanent(errors.New("no such room")) }}
		run(&board{name: "hangs", fail: func(Notice) error { time.Sleep(time.Hour); return nil }},
			&board{name: "panics", fail: func(Notice) error { panic("boom") }}, bad, never, good)
		id := requested(t, e, ask(w.who("eve"), "x"), demand(oneDBA, access.Approvers{Group: "security", Count: 1}))
		expectKinds(t, good, Asked)
		vote(t, e, w, id, "bob", true)
		expectKinds(t, good, Asked, Voted)
		time.Sleep(5 * time.Minute)
		down = false
		time.Sleep(backoffMost + poll)
		expectKinds(t, good, Asked, Voted)
		expectKinds(t, bad, Asked)
		if len(bad.last().Request.Votes) != 1 || bad.last().Attempt < 5 {
			t.Errorf("told %+v", bad.last())
		}
		mu.Lock()
		defer mu.Unlock()
		failed, final := 0, 0
		for _, r := range reports {
			if r.Channel == "bad" && r.Err != nil {
				failed++
			}
			if r.Channel == "never" && r.Final {
				final++
			}
		}
		if failed < 5 || failed > 20 || final != 2 {
			t.Errorf("%d failures, %d final ones of %d reports", failed, final, len(reports))
		}
	})
}

func TestRemindersAndEscalation(t *testing.T) {
	telling(t, func(t *testing.T, w *world, e *Engine, run func(...Notifier)) {
		b := &board{name: "slack"}
		run(b)
		d := demand(oneDBA)
		d.Approval.Expires = time.Hour
		d.Approval.Remind = 4 * time.Minute
		d.Approval.Escalate = &access.Escalation{After: 10 * time.Minute, To: []access.Approvers{{Group: "security", Count: 1}}}
		r := ask(w.who("eve"), "x")
		id := requested(t, e, r, d)
		if _, err := e.Vote(ctx, id, w.who("dan"), true, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("security answered before it was asked: %v", err)
		}
		time.Sleep(9 * time.Minute)
		expectKinds(t, b, Asked, Reminder, Reminder)
		time.Sleep(time.Minute + sweep)
		expectKinds(t, b, Asked, Reminder, Reminder, Escalated)
		if to := b.last().To; len(to) != 2 || to[1].Group != "security" {
			t.Errorf("asked %v", to)
		}
		vote(t, e, w, id, "dan", true)
		expectKinds(t, b, Asked, Reminder, Reminder, Escalated, Approved)
		a, err := e.Approve(ctx, r, d, noTell)
		if err != nil || !a.Escalated {
			t.Fatalf("%+v, %v", a, err)
		}
		if err := e.Use(ctx, a); err != nil {
			t.Error(err)
		}
		want := []access.EventType{access.ApprovalRequested, access.ApprovalEscalated, access.ApprovalApproved, access.ApprovalUsed}
		if got := w.types(id); !slices.Equal(got, want) {
			t.Errorf("journal %v", got)
		}
	})
}

// A gateway that stops while it tells a channel goes on at the next start, and
// tells nothing twice that arrived.
func TestRestartGoesOnTelling(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		first, second := &board{name: "slack"}, &board{name: "slack"}
		one := requested(t, w.open(t), ask(w.who("eve"), "one"), demand(oneDBA))
		run := func(b *board) {
			e := w.open(t)
			e.Channels(b)
			running, stop := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() { defer close(done); e.Run(running) }()
			synctest.Wait()
			stop()
			<-done
		}
		run(first)
		expectKinds(t, first, Asked)
		requested(t, w.open(t), ask(w.who("eve"), "two"), demand(oneDBA))
		vote(t, w.open(t), w, one, "bob", true)
		run(second)
		if got := second.kinds(); len(got) != 2 || !slices.Contains(got, Asked) || !slices.Contains(got, Approved) {
			t.Errorf("after the restart: %v", got)
		}
	})
}

func TestOnlyTheChannelsOfTheRule(t *testing.T) {
	telling(t, func(t *testing.T, w *world, e *Engine, run func(...Notifier)) {
		one, two := &board{name: "one"}, &board{name: "two"}
		run(one, two)
		d := demand(oneDBA)
		d.Approval.Channels = []string{"two"}
		requested(t, e, ask(w.who("eve"), "x"), d)
		expectKinds(t, one)
		expectKinds(t, two, Asked)
		run(one, &board{name: "three"}) // a new one is not told of what is not its own
		expectKinds(t, one)
	})
}

func TestWhatAnAnswerNeeds(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	d := demand(oneDBA)
	d.Approval.Comment, d.Approval.Confirm = true, true
	r := ask(w.who("eve"), "x")
	id := requested(t, e, r, d)
	cast := func(b Ballot) error {
		b.Voter, b.Approve = access.Subject{Issuer: "local", ID: "bob", Kind: access.Human}, true
		b.Evidence = Evidence{Channel: "slack", User: "U1", Proof: "verified e-mail"}
		_, err := e.Cast(ctx, id, b)
		return err
	}
	seen, other := r.Digest(), access.Digest{1}
	for _, c := range []struct {
		b    Ballot
		want error
	}{
		{Ballot{Confirmed: true, Reason: " "}, ErrComment},
		{Ballot{Reason: "fine"}, ErrConfirm},
		{Ballot{Reason: "fine", Confirmed: true, Seen: &other}, ErrUnseen},
	} {
		if err := cast(c.b); !errors.Is(err, c.want) || w.state(id) != store.Pending {
			t.Errorf("%+v: %v", c.b, err)
		}
	}
	if err := cast(Ballot{Reason: "fine", Confirmed: true, Seen: &seen}); err != nil {
		t.Fatal(err)
	}
	if got := w.events[len(w.events)-1].Approval.Evidence; got != "slack, user U1, verified e-mail" {
		t.Errorf("evidence %q", got)
	}
	if _, err := e.Cast(ctx, id, Ballot{Voter: w.who("bob")}); err == nil {
		t.Error("a ballot without evidence")
	}
}

// A channel may remember groups of long ago: those of now count.
func TestGroupsOfNowCount(t *testing.T) {
	w := newWorld()
	e := w.open(t)
	id := requested(t, e, ask(w.who("alice"), "x"), demand(oneDBA))
	old := w.who("bob")
	w.move("bob", "sales")
	if _, err := e.Vote(ctx, id, old, true, ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	forged := human("eve", "dba")
	if _, err := e.Vote(ctx, id, forged, true, ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if w.state(id) != store.Pending {
		t.Error(w.state(id))
	}
}
