package approval

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/access"
	"sluice/store"
)

// Approve returns when the request is answered, expires, ctx ends or the
// subject's patience (r.Context.Wait) does; the last is an
// [access.PendingError] and leaves the request open, while the end of ctx withdraws it. tell
// is called at once and every 30 s. Anything but an answer is an error.
//
// A request of the same subject for the same action that is approved and unused
// is returned without asking, if it meets what the decision demands now.
func (e *Engine) Approve(ctx context.Context, r access.Request, d access.Decision, tell func(access.Pending)) (access.Approval, error) {
	if err := checkQuorum(d.Approval); err != nil {
		return access.Approval{}, fmt.Errorf("approval: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return access.Approval{}, fmt.Errorf("approval: %w", context.Cause(ctx))
	}
	if broken, err := e.behindGlass(ctx, &r, &d); broken != nil || err != nil {
		if err != nil {
			return access.Approval{}, fmt.Errorf("approval: %w", err)
		}
		return *broken, nil
	}
	a, woken, err := e.find(ctx, &r, &d)
	if err == nil && a == nil {
		a, woken, err = e.create(ctx, &r, &d)
	}
	if err != nil {
		return access.Approval{}, fmt.Errorf("approval: %w", err)
	}
	if woken == nil {
		return answer(a, &r), nil
	}
	defer e.release(a.ID)
	if r.Context.Wait < 0 {
		return access.Approval{}, &access.PendingError{Pending: e.pending(a)}
	}
	done, err := e.wait(ctx, a, woken, r.Context.Wait, tell)
	if err != nil {
		return access.Approval{}, err
	}
	return answer(done, &r), nil
}

func (e *Engine) pending(a *store.Approval) access.Pending {
	p := access.Pending{ID: a.ID, From: a.Quorum.From, URL: e.o.URL(a.ID), Expires: a.Expires}
	if !a.Escalated.IsZero() && a.Quorum.Escalate != nil {
		p.Or = a.Quorum.Escalate.To
	}
	return p
}

// answer puts a request into the words of the pipeline, as an answer to r.
func answer(a *store.Approval, r *access.Request) access.Approval {
	out := access.Approval{
		ID: a.ID, Digest: a.Digest, State: a.State, Expires: a.Expires,
		Approved: a.State == store.Approved, Escalated: !a.Escalated.IsZero(),
	}
	if isGrant(a) {
		out.Digest, out.Grant, out.Shape = r.Digest(), a.Quorum.Grant, a.Shape
	}
	for _, v := range a.Votes {
		if v.Approve == out.Approved {
			out.By, out.Reason = append(out.By, v.Voter), v.Reason
		}
	}
	return out
}

// find looks for a request that serves this one: approved and unused, or
// pending and left alone, which is then held. Nil: there is none.
func (e *Engine) find(ctx context.Context, r *access.Request, d *access.Decision) (*store.Approval, chan struct{}, error) {
	digest := r.Digest()
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{
		States: open(), Issuer: r.Subject.Issuer, Requester: r.Subject.ID, Digest: &digest,
	})
	if err != nil {
		return nil, nil, err
	}
	now := e.o.Now()
	if a, err := e.findGrant(ctx, r, d, now); a != nil || err != nil {
		return a, nil, err
	}
	for i := range all {
		a := &all[i]
		if isGrant(a) && a.State == store.Approved {
			continue
		}
		// One that somebody still waits for was approved for that one.
		if a.State == store.Approved && now.Before(a.Expires) && !e.held(a.ID) && e.meets(a, d.Approval) {
			return a, nil, nil
		}
	}
	for i := range all {
		a := &all[i]
		if a.State == store.Pending && now.Before(a.Expires) && sameQuorum(a, d.Approval) {
			if woken, ok := e.hold(a.ID); ok {
				return a, woken, nil
			}
		}
	}
	return nil, nil, nil
}

