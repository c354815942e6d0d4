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

// maxReason bounds in bytes what a voter writes.
const maxReason = 2000

// A Ballot is one person's answer to a request.
type Ballot struct {
	Voter    access.Subject // who the channel knows it is; groups are looked up
	Approve  bool
	Reason   string
	Evidence Evidence
	// Seen is the digest of the request that the voter was shown; nil: the channel
	// does not say. A ballot for another one does not count.
	Seen *access.Digest
	// Confirmed is true if the voter proved anew who they are, for this answer.
	Confirmed bool
}

// Evidence says how a channel knows whose answer it is. It is kept in the journal.
type Evidence struct {
	Channel string // its name
	User    string // the channel's own id for the person; empty: it has none
	Proof   string // what ties that to the voter: a verified signature, a mapping
}

// String is the form in the journal.
func (v Evidence) String() string {
	s := v.Channel
	if v.User != "" {
		s += ", user " + v.User
	}
	if v.Proof != "" {
		s += ", " + v.Proof
	}
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}

// Vote is [Engine.Cast] for the HTTP API.
func (e *Engine) Vote(ctx context.Context, id string, voter access.Subject, approve bool, reason string) (View, error) {
	return e.Cast(ctx, id, Ballot{Voter: voter, Approve: approve, Reason: reason, Evidence: Evidence{Channel: "api"}})
}

// Cast counts an answer. One veto rejects; who approved may still say no while
// the request is pending. The error tells why an answer does not count.
func (e *Engine) Cast(ctx context.Context, id string, b Ballot) (View, error) {
	if len(b.Reason) > maxReason {
		return View{}, fmt.Errorf("approval: reason longer than %d bytes", maxReason)
	}
	if b.Evidence.Channel == "" {
		return View{}, errors.New("approval: a ballot without evidence")
	}
	b.Voter = e.present(b.Voter)
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil || !e.visible(&a, b.Voter) {
		return View{}, fmt.Errorf("approval: request %s: %w", id, orNotFound(err))
	}
	if err := e.elapse(ctx, &a); err != nil {
		return View{}, err
	}
	err = e.update(ctx, id, func(a *store.Approval) (*access.Event, error) { return e.count(a, b) })
	if err != nil {
		return View{}, fmt.Errorf("approval: request %s: %w", id, err)
	}
	return e.Show(ctx, b.Voter, id)
}

// present is a voter as of now: a channel may remember groups of long ago.
func (e *Engine) present(voter access.Subject) access.Subject {
	now, err := e.o.People.Lookup(voter.Issuer, voter.ID)
	if err != nil {
		voter.Groups = nil
		return voter
	}
	now.Actor = voter.Actor
	return now
}

