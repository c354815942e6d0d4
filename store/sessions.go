package store

import (
	"context"
	"time"

	"sluice/access"
)

// A Session is one connection of a subject to a resource, for listings. What
// happened in it is the journal's matter.
type Session struct {
	ID         string
	Node       string // the gateway it runs on, so that a restart can end what a crash left
	Subject    access.Subject
	Resource   access.Resource
	Client     access.Client
	Opened     time.Time
	Closed     time.Time // zero: open
	Why        string    // it ended
	Statements int64
	Denied     int64
	Rows       int64
}

// A SessionFilter selects sessions; zero fields do not restrict.
type SessionFilter struct {
	ID       string
	Node     string
	Issuer   string
	Subject  string // the subject's ID
	Resource string
	Open     bool // only those that are not closed
	Since    time.Time
	Until    time.Time // opened then or before
	Limit    int       // zero: no limit
}

// Sessions keeps the list of sessions. The last changes may be lost in a power
// failure: the journal has them. Implementations are safe for concurrent use.
type Sessions interface {
	// PutSession adds a session, or replaces the one of the same ID.
	PutSession(ctx context.Context, s Session) error
	// Sessions lists sessions, newest first.
	Sessions(ctx context.Context, f SessionFilter) ([]Session, error)
	// EndSessions closes what f selects and is still open, and says how many.
	EndSessions(ctx context.Context, f SessionFilter, at time.Time, why string) (int, error)
	// PurgeSessions deletes sessions that closed before the given time.
	PurgeSessions(ctx context.Context, before time.Time) (int, error)
}
