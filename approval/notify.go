package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"sluice/access"
	"sluice/store"
)

// A Kind says why a channel is told of a request.
type Kind string

// The kinds of notice.
const (
	Asked     Kind = "pending"   // a new request
	Voted     Kind = "voted"     // somebody agreed, and more people are needed
	Escalated Kind = "escalated" // more people are asked, from now on
	Reminder  Kind = "reminder"  // it is still pending
	Approved  Kind = "approved"
	Rejected  Kind = "rejected"
	Withdrawn Kind = "withdrawn"
	Expired   Kind = "expired"
	Used      Kind = "used"     // what was approved runs, or ran
	Broken    Kind = "broken"   // somebody acts without approval for a while
	Closed    Kind = "closed"   // not any more
	Owed      Kind = "review"   // something was done without approval, and must be looked at
	Reviewed  Kind = "reviewed" // it was
)

// A Notice tells a channel where a request stands. Notices of one request come in
// order and one at a time; a channel that was not reached for a while is told the
// latest only.
type Notice struct {
	ID      string // the same when a notice is delivered again
	Kind    Kind
	Request View               // everything that an approver sees, with Content while it is pending
	To      []access.Approvers // who is asked, now
	People  []access.Subject   // who could answer, if that is known
	Ref     string             // what the channel returned for the last notice of this request; empty: this is the first
	Attempt int                // from 1
}

// A Notifier is a channel: it shows people a request and what becomes of it. One
// that is slow or fails delays no other. Their answers go to [Engine.Cast].
type Notifier interface {
	// Name is the channel's name in rules, logs and metrics. It never changes.
	Name() string
	// Notify shows a notice, and returns the channel's own name for what it shows,
	// so that the next notice can change it; empty keeps the last one. A notice
	// may come twice. It returns before ctx ends. An error has it tried again,
	// later and later, unless it is [Permanent].
	Notify(ctx context.Context, n Notice) (ref string, err error)
}

// Permanent marks an error that trying again will not mend.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// A Report says how one delivery went.
type Report struct {
	Channel string
	Request string
	Kind    Kind
	Attempt int
	Took    time.Duration
	Err     error // nil: it arrived
	Final   bool  // it failed and is not tried again
}

const (
	deliverers  = 2                // at work for one channel: one slow request does not hold up all
	deliverFor  = 20 * time.Second // how long one delivery may take
	deliverPast = 48 * time.Hour   // what changed longer ago is nobody's news
	countEvery  = 30 * time.Second // how often a channel is told how much of a grant is used
	backoffMost = 5 * time.Minute
)

// Channels replaces the channels that are told of requests. A channel is known by
// its name: one of the same name goes on where the old one was.
func (e *Engine) Channels(all ...Notifier) {
	e.mu.Lock()
	e.told = all
	e.mu.Unlock()
	select {
	case e.retell <- struct{}{}:
	default:
	}
}

// tellAll keeps every channel informed until ctx ends.
func (e *Engine) tellAll(ctx context.Context) {
	for ctx.Err() == nil {
		round, stop := context.WithCancel(ctx)
		var working sync.WaitGroup
		e.mu.Lock()
		for _, n := range e.told {
			for range deliverers {
				working.Go(func() { e.tell(round, n) })
			}
		}
		e.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-e.retell:
		}
		stop()
		working.Wait()
	}
}

// tell keeps one channel informed.
func (e *Engine) tell(ctx context.Context, n Notifier) {
	look := time.NewTicker(poll)
	defer look.Stop()
	for ctx.Err() == nil {
		news := e.News()
		if e.deliver(ctx, n) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-news:
		case <-look.C: // another node has news, or something is due again
		}
	}
}

// deliver tells a channel of one request; false: there is nothing to tell, or
// nobody to ask.
func (e *Engine) deliver(ctx context.Context, n Notifier) bool {
	now := e.o.Now()
	d, err := e.o.Store.ClaimDelivery(ctx, n.Name(), now, now.Add(2*deliverFor), now.Add(-deliverPast))
	if err != nil {
		return false
	}
	a, err := e.o.Store.Approval(ctx, d.Approval)
	if err != nil {
		return false
	}
	if concerns(n.Name(), &a, &d) {
		e.send(ctx, n, &a, &d)
	} else {
		settle(&d, &a, time.Time{})
	}
	// Kept also if the gateway stops: what arrived should not come again.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	return e.o.Store.SaveDelivery(keep, d) == nil && ctx.Err() == nil
}

