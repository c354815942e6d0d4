package approval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/store"
)

var ctx = context.Background()

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// memory is a store that survives an engine.
type memory struct {
	mu   sync.Mutex
	rows []store.Approval
	told []store.Delivery
	// failCommit makes the next updates fail after change has run, as a crash
	// between journal and store does.
	failCommit bool
}

func clone(a store.Approval) store.Approval {
	a.Votes = slices.Clone(a.Votes)
	a.Sealed = slices.Clone(a.Sealed)
	return a
}

func (m *memory) CreateApproval(_ context.Context, a store.Approval) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.ID == a.ID {
			return store.ErrExists
		}
	}
	m.rows = append(m.rows, clone(a))
	return nil
}

func (m *memory) Approval(_ context.Context, id string) (store.Approval, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.ID == id {
			return clone(r), nil
		}
	}
	return store.Approval{}, store.ErrNotFound
}

func (m *memory) Approvals(_ context.Context, f store.ApprovalFilter) (out []store.Approval, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if (f.AnyKind || f.Kind == r.Kind) && (len(f.States) == 0 || slices.Contains(f.States, r.State)) &&
			(f.Issuer == "" || f.Issuer == r.Requester.Issuer) && (f.Requester == "" || f.Requester == r.Requester.ID) &&
			(f.Digest == nil || *f.Digest == r.Digest) && (f.Shape == nil || *f.Shape == r.Shape) &&
			(f.Fingerprint == "" || f.Fingerprint == r.Fingerprint) && (f.Resource == "" || f.Resource == r.Resource.Name) &&
			(f.Before.IsZero() || r.Created.Before(f.Before)) && (f.ExpiresBefore.IsZero() || !r.Expires.After(f.ExpiresBefore)) {
			out = append(out, clone(r))
		}
	}
	slices.SortStableFunc(out, func(a, b store.Approval) int { return cmp.Compare(b.Created.UnixMicro(), a.Created.UnixMicro()) })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out, nil
}

func (m *memory) UpdateApproval(_ context.Context, id string, change func(*store.Approval) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rows {
		if m.rows[i].ID == id {
			a := clone(m.rows[i])
			if err := change(&a); err != nil {
				return err
			}
			if m.failCommit {
				return errors.New("power cut")
			}
			a.Revision++
			m.rows[i] = a
			return nil
		}
	}
	return store.ErrNotFound
}

func (m *memory) delivery(channel, id string) store.Delivery {
	for _, d := range m.told {
		if d.Channel == channel && d.Approval == id {
			return d
		}
	}
	return store.Delivery{Channel: channel, Approval: id}
}

func (m *memory) ClaimDelivery(_ context.Context, channel string, now, until, since time.Time) (store.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		d := m.delivery(channel, r.ID)
		remind := r.State == store.Pending && !d.Remind.IsZero() && !d.Remind.After(now)
		if !r.Changed.Before(since) && !d.Due.After(now) && (r.Revision > d.Told || remind) {
			d.Due = until
			m.keep(d)
			return d, nil
		}
	}
	return store.Delivery{}, store.ErrNotFound
}

func (m *memory) keep(d store.Delivery) {
	m.told = slices.DeleteFunc(m.told, func(o store.Delivery) bool { return o.Channel == d.Channel && o.Approval == d.Approval })
	m.told = append(m.told, d)
}

func (m *memory) SaveDelivery(_ context.Context, d store.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(d)
	return nil
}

// notes is a journal that can break.
type notes struct {
	mu     sync.Mutex
	events []access.Event
	broken bool
}

func (n *notes) Append(events ...*access.Event) (access.Mark, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken {
		return 0, errors.New("disk full")
	}
	for _, e := range events {
		n.events = append(n.events, *e)
	}
	return access.Mark(len(n.events)), nil
}

func (n *notes) Wait(context.Context, access.Mark) error { return nil }

func (n *notes) types(id string) (out []access.EventType) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Approval.Request == id {
			out = append(out, e.Type)
		}
	}
	return out
}

