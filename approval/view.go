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
	Kind      string // store.Request, store.Glass or store.Review
	State     string
	Requester access.Subject // with its chain of actors
	Resource  access.Resource
	Verb      string
	Action    string // redacted text, shortened
	// Whole is true if Action is the text as it will run, and there are no values
	// beside it. Otherwise only Content shows what runs.
	Whole    bool
	Rules    []string
	Message  string // what the rule says
	Reason   string // why the requester says it needs this
	Ticket   string
	Session  string
	Client   string
	Decision string
	Digest   access.Digest
	URL      string // where people answer; empty: no link
	Created  time.Time
	Changed  time.Time
	Expires  time.Time

	From      []access.Approvers // who must agree
	Escalate  *access.Escalation // who else is enough, and after how long; nil: nobody
	Escalated time.Time          // when they were asked; zero: not yet
	Grant     *access.Grant      // what agreeing permits beyond this action; nil: nothing
	Uses      int                // how often the answer was used
	Comment   bool               // who agrees must say why
	Confirm   bool               // who agrees must prove anew who they are
	Votes     []store.Vote

	// Expected is what the target expects the action to do.
	Expected Expected

	// Mine is true if the viewer asked for it, and may withdraw it.
	Mine bool
	// MayVote is true if the viewer may answer now; otherwise Why says why not.
	MayVote bool
	Why     string

	// Content is the action in full, only for those who may answer, only while
	// the request is pending, and only from Show.
	Content *Content
	// Before is what the session did until it asked, newest first; Similar are past
	// requests for the same statement but for its constants, newest first. Only
	// from Show.
	Before  []Past
	Similar []Precedent
}

// Expected is what the target said of an action before it ran.
type Expected struct {
	Rows  *int64 // that the plan expects it to return or change; nil: not known
	Cost  *int64 // in the planner's units; nil: not known
	Count *int64 // how many rows it would change, as counted; nil: not known
	Why   string // what kept something from being known
}

// A Past is something that a session did.
type Past struct {
	Time   time.Time
	ID     string // of the decision
	Verb   string
	Action string // redacted text, shortened
	Effect string
	Rows   int64
	Error  string // how it failed; empty: it did not, or has not ended
}

// A History knows what sessions did. Safe for concurrent use.
type History interface {
	// Before returns up to n actions that a session asked for before then, newest first.
	Before(ctx context.Context, session string, then time.Time, n int) ([]Past, error)
}

// A Precedent is a past request and how it was answered.
type Precedent struct {
	ID        string
	State     string
	Requester access.Subject
	Created   time.Time
	Action    string // redacted text, shortened
	Same      bool   // it was this very action, of the same requester
	Votes     []store.Vote
}

const (
	maxBefore  = 10
	maxSimilar = 5
	// background bounds what a view waits for things that are good to know.
	background = 2 * time.Second
)

