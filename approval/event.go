package approval

import (
	"context"
	"time"

	"sluice/access"
	"sluice/internal/uuid7"
	"sluice/store"
)

// record makes events durable.
func (e *Engine) record(ctx context.Context, ev *access.Event) error {
	mark, err := e.o.Journal.Append(ev)
	if err != nil {
		return err
	}
	return e.o.Journal.Wait(ctx, mark)
}

// requested is the first event of a request: the only one with the action, in
// its redacted form.
func (e *Engine) requested(a *store.Approval, r *access.Request) *access.Event {
	ev := e.event(a, access.ApprovalRequested, a.Requester)
	action := r.Action
	action.Text, action.Shown = r.Action.Visible(), ""
	ev.Action = &action
	ev.Reason = a.Reason
	return ev
}

// event says that by changed the request to its present state. An
// approval.approved whose state is still pending is a vote that does not yet
// make the quorum.
func (e *Engine) event(a *store.Approval, what access.EventType, by access.Subject) *access.Event {
	now := e.o.Now().UTC()
	ev := &access.Event{
		ID: uuid7.New(now), Time: now, Type: what, Session: a.Session,
		Subject: &by, Resource: &a.Resource, Client: &access.Client{Address: a.Client},
		Ref: a.Decision, Digest: &a.Digest,
		Approval: &access.ApprovalFact{
			Request: a.ID, State: a.State, From: a.Quorum.From, Expires: a.Expires,
			Requester: a.Requester.Issuer + "/" + a.Requester.ID,
		},
	}
	for _, v := range a.Votes {
		ev.Approval.By = append(ev.Approval.By, v.Voter.Issuer+"/"+v.Voter.ID)
	}
	return ev
}

// stateAt is the state as people should see it: time may be over although
// nobody has written it down yet.
func stateAt(a *store.Approval, now time.Time) string {
	if a.Kind == store.Review {
		return a.State
	}
	if (a.State == store.Pending || a.State == store.Approved) && !now.Before(a.Expires) {
		return store.Expired
	}
	return a.State
}
