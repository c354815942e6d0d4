package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/access"
	"sluice/store"
)

// This file is about emergencies. Who a rule permits it breaks the glass of a
// resource, for a while and with a reason: everybody named is alerted, and what
// they do then needs no answer. Each action is recorded before it runs as a review
// that others owe; whoever has overdue ones cannot break the glass again.

// BreakGlass lets by act at a resource without people's answers, under the terms
// of the rules there (policy.Set.Glass). One that is open already is returned.
func (e *Engine) BreakGlass(ctx context.Context, by access.Subject, at access.Resource, terms *access.Quorum, reason string) (View, error) {
	fail := func(err error) (View, error) { return View{}, fmt.Errorf("approval: break glass: %w", err) }
	by = e.present(by)
	switch {
	case terms == nil || !terms.Glass.Opens(by) || checkQuorum(*terms) != nil:
		return fail(ErrNoGlass)
	case strings.TrimSpace(reason) == "" || len(reason) > maxReason:
		return fail(fmt.Errorf("%w, of at most %d bytes", ErrReason, maxReason))
	}
	if a, err := e.openGlass(ctx, by, at, terms.Glass); a != nil || err != nil {
		if err != nil {
			return fail(err)
		}
		return e.Show(ctx, by, a.ID)
	}
	owed, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{Kind: store.Review, States: []string{store.Pending},
		Issuer: by.Issuer, Requester: by.ID, ExpiresBefore: e.o.Now()})
	if err != nil {
		return fail(err)
	}
	if len(owed) > 0 {
		return fail(fmt.Errorf("%w: %s", ErrOverdue, owed[0].ID))
	}
	a := e.newGlass(by, at, terms, reason)
	ev := e.event(a, access.GlassOpened, by)
	ev.Reason = reason
	if err := e.record(ctx, ev); err != nil {
		return fail(err)
	}
	if err := e.o.Store.CreateApproval(ctx, *a); err != nil {
		return fail(err)
	}
	e.wake(a.ID)
	return e.Show(ctx, by, a.ID)
}

// ErrReason refuses a broken glass without a reason.
var ErrReason = errors.New("an emergency has a reason")

func (e *Engine) newGlass(by access.Subject, at access.Resource, terms *access.Quorum, reason string) *store.Approval {
	now := e.o.Now().UTC().Truncate(time.Microsecond)
	q := access.Quorum{From: terms.From, Rules: terms.Rules, Glass: terms.Glass, Channels: terms.Glass.Alert, Expires: terms.Glass.For}
	return &store.Approval{ID: newID(), Kind: store.Glass, State: store.Approved, Requester: by, Resource: at, Quorum: q,
		Action: "acts without approval", Whole: true, Reason: reason, Created: now, Changed: now, Expires: now.Add(terms.Glass.For), Revision: 1}
}

// openGlass returns what somebody has broken and may still use under a rule's
// terms; nil: nothing.
func (e *Engine) openGlass(ctx context.Context, by access.Subject, at access.Resource, terms *access.Glass) (*store.Approval, error) {
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{Kind: store.Glass, States: []string{store.Approved}, Issuer: by.Issuer, Requester: by.ID})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if a := &all[i]; a.Resource.Name == at.Name && e.stillOpen(a, terms.For) {
			return a, nil
		}
	}
	return nil, nil
}

// stillOpen reports whether a glass may be used: for its own time, and that of the
// rule in question.
func (e *Engine) stillOpen(a *store.Approval, most time.Duration) bool {
	now := e.o.Now()
	return a.Kind == store.Glass && a.State == store.Approved && now.Before(a.Expires) && now.Before(a.Created.Add(most))
}

// behindGlass answers for somebody who has broken the glass, and records what they
// are about to do. Nil: people are asked.
func (e *Engine) behindGlass(ctx context.Context, r *access.Request, d *access.Decision) (*access.Approval, error) {
	terms := d.Approval.Glass
	if !terms.Opens(r.Subject) {
		return nil, nil
	}
	glass, err := e.openGlass(ctx, r.Subject, r.Resource, terms)
	if glass == nil || err != nil {
		return nil, err
	}
	review, err := e.draft(r, d)
	if err != nil {
		return nil, err
	}
	review.Kind, review.Quorum.Escalate, review.Quorum.Grant, review.Shape = store.Review, nil, nil, access.Digest{}
	review.Expires = review.Created.Add(terms.Review)
	review.Message = "done behind " + glass.ID + ": " + glass.Reason
	if review.Sealed, err = e.reseal(review, r); err != nil {
		return nil, err
	}
	ev := e.requested(review, r)
	ev.Type, ev.Message = access.GlassUsed, "behind "+glass.ID
	if err := e.record(ctx, ev); err != nil {
		return nil, err
	}
	if err := e.o.Store.CreateApproval(ctx, *review); err != nil {
		return nil, err
	}
	e.wake(review.ID)
	ends := glass.Created.Add(terms.For)
	if glass.Expires.Before(ends) {
		ends = glass.Expires
	}
	return &access.Approval{ID: review.ID, Digest: r.Digest(), Approved: true, State: store.Approved, Expires: ends,
		Reason: glass.Reason, Glass: glass.ID}, nil
}

func (e *Engine) reseal(a *store.Approval, r *access.Request) ([]byte, error) {
	c, err := contentOf(&r.Action)
	if err != nil {
		return nil, err
	}
	return e.seal.seal(a, c)
}

// useGlass lets an action run behind a broken glass: its review is owed already.
func (e *Engine) useGlass(ctx context.Context, as *access.Approval) error {
	review, err := e.o.Store.Approval(ctx, as.ID)
	if err == nil && (review.Kind != store.Review || review.Digest != as.Digest) {
		err = errors.New("the review is of another action")
	}
	if err == nil {
		err = e.o.Store.UpdateApproval(ctx, as.ID, func(a *store.Approval) error {
			if a.Uses > 0 {
				return ErrUsed
			}
			a.Uses = 1
			return nil
		})
	}
	if err == nil {
		err = e.o.Store.UpdateApproval(ctx, as.Glass, func(a *store.Approval) error {
			if !a.Requester.Same(review.Requester) || review.Quorum.Glass == nil || !e.stillOpen(a, review.Quorum.Glass.For) {
				return fmt.Errorf("%w: the glass is not open any more", ErrUsed)
			}
			a.Uses++
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("approval: request %s: %w", as.ID, err)
	}
	return nil
}

// closeGlass ends a broken glass.
func (e *Engine) closeGlass(ctx context.Context, id, state string, by access.Subject) error {
	return e.update(ctx, id, func(a *store.Approval) (*access.Event, error) {
		if a.Kind != store.Glass || a.State != store.Approved {
			return nil, nil
		}
		a.State = state
		return e.event(a, access.GlassClosed, by), nil
	})
}
