package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

// fake is a whole gateway behind the API: everything that handlers ask for, in memory.
type fake struct {
	callers  map[string]Caller // by Authorization header
	tokens   []v1.Token
	revoked  []string
	requests map[string]v1.Request
	mu       sync.Mutex // guards requests and news
	news     chan struct{}
	voted    []string
	sessions map[string]access.Subject
	killed   []string
	events   []*access.Event
	recorded []*access.Event
	journal  error // Record fails with it
	issueTTL time.Duration
	checks   map[string]string
	warnings []string
	asked    []v1.Question
	verdicts []v1.Verdict
	boom     bool
	url      string
	closed   []string

	started   []LoginAsk
	finished  []LoginFinish
	exchanged []Exchange
}

func newFake() *fake {
	f := &fake{news: make(chan struct{}), callers: map[string]Caller{}, requests: map[string]v1.Request{}, sessions: map[string]access.Subject{}, checks: map[string]string{"journal": "ok"}}
	f.callers["Bearer alice"] = Caller{Subject: person("alice"), Credential: "tok-alice"}
	f.callers["Bearer bob"] = Caller{Subject: person("bob"), Credential: "tok-bob"}
	f.callers["Bearer root"] = Caller{Subject: person("root"), Admin: true}
	f.callers["Bearer audit"] = Caller{Subject: person("audit"), Auditor: true}
	f.callers["Bearer nobody"] = Caller{}
	return f
}

func (f *fake) Authenticate(_ context.Context, header, _ string) (Caller, error) {
	if header == "Bearer slow" {
		return Caller{}, ErrTooMany
	}
	c, ok := f.callers[header]
	if !ok {
		return Caller{}, errors.New("no")
	}
	return c, nil
}

func (f *fake) Session(ctx context.Context, secret access.Secret) (Caller, error) {
	return f.Authenticate(ctx, "Bearer "+secret.Reveal(), "")
}

// Password takes a user's name for its password.
func (f *fake) Password(_ context.Context, user string, password access.Secret, _ string) (Opened, error) {
	c, ok := f.callers["Bearer "+user]
	switch {
	case user == "slow":
		return Opened{}, Errorf(ErrTooMany, "too many failed attempts")
	case !ok || password.Reveal() != user:
		return Opened{}, Errorf(ErrCredential, "user name or password not accepted")
	}
	return Opened{Caller: c, Secret: access.NewSecret(user)}, nil
}

func (f *fake) Close(_ context.Context, c Caller) error {
	f.closed = append(f.closed, c.Credential)
	return nil
}

func (f *fake) Providers() []string { return []string{"idp"} }

func (f *fake) Start(_ context.Context, ask LoginAsk) (Started, error) {
	if ask.Provider != "idp" {
		return Started{}, Errorf(ErrNotFound, "no provider")
	}
	f.started = append(f.started, ask)
	return Started{Attempt: access.NewSecret("attempt"), URL: "https://idp.test/authorize", State: "state", UserCode: "CODE", Interval: time.Second, Expires: noon.Add(time.Minute)}, nil
}

// Finish takes the code for the user's name.
func (f *fake) Finish(ctx context.Context, l LoginFinish) (Opened, error) {
	f.finished = append(f.finished, l)
	if l.Code == "" && l.Device {
		return Opened{}, ErrPending
	}
	if l.State != "state" || l.Attempt.Reveal() != "attempt" {
		return Opened{}, Errorf(ErrForbidden, "signing in failed")
	}
	return f.Password(ctx, l.Code, access.NewSecret(l.Code), "")
}

func (f *fake) Exchange(_ context.Context, e Exchange) (Opened, error) {
	f.exchanged = append(f.exchanged, e)
	if e.Subject.Reveal() == "bad" {
		return Opened{}, Errorf(ErrCredential, "not accepted")
	}
	return Opened{Caller: Caller{Subject: person("ci"), Expires: noon.Add(time.Minute)}, Secret: access.NewSecret("slc_x")}, nil
}

type fakeTokens struct{ *fake }

func (f fakeTokens) Issue(_ context.Context, c *Caller, ttl time.Duration) (v1.Token, error) {
	f.issueTTL = ttl
	return v1.Token{ID: "tok-1", User: c.Subject.ID, Secret: "slc_secret", Created: noon, Expires: noon.Add(time.Hour)}, nil
}

func (f fakeTokens) List(_ context.Context, user string) ([]v1.Token, error) {
	var out []v1.Token
	for _, t := range f.tokens {
		if user == "" || t.User == user {
			out = append(out, t)
		}
	}
	return out, nil
}

func (f fakeTokens) Revoke(_ context.Context, id string, by access.Subject) error {
	f.revoked = append(f.revoked, id+" by "+by.ID)
	return nil
}

type fakeResources struct{ *fake }

func (f fakeResources) List(_ context.Context, s access.Subject) ([]v1.Resource, error) {
	if f.boom {
		return nil, errors.New("secret detail of the inside")
	}
	return []v1.Resource{{Name: "shop", Protocol: "postgres", User: s.ID}}, nil
}

type fakeApprovals struct{ *fake }

