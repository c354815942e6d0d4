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

// Options says what an [Engine] is built from. Store, Journal, People and Key
// are required.
type Options struct {
	Store   store.Approvals
	Journal Journal
	People  People
	Key     access.Secret // 32 bytes, kept outside the store; what it sealed is lost with it

	// SeesAll reports whether a viewer may see everybody's requests; nil: nobody may.
	SeesAll func(access.Subject) bool
	// URL returns where people answer a request; nil: no link is shown.
	URL func(id string) string
	Now func() time.Time // nil: time.Now
}

// An Engine runs requests for approval. It implements pipeline.Approver. Safe
// for concurrent use, also by several engines over one store.
type Engine struct {
	o    Options
	seal sealer

	mu      sync.Mutex
	waiting map[string]chan struct{} // requests somebody in this process waits for; a send wakes it
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
	return &Engine{o: o, seal: s, waiting: map[string]chan struct{}{}, stop: make(chan struct{})}, nil
}

// Close ends all waiting and leaves the requests open: after a restart the same
// subject with the same action takes them up again. Call it before the
// sessions' contexts end, which would withdraw them.
func (e *Engine) Close() { e.once.Do(func() { close(e.stop) }) }

// Run expires requests until ctx ends.
func (e *Engine) Run(ctx context.Context) {
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

// Sweep expires the open requests whose time is over.
func (e *Engine) Sweep(ctx context.Context) error {
	due, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{States: open(), ExpiresBefore: e.o.Now()})
	if err != nil {
		return fmt.Errorf("approval: sweep: %w", err)
	}
	for _, a := range due {
		if err := e.expire(ctx, a.ID); err != nil {
			return err
		}
	}
	return nil
}

func open() []string { return []string{store.Pending, store.Approved} }

// Pending counts the requests that wait for an answer.
func (e *Engine) Pending(ctx context.Context) (int, error) {
	all, err := e.o.Store.Approvals(ctx, store.ApprovalFilter{States: []string{store.Pending}})
	return len(all), err
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
	if c := e.waiting[id]; c != nil {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}
