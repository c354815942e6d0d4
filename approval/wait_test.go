package approval

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/access"
	"sluice/store"
)

// In these tests time is the bubble's: it passes only while everybody waits.

// asker runs Approve beside the test and keeps what came.
type asker struct {
	told   []access.Pending
	answer access.Approval
	err    error
	after  time.Duration
	done   chan struct{}
}

func (k *asker) id() string { return k.told[0].ID }

func waiting(ctx context.Context, e *Engine, r access.Request, d access.Decision) *asker {
	k := &asker{done: make(chan struct{})}
	start := time.Now()
	go func() {
		defer close(k.done)
		k.answer, k.err = e.Approve(ctx, r, d, func(p access.Pending) { k.told = append(k.told, p) })
		k.after = time.Since(start)
	}()
	synctest.Wait()
	return k
}

func patient(w *world, wait time.Duration) access.Request {
	r := ask(w.who("alice"), "x")
	r.Context.Wait = wait
	return r
}

func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.now = time.Now
		f(t, w)
	})
}

func TestWaitingIsWokenByAVote(t *testing.T) {
	for _, approve := range []bool{true, false} {
		bubble(t, func(t *testing.T, w *world) {
			e := w.open(t)
			k := waiting(ctx, e, patient(w, 0), demand(oneDBA))
			if len(k.told) != 1 || k.told[0].URL != "http://gw/requests/"+k.id() || k.told[0].From[0] != oneDBA {
				t.Fatalf("told %+v", k.told)
			}
			vote(t, e, w, k.id(), "bob", approve)
			<-k.done
			if k.err != nil || k.answer.Approved != approve || len(k.answer.By) != 1 || k.after != 0 {
				t.Errorf("%+v, %v after %s", k.answer, k.err, k.after)
			}
		})
	}
}

// Another node has the vote: the store is looked at every second.
func TestWaitingSeesOtherNodes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := waiting(ctx, w.open(t), patient(w, 0), demand(oneDBA))
		vote(t, w.open(t), w, k.id(), "bob", true)
		<-k.done
		if k.err != nil || !k.answer.Approved || k.after > poll {
			t.Errorf("%+v, %v after %s", k.answer, k.err, k.after)
		}
	})
}

func TestWaitingIsRemindedAndExpires(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := waiting(ctx, w.open(t), patient(w, 0), demand(oneDBA))
		<-k.done
		if k.err != nil || k.answer.Approved || k.answer.State != store.Expired || k.after != 15*time.Minute {
			t.Errorf("%+v, %v after %s", k.answer, k.err, k.after)
		}
		if n := len(k.told); n < 30 || n > 31 {
			t.Errorf("told %d times in 15 minutes", n)
		}
		if w.state(k.id()) != store.Expired {
			t.Error(w.state(k.id()))
		}
	})
}

func TestPatienceEndsTheWaitNotTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		k := waiting(ctx, e, patient(w, time.Minute), demand(oneDBA))
		<-k.done
		var p *access.PendingError
		if !errors.As(k.err, &p) || p.Pending.ID != k.id() || k.after != time.Minute || w.state(k.id()) != store.Pending {
			t.Fatalf("%v after %s, %s", k.err, k.after, w.state(k.id()))
		}
		vote(t, e, w, k.id(), "bob", true)
		if err := claim(e, patient(w, 0), demand(oneDBA)); err != nil {
			t.Error(err)
		}
	})
}

func TestClientGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		client, cancel := context.WithCancel(ctx)
		k := waiting(client, e, patient(w, 0), demand(oneDBA))
		cancel()
		<-k.done
		if !errors.Is(k.err, context.Canceled) || k.answer.Approved || w.state(k.id()) != store.Withdrawn || k.after != 0 {
			t.Errorf("%v, %s after %s", k.err, w.state(k.id()), k.after)
		}
		if _, err := e.Vote(ctx, k.id(), w.who("bob"), true, ""); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// Vote and cancel in the same moment: whichever order the waiter sees, an
// approval that nobody takes must not stay behind.
func TestGivingUpBeatsAnUnseenApproval(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		client, cancel := context.WithCancel(ctx)
		k := waiting(client, w.open(t), patient(w, 0), demand(oneDBA))
		vote(t, w.open(t), w, k.id(), "bob", true) // through another node: not noticed yet
		cancel()
		<-k.done
		if k.err == nil || w.state(k.id()) != store.Withdrawn {
			t.Errorf("%v, %s", k.err, w.state(k.id()))
		}
	})
}

func TestShutdownLeavesRequestsOpen(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		client, cancel := context.WithCancel(ctx)
		k := waiting(client, e, patient(w, 0), demand(oneDBA))
		e.Close()
		e.Close()
		cancel() // the session ends after the engine
		<-k.done
		if !errors.Is(k.err, ErrStopped) || w.state(k.id()) != store.Pending {
			t.Fatalf("%v, %s", k.err, w.state(k.id()))
		}
		again := waiting(ctx, w.open(t), patient(w, 0), demand(oneDBA))
		if again.id() != k.id() {
			t.Error("not taken up again")
		}
		vote(t, w.open(t), w, k.id(), "bob", true)
		<-again.done
		if !again.answer.Approved {
			t.Error(again.err)
		}
	})
}

// Two sessions that ask the same need two answers.
func TestTwoWaitersDoNotShareARequest(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		one := waiting(ctx, e, patient(w, 0), demand(oneDBA))
		two := waiting(ctx, e, patient(w, 0), demand(oneDBA))
		if one.id() == two.id() {
			t.Fatal("one request for two runs")
		}
		vote(t, e, w, one.id(), "bob", true)
		<-one.done
		if err := e.Use(ctx, one.answer); err != nil {
			t.Error(err)
		}
		if w.state(two.id()) != store.Pending {
			t.Error(w.state(two.id()))
		}
		vote(t, e, w, two.id(), "carol", true)
		<-two.done
		if err := e.Use(ctx, two.answer); err != nil {
			t.Error(err)
		}
	})
}

func TestRunExpiresWhatNobodyWaitsFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		id := requested(t, e, ask(w.who("alice"), "x"), demand(oneDBA))
		running, cancel := context.WithTimeout(ctx, 15*time.Minute+sweep)
		defer cancel()
		e.Run(running)
		if w.state(id) != store.Expired {
			t.Error(w.state(id))
		}
	})
}

// A second session must not take what a first one waits for, also in the moment
// before the first has noticed the answer.
func TestAnAnswerBelongsToWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.open(t)
		first := waiting(ctx, e, patient(w, 0), demand(oneDBA))
		vote(t, w.open(t), w, first.id(), "bob", true) // through another node
		if id := requested(t, e, patient(w, -1), demand(oneDBA)); id == first.id() {
			t.Error("taken from the one who waits")
		}
		<-first.done
		if err := e.Use(ctx, first.answer); err != nil {
			t.Error(err)
		}
	})
}
