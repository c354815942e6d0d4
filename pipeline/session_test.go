package pipeline

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/access"
)

// A world is a gate whose every part can be made to misbehave.
type world struct {
	mu        sync.Mutex
	decide    func(access.Request) access.Decision
	version   uint64
	posture   access.Posture
	approve   func(context.Context, access.Request) (access.Approval, error)
	uses      int
	useErr    error
	appendErr error
	waitErr   error
	identity  error
	idVersion uint64
	groups    []string
	events    []access.Event
	decided   int
	now       time.Time
}

func (w *world) Decide(r access.Request) access.Decision { w.decided++; return w.decide(r) }
func (w *world) Result(_ access.Request, _ access.Decision, cols []access.Column) ([]access.Mask, error) {
	return make([]access.Mask, len(cols)), nil
}
func (w *world) Posture(access.Subject, access.Resource) access.Posture { return w.posture }
func (w *world) Version() uint64                                        { return w.version }
func (w *world) Approve(ctx context.Context, r access.Request, d access.Decision, tell func(access.Pending)) (access.Approval, error) {
	tell(access.Pending{ID: "req"})
	return w.approve(ctx, r)
}
func (w *world) Use(context.Context, access.Approval) error {
	w.uses++
	return w.useErr
}
func (w *world) Append(es ...*access.Event) (access.Mark, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.appendErr != nil {
		return 0, w.appendErr
	}
	for _, e := range es {
		c := *e
		if e.Decision != nil {
			d := *e.Decision
			c.Decision = &d
		}
		if e.Outcome != nil {
			o := *e.Outcome
			c.Outcome = &o
		}
		w.events = append(w.events, c)
	}
	return access.Mark(len(w.events)), nil
}
func (w *world) Wait(context.Context, access.Mark) error { return w.waitErr }

type identity struct{ w *world }

func (i identity) Version() uint64 { return i.w.idVersion }
func (i identity) Current(s access.Subject, _ string) (access.Subject, error) {
	s.Groups = i.w.groups
	return s, i.w.identity
}

func newWorld() *world {
	return &world{
		decide:  func(access.Request) access.Decision { return access.Decision{Effect: access.Allow} },
		version: 1, posture: access.Posture{May: true}, now: time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC),
		approve: func(context.Context, access.Request) (access.Approval, error) {
			return access.Approval{}, errors.New("nobody answered")
		},
	}
}

func (w *world) gate() *Gate {
	return &Gate{Decider: w, Approver: w, Journal: w, Identity: identity{w}, Now: func() time.Time { return w.now }, Meter: NewMeter(), MaxHold: time.Minute}
}

