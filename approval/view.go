package approval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/access"
	"sluice/store"
)

// A View is a request as one viewer may see it.
type View struct {
	ID        string
	State     string
	Requester access.Subject
	Resource  access.Resource
	Verb      string
	Action    string // redacted text
	Rules     []string
	Reason    string
	Session   string
	Client    string
	Decision  string
	From      []access.Approvers
	Votes     []store.Vote
	Created   time.Time
	Changed   time.Time
	Expires   time.Time

	// MayVote is true if the viewer may answer now; otherwise Why says why not.
	MayVote bool
	Why     string

	// Content is the action in full, only for those who may answer, only while
	// the request is pending, and only from Show.
	Content *Content
}

// A Filter selects requests; the zero Filter selects pending ones.
type Filter struct {
	States []string // empty: pending. "all" among them: every state
	Limit  int      // zero: 200
}

const (
	defaultLimit = 200
	// maxScanned bounds how many stored requests a listing looks at. Requests
	// of one viewer further back are found in the audit.
	maxScanned = 5000
)

// List returns the requests that viewer may see, newest first: their own, those
// put to their groups, or everybody's.
func (e *Engine) List(ctx context.Context, viewer access.Subject, f Filter) ([]View, error) {
	states := f.States
	switch {
	case len(states) == 0:
		states = []string{store.Pending}
	case slices.Contains(states, "all"):
		states = nil
	}
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{States: states, Limit: maxScanned})
	if err != nil {
		return nil, fmt.Errorf("approval: list: %w", err)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	var views []View
	for i := range all {
		v := e.view(&all[i], viewer)
		// A pending request whose time is over is listed as what it is.
		if len(views) < limit && e.visible(&all[i], viewer) && (states == nil || slices.Contains(states, v.State)) {
			views = append(views, v)
		}
	}
	return views, nil
}

// Show returns one request; ErrNotFound also for who may not see it.
func (e *Engine) Show(ctx context.Context, viewer access.Subject, id string) (View, error) {
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil || !e.visible(&a, viewer) {
		return View{}, fmt.Errorf("approval: request %s: %w", id, orNotFound(err))
	}
	v := e.view(&a, viewer)
	if e.barred(&a, viewer) == nil && v.State == store.Pending && a.Sealed != nil {
		c, err := e.seal.open(&a)
		if err != nil {
			return View{}, err
		}
		v.Content = &c
	}
	return v, nil
}

func (e *Engine) view(a *store.Approval, viewer access.Subject) View {
	v := View{
		ID: a.ID, State: stateAt(a, e.o.Now()), Requester: a.Requester, Resource: a.Resource, Verb: a.Verb, Action: a.Action,
		Rules: a.Quorum.Rules, Reason: a.Reason, Session: a.Session, Client: a.Client, Decision: a.Decision,
		From: a.Quorum.From, Votes: a.Votes, Created: a.Created, Changed: a.Changed, Expires: a.Expires,
	}
	err := e.mayCast(a, viewer, true)
	if v.MayVote = err == nil; err != nil {
		v.Why = err.Error()
	}
	return v
}

// visible reports whether viewer may see a request at all. An agent that acts
// for an approver is no approver.
func (e *Engine) visible(a *store.Approval, viewer access.Subject) bool {
	switch {
	case viewer.ID == "":
		return false
	case involved(a.Requester, viewer):
		return true
	case viewer.Actor == nil && asked(a.Quorum, viewer):
		return true
	}
	return e.o.SeesAll(viewer)
}
