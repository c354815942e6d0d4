package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/access"
)

// approveAll asks people about the actions that need it. Then the whole batch is
// decided again, the answers in the context: a rule or a change of the subject
// since then still wins. The approvals are claimed last, so that none is spent
// for a batch that does not run.
func (s *Session) approveAll(ctx context.Context, permits []*Permit) (*Denied, error) {
	waited := false
	for i, p := range permits {
		if p.Decision.Effect != access.RequireApproval || s.deferred(p) {
			continue
		}
		if err := s.inform(p); err != nil {
			return nil, err
		}
		if d := s.approve(ctx, p); d != nil {
			d.Index = i
			return d, nil
		}
		waited = true
	}
	if !waited {
		return nil, nil
	}
	if d, err := s.decideAgain(permits); d != nil || err != nil {
		return d, err
	}
	for i, p := range permits {
		if p.Approval == nil {
			continue
		}
		if err := s.gate.Approver.Use(ctx, *p.Approval); err != nil {
			d := s.unapproved(ctx, p, p.Decision, err)
			d.Index = i
			return d, nil
		}
	}
	return nil, nil
}

// approve asks people about one action and waits for their answer.
func (s *Session) approve(ctx context.Context, p *Permit) *Denied {
	s.blocks()
	ctx, cancel := s.holdLimit(ctx, p.Decision.Approval.MaxHold)
	defer cancel()
	a, err := s.gate.Approver.Approve(ctx, s.shown(p), p.Decision, s.Tell)
	if err == nil {
		err = s.check(p, a)
	}
	if err != nil {
		return s.unapproved(ctx, p, p.Decision, err)
	}
	p.Approval = &a
	return nil
}

// shown is a permit's request with what of it may be stored: the record of the
// asking is a record like others. The text and values that run stay beside it,
// for the digest and for those who decide.
func (s *Session) shown(p *Permit) access.Request {
	r := p.Request
	if s.Redact != nil {
		s.Redact(&r.Action, &p.Decision)
	}
	return r
}

func (s *Session) blocks() {
	if s.Blocks != nil {
		s.Blocks()
	}
}

func (s *Session) holdLimit(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if most == 0 || s.gate.MaxHold > 0 && s.gate.MaxHold < most {
		most = s.gate.MaxHold
	}
	if s.InTransaction && most > 0 {
		return context.WithTimeoutCause(ctx, most, errHeldTooLong)
	}
	return context.WithCancel(ctx)
}

var errHeldTooLong = errors.New("waited longer than approval.max_hold inside a transaction, which holds locks")

func (s *Session) check(p *Permit, a access.Approval) error {
	switch {
	case a.Digest != p.Request.Digest():
		return errors.New("the answer is for another request")
	case !a.Approved:
		return rejection(a)
	case !a.Expires.After(s.gate.Now()):
		return errors.New("the approval has expired")
	}
	return nil
}

func rejection(a access.Approval) error {
	text := fmt.Sprintf("request %s was %s", a.ID, cmp.Or(a.State, "rejected"))
	if a.State == "expired" {
		text = fmt.Sprintf("request %s expired before enough people answered", a.ID)
	}
	if n := len(a.By); n > 0 && a.State != "expired" {
		text += " by " + a.By[n-1].ID
	}
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return errors.New(text)
}

// decideAgain decides about a batch once more after people were waited for. What
// the target said before may not hold any longer: it is asked again.
func (s *Session) decideAgain(permits []*Permit) (*Denied, error) {
	standing := s.refresh()
	now := s.gate.Now()
	for i, p := range permits {
		p.asked = now
		p.Request.Subject = s.subject
		p.Request.Context.Time = now
		p.Request.Context.Approved = p.Approval
		if standing != nil {
			p.Decision = failed("identity", standing)
		} else {
			p.forget()
			p.Decision = s.evaluate(p)
			if err := s.find(p); err != nil {
				return nil, err
			}
		}
		if p.deferral != NotDeferred && p.Decision.Effect == access.RequireApproval && p.Decision.Approval.At == access.AtCommit {
			p.runsFirst()
		}
		if p.Decision.Effect != access.Allow {
			p.Decision.Effect = access.Deny
			p.Decision.Message = "after the approval: " + p.Decision.Message
			return &Denied{Index: i}, nil
		}
	}
	return nil, nil
}

func (s *Session) unapproved(ctx context.Context, p *Permit, asked access.Decision, err error) *Denied {
	d := &Denied{}
	var pending *access.PendingError
	switch {
	case errors.As(err, &pending):
		d.Pending = &pending.Pending
	case context.Cause(ctx) == errHeldTooLong:
		err = errHeldTooLong
	case ctx.Err() != nil:
		d.Withdrawn = true
	}
	asked.Effect, asked.Stable, asked.Message = access.Deny, false, err.Error()
	p.Decision = asked
	return d
}