func (w *world) open(t *testing.T) *Session {
	t.Helper()
	s, err := w.gate().Open(t.Context(), Login{Subject: access.Subject{Issuer: "local", ID: "ann"}}, access.Resource{Name: "shop"}, access.Client{},
		func(_ *access.Action, o access.Obligation) error {
			if _, ok := o.(access.Mask); ok {
				return errors.New("cannot mask")
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	s.Tell = func(access.Pending) {}
	return s
}

func yes(r access.Request, w *world) access.Approval {
	return access.Approval{ID: "req", Digest: r.Digest(), Approved: true, State: "approved", Expires: w.now.Add(time.Hour)}
}

var remove = access.Action{Verb: access.VerbDelete, Op: "DELETE", Text: "delete from t", Confidence: access.Exact}

func TestWhatMayRun(t *testing.T) {
	asks := func(access.Request) access.Decision { return access.Decision{Effect: access.RequireApproval} }
	// A policy asks until it sees the approval.
	satisfied := func(r access.Request) access.Decision {
		if r.Context.Approved != nil {
			return access.Decision{Effect: access.Allow}
		}
		return access.Decision{Effect: access.RequireApproval}
	}
	answer := func(change func(*access.Approval)) func(*world) {
		return func(w *world) {
			w.decide = satisfied
			w.approve = func(_ context.Context, r access.Request) (access.Approval, error) {
				a := yes(r, w)
				change(&a)
				return a, nil
			}
		}
	}
	for _, tt := range []struct {
		name string
		with func(*world)
		runs bool
		says string
	}{
		{name: "allow", with: func(*world) {}, runs: true},
		{name: "zero decision", with: func(w *world) { w.decide = func(access.Request) access.Decision { return access.Decision{} } }},
		{name: "unknown effect", with: func(w *world) {
			w.decide = func(access.Request) access.Decision { return access.Decision{Effect: 99} }
		}},
		{name: "decider panics", with: func(w *world) { w.decide = func(access.Request) access.Decision { panic("boom") } }, says: "boom"},
		{name: "obligation fulfilled", with: func(w *world) {
			w.decide = func(access.Request) access.Decision {
				return access.Decision{Effect: access.Allow, Obligations: []access.Obligation{access.Limit{Rows: 1}}}
			}
		}, runs: true},
		{name: "obligation not fulfillable", with: func(w *world) {
			w.decide = func(access.Request) access.Decision {
				return access.Decision{Effect: access.Allow, Obligations: []access.Obligation{access.Mask{}}}
			}
		}, says: "cannot mask"},
		{name: "nobody answers", with: func(w *world) { w.decide = asks }, says: "nobody answered"},
		{name: "approved", with: answer(func(*access.Approval) {}), runs: true},
		{name: "approval of another request", with: answer(func(a *access.Approval) { a.Digest[0]++ }), says: "another request"},
		{name: "rejected", with: answer(func(a *access.Approval) { a.Approved = false; a.Reason = "not today" }), says: "not today"},
		{name: "expired", with: answer(func(a *access.Approval) { a.Expires = time.Unix(0, 0) }), says: "expired"},
		{name: "used before", with: func(w *world) {
			answer(func(*access.Approval) {})(w)
			w.useErr = errors.New("already used")
		}, says: "already used"},
		{name: "the policy changed its mind", with: func(w *world) {
			w.approve = func(_ context.Context, r access.Request) (access.Approval, error) {
				w.decide = func(access.Request) access.Decision { return access.Decision{Message: "frozen"} }
				return yes(r, w), nil
			}
			w.decide = asks
		}, says: "frozen"},
		{name: "the policy still asks", with: func(w *world) {
			w.decide = asks
			w.approve = func(_ context.Context, r access.Request) (access.Approval, error) { return yes(r, w), nil }
		}},
		{name: "journal refuses", with: func(w *world) { w.appendErr = errors.New("disk full") }, says: "journal"},
		{name: "journal cannot sync", with: func(w *world) { w.waitErr = errors.New("EIO") }, says: "journal"},
		{name: "user removed", with: func(w *world) { w.identity = errors.New("ann is no user any more"); w.idVersion++ }, says: "no user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			s := w.open(t)
			tt.with(w)
			ran := false
			err := s.Do(t.Context(), remove, func(context.Context, *Permit) (access.Outcome, error) {
				ran = true
				return access.Outcome{}, nil
			})
			if ran != tt.runs || (err == nil) != tt.runs {
				t.Errorf("ran = %v, err = %v; want ran = %v", ran, err, tt.runs)
			}
			if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("err = %v, want it to say %q", err, tt.says)
			}
		})
	}
}

func TestBatchIsRefusedAsAWhole(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	w.decide = func(r access.Request) access.Decision {
		if r.Action.Verb == access.VerbDrop {
			return access.Decision{Message: "no drops"}
		}
		return access.Decision{Effect: access.Allow}
	}
	_, err := s.Ask(t.Context(), remove, access.Action{Verb: access.VerbDrop})
	var d *Denied
	if !errors.As(err, &d) || d.Index != 1 {
		t.Fatalf("err = %v", err)
	}
	var types []string
	for _, e := range w.events[1:] {
		types = append(types, string(e.Type))
	}
	if got := strings.Join(types, " "); got != "action.decided action.decided action.completed" {
		t.Errorf("events: %s", got)
	}
	last := w.events[len(w.events)-1]
	if !last.Outcome.NotRun || last.Ref != w.events[1].ID {
		t.Errorf("the allowed action is not recorded as not run: %+v", last)
	}
}

func TestNobodyIsAskedAboutABatchThatIsDeniedAnyway(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	asked := false
	w.approve = func(context.Context, access.Request) (access.Approval, error) {
		asked = true
		return access.Approval{}, errors.New("x")
	}
	w.decide = func(r access.Request) access.Decision {
		if r.Action.Verb == access.VerbDrop {
			return access.Decision{}
		}
		return access.Decision{Effect: access.RequireApproval}
	}
	if _, err := s.Ask(t.Context(), remove, access.Action{Verb: access.VerbDrop}); err == nil || asked {
		t.Errorf("err = %v, asked = %v", err, asked)
	}
}

func TestStableDecisionsAreRememberedUntilThePolicyChanges(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	w.decide = func(access.Request) access.Decision { return access.Decision{Effect: access.Allow, Stable: true} }
	a := remove
	a.Origin = new(access.Origin)
	for range 3 {
		if _, err := s.Ask(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if w.decided != 1 {
		t.Errorf("decided %d times, want 1", w.decided)
	}
	w.version, w.decide = 2, func(access.Request) access.Decision { return access.Decision{} }
	if _, err := s.Ask(t.Context(), a); err == nil {
		t.Error("the old decision outlived its policy")
	}
	w.version, w.decide = 3, func(access.Request) access.Decision { return access.Decision{Effect: access.Allow} }
	before := w.decided
	s.Ask(t.Context(), a)
	s.Ask(t.Context(), a)
	if w.decided != before+2 {
		t.Error("an unstable decision was remembered")
	}
}

func TestGroupsBindAtTheNextStatement(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	w.decide = func(r access.Request) access.Decision {
		if r.Subject.In("dba") {
			return access.Decision{Effect: access.Allow}
		}
		return access.Decision{}
	}
	if _, err := s.Ask(t.Context(), remove); err == nil {
		t.Fatal("allowed without the group")
	}
	w.groups, w.idVersion = []string{"dba"}, w.idVersion+1
	if _, err := s.Ask(t.Context(), remove); err != nil {
		t.Fatalf("denied with the group: %v", err)
	}
}

func TestOpenNeedsAPolicyThatCouldAllow(t *testing.T) {
	w := newWorld()
	w.posture = access.Posture{}
	if _, err := w.gate().Open(t.Context(), Login{}, access.Resource{Name: "shop"}, access.Client{}, nil); err == nil {
		t.Fatal("opened")
	}
	if n := len(w.events); n != 1 || w.events[0].Type != access.SessionRefused {
		t.Errorf("events: %+v", w.events)
	}
}

func TestIncompleteGateOpensNothing(t *testing.T) {
	for i := range 6 {
		g := newWorld().gate()
		switch i {
		case 0:
			g.Decider = nil
		case 1:
			g.Approver = nil
		case 2:
			g.Journal = nil
		case 3:
			g.Identity = nil
		case 4:
			g.Now = nil
		case 5:
			g.Meter = nil
		}
		if _, err := g.Open(t.Context(), Login{}, access.Resource{}, access.Client{}, nil); err == nil {
			t.Errorf("part %d is missing, and the gate opened", i)
		}
	}
}

func TestWithdrawnAndHeldTooLong(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	w.decide = func(access.Request) access.Decision { return access.Decision{Effect: access.RequireApproval} }
	ctx, cancel := context.WithCancel(t.Context())
	w.approve = func(ctx context.Context, _ access.Request) (access.Approval, error) {
		cancel()
		<-ctx.Done()
		return access.Approval{}, ctx.Err()
	}
	_, err := s.Ask(ctx, remove)
	var d *Denied
	if !errors.As(err, &d) || !d.Withdrawn {
		t.Errorf("err = %v, want withdrawn", err)
	}
	s.InTransaction = true
	s.gate.MaxHold = time.Millisecond
	w.approve = func(ctx context.Context, _ access.Request) (access.Approval, error) {
		<-ctx.Done()
		return access.Approval{}, ctx.Err()
	}
	if _, err = s.Ask(t.Context(), remove); err == nil || !strings.Contains(err.Error(), "max_hold") {
		t.Errorf("err = %v, want max_hold", err)
	}
}

func TestPendingIsHandedOn(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	w.decide = func(access.Request) access.Decision { return access.Decision{Effect: access.RequireApproval} }
	w.approve = func(context.Context, access.Request) (access.Approval, error) {
		return access.Approval{}, &access.PendingError{Pending: access.Pending{ID: "req-7"}}
	}
	_, err := s.Ask(t.Context(), remove)
	var d *Denied
	if !errors.As(err, &d) || d.Pending == nil || d.Pending.ID != "req-7" {
		t.Errorf("err = %#v", err)
	}
}

func TestPreviewLeavesNoTrace(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	n := len(w.events)
	if s.Preview(remove).Effect != access.Allow || len(w.events) != n || s.statements != 0 {
		t.Error("a preview was recorded or counted")
	}
}

func TestDoneCountsOnce(t *testing.T) {
	w := newWorld()
	s := w.open(t)
	ps, err := s.Ask(t.Context(), remove)
	if err != nil {
		t.Fatal(err)
	}
	ps[0].Done(access.Outcome{Rows: 3})
	ps[0].Done(access.Outcome{Rows: 4})
	var rows int64
	for _, e := range w.events {
		if e.Type == access.ActionCompleted {
			rows += e.Outcome.Rows
		}
	}
	if rows != 3 || s.rows.Load() != 3 {
		t.Errorf("rows = %d, %d; want 3", rows, s.rows.Load())
	}
}

func TestMeterWindows(t *testing.T) {
	var ta tally
	start := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	for i := range 7200 { // one a second for two hours
		ta.add(countStatements, 1, start.Add(time.Duration(i)*time.Second))
	}
	now := start.Add(7199 * time.Second)
	for _, tt := range []struct {
		window   time.Duration
		min, max int64
	}{
		{time.Second, 1, 1}, {10 * time.Second, 10, 10}, {time.Minute, 60, 60},
		{10 * time.Minute, 600, 660}, {time.Hour, 3600, 3660}, {24 * time.Hour, 7200, 7200}, {0, 0, 0},
	} {
		if got := ta.count(countStatements, tt.window, now); got < tt.min || got > tt.max {
			t.Errorf("count(%v) = %d, want %d to %d", tt.window, got, tt.min, tt.max)
		}
	}
	if got := ta.count(countStatements, time.Minute, now.Add(2*time.Minute)); got != 0 {
		t.Errorf("two minutes later: %d", got)
	}
}

// What an approver is given can be stored as it shows itself; the text and values
// that run are there as well, and the digest is over those.
func TestApproverGetsWhatMayBeStored(t *testing.T) {
	w := newWorld()
	w.decide = func(r access.Request) access.Decision {
		if r.Context.Approved != nil {
			return access.Decision{Effect: access.Allow}
		}
		return access.Decision{Effect: access.RequireApproval}
	}
	asked := access.Action{Verb: access.VerbUpdate, Text: "SET email = 'needle'", Args: []access.Arg{{Value: []byte("needle")}}}
	w.approve = func(_ context.Context, r access.Request) (access.Approval, error) {
		if r.Action.Visible() != "SET email = ..." || !r.Action.Args[0].Secret || r.Action.Text != asked.Text || string(r.Action.Args[0].Value) != "needle" {
			t.Errorf("%+v", r.Action)
		}
		return yes(access.Request{Subject: r.Subject, Resource: r.Resource, Action: asked}, w), nil
	}
	s := w.open(t)
	s.Redact = func(a *access.Action, _ *access.Decision) {
		a.Shown, a.Args = "SET email = ...", []access.Arg{{Value: a.Args[0].Value, Secret: true}}
	}
	if _, err := s.Ask(t.Context(), asked); err != nil {
		t.Error(err)
	}
	if asked.Args[0].Secret {
		t.Error("the caller's action was changed")
	}
}
