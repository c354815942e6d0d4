package approval

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/access"
	"sluice/store"
)

// Why an answer or a claim is refused.
var (
	ErrNotFound = store.ErrNotFound // no such request, or the viewer may not see it
	ErrNotHuman = errors.New("only people approve, and only for themselves")
	ErrSelf     = errors.New("nobody approves what they, their agents or their principals ask for")
	ErrNotAsked = errors.New("you are in none of the groups that were asked")
	ErrVoted    = errors.New("you have answered this request already")
	ErrClosed   = errors.New("the request is not open any more")
	ErrStopped  = errors.New("the gateway is shutting down; the request stays open")
	ErrUsed     = errors.New("the approval was used already or is not valid")
	ErrLost     = errors.New("an approver has lost the right to approve this")
	ErrComment  = errors.New("the rule wants a reason of those who agree")
	ErrConfirm  = errors.New("the rule wants those who agree to confirm it with a fresh sign-in")
	ErrNotYours = errors.New("only who asked may withdraw it")
	ErrNoGlass  = errors.New("no rule lets you go without an approval here, even in an emergency")
	ErrOverdue  = errors.New("what you did the last time has not been reviewed in time")
	ErrUnseen   = errors.New("the answer is for another action than the request's")
)

const (
	poll          = time.Second      // another node may hold the answer
	remind        = 30 * time.Second // how often a waiting client is told
	sweep         = 5 * time.Second  // how soon an unattended request expires
	cleanup       = 5 * time.Second  // for withdrawing after the client's context ended
	defaultExpiry = 15 * time.Minute
	maxExpiry     = 24 * time.Hour

	// maxPending bounds what one requester can pile up before approvers.
	maxPending = 50
)

// A Store keeps requests, and what channels were told of them.
type Store interface {
	store.Approvals
	store.Deliveries
}

// A Journal is where every change is recorded; see pipeline.Journal.
type Journal interface {
	Append(events ...*access.Event) (access.Mark, error)
	Wait(ctx context.Context, m access.Mark) error
}

// People knows everybody as of now. Safe for concurrent use.
type People interface {
	// Lookup returns a subject with its present groups, or an error if there is
	// no such subject any more.
	Lookup(issuer, id string) (access.Subject, error)
}

// A Rolls knows who is in a group. Safe for concurrent use.
type Rolls interface {
	Members(group string) []access.Subject
}

// Options says what an [Engine] is built from. Store, Journal, People and Key
// are required.
type Options struct {
	Store   Store
	Journal Journal
	People  People
	Key     access.Secret // 32 bytes, kept outside the store; what it sealed is lost with it

	// SeesAll reports whether a viewer may see everybody's requests; nil: nobody may.
	SeesAll func(access.Subject) bool
	// URL returns where people answer a request; nil: no link is shown.
	URL func(id string) string
	Now func() time.Time // nil: time.Now

	History History // what sessions did; nil: not known
	Rolls   Rolls   // nil: channels are not told who could answer
	// Report is told how each delivery to a channel went; nil: nobody is.
	Report func(Report)
}

// An Engine runs requests for approval. It implements pipeline.Approver. Safe
// for concurrent use, also by several engines over one store.
type Engine struct {
	o    Options
	seal sealer

	mu      sync.Mutex
	waiting map[string]chan struct{} // requests somebody in this process waits for; a send wakes it
	news    chan struct{}            // closed, and replaced, when a request has changed
	told    []Notifier
	retell  chan struct{} // a send: told has changed
	stop    chan struct{}
	once    sync.Once
}