func orNotFound(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// count adds a vote to a request and says what becomes of it. It runs inside
// the store's transaction: what it sees is what it changes.
func (e *Engine) count(a *store.Approval, b Ballot) (*access.Event, error) {
	if err := e.mayCast(a, b.Voter, b.Approve); err != nil {
		return nil, err
	}
	if err := b.suffices(a); err != nil {
		return nil, err
	}
	evidence := b.Evidence.String()
	a.Votes = append(a.Votes, store.Vote{
		Voter: b.Voter, Approve: b.Approve, Reason: b.Reason, Evidence: evidence, Time: e.o.Now().UTC(),
	})
	what := access.ApprovalApproved
	switch {
	case !b.Approve:
		a.State, what = store.Rejected, access.ApprovalRejected
	case e.agreed(a):
		a.State = store.Approved
		if isGrant(a) {
			a.Expires = e.o.Now().UTC().Truncate(time.Microsecond).Add(a.Quorum.Grant.For)
		}
	}
	ev := e.event(a, what, b.Voter)
	ev.Approval.Evidence, ev.Approval.Reason = evidence, b.Reason
	return ev, nil
}

// suffices says what the rule wants of an answer and this one lacks, or nil. To
// say no takes nothing.
func (b *Ballot) suffices(a *store.Approval) error {
	switch {
	case b.Seen != nil && *b.Seen != a.Digest:
		return ErrUnseen
	case !b.Approve:
		return nil
	case a.Quorum.Comment && strings.TrimSpace(b.Reason) == "":
		return ErrComment
	case a.Quorum.Confirm && !b.Confirmed:
		return ErrConfirm
	}
	return nil
}

// mayCast says why a voter may not answer a request now, or nil.
func (e *Engine) mayCast(a *store.Approval, voter access.Subject, approve bool) error {
	if err := e.barred(a, voter); err != nil {
		return err
	}
	revokes := !approve && a.State == store.Approved && (isGrant(a) || a.Kind == store.Glass) // what is left of it
	late := !e.o.Now().Before(a.Expires) && a.Kind != store.Review
	if a.State != store.Pending && !revokes || late {
		return fmt.Errorf("%w: it is %s", ErrClosed, stateAt(a, e.o.Now()))
	}
	for _, v := range a.Votes {
		if approve && access.SamePerson(v.Voter, voter) {
			return ErrVoted
		}
	}
	return nil
}

// Use claims an approval: it succeeds once for each, for a grant as often as that
// says, and only while it is unexpired and the people who gave it still may.
func (e *Engine) Use(ctx context.Context, approved access.Approval) error {
	if approved.Glass != "" {
		return e.useGlass(ctx, &approved)
	}
	err := e.update(ctx, approved.ID, func(a *store.Approval) (*access.Event, error) {
		if err := e.claimable(a, &approved); err != nil {
			return nil, err
		}
		a.Uses++
		if !isGrant(a) || a.Uses >= a.Quorum.Grant.Uses {
			a.State = store.Used
		}
		ev := e.event(a, access.ApprovalUsed, a.Requester)
		ev.Extra = map[string]any{"uses": a.Uses}
		return ev, nil
	})
	if errors.Is(err, ErrLost) {
		err = errors.Join(err, e.revoke(ctx, approved.ID))
	}
	if err != nil {
		return fmt.Errorf("approval: request %s: %w", approved.ID, err)
	}
	return nil
}

func (e *Engine) claimable(a *store.Approval, as *access.Approval) error {
	switch {
	case a.Kind != store.Request:
		return fmt.Errorf("%w: it is a %s", ErrUsed, a.Kind)
	case a.State != store.Approved || !e.o.Now().Before(a.Expires):
		return fmt.Errorf("%w: it is %s", ErrUsed, stateAt(a, e.o.Now()))
	case !covers(a, as):
		return errors.New("the approval is for another action")
	case vetoed(a) || !e.agreed(a):
		return ErrLost
	}
	return nil
}

// covers reports whether a request was for what is claimed: the very action, or
// for a grant one of its shape, under the terms that were told.
func covers(a *store.Approval, as *access.Approval) bool {
	if isGrant(a) {
		return as.Grant != nil && *as.Grant == *a.Quorum.Grant && as.Shape == a.Shape && a.Uses < a.Quorum.Grant.Uses
	}
	return as.Grant == nil && as.Digest == a.Digest
}

// Withdraw ends an open request, or what is left of a grant, at the word of the
// one who asked for it.
func (e *Engine) Withdraw(ctx context.Context, id string, by access.Subject) (View, error) {
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil || !e.visible(&a, by) {
		return View{}, fmt.Errorf("approval: request %s: %w", id, orNotFound(err))
	}
	if !a.Requester.Same(by) || a.Kind == store.Review {
		return View{}, fmt.Errorf("approval: request %s: %w", id, ErrNotYours)
	}
	if a.Kind == store.Glass {
		if err := e.closeGlass(ctx, id, store.Withdrawn, by); err != nil {
			return View{}, fmt.Errorf("approval: request %s: %w", id, err)
		}
		return e.Show(ctx, by, id)
	}
	if err := e.end(ctx, id, store.Withdrawn, access.ApprovalWithdrawn, func(*store.Approval) bool { return true }); err != nil {
		return View{}, fmt.Errorf("approval: request %s: %w", id, err)
	}
	return e.Show(ctx, by, id)
}

// revoke rejects an approval whose people may not give it any more: it must not
// come back to life when somebody returns to a group.
func (e *Engine) revoke(ctx context.Context, id string) error {
	return e.update(ctx, id, func(a *store.Approval) (*access.Event, error) {
		if a.State != store.Approved || e.agreed(a) {
			return nil, nil
		}
		a.State = store.Rejected
		ev := e.event(a, access.ApprovalRejected, a.Requester)
		ev.Approval.Reason = ErrLost.Error()
		return ev, nil
	})
}
