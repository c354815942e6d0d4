package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/internal/uuid7"
)

// A Permit is proof that an action was allowed. Only [Session.Ask] makes one.
// It is spent by Done.
type Permit struct {
	Request  access.Request
	Decision access.Decision
	Approval *access.Approval // the answer it rests on, if one was needed

	deferral Deferral
	changed  atomic.Int64 // rows, plus one; zero: not known

	s       *Session
	mark    access.Mark
	asked   time.Time
	durable atomic.Bool
	done    atomic.Bool
	counts  counts
	event   access.Event
}

// ID returns the decision id.
func (p *Permit) ID() string { return p.Decision.ID }

// Durable returns when the permit's record is on disk. It must succeed before
// the action is forwarded, or, if Request.Action.Pure, before the first byte
// of its answer leaves the gateway.
func (p *Permit) Durable(ctx context.Context) error {
	if p.durable.Load() {
		return nil
	}
	if err := p.s.gate.Journal.Wait(ctx, p.mark); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	p.durable.Store(true)
	return nil
}

// Settled reports whether Durable would return at once. It is always true of
// journals that cannot tell.
func (p *Permit) Settled() bool {
	if p.durable.Load() {
		return true
	}
	n, ok := p.s.gate.Journal.(Notifier)
	return !ok || n.Settled(p.mark)
}

// Result is the second point of evaluation: which columns of the result are
// masked, one Mask a column, the zero Mask for a clear one.
func (p *Permit) Result(cols []access.Column) (masks []access.Mask, err error) {
	defer func() {
		if r := recover(); r != nil {
			masks, err = nil, fmt.Errorf("policy: panic: %v", r)
		}
	}()
	masks, err = p.s.gate.Decider.Result(p.Request, p.Decision, cols)
	if err == nil && len(masks) != len(cols) {
		return nil, fmt.Errorf("policy: %d masks for %d columns", len(masks), len(cols))
	}
	return masks, err
}

// A Bound is one limit and the rule that set it. N is 0 where nothing limits.
type Bound struct {
	N    int64
	Rule string
}

// Over reports whether n is beyond the bound.
func (b *Bound) Over(n int64) bool { return b.N > 0 && n > b.N }

func (b *Bound) lower(n int64, rule string) {
	if n > 0 && (b.N == 0 || n < b.N) {
		b.N, b.Rule = n, rule
	}
}

// Limits are the strictest bounds that a decision carries.
type Limits struct {
	Rows, Bytes Bound // of the result
	Affected    Bound // rows changed
	Timeout     Bound // nanoseconds
}

// Limits returns the strictest limits that the decision carries.
func (p *Permit) Limits() (l Limits) {
	for _, o := range p.Decision.Obligations {
		if m, ok := o.(access.Limit); ok {
			l.Rows.lower(m.Rows, m.Rule)
			l.Bytes.lower(m.Bytes, m.Rule)
			l.Affected.lower(m.AffectedRows, m.Rule)
			l.Timeout.lower(int64(m.Timeout), m.Rule)
		}
	}
	return l
}

// Done reports how the action ended, exactly once; later calls do nothing. The
// record is not waited for.
func (p *Permit) Done(o access.Outcome) {
	if p.done.Swap(true) {
		return
	}
	now := p.s.gate.Now()
	if o.Duration == 0 {
		o.Duration = now.Sub(p.asked).Microseconds()
	}
	if o.Rows > 0 {
		p.s.rows.Add(o.Rows)
		p.s.tally.add(countRows, o.Rows, now)
	}
	p.s.gate.Journal.Append(p.completed(now, o))
}

// decided fills the permit's own event; Append has encoded it when it returns,
// so that completed may use it again.
func (p *Permit) decided() *access.Event {
	p.Decision.ID = uuid7.New(p.asked)
	r := &p.Request
	if p.s.Redact != nil {
		p.s.Redact(&r.Action, &p.Decision)
	}
	p.event = access.Event{
		ID: p.Decision.ID, Time: p.asked, Type: access.ActionDecided, Session: p.s.ID,
		Subject: &r.Subject, Resource: &r.Resource, Client: &p.s.Client,
		Action: &r.Action, Decision: &p.Decision, Reason: r.Context.Reason,
	}
	if p.Approval != nil {
		p.event.Digest = &p.Approval.Digest
		p.event.Approval = fact(p.Approval)
	}
	return &p.event
}

func fact(a *access.Approval) *access.ApprovalFact {
	f := &access.ApprovalFact{Request: a.ID, State: a.State, Reason: a.Reason, Expires: a.Expires}
	for _, s := range a.By {
		f.By = append(f.By, s.Issuer+"/"+s.ID)
	}
	return f
}

func (p *Permit) completed(now time.Time, o access.Outcome) *access.Event {
	r := &p.Request
	return &access.Event{
		ID: uuid7.New(now), Time: now, Type: access.ActionCompleted, Session: p.s.ID, Ref: p.Decision.ID,
		Subject: &r.Subject, Resource: &r.Resource, Client: &p.s.Client, Outcome: &o,
	}
}
