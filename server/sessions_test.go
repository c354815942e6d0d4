package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/pipeline"
	"sluice/store"
	"sluice/store/sqlite"
)

// A memory journal keeps events, or fails.
type memory struct {
	pipeline.Notifier // never asked
	mu                sync.Mutex
	events            []*access.Event
	err               error
}

func (m *memory) Append(events ...*access.Event) (access.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, events...)
	return access.Mark(len(m.events)), m.err
}

func (m *memory) Wait(context.Context, access.Mark) error { return m.err }

func sessionEvent(t access.EventType, id string, at time.Time) *access.Event {
	return &access.Event{Type: t, Session: id, Time: at, Subject: &access.Subject{Issuer: "local", ID: "alice"},
		Resource: &access.Resource{Name: "shop", Protocol: "postgres"}, Client: &access.Client{Address: "127.0.0.1:5"}}
}

func TestSessionLog(t *testing.T) {
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	l := newSessionLog(&memory{}, st, "node", slog.New(slog.DiscardHandler))
	opened, closed := sessionEvent(access.SessionOpened, "s1", noon), sessionEvent(access.SessionClosed, "s1", noon.Add(time.Minute))
	closed.Extra = map[string]any{"statements": int64(7), "denied": int64(1), "rows": int64(30)}
	l.Append(opened, sessionEvent(access.SessionOpened, "s2", noon))
	l.write(t.Context()) // the opening is stored before the end is known
	l.Append(closed)
	l.write(t.Context())
	rows, err := st.Sessions(t.Context(), store.SessionFilter{})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %d sessions", err, len(rows))
	}
	for _, r := range rows {
		if !r.Opened.Equal(noon) || r.Node != "node" || r.Subject.ID != "alice" {
			t.Errorf("%+v", r)
		}
		if r.ID == "s1" && (!r.Closed.Equal(noon.Add(time.Minute)) || r.Statements != 7 || r.Denied != 1 || r.Rows != 30) {
			t.Errorf("%+v", r)
		}
		if r.ID == "s2" && !r.Closed.IsZero() {
			t.Errorf("%+v", r)
		}
	}
}

func TestSessionLogPassesErrorsOn(t *testing.T) {
	l := newSessionLog(&memory{err: errors.New("disk gone")}, nil, "node", slog.New(slog.DiscardHandler))
	if _, err := l.Append(sessionEvent(access.SessionOpened, "s1", noon)); err == nil {
		t.Error("a failed append looks like a success")
	}
	if err := l.Wait(t.Context(), 1); err == nil {
		t.Error("a failed write looks durable")
	}
}

func TestSessionLogIsBounded(t *testing.T) {
	l := newSessionLog(&memory{}, nil, "node", slog.New(slog.DiscardHandler))
	for i := range maxUnwritten + 5 {
		l.note(sessionEvent(access.SessionOpened, string(rune('a'+i%26))+time.Duration(i).String(), noon))
	}
	if len(l.pending) != maxUnwritten || l.lost != 5 {
		t.Errorf("%d waiting, %d lost", len(l.pending), l.lost)
	}
}

// Whoever had a session finds it, however many others have had since.
func TestPastSessionsOfOne(t *testing.T) {
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(i int, who string) {
		err := st.PutSession(t.Context(), store.Session{ID: fmt.Sprintf("%s%04d", who, i), Subject: access.Subject{Issuer: "local", ID: who}, Opened: noon.Add(time.Duration(i/3) * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(0, "alice")
	for i := range maxListed + 10 {
		put(i, "bob")
	}
	s := sessions{store: st}
	for who, want := range map[string]int{"alice": 1, "bob": maxListed, "carol": 0} {
		found, err := s.past(t.Context(), func(of *access.Subject) bool { return of.ID == who })
		if err != nil || len(found) != want {
			t.Errorf("%s: %d sessions, %v", who, len(found), err)
		}
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