// town is who lives where now.
type town struct {
	mu     sync.Mutex
	people map[string]access.Subject
}

func (d *town) Lookup(issuer, id string) (access.Subject, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.people[id]; ok && issuer == s.Issuer {
		return s, nil
	}
	return access.Subject{}, fmt.Errorf("no %s/%s", issuer, id)
}

func (d *town) move(id string, groups ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.people[id]
	s.Groups = groups
	d.people[id] = s
}

// world is what outlives an engine.
type world struct {
	memory
	notes
	town
	now func() time.Time
}

func human(id string, groups ...string) access.Subject {
	return access.Subject{Issuer: "local", ID: id, Kind: access.Human, Email: id + "@example.test", Groups: groups}
}

func newWorld() *world {
	w := &world{now: func() time.Time { return noon }}
	w.people = map[string]access.Subject{}
	bot := access.Subject{Issuer: "local", ID: "bot", Kind: access.Agent, Owner: "bob", Groups: []string{"engineering", "dba"}}
	twin := human("bob-at-work", "dba", "security")
	twin.Email = "BOB@example.test"
	for _, s := range []access.Subject{
		human("alice", "engineering", "dba"), human("bob", "dba"), human("carol", "dba", "security"),
		human("dan", "security"), human("eve", "sales"), human("root", "platform"), bot, twin,
	} {
		w.people[s.ID] = s
	}
	return w
}

type failer interface {
	Helper()
	Fatal(...any)
}

func (w *world) open(t failer) *Engine {
	t.Helper()
	e, err := New(Options{
		Store: &w.memory, Journal: &w.notes, People: &w.town, Key: access.NewSecret("0123456789abcdef0123456789abcdef"),
		SeesAll: func(s access.Subject) bool { return s.In("platform") },
		URL:     func(id string) string { return "http://gw/requests/" + id },
		Now:     func() time.Time { return w.now() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w *world) who(id string) access.Subject {
	s, err := w.Lookup("local", id)
	if err != nil {
		panic(err)
	}
	return s
}

func (w *world) state(id string) string {
	a, err := w.Approval(ctx, id)
	if err != nil {
		return err.Error()
	}
	return a.State
}

// ask is a request of subject for text that nobody waits for.
func ask(s access.Subject, text string) access.Request {
	r := access.Request{
		Subject: s, Resource: access.Resource{Name: "shop", Protocol: "postgres"},
		Action: access.Action{Verb: access.VerbDelete, Op: "DELETE", Text: text, Shown: "DELETE ... [redacted]",
			Args: []access.Arg{{Value: []byte("4111111111111111"), Type: 25, Secret: true}}},
	}
	r.Context.Wait = -1
	r.Context.Session.ID = "session-1"
	r.Context.Reason = "cleaning up"
	return r
}

func demand(from ...access.Approvers) access.Decision {
	return access.Decision{ID: "decision-1", Effect: access.RequireApproval, Approval: access.Quorum{From: from, Expires: 15 * time.Minute, Rules: []string{"p/r"}}}
}

var oneDBA = access.Approvers{Group: "dba", Count: 1}

func noTell(access.Pending) {}

// requested asks and returns the id of the pending request.
func requested(t failer, e *Engine, r access.Request, d access.Decision) string {
	t.Helper()
	_, err := e.Approve(ctx, r, d, noTell)
	var p *access.PendingError
	if !errors.As(err, &p) {
		t.Fatal("not pending:", err)
	}
	return p.Pending.ID
}

// claim asks again and uses what comes.
func claim(e *Engine, r access.Request, d access.Decision) error {
	a, err := e.Approve(ctx, r, d, noTell)
	if err != nil {
		return err
	}
	if !a.Approved {
		return errors.New(a.State)
	}
	return e.Use(ctx, a)
}

func vote(t *testing.T, e *Engine, w *world, id, voter string, approve bool) {
	t.Helper()
	if _, err := e.Vote(ctx, id, w.who(voter), approve, ""); err != nil {
		t.Fatalf("%s could not vote: %v", voter, err)
	}
}
