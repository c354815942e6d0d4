package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/internal/uuid7"
)

// A Login is a subject whose credential was proven.
type Login struct {
	Subject    access.Subject
	Credential string // names the credential, for revocation
}

// A Session is one subject at one resource. Its methods and fields belong to
// the goroutine that asks; permits may be finished by another.
type Session struct {
	ID       string
	Resource access.Resource
	Client   access.Client

	// Circumstances the protocol keeps current; they go into every request.
	Reason, Ticket string
	Wait           time.Duration // see access.Context.Wait
	InTransaction  bool

	// Redact keeps secrets of a decided action out of its record: literals and
	// values of masked columns. Called before the record is made; nil: nothing.
	Redact func(*access.Action, *access.Decision)

	// Find asks the target for one fact that a decision depends on and records that
	// it did. It returns the action's facts with the answer, or with why there is
	// none. An error ends the session. Nil: nothing can be found out.
	Find func(*access.Action, access.FactSet) (access.Facts, error)

	// Tell shows a waiting client where its request stands. Required.
	Tell func(access.Pending)

	// Defers says how far the protocol can hold back what an action changes, so that
	// people are asked about it once it has run. Nil: not at all.
	Defers func(*access.Action, *access.Quorum) Deferral

	// Kicks promises that the protocol kicks the journal soon behind every Ask.
	Kicks bool

	// Blocks is called before Ask waits for people or for the disk; nil: nobody
	// needs to know.
	Blocks func()

	gate       *Gate
	can        Fulfills
	subject    access.Subject
	credential string
	idVersion  uint64
	posture    access.Posture
	stable     map[*access.Origin]*access.Decision
	tally      *tally
	opened     time.Time
	statements int64
	denied     int64
	writes     int64
	rows       atomic.Int64
	closed     bool
}

// maxStable bounds the decisions a session remembers.
const maxStable = 4096

// A Denied is the error of an action that was not allowed.
type Denied struct {
	Index    int // which of the actions asked for
	Decision access.Decision
	Pending  *access.Pending // the request that an approval is waited for, if the client does not wait
	Err      error           // the failure behind it, if it was one: a journal that cannot be written
	// Withdrawn is true if the client gave up while an approval was pending.
	Withdrawn bool
	// Asked are all that were asked for together, as they stand in the journal;
	// empty if it could not be written. None of them may run.
	Asked []*Permit
}

// Error names the rule and the reason.
func (e *Denied) Error() string {
	d := &e.Decision
	if d.Message == "" {
		return "denied by " + d.By()
	}
	return fmt.Sprintf("denied by %s: %s", d.By(), d.Message)
}

// Unwrap returns the failure behind the denial.
func (e *Denied) Unwrap() error { return e.Err }

// ErrJournal marks failures to write the record.
var ErrJournal = errors.New("the audit journal cannot be written")

// Refuse records that a client was turned away before it had a session.
func (g *Gate) Refuse(s *access.Subject, res *access.Resource, client access.Client, why string) {
	now := g.Now()
	g.Journal.Append(&access.Event{
		ID: uuid7.New(now), Time: now, Type: access.SessionRefused,
		Subject: s, Resource: res, Client: &client, Message: why,
	})
}

