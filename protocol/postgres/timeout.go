package postgres

// Limits on time. The gateway keeps the clock and cancels the statement upstream:
// no setting that the client could change, and no message more. While such a
// statement runs nothing else is forwarded, so that the cancel hits no other.

import (
	"fmt"
	"sync/atomic"
	"time"

	"sluice/pipeline"
	"sluice/protocol/postgres/wire"
)

// A timeout is the clock of one statement.
type timeout struct {
	canceller
	limit pipeline.Bound
	id    string // of the decision
	fired atomic.Bool
}

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
	t := &timeout{limit: l, id: p.ID(), canceller: canceller{most: time.Second, wait: s.blocks,
		vain: "sluice: a statement that ran too long could not be cancelled, by " + l.Rule}}
	e.timeout.Store(t)
	t.start(time.Duration(l.N), func() time.Duration { return s.expire(e, t) })
}

// disarm stops the entry's clock, if it has one.
func (e *entry) disarm() {
	if t := e.timeout.Swap(nil); t != nil {
		t.stop()
	}
}

// expire cancels a statement that has run for too long. One that still waits for
// others before it has not begun.
func (s *session) expire(e *entry, t *timeout) (again time.Duration) {
	switch s.queue.place(e) {
	case 0:
		t.fired.Store(true)
		return s.strike(&t.canceller)
	case -1:
		return 0
	}
	return time.Duration(t.limit.N)
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