// findGrant looks for a grant that covers r and is not used up. Nil: there is none.
func (e *Engine) findGrant(ctx context.Context, r *access.Request, d *access.Decision, now time.Time) (*store.Approval, error) {
	shape := r.Shape()
	if d.Approval.Grant == nil || shape == (access.Digest{}) {
		return nil, nil
	}
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{
		States: []string{store.Approved}, Issuer: r.Subject.Issuer, Requester: r.Subject.ID, Shape: &shape})
	if err != nil {
		return nil, err
	}
	for i := range all {
		a := &all[i]
		if isGrant(a) && now.Before(a.Expires) && a.Uses < a.Quorum.Grant.Uses && a.Quorum.Grant.Within(d.Approval.Grant) && e.meets(a, d.Approval) {
			return a, nil
		}
	}
	return nil, nil
}

// isGrant reports whether a request is for more than one action.
func isGrant(a *store.Approval) bool {
	return a.Quorum.Grant != nil && a.Shape != (access.Digest{})
}

// meets reports whether the people who approved a request still may, and would
// be enough for q too.
func (e *Engine) meets(a *store.Approval, q access.Quorum) bool {
	people, escalated := e.supporters(a), !a.Escalated.IsZero()
	return enough(a.Quorum, escalated, people) && enough(q, escalated, people)
}

// create records and stores a new request and holds it.
func (e *Engine) create(ctx context.Context, r *access.Request, d *access.Decision) (*store.Approval, chan struct{}, error) {
	mine, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{
		States: []string{store.Pending}, Issuer: r.Subject.Issuer, Requester: r.Subject.ID, Limit: maxPending,
	})
	if err != nil {
		return nil, nil, err
	}
	if len(mine) >= maxPending {
		return nil, nil, fmt.Errorf("%d requests of yours are waiting already", len(mine))
	}
	for {
		a, err := e.draft(r, d)
		if err != nil {
			return nil, nil, err
		}
		woken, ok := e.hold(a.ID)
		if !ok {
			continue // the id is in use
		}
		err = e.record(ctx, e.requested(a, r))
		if err == nil {
			err = e.o.Store.CreateApproval(ctx, *a)
		}
		if err == nil {
			e.wake(a.ID)
			return a, woken, nil
		}
		e.release(a.ID)
		if !errors.Is(err, store.ErrExists) {
			return nil, nil, err
		}
	}
}

// maxShown bounds in bytes the redacted text in the store.
const maxShown = 4 << 10

func (e *Engine) draft(r *access.Request, d *access.Decision) (*store.Approval, error) {
	now := e.o.Now().UTC().Truncate(time.Microsecond)
	a := &store.Approval{
		ID: newID(), Digest: r.Digest(), State: store.Pending,
		Requester: r.Subject, Resource: r.Resource, Verb: r.Action.Verb.String(), Action: shorten(r.Action.Visible()),
		Whole: whole(&r.Action), Reason: r.Context.Reason, Ticket: r.Context.Ticket, Message: d.Message, Session: r.Context.Session.ID, Client: r.Context.Client.Address, Decision: d.ID,
		Quorum: d.Approval, Created: now, Changed: now, Expires: now.Add(expiry(d.Approval.Expires)),
		Revision: 1,
	}
	if a.Quorum.Grant != nil {
		a.Shape = r.Shape()
	}
	if !isGrant(a) {
		a.Quorum.Grant = nil // what has no shape can be approved for itself alone
	}
	if sql := r.Action.SQL; sql != nil {
		a.Facts, a.Fingerprint = sql.Facts, sql.Fingerprint
	}
	content, err := contentOf(&r.Action)
	if err != nil {
		return nil, err
	}
	a.Sealed, err = e.seal.seal(a, content)
	return a, err
}

// whole reports whether the text that is shown to everybody is all there is.
func whole(a *access.Action) bool {
	return a.Visible() == a.Text && shorten(a.Text) == a.Text && len(a.Args) == 0 && len(a.Parts) == 0
}

func expiry(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultExpiry
	}
	return min(d, maxExpiry)
}