// concerns reports whether a channel is to be told of a request: not of one that
// was over before it was told anything.
func concerns(channel string, a *store.Approval, d *store.Delivery) bool {
	if a.Kind == store.Glass && d.Told > 0 && a.State == store.Approved {
		return false // it was used: the reviews tell
	}
	if d.Told == 0 && a.State != store.Pending && a.Kind != store.Glass {
		return false
	}
	return len(a.Quorum.Channels) == 0 || slices.Contains(a.Quorum.Channels, channel)
}

// settle notes that a channel knows a request as it is.
func settle(d *store.Delivery, a *store.Approval, remind time.Time) {
	d.Told, d.Attempts, d.Due, d.Remind = a.Revision, 0, time.Time{}, remind
	d.Escalated = !a.Escalated.IsZero()
}

// send delivers a notice and notes in d how that went.
func (e *Engine) send(ctx context.Context, n Notifier, a *store.Approval, d *store.Delivery) {
	notice := e.notice(ctx, a, d)
	start := e.o.Now()
	ref, err := notify(ctx, n, notice)
	now := e.o.Now()
	if err != nil && ctx.Err() != nil {
		d.Due = now // the gateway stops: the next start goes on
		return
	}
	var final *permanent
	r := Report{Channel: n.Name(), Request: a.ID, Kind: notice.Kind, Attempt: notice.Attempt, Took: now.Sub(start), Err: err, Final: errors.As(err, &final)}
	e.o.Report(r)
	if err != nil && !r.Final {
		d.Attempts++
		d.Due = now.Add(backoff(d.Attempts))
		return
	}
	if ref != "" {
		d.Ref = ref
	}
	var remind time.Time
	if a.State == store.Pending && a.Quorum.Remind > 0 {
		remind = now.Add(a.Quorum.Remind)
	}
	settle(d, a, remind)
	if a.State == store.Approved && isGrant(a) {
		d.Due = now.Add(countEvery)
	}
}

// backoff is how long to wait behind the nth failure in a row.
func backoff(n int) time.Duration {
	return min(time.Second<<min(n-1, 20), backoffMost)
}

// notify calls a channel, which may hang or panic.
func notify(ctx context.Context, n Notifier, notice Notice) (ref string, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliverFor)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return n.Notify(ctx, notice)
}

func (e *Engine) notice(ctx context.Context, a *store.Approval, d *store.Delivery) Notice {
	n := Notice{ID: a.ID + "/" + strconv.FormatInt(a.Revision, 10), Kind: kindOf(a, d), Request: e.face(a), To: whom(a), Ref: d.Ref, Attempt: d.Attempts + 1}
	if n.Kind == Reminder {
		n.ID += "/" + strconv.FormatInt(d.Remind.Unix(), 10)
	}
	n.Request.Content, _ = e.content(a) // what cannot be opened is not shown
	if a.State == store.Pending {
		n.People = e.electorate(a)
	}
	e.background(ctx, a, &n.Request, func(*store.Approval) bool { return true })
	return n
}

var kinds = map[string]Kind{
	store.Approved: Approved, store.Rejected: Rejected, store.Withdrawn: Withdrawn, store.Expired: Expired, store.Used: Used,
}

// kindOf says what is new to the channel.
func kindOf(a *store.Approval, d *store.Delivery) Kind {
	switch {
	case a.Kind == store.Glass && a.State == store.Approved:
		return Broken
	case a.Kind == store.Glass:
		return Closed
	case a.Kind == store.Review && a.State != store.Pending:
		return Reviewed
	case a.Kind == store.Review && d.Told == 0:
		return Owed
	case a.State != store.Pending:
		return kinds[a.State]
	case d.Told == 0:
		return Asked
	case !a.Escalated.IsZero() && !d.Escalated:
		return Escalated
	case a.Revision > d.Told:
		return Voted
	}
	return Reminder
}

// maxElectorate bounds the people that a notice names.
const maxElectorate = 200

// electorate lists who could answer a request.
func (e *Engine) electorate(a *store.Approval) (people []access.Subject) {
	if e.o.Rolls == nil {
		return nil
	}
	for _, f := range whom(a) {
		for _, p := range e.o.Rolls.Members(f.Group) {
			if len(people) < maxElectorate && e.barred(a, p) == nil && !has(people, p) {
				people = append(people, p)
			}
		}
	}
	return people
}