// New returns an engine. Call [Engine.Run] to have unattended requests expire.
func New(o Options) (*Engine, error) {
	if o.Store == nil || o.Journal == nil || o.People == nil {
		return nil, errors.New("approval: incomplete options")
	}
	s, err := newSealer(o.Key)
	if err != nil {
		return nil, err
	}
	if o.SeesAll == nil {
		o.SeesAll = func(access.Subject) bool { return false }
	}
	if o.URL == nil {
		o.URL = func(string) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	return &Engine{o: o, seal: s, waiting: map[string]chan struct{}{}, news: make(chan struct{}),
		retell: make(chan struct{}, 1), stop: make(chan struct{})}, nil
}

// Close ends all waiting and leaves the requests open: after a restart the same
// subject with the same action takes them up again. Call it before the
// sessions' contexts end, which would withdraw them.
func (e *Engine) Close() { e.once.Do(func() { close(e.stop) }) }

// Run lets time pass for requests that nobody waits for, and tells the channels,
// until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	telling := make(chan struct{})
	go func() {
		defer close(telling)
		e.tellAll(ctx)
	}()
	defer func() { <-telling }()
	t := time.NewTicker(sweep)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			_ = e.Sweep(ctx) // tried again at the next tick; nothing runs on an expired request meanwhile
		}
	}
}

// Sweep expires the open requests whose time is over, and asks more people where
// the first did not answer in time.
func (e *Engine) Sweep(ctx context.Context) error {
	due, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{States: open(), ExpiresBefore: e.o.Now()})
	if err == nil {
		var pending []store.Approval
		pending, err = e.o.Store.Approvals(ctx, store.ApprovalFilter{States: []string{store.Pending}})
		due = append(due, pending...)
	}
	if err == nil {
		var open []store.Approval
		open, err = e.o.Store.Approvals(ctx, store.ApprovalFilter{Kind: store.Glass, States: []string{store.Approved}, ExpiresBefore: e.o.Now()})
		due = append(due, open...)
	}
	if err != nil {
		return fmt.Errorf("approval: sweep: %w", err)
	}
	for i := range due {
		if err := e.elapse(ctx, &due[i]); err != nil {
			return err
		}
	}
	return nil
}

// elapse does what time demands of a request.
func (e *Engine) elapse(ctx context.Context, a *store.Approval) error {
	switch now := e.o.Now(); {
	case a.Kind == store.Review: // stays until it is done
	case a.State != store.Pending && a.State != store.Approved:
	case a.Kind == store.Glass && !now.Before(a.Expires):
		return e.closeGlass(ctx, a.ID, store.Expired, a.Requester)
	case !now.Before(a.Expires):
		return e.expire(ctx, a.ID)
	case escalates(a, now):
		return e.escalate(ctx, a.ID)
	}
	return nil
}

// due reports whether time demands something of a pending request.
func (e *Engine) due(a *store.Approval) bool {
	now := e.o.Now()
	return !now.Before(a.Expires) || escalates(a, now)
}

// escalates reports whether the second quorum has to be asked.
func escalates(a *store.Approval, now time.Time) bool {
	return a.State == store.Pending && a.Quorum.Escalate != nil && a.Escalated.IsZero() && !now.Before(a.Created.Add(a.Quorum.Escalate.After))
}

func (e *Engine) escalate(ctx context.Context, id string) error {
	return e.update(ctx, id, func(a *store.Approval) (*access.Event, error) {
		now := e.o.Now()
		if !escalates(a, now) || !now.Before(a.Expires) {
			return nil, nil
		}
		a.Escalated = now.UTC().Truncate(time.Microsecond)
		ev := e.event(a, access.ApprovalEscalated, a.Requester)
		ev.Approval.From = a.Quorum.Escalate.To
		return ev, nil
	})
}

func open() []string { return []string{store.Pending, store.Approved} }

// Pending counts the requests that wait for an answer.
func (e *Engine) Pending(ctx context.Context) (int, error) {
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{States: []string{store.Pending}})
	return len(all), err
}

// News returns a channel that is closed when a request has changed in this process.
// Changes through other nodes are not noticed: look again after a second or two.
func (e *Engine) News() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.news
}

// hold marks a request as waited for by this process; false if it already is.
func (e *Engine) hold(id string) (woken chan struct{}, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting[id] != nil {
		return nil, false
	}
	woken = make(chan struct{}, 1)
	e.waiting[id] = woken
	return woken, true
}

func (e *Engine) held(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting[id] != nil
}

func (e *Engine) release(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting, id)
}

func (e *Engine) wake(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.news)
	e.news = make(chan struct{})
	if c := e.waiting[id]; c != nil {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}