func (f fakeApprovals) List(_ context.Context, c *Caller, q RequestFilter) ([]v1.Request, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []v1.Request
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(f.requests))) {
		r := f.requests[id]
		if (q.State == "" || r.State == q.State) && (q.After == "" || id < q.After) && (!q.Mine || r.Requester == c.Subject.ID) && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (f fakeApprovals) Show(_ context.Context, c *Caller, id string) (v1.Request, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.requests[id]
	if !ok {
		return r, Errorf(ErrNotFound, "no request %s", id)
	}
	return r, nil
}

func (f fakeApprovals) BreakGlass(_ context.Context, c *Caller, resource, reason string) (v1.Request, error) {
	if reason == "" {
		return v1.Request{}, Errorf(ErrInvalid, "no reason")
	}
	return v1.Request{ID: "req-glass", Kind: "break_glass", State: "approved", Requester: c.Subject.ID, Resource: resource, Reason: reason}, nil
}

func (f fakeApprovals) Look(ctx context.Context, c *Caller, id string) (v1.Request, error) {
	return f.Show(ctx, c, id)
}

func (f fakeApprovals) Vote(_ context.Context, c *Caller, id string, b Ballot) (v1.Request, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.requests[id]
	switch {
	case !ok:
		return r, Errorf(ErrNotFound, "no request %s", id)
	case r.Requester == c.Subject.ID:
		return r, WithCode(WithHint(Errorf(ErrForbidden, "nobody approves their own request"), "ask bob"), "self_approval")
	case r.State != "pending":
		return r, WithCode(Errorf(ErrConflict, "it is already %s", r.State), "closed")
	case b.Digest != "" && b.Digest != r.Digest:
		return r, WithCode(Errorf(ErrConflict, "another request"), "other_digest")
	}
	f.voted = append(f.voted, fmt.Sprintf("%s %v by %s: %s", id, b.Approve, c.Subject.ID, b.Reason))
	r.State = "approved"
	return r, nil
}

func (f fakeApprovals) Withdraw(_ context.Context, c *Caller, id string) (v1.Request, error) {
	f.mu.Lock()
	r := f.requests[id]
	f.mu.Unlock()
	if r.Requester != c.Subject.ID {
		return r, WithCode(Errorf(ErrForbidden, "not yours"), "not_yours")
	}
	r.State = "withdrawn"
	f.change(r)
	return r, nil
}

// change is what another caller does to a request meanwhile.
func (f *fake) change(r v1.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Changed = r.Changed.Add(time.Second)
	f.requests[r.ID] = r
	close(f.news)
	f.news = make(chan struct{})
}

func (f fakeApprovals) News() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

type fakeSessions struct{ *fake }

func (f fakeSessions) List(_ context.Context, past bool, see func(*access.Subject) bool) ([]v1.Session, error) {
	var out []v1.Session
	for id, s := range f.sessions {
		if see(&s) {
			out = append(out, v1.Session{ID: id, Subject: s.ID, Live: true})
		}
	}
	return out, nil
}

func (f fakeSessions) Get(_ context.Context, id string) (v1.Session, access.Subject, error) {
	s, ok := f.sessions[id]
	if !ok {
		return v1.Session{}, s, ErrNotFound
	}
	return v1.Session{ID: id, Subject: s.ID, Live: true}, s, nil
}

func (f fakeSessions) Kill(_ context.Context, id string, by access.Subject) error {
	if id == "ended" {
		return ErrConflict
	}
	f.killed = append(f.killed, id+" by "+by.ID)
	return nil
}

func (f fakeSessions) Recording(_ context.Context, id string) (io.ReadCloser, error) {
	if id == "silent" {
		return nil, ErrNotFound
	}
	return io.NopCloser(strings.NewReader("recording of " + id)), nil
}

type fakeAudit struct{ *fake }

func (f fakeAudit) Search(_ context.Context, q AuditFilter, yield func([]byte, *access.Event) error) error {
	for _, e := range f.events {
		if q.ID != "" && e.ID != q.ID || q.Ref != "" && e.Ref != q.Ref || q.Subject != "" && e.Subject.ID != q.Subject {
			continue
		}
		if err := yield([]byte(`{"id":"`+e.ID+`"}`), e); err != nil {
			return err
		}
	}
	return nil
}

func (f fakeAudit) Tail(ctx context.Context, q AuditFilter, yield func([]byte, *access.Event) error) error {
	return f.Search(ctx, q, yield)
}

func (f fakeAudit) Record(_ context.Context, e *access.Event) error {
	if f.journal != nil {
		return f.journal
	}
	f.recorded = append(f.recorded, e)
	return nil
}

func (f fakeAudit) Checkpoint(context.Context) (v1.Checkpoint, error) {
	return v1.Checkpoint{Note: "note\n", Key: "sluice+abc"}, nil
}

func (f fakeAudit) Verify(context.Context) (v1.Report, error) {
	return v1.Report{OK: true, Entries: 7}, nil
}

func (f *fake) Can(_ context.Context, q v1.Question, _ *Caller) ([]v1.Verdict, error) {
	f.asked = append(f.asked, q)
	return f.verdicts, nil
}

func (f *fake) Checks() map[string]string { return f.checks }
func (f *fake) Warnings() []string        { return f.warnings }

func (f *fake) config() Config {
	n := 0
	return Config{
		Identity: f, SignIn: f, Tokens: fakeTokens{f}, Resources: fakeResources{f}, Approvals: fakeApprovals{f}, Sessions: fakeSessions{f},
		Audit: fakeAudit{f}, Policy: f, Health: f,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "sluice_sessions 0\n") }),
		Log:     slog.New(slog.DiscardHandler), Now: func() time.Time { return noon },
		NewID: func() string { n++; return fmt.Sprintf("id-%d", n) }, Version: "test", URL: func() string { return f.url },
	}
}
