package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/access"
)

// This file is about approval at commit: actions run first, in a transaction, and
// people are asked about what they did before it becomes final.

// A Deferral says until when a protocol can hold back what an action changes.
type Deferral uint8

// The deferrals.
const (
	NotDeferred Deferral = iota // people are asked before it runs
	ToCommit                    // until the client commits its transaction
	ToEnd                       // until the action itself has ended
)

// Deferred says until when the protocol must hold back what the action changes.
func (p *Permit) Deferred() Deferral { return p.deferral }

// Changed notes how many rows the action changed, by the target's own count. Safe
// for concurrent use with AskCommit.
func (p *Permit) Changed(rows int64) { p.changed.Store(rows + 1) }

// deferred lets an action run whose rule asks at commit, if the protocol can hold
// its changes back.
func (s *Session) deferred(p *Permit) bool {
	q := &p.Decision.Approval
	if q.At != access.AtCommit || s.Defers == nil {
		return false
	}
	if p.deferral = s.Defers(&p.Request.Action, q); p.deferral == NotDeferred {
		return false
	}
	p.runsFirst()
	return true
}

func (p *Permit) runsFirst() {
	p.Decision.Effect, p.Decision.Stable = access.Allow, false
	p.Decision.Message = "it runs now, and becomes final with an approval only"
}

// AskCommit is Ask for an action that makes others final, which ran under the
// permits owed. People are asked about all of them together; with their answer
// the policy decides anew about each.
func (s *Session) AskCommit(ctx context.Context, commit access.Action, owed []*Permit) ([]*Permit, error) {
	now := s.gate.Now()
	standing := s.refresh()
	for _, o := range owed {
		commit.Parts = append(commit.Parts, o.part())
	}
	commit.Text, commit.Shown = summary(commit.Parts, false), summary(commit.Parts, true)
	commit.Origin, commit.Shape = nil, nil
	p := s.permit(now, commit)
	if standing != nil {
		p.Decision = failed("identity", standing)
		return nil, s.refuse(ctx, []*Permit{p}, &Denied{})
	}
	s.decide(p)
	denied := s.owes(p, owed)
	if denied == nil && p.Decision.Effect == access.RequireApproval {
		if denied = s.approve(ctx, p); denied == nil {
			denied = s.releaseOwed(ctx, p, owed)
		}
	}
	if denied == nil && p.Decision.Effect != access.Allow {
		denied = &Denied{}
	}
	if denied != nil {
		return nil, s.refuse(ctx, []*Permit{p}, denied)
	}
	if err := s.record([]*Permit{p}); err != nil {
		return nil, s.unrecorded(err)
	}
	return []*Permit{p}, nil
}

// owes makes the commit's decision of those about what it makes final, as the
// policy is now.
func (s *Session) owes(p *Permit, owed []*Permit) *Denied {
	for _, o := range owed {
		d := s.now(o, nil)
		switch {
		case d.Effect == access.Deny || p.Decision.Effect == access.Deny:
			if d.Effect == access.Deny {
				p.Decision = d
			}
			return &Denied{}
		case d.Effect == access.Allow:
		case p.Decision.Effect == access.Allow:
			p.Decision = d
			p.Decision.Obligations = nil // they are kept where it runs
		default:
			p.Decision.Approval = p.Decision.Approval.With(d.Approval)
			p.Decision.Reasons = append(p.Decision.Reasons, d.Reasons...)
		}
	}
	return nil
}

// now decides again about an action that has run.
func (s *Session) now(o *Permit, answer *access.Approval) access.Decision {
	again := Permit{s: s, Request: o.Request}
	again.Request.Subject = s.subject
	again.Request.Context.Time = s.gate.Now()
	again.Request.Context.Counts = &again.counts
	again.counts = counts{s.tally, again.Request.Context.Time}
	if answer != nil {
		a := *answer
		a.Digest = again.Request.Digest() // the answer was to a question that holds this one
		again.Request.Context.Approved = &a
	}
	return s.evaluate(&again)
}

// releaseOwed decides about everything once more with the answer, and claims it.
func (s *Session) releaseOwed(ctx context.Context, p *Permit, owed []*Permit) *Denied {
	deny := func(why string) *Denied {
		p.Decision.Effect, p.Decision.Message = access.Deny, "after the approval: "+why
		return &Denied{}
	}
	if standing := s.refresh(); standing != nil {
		return deny(standing.Error())
	}
	asked := p.Decision
	p.asked = s.gate.Now()
	for _, o := range append([]*Permit{p}, owed...) {
		d := s.now(o, p.Approval)
		if d.Effect != access.Allow {
			return deny(d.Message)
		}
	}
	if err := s.gate.Approver.Use(ctx, *p.Approval); err != nil {
		return s.unapproved(ctx, p, asked, err)
	}
	p.Decision.Effect, p.Decision.Message = access.Allow, "approved"
	return nil
}

// part is what people see of an action that has run.
func (p *Permit) part() access.Part {
	a := &p.Request.Action
	return access.Part{Op: a.Op, Text: a.Text, Shown: a.Shown, Args: a.Args, Binding: a.Binding, Rows: p.changed.Load() - 1}
}

// summary is a text for those who show no parts.
func summary(parts []access.Part, visible bool) string {
	var b strings.Builder
	for i := range parts {
		p := &parts[i]
		text := p.Text
		if visible && p.Shown != "" {
			text = p.Shown
		}
		rows := "rows not counted"
		if p.Rows >= 0 {
			rows = fmt.Sprintf("rows: %d", p.Rows)
		}
		fmt.Fprintf(&b, "%s; /* %s */\n", text, rows)
	}
	return b.String() + "COMMIT"
}

// Reject refuses an action for a reason that is no rule of the policy, on record.
func (s *Session) Reject(ctx context.Context, a access.Action, rule, why string) error {
	p := s.permit(s.gate.Now(), a)
	p.Decision = failed(rule, errors.New(why))
	return s.refuse(ctx, []*Permit{p}, &Denied{})
}
