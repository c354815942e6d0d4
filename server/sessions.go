package server

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/pipeline"
	"sluice/protocol/postgres"
	"sluice/store"
)

// maxUnwritten bounds the sessions that wait for the store. The list of
// sessions is a convenience: what happened stands in the journal.
const maxUnwritten = 20_000

// A sessionLog keeps the store's list of sessions from what passes on its way
// to the journal. It never makes a session wait.
type sessionLog struct {
	pipeline.Notifier
	store store.Sessions
	node  string
	log   *slog.Logger

	mu      sync.Mutex // guards what follows
	pending map[string]store.Session
	lost    int
	wake    chan struct{} // capacity 1
}

func newSessionLog(j pipeline.Notifier, s store.Sessions, node string, log *slog.Logger) *sessionLog {
	return &sessionLog{Notifier: j, store: s, node: node, log: log, pending: map[string]store.Session{}, wake: make(chan struct{}, 1)}
}

// Append notes sessions that open and close.
func (l *sessionLog) Append(events ...*access.Event) (access.Mark, error) {
	mark, err := l.Notifier.Append(events...)
	for _, e := range events {
		if e.Type == access.SessionOpened || e.Type == access.SessionClosed {
			l.note(e)
		}
	}
	return mark, err
}

func (l *sessionLog) note(e *access.Event) {
	if e.Subject == nil || e.Resource == nil || e.Client == nil {
		return
	}
	l.mu.Lock()
	s, known := l.pending[e.Session]
	if !known && len(l.pending) >= maxUnwritten {
		l.lost++
		l.mu.Unlock()
		return
	}
	s.ID, s.Node, s.Subject, s.Resource, s.Client = e.Session, l.node, *e.Subject, *e.Resource, *e.Client
	if e.Type == access.SessionOpened {
		s.Opened = e.Time
	} else {
		s.Closed, s.Why = e.Time, e.Message
		s.Statements, s.Denied, s.Rows = number(e.Extra["statements"]), number(e.Extra["denied"]), number(e.Extra["rows"])
	}
	l.pending[e.Session] = s
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

// run writes what is pending until ctx ends, and then once more.
func (l *sessionLog) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			l.write(context.WithoutCancel(ctx))
			return
		case <-l.wake:
			l.write(ctx)
		}
	}
}

func (l *sessionLog) write(ctx context.Context) {
	l.mu.Lock()
	batch, lost := l.pending, l.lost
	l.pending, l.lost = map[string]store.Session{}, 0
	l.mu.Unlock()
	if lost > 0 {
		l.log.Warn("sessions were left out of the list of sessions; the journal has them", "count", lost)
	}
	for _, s := range batch {
		if err := l.put(ctx, s); err != nil {
			l.log.Error("list of sessions", "error", err)
			return
		}
	}
}

// put stores a session; one whose opening was written before keeps that time.
func (l *sessionLog) put(ctx context.Context, s store.Session) error {
	if s.Opened.IsZero() {
		old, err := l.store.Sessions(ctx, store.SessionFilter{ID: s.ID, Limit: 1})
		if err != nil {
			return err
		}
		if len(old) == 1 {
			s.Opened = old[0].Opened
		}
	}
	return l.store.PutSession(ctx, s)
}

// sessions gives the API its view: live ones from the protocols, past ones from
// the store.
type sessions struct {
	live      *postgres.Server
	store     store.Sessions
	recording func(id string) (io.ReadCloser, error) // api.ErrNotFound if there is none
	recorded  func(id string) bool
	record    func(context.Context, *access.Event) error // durable on return
}

// Bounds of a listing of past sessions: how many are shown, and how many are
// looked at to find them.
const (
	maxListed = 1000
	maxLooked = 50 * maxListed
)

func (s sessions) List(ctx context.Context, past bool, see func(*access.Subject) bool) ([]v1.Session, error) {
	var out []v1.Session
	running := map[string]bool{}
	for _, i := range s.live.Sessions() {
		running[i.ID] = true
		if see(&i.Subject) {
			out = append(out, s.liveSession(i))
		}
	}
	if past {
		rows, err := s.past(ctx, see)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if !running[r.ID] {
				out = append(out, s.pastSession(r))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b v1.Session) int { return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(b.ID, a.ID)) })
	return out, nil
}

// past finds the newest sessions that see admits, page by page: the newest of all
// may all be others'.
func (s sessions) past(ctx context.Context, see func(*access.Subject) bool) (found []store.Session, err error) {
	seen, f := map[string]bool{}, store.SessionFilter{Limit: maxListed}
	for len(found) < maxListed && len(seen) < maxLooked {
		rows, err := s.store.Sessions(ctx, f)
		if err != nil {
			return nil, err
		}
		fresh := false
		for _, r := range rows {
			if seen[r.ID] {
				continue // at the same moment as the page before ended
			}
			seen[r.ID], fresh = true, true
			if see(&r.Subject) {
				found = append(found, r)
			}
		}
		if len(rows) < f.Limit || !fresh {
			break
		}
		f.Until = rows[len(rows)-1].Opened
	}
	return found[:min(len(found), maxListed)], nil
}

func (s sessions) liveSession(i postgres.SessionInfo) v1.Session {
	return v1.Session{ID: i.ID, Subject: api.Name(&i.Subject), Resource: api.ResourceName(&i.Resource), Protocol: i.Resource.Protocol,
		Client: i.Client.Address, Opened: i.Opened, Live: true, Recorded: s.recorded(i.ID)}
}

func (s sessions) pastSession(r store.Session) v1.Session {
	return v1.Session{ID: r.ID, Subject: api.Name(&r.Subject), Resource: api.ResourceName(&r.Resource), Protocol: r.Resource.Protocol,
		Client: r.Client.Address, Opened: r.Opened, Closed: r.Closed, Statements: r.Statements, Denied: r.Denied, Rows: r.Rows, Recorded: s.recorded(r.ID)}
}

func (s sessions) Get(ctx context.Context, id string) (v1.Session, access.Subject, error) {
	for _, i := range s.live.Sessions() {
		if i.ID == id {
			return s.liveSession(i), i.Subject, nil
		}
	}
	rows, err := s.store.Sessions(ctx, store.SessionFilter{ID: id, Limit: 1})
	if err != nil {
		return v1.Session{}, access.Subject{}, err
	}
	if len(rows) == 0 || rows[0].ID != id {
		return v1.Session{}, access.Subject{}, api.ErrNotFound
	}
	return s.pastSession(rows[0]), rows[0].Subject, nil
}

// Kill records who ends the session before it does.
func (s sessions) Kill(ctx context.Context, id string, by access.Subject) error {
	all := s.live.Sessions()
	i := slices.IndexFunc(all, func(i postgres.SessionInfo) bool { return i.ID == id })
	if i < 0 {
		return api.ErrConflict
	}
	extra := map[string]any{"of": api.Name(&all[i].Subject)}
	if err := s.record(ctx, &access.Event{Type: access.SessionKilled, Session: id, Subject: &by, Resource: &all[i].Resource, Extra: extra}); err != nil {
		return err
	}
	if !s.live.Kill(id) {
		return api.ErrConflict
	}
	return nil
}

func (s sessions) Recording(_ context.Context, id string) (io.ReadCloser, error) {
	return s.recording(id)
}