// A Filter selects requests; the zero Filter selects pending ones.
type Filter struct {
	States    []string // empty: pending. "all" among them: every state
	Mine      bool     // only those that the viewer asked for
	Resource  string   // name; empty: every one
	Requester string   // ID; empty: everybody
	After     string   // only those older than this one: the next page
	Limit     int      // zero: 200
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
	q := store.ApprovalFilter{AnyKind: true, States: states, Requester: f.Requester, Resource: f.Resource, Limit: maxScanned}
	if f.Mine {
		q.Issuer, q.Requester = viewer.Issuer, viewer.ID
	}
	var last store.Approval
	if f.After != "" {
		var err error
		if last, err = e.o.Store.Approval(ctx, f.After); err != nil || !e.visible(&last, viewer) {
			return nil, fmt.Errorf("approval: request %s: %w", f.After, orNotFound(err))
		}
		q.Before = last.Created.Add(time.Microsecond) // some may have come at the same time
	}
	all, err := e.o.Store.Approvals(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("approval: list: %w", err)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	var views []View
	for i := range all {
		if len(views) == limit {
			break
		}
		a := &all[i]
		if !e.visible(a, viewer) || !older(a, &last) || f.Mine && !a.Requester.Same(viewer) {
			continue
		}
		// A pending request whose time is over is listed as what it is.
		if v := e.view(a, viewer); states == nil || slices.Contains(states, v.State) {
			views = append(views, v)
		}
	}
	return views, nil
}

// older reports whether a listing has a behind last; the zero last stands before
// every one.
func older(a, last *store.Approval) bool {
	if c := a.Created.Compare(last.Created); last.ID != "" && c == 0 {
		return a.ID < last.ID
	}
	return true
}

// Look is Show without what is good to know for a decision: where a request stands.
func (e *Engine) Look(ctx context.Context, viewer access.Subject, id string) (View, error) {
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil || !e.visible(&a, viewer) {
		return View{}, fmt.Errorf("approval: request %s: %w", id, orNotFound(err))
	}
	return e.view(&a, viewer), nil
}

// Show returns one request; ErrNotFound also for who may not see it.
func (e *Engine) Show(ctx context.Context, viewer access.Subject, id string) (View, error) {
	a, err := e.o.Store.Approval(ctx, id)
	if err != nil || !e.visible(&a, viewer) {
		return View{}, fmt.Errorf("approval: request %s: %w", id, orNotFound(err))
	}
	v := e.view(&a, viewer)
	see := func(p *store.Approval) bool { return e.visible(p, viewer) }
	if e.barred(&a, viewer) == nil {
		see = func(*store.Approval) bool { return true } // who decides about this may know what was decided before
		if v.Content, err = e.content(&a); err != nil {
			return View{}, err
		}
	}
	e.background(ctx, &a, &v, see)
	return v, nil
}

func (e *Engine) view(a *store.Approval, viewer access.Subject) View {
	v := e.face(a)
	v.Mine = a.Requester.Same(viewer)
	err := e.mayCast(a, viewer, true)
	if v.MayVote = err == nil; err != nil {
		v.Why = err.Error()
	}
	return v
}

// face is what everybody sees who may see a request at all.
func (e *Engine) face(a *store.Approval) View {
	return View{
		ID: a.ID, Kind: a.Kind, State: stateAt(a, e.o.Now()), Requester: a.Requester, Resource: a.Resource, Verb: a.Verb, Action: a.Action, Whole: a.Whole,
		Rules: a.Quorum.Rules, Message: a.Message, Reason: a.Reason, Ticket: a.Ticket, Session: a.Session, Client: a.Client,
		Decision: a.Decision, Digest: a.Digest, URL: e.o.URL(a.ID), Created: a.Created, Changed: a.Changed, Expires: a.Expires,
		From: a.Quorum.From, Escalate: a.Quorum.Escalate, Escalated: a.Escalated, Grant: a.Quorum.Grant, Uses: a.Uses,
		Comment: a.Quorum.Comment, Confirm: a.Quorum.Confirm, Votes: a.Votes, Expected: expected(&a.Facts),
	}
}

func expected(f *access.Facts) Expected {
	x := Expected{Count: f.Count, Why: f.Why}
	if f.Estimate != nil {
		x.Rows, x.Cost = &f.Estimate.Rows, &f.Estimate.Cost
	}
	return x
}

// background adds what is good to know and not worth failing for.
func (e *Engine) background(ctx context.Context, a *store.Approval, v *View, see func(*store.Approval) bool) {
	ctx, cancel := context.WithTimeout(ctx, background)
	defer cancel()
	if e.o.History != nil && a.Session != "" {
		v.Before, _ = e.o.History.Before(ctx, a.Session, a.Created, maxBefore)
	}
	if a.Fingerprint == "" {
		return
	}
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{
		Fingerprint: a.Fingerprint, Resource: a.Resource.Name, Before: a.Created, Limit: 4 * maxSimilar})
	for i := range all {
		if p := &all[i]; err == nil && see(p) && len(v.Similar) < maxSimilar {
			v.Similar = append(v.Similar, Precedent{ID: p.ID, State: stateAt(p, e.o.Now()), Requester: p.Requester,
				Created: p.Created, Action: p.Action, Same: p.Digest == a.Digest, Votes: p.Votes})
		}
	}
}

// content opens what a pending request would run.
func (e *Engine) content(a *store.Approval) (*Content, error) {
	if stateAt(a, e.o.Now()) != store.Pending || a.Sealed == nil {
		return nil, nil
	}
	c, err := e.seal.open(a)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// visible reports whether viewer may see a request at all. An agent that acts
// for an approver is no approver.
func (e *Engine) visible(a *store.Approval, viewer access.Subject) bool {
	switch {
	case viewer.ID == "":
		return false
	case access.Involved(a.Requester, viewer):
		return true
	case viewer.Actor == nil && asked(a, viewer):
		return true
	}
	return e.o.SeesAll(viewer)
}
