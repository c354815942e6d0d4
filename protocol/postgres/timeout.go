package postgres

// Limits on time. The gateway keeps the clock and cancels the statement upstream:
// no setting that the client could change, and no message more. While such a
// statement runs nothing else is forwarded, so that the cancel hits no other.

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
)

// A timeout is the clock of one statement.
type timeout struct {
	limit pipeline.Bound
	id    string // of the decision
	fired atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the statement has ended
	tries int
}

// A cancelled statement may catch the error and go on: it is cancelled again, and
// in the end the session is given up.
const (
	cancelAgain = time.Second
	maxCancels  = 10
)

// timed reports whether a statement may take only so long.
func timed(p *pipeline.Permit) bool { return p.Limits().Timeout.N > 0 }

// clocked readies an entry that runs under a permit to be waited for, if it may
// take only so long; nil: it need not be.
func (e *entry) clocked(p *pipeline.Permit) <-chan verdict {
	if !timed(p) {
		return nil
	}
	ch := make(chan verdict, verdicts)
	e.verdicts = ch
	return ch
}

// runTimed starts the clock of what was collected and waits until it has ended.
func (s *session) runTimed(e *entry, p *pipeline.Permit, ch <-chan verdict) error {
	if ch == nil {
		return nil
	}
	s.arm(e, p)
	if err := s.flush(); err != nil {
		return err
	}
	s.blocks()
	for {
		select {
		case _, open := <-ch:
			if !open {
				return nil
			}
		case <-s.ctx.Done():
			return errEnded
		}
	}
}

// arm starts the clock of what is about to be sent under a permit.
func (s *session) arm(e *entry, p *pipeline.Permit) {
	l := p.Limits().Timeout
	if l.N == 0 || s.pushed != pushQueued {
		return
	}
	t := &timeout{limit: l, id: p.ID()}
	e.timeout.Store(t)
	t.mu.Lock()
	t.timer = time.AfterFunc(time.Duration(l.N), func() { s.expire(e, t) })
	t.mu.Unlock()
}

// disarm stops the entry's clock, if it has one.
func (e *entry) disarm() {
	if t := e.timeout.Swap(nil); t != nil {
		t.mu.Lock()
		t.over = true
		t.timer.Stop()
		t.mu.Unlock()
	}
}

// expire cancels a statement that has run for too long. One that still waits for
// others before it has not begun.
func (s *session) expire(e *entry, t *timeout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	again := cancelAgain
	switch s.queue.place(e) {
	case 0:
		t.fired.Store(true)
		if t.tries++; t.tries > maxCancels {
			go s.end(&fatal{code: codeWithdrawn, message: "sluice: a statement that ran too long could not be cancelled, by " + t.limit.Rule})
			return
		}
		if err := s.up.cancel(s.ctx); err != nil {
			s.srv.Log.Warn("cancel", "session", s.info.ID, "error", err)
		}
	case -1:
		return
	default:
		again = time.Duration(t.limit.N)
	}
	t.timer.Reset(again)
}

// expired returns what to say of an error that ended a statement in time.
func (e *entry) expired(code string) *wire.Report {
	t := e.timeout.Load()
	if t == nil || code != codeWithdrawn || !t.fired.Load() {
		return nil
	}
	return &wire.Report{
		Severity: "ERROR", Code: codeWithdrawn,
		Message: fmt.Sprintf("sluice: cancelled by %s: it ran longer than %s", t.limit.Rule, time.Duration(t.limit.N)),
		Detail:  "decision " + t.id,
		Hint:    "Make the statement do less at a time.",
	}
}
