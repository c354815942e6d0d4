// Package pipeline is the enforcement point (PEP): the one path from a client
// to an upstream. Read [Session.Ask] first: the security order is its straight
// line, and there is no second way to get a [Permit].
//
// A protocol opens a session with [Gate.Open], describes each command as an
// [access.Action], asks for permits, waits for [Permit.Durable] before it
// forwards (for an action proven to be a pure read: before the first byte of
// the answer leaves), evaluates the result's columns with [Permit.Result] and
// reports the end with [Permit.Done].
//
// The package starts no goroutines and reads no clock but the injected one.
package pipeline

import (
	"context"
	"errors"
	"time"

	"sluice/access"
)

// A Decider is the policy decision point. It has no error results: what cannot
// be decided is denied, with the failure as a reason. Safe for concurrent use.
type Decider interface {
	Decide(r access.Request) access.Decision

	// Result is the second point of evaluation: which of a result's columns are
	// masked. It returns one Mask a column; the zero Mask leaves the column
	// clear. An untraced column of a masked subject is masked or an error.
	Result(r access.Request, d access.Decision, cols []access.Column) ([]access.Mask, error)

	// Posture says what could apply to a subject at a resource at all.
	Posture(s access.Subject, r access.Resource) access.Posture

	// Version changes with every change of policy.
	Version() uint64
}

// An Approver asks people and waits for their answer.
type Approver interface {
	// Approve returns when the request is answered, expires or ctx ends (the
	// client withdrew). tell is called at once and again as a reminder. A
	// request of the same digest by the same subject that is already approved
	// and unused is returned without asking.
	Approve(ctx context.Context, r access.Request, d access.Decision, tell func(access.Pending)) (access.Approval, error)

	// Use claims an approval; it succeeds at most once for each.
	Use(ctx context.Context, a access.Approval) error
}

// A Journal is the append-only record. Safe for concurrent use.
type Journal interface {
	// Append queues events, in order and as one unit. They are durable once
	// Wait on the returned mark returns nil. The events are encoded before
	// Append returns; the caller may reuse them.
	Append(events ...*access.Event) (access.Mark, error)
	// Wait returns when everything up to mark is durable, or with the error
	// that poisoned the journal.
	Wait(ctx context.Context, m access.Mark) error
}

// A Notifier is a Journal that can be asked without waiting.
type Notifier interface {
	Journal
	// Queue is Append for whoever calls Kick soon.
	Queue(events ...*access.Event) (access.Mark, error)
	Kick()
	// Settled reports whether Wait would return at once.
	Settled(m access.Mark) bool
	// Notify has f called whenever more is settled, until stop. f must not block.
	Notify(f func()) (stop func())
}

// An Identity keeps watch over live sessions' credentials.
type Identity interface {
	// Version changes when any user, group or token did.
	Version() uint64
	// Current returns the subject as it is now, or an error if the user was
	// removed or the credential revoked. A token's expiry is not an error here.
	Current(s access.Subject, credential string) (access.Subject, error)
}

// Fulfills reports why a protocol cannot carry out an obligation on an action;
// nil if it can.
type Fulfills func(a *access.Action, o access.Obligation) error

// A Gate runs sessions. Every field is required: there is no "authorization
// disabled".
type Gate struct {
	Decider  Decider
	Approver Approver
	Journal  Journal
	Identity Identity
	Now      func() time.Time
	Meter    *Meter // counts for rate rules

	// MaxHold bounds how long an action waits for people inside a transaction.
	MaxHold time.Duration
}

// Validate reports a missing part.
func (g *Gate) Validate() error {
	if g == nil || g.Decider == nil || g.Approver == nil || g.Journal == nil || g.Identity == nil || g.Now == nil || g.Meter == nil {
		return errors.New("pipeline: incomplete gate")
	}
	return nil
}