// Open begins a session, if the policy could allow this subject anything at
// the resource. It must precede any contact with the upstream.
func (g *Gate) Open(ctx context.Context, login Login, res access.Resource, client access.Client, can Fulfills) (*Session, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	now := g.Now()
	s := &Session{
		ID: uuid7.New(now), Resource: res, Client: client, gate: g, can: can,
		subject: login.Subject, credential: login.Credential, opened: now,
		stable: map[*access.Origin]*access.Decision{},
		tally:  g.Meter.tally(login.Subject, res.Name, now),
	}
	if err := s.refresh(); err != nil {
		g.Refuse(&s.subject, &s.Resource, client, err.Error())
		return nil, err
	}
	if !s.posture.May {
		d := &Denied{Decision: access.Decision{
			Message: fmt.Sprintf("no rule allows %s anything at %s", s.subject.ID, res.Name),
			Hint:    "ask for access, or check the resource name with: sluice ls",
		}}
		g.Refuse(&s.subject, &s.Resource, client, d.Error())
		return nil, d
	}
	mark, err := g.Journal.Append(s.event(now, access.SessionOpened))
	if err == nil {
		err = g.Journal.Wait(ctx, mark)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return s, nil
}

// Subject returns who the session belongs to, as of the last refresh.
func (s *Session) Subject() access.Subject { return s.subject }

// Posture returns what could apply to the session, as of the last refresh.
func (s *Session) Posture() access.Posture { return s.posture }

// Refresh takes up changes of policy and identity. Ask does so by itself; a
// protocol calls it where it consults Posture before it asks.
func (s *Session) Refresh() error { return s.refresh() }

// refresh is two version comparisons unless something changed.
func (s *Session) refresh() error {
	if v := s.gate.Identity.Version(); v != s.idVersion || s.posture.Version == 0 {
		sub, err := s.gate.Identity.Current(s.subject, s.credential)
		if err != nil {
			return err
		}
		s.subject, s.idVersion = sub, v
		s.posture = access.Posture{}
	}
	if v := s.gate.Decider.Version(); v != s.posture.Version {
		s.posture = s.gate.Decider.Posture(s.subject, s.Resource)
		s.posture.Version = v
		clear(s.stable)
	}
	return nil
}

func (s *Session) event(now time.Time, t access.EventType) *access.Event {
	return &access.Event{
		ID: uuid7.New(now), Time: now, Type: t, Session: s.ID,
		Subject: &s.subject, Resource: &s.Resource, Client: &s.Client,
	}
}

// Ask decides about actions that were read together: in order, as one unit,
// with one append to the journal. If one is refused, none may run, and the
// error is a *Denied. It waits while an approval is pending, until ctx ends. Any
// other error is one of Find.
//
// This is the security order. It is straight-line code so that nobody can
// shorten a list.
func (s *Session) Ask(ctx context.Context, as ...access.Action) ([]*Permit, error) {
	if len(as) == 0 {
		return nil, errors.New("pipeline: nothing asked")
	}
	now := s.gate.Now()
	standing := s.refresh()
	permits := make([]*Permit, len(as))
	var refused *Denied
	for i := range as {
		p := s.permit(now, as[i])
		permits[i] = p
		if standing != nil {
			p.Decision = failed("identity", standing)
		} else {
			s.decide(p)
		}
		if refused == nil {
			if err := s.find(p); err != nil {
				return nil, err
			}
		}
		if p.Decision.Effect == access.Deny && refused == nil {
			refused = &Denied{Index: i}
		}
	}
	if refused == nil {
		var err error
		if refused, err = s.approveAll(ctx, permits); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(permits) && refused == nil; i++ {
		if permits[i].Decision.Effect != access.Allow {
			refused = &Denied{Index: i}
		}
	}
	if refused != nil {
		return nil, s.refuse(ctx, permits, refused)
	}
	if err := s.record(permits); err != nil {
		return nil, s.unrecorded(err)
	}
	return permits, nil
}

// Own records an action of the gateway's own on the session's connection, such
// as a query for what the decision depends on. No policy is asked: it serves
// one, and shows nothing to the client.
func (s *Session) Own(a access.Action) (*Permit, error) {
	now := s.gate.Now()
	p := &Permit{s: s, asked: now, Request: s.request(now, a)}
	p.Decision = access.Decision{Effect: access.Allow, Reasons: []access.Reason{{Policy: "sluice", Rule: "own-query", Effect: access.Allow.String()}}}
	mark, err := s.gate.Journal.Append(p.decided())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	p.mark = mark
	return p, nil
}

// Preview returns what would be decided about an action now, without a record
// and without a permit: for what precedes the action proper.
func (s *Session) Preview(a access.Action) access.Decision {
	if err := s.refresh(); err != nil {
		return failed("identity", err)
	}
	now := s.gate.Now()
	p := &Permit{s: s, asked: now, Request: s.request(now, a)}
	p.counts = counts{s.tally, now}
	p.Request.Context.Counts = &p.counts
	s.decide(p)
	return p.Decision
}

func (s *Session) permit(now time.Time, a access.Action) *Permit {
	p := &Permit{s: s, asked: now, Request: s.request(now, a)}
	p.counts = counts{s.tally, now}
	p.Request.Context.Counts = &p.counts
	s.meter(now, a.Verb)
	return p
}

func (s *Session) request(now time.Time, a access.Action) access.Request {
	return access.Request{
		Subject: s.subject, Action: a, Resource: s.Resource,
		Context: access.Context{
			Time: now, Client: s.Client, Reason: s.Reason, Ticket: s.Ticket, Wait: s.Wait,
			Session: access.SessionInfo{
				ID: s.ID, Opened: s.opened, Statements: s.statements, Denied: s.denied,
				Writes: s.writes, Rows: s.rows.Load(), InTransaction: s.InTransaction,
			},
		},
	}
}

func (s *Session) meter(now time.Time, v access.Verb) {
	s.statements++
	s.tally.add(countStatements, 1, now)
	switch v.Class() {
	case access.ClassRead:
		s.tally.add(countReads, 1, now)
	case access.ClassWrite:
		s.writes++
		s.tally.add(countWrites, 1, now)
	case access.ClassAdmin, access.ClassUnknown:
		s.tally.add(countAdmin, 1, now)
	case access.ClassSession:
	}
}

// decide fills in the permit's decision. A remembered one is used only where
// the policy said that nothing but the action's origin matters.
func (s *Session) decide(p *Permit) {
	o := p.Request.Action.Origin
	if o != nil {
		if d := s.stable[o]; d != nil {
			p.Decision = *d
			return
		}
	}
	p.Decision = s.evaluate(p)
	if o != nil && p.Decision.Stable && p.Decision.Effect == access.Allow {
		if len(s.stable) >= maxStable {
			clear(s.stable)
		}
		d := p.Decision
		s.stable[o] = &d
	}
}

// evaluate asks the policy. A panic, an effect out of range or an obligation
// that the protocol cannot fulfil is a denial.
func (s *Session) evaluate(p *Permit) (d access.Decision) {
	defer func() {
		if r := recover(); r != nil {
			d = failed("policy", fmt.Errorf("panic: %v", r))
		}
	}()
	d = s.gate.Decider.Decide(p.Request)
	if d.Effect != access.Allow && d.Effect != access.RequireApproval {
		d.Effect = access.Deny
		return d
	}
	for _, o := range d.Obligations {
		if err := s.can(&p.Request.Action, o); err != nil {
			return unfulfilled(d, o, err)
		}
	}
	return d
}

func unfulfilled(d access.Decision, o access.Obligation, err error) access.Decision {
	rule := "obligation"
	switch o := o.(type) {
	case access.Mask:
		rule = o.Rule
	case access.Limit:
		rule = o.Rule
	case access.Record:
		rule = o.Rule
	case access.Notify:
		rule = o.Rule
	}
	d.Effect, d.Stable, d.Message = access.Deny, false, err.Error()
	d.Reasons = append([]access.Reason{{Rule: rule, Effect: access.Deny.String(), Message: err.Error()}}, d.Reasons...)
	return d
}

func failed(rule string, err error) access.Decision {
	return access.Decision{
		Message: err.Error(),
		Reasons: []access.Reason{{Policy: "sluice", Rule: rule, Effect: access.Deny.String(), Message: err.Error()}},
	}
}

// refuse records a refused batch: the denial, and what was allowed but must
// not run because of it. The answer waits for the record, like any other.
func (s *Session) refuse(ctx context.Context, permits []*Permit, refused *Denied) error {
	now := s.gate.Now()
	s.denied++
	s.tally.add(countDenied, 1, now)
	events := make([]*access.Event, 0, 2*len(permits))
	for _, p := range permits {
		events = append(events, p.decided())
	}
	for _, p := range permits {
		if p.Decision.Effect != access.Deny {
			events = append(events, p.completed(now, access.Outcome{NotRun: true}))
		}
	}
	mark, err := s.gate.Journal.Append(events...)
	if err == nil {
		s.blocks()
		err = s.gate.Journal.Wait(context.WithoutCancel(ctx), mark)
	}
	if err != nil {
		return s.unrecorded(err)
	}
	refused.Decision, refused.Asked = permits[refused.Index].Decision, permits
	return refused
}

func (s *Session) record(permits []*Permit) error {
	if len(permits) == 1 {
		mark, err := s.append(permits[0].decided())
		permits[0].mark = mark
		return err
	}
	events := make([]*access.Event, len(permits))
	for i, p := range permits {
		events[i] = p.decided()
	}
	mark, err := s.append(events...)
	for _, p := range permits {
		p.mark = mark
	}
	return err
}

func (s *Session) append(events ...*access.Event) (access.Mark, error) {
	if n, ok := s.gate.Journal.(Notifier); ok && s.Kicks {
		return n.Queue(events...)
	}
	return s.gate.Journal.Append(events...)
}

func (s *Session) unrecorded(err error) error {
	err = fmt.Errorf("%w: %w", ErrJournal, err)
	return &Denied{Decision: failed("journal", err), Err: err}
}

// Do carries one action to its end: Ask, Durable, run, Done. For protocols
// that answer one command at a time.
func (s *Session) Do(ctx context.Context, a access.Action, run func(context.Context, *Permit) (access.Outcome, error)) error {
	permits, err := s.Ask(ctx, a)
	if err != nil {
		return err
	}
	p := permits[0]
	if err := p.Durable(ctx); err != nil {
		p.Done(access.Outcome{NotRun: true, Error: err.Error()})
		return err
	}
	o, err := run(ctx, p)
	if err != nil && o.Error == "" {
		o.Error = err.Error()
	}
	p.Done(o)
	return err
}

// Close ends the session. It is safe to call twice.
func (s *Session) Close(reason string) {
	if s.closed {
		return
	}
	s.closed = true
	e := s.event(s.gate.Now(), access.SessionClosed)
	e.Message = reason
	e.Extra = map[string]any{"statements": s.statements, "denied": s.denied, "rows": s.rows.Load()}
	s.gate.Journal.Append(e)
}