// newID returns a name short enough to type: 50 random bits, and the store
// refuses a second of the same.
func newID() string { return "req-" + strings.ToLower(rand.Text()[:10]) }

func shorten(s string) string {
	const more = " ... [shortened]"
	if len(s) > maxShown {
		s = s[:maxShown-len(more)] + more
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// wait holds the caller until the request is no longer pending.
func (e *Engine) wait(ctx context.Context, a *store.Approval, woken <-chan struct{}, patience time.Duration, tell func(access.Pending)) (*store.Approval, error) {
	look := time.NewTicker(poll)
	defer look.Stop()
	again := time.NewTicker(remind)
	defer again.Stop()
	var enough <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		enough = t.C
	}
	tell(e.pending(a))
	for {
		done, err := e.settled(ctx, a.ID)
		if err != nil {
			return nil, fmt.Errorf("approval: %w", err)
		}
		if done != nil {
			return done, nil
		}
		select {
		case <-ctx.Done(): // settled sees it
		case <-e.stop:
		case <-woken:
		case <-look.C:
		case <-again.C:
			if now, err := e.o.Store.Approval(ctx, a.ID); err == nil {
				a = &now
			}
			tell(e.pending(a))
		case <-enough:
			return nil, &access.PendingError{Pending: e.pending(a)}
		}
	}
}

// settled returns the request if it is not pending any more, nil if it is. It
// expires or withdraws it where due.
func (e *Engine) settled(ctx context.Context, id string) (*store.Approval, error) {
	select {
	case <-e.stop:
		return nil, fmt.Errorf("request %s: %w", id, ErrStopped)
	default:
	}
	if ctx.Err() != nil {
		return nil, e.withdraw(ctx, id)
	}
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil {
		if ctx.Err() != nil {
			return nil, e.withdraw(ctx, id)
		}
		return nil, err
	}
	if a.State == store.Pending && e.due(&a) {
		if err := e.elapse(ctx, &a); err != nil {
			return nil, err
		}
		a, err = e.o.Store.Approval(ctx, id)
	}
	if err != nil || a.State != store.Pending {
		return &a, err
	}
	return nil, nil
}

// withdraw ends a request whose client gave up, also one that was approved in
// the same moment. It always returns an error.
func (e *Engine) withdraw(ctx context.Context, id string) error {
	cause := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	err := e.end(ctx, id, store.Withdrawn, access.ApprovalWithdrawn, func(*store.Approval) bool { return true })
	return errors.Join(fmt.Errorf("request %s withdrawn: %w", id, cause), err)
}

// expire ends an open request whose time is over.
func (e *Engine) expire(ctx context.Context, id string) error {
	return e.end(ctx, id, store.Expired, access.ApprovalExpired, func(a *store.Approval) bool {
		return !e.o.Now().Before(a.Expires)
	})
}

// end moves an open request to a final state if due says so. One that is not
// open any more is left as it is: that is no error.
func (e *Engine) end(ctx context.Context, id, state string, event access.EventType, due func(*store.Approval) bool) error {
	return e.update(ctx, id, func(a *store.Approval) (*access.Event, error) {
		if a.State != store.Pending && a.State != store.Approved || !due(a) {
			return nil, nil
		}
		a.State = state
		return e.event(a, event, a.Requester), nil
	})
}

// update changes a request. change alters its argument and returns the event
// that says so; the event is durable before the change is stored. A nil event
// means that nothing changes.
func (e *Engine) update(ctx context.Context, id string, change func(*store.Approval) (*access.Event, error)) error {
	err := e.o.Store.UpdateApproval(ctx, id, func(a *store.Approval) error {
		ev, err := change(a)
		if err != nil {
			return err
		}
		if ev == nil {
			return errUnchanged
		}
		a.Changed = e.o.Now().UTC().Truncate(time.Microsecond)
		if a.State != store.Pending {
			a.Sealed = nil
		}
		return e.record(ctx, ev)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	e.wake(id)
	return err
}

var errUnchanged = errors.New("approval: unchanged")
