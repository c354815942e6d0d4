package postgres

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/pgtest"
	"sluice/protocol"
	"sluice/query/catalog"
)

func catalogBuild(rows catalog.Rows) (*catalog.Snapshot, error) { return catalog.Build(rows, nil) }

func newTestCatalogs(t *testing.T) *catalogs {
	t.Helper()
	c := &catalogs{Build: catalogBuild, Poll: time.Hour, Idle: time.Hour, Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(c.close)
	return c
}

func catalogFresh(t *testing.T, l *catalogLoader) *catalog.Snapshot {
	t.Helper()
	s, err := l.Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCatalogFollowsTheDatabase(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE customers (id int PRIMARY KEY, email text)", "CREATE VIEW mails AS SELECT email FROM customers")
	c := newTestCatalogs(t)
	l := c.acquire(upstreamTarget(s, db))
	defer l.release()
	first, err := l.Ready(t.Context())
	if err != nil || first != l.Snapshot() {
		t.Fatal(err)
	}
	r := first.Lookup("public", "customers")
	if r == nil || len(r.Columns) != 2 || r.Columns[1].Name != "email" || !r.Columns[0].NotNull {
		t.Fatalf("customers: %+v", r)
	}
	if first.Lookup("public", "mails") == nil || first.Lookup("pg_catalog", "pg_class") == nil {
		t.Error("view or system relation missing")
	}
	if again := catalogFresh(t, l); again != first {
		t.Error("an equal catalog replaced the snapshot")
	}
	s.Exec(t, db, "ALTER TABLE customers ADD COLUMN card text")
	second := catalogFresh(t, l)
	if second == first || len(second.Lookup("public", "customers").Columns) != 3 || l.Snapshot() != second {
		t.Error("the new column was not seen")
	}
	if len(r.Columns) != 2 {
		t.Error("the old snapshot changed")
	}
}

// Invalidate brings a change in without anybody waiting for it.
func TestCatalogInvalidate(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	if _, err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, db, "CREATE TABLE later (n int)")
	for range 100 {
		l.Invalidate()
	}
	eventually(t, func() bool { return l.Snapshot().Lookup("public", "later") != nil })
}

// eventually polls until ok; a test that needs 30 s has failed.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came true")
		}
	}
}

func TestCatalogPolls(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	c := newTestCatalogs(t)
	c.Poll = 10 * time.Millisecond
	l := c.acquire(upstreamTarget(s, db))
	if _, err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, db, "CREATE TABLE later (n int)")
	eventually(t, func() bool { return l.Snapshot().Lookup("public", "later") != nil })
}

// Sessions at one database share a loader; requests made during a load share
// the next.
func TestCatalogIsShared(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	c := newTestCatalogs(t)
	var builds atomic.Int64
	inside, proceed := make(chan struct{}), make(chan struct{})
	c.Build = func(rows catalog.Rows) (*catalog.Snapshot, error) {
		if builds.Add(1) == 1 {
			close(inside)
			<-proceed
		}
		return catalogBuild(rows)
	}
	l := c.acquire(upstreamTarget(s, db))
	<-inside
	var all sync.WaitGroup
	for range 50 {
		other := c.acquire(upstreamTarget(s, db))
		if other != l {
			t.Fatal("two loaders for one database")
		}
		number := other.ask() // before the first load ends
		all.Go(func() {
			if _, err := other.wait(context.Background(), number); err != nil {
				t.Error(err)
			}
			other.release()
		})
	}
	close(proceed)
	all.Wait()
	if n := builds.Load(); n != 2 {
		t.Errorf("%d loads for 51 requests, want 2", n)
	}
	target := upstreamTarget(s, db)
	target.User = "other"
	if c.acquire(target) == l {
		t.Error("what one account sees was shared with another")
	}
}

// The loader's session is recognisable and cannot write.
func TestCatalogSession(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	catalogFresh(t, l)
	// Between loads there is none: it would stand in the way of DROP DATABASE.
	query := "SELECT count(*) FROM pg_stat_activity WHERE datname = '" + db + "'"
	eventually(t, func() bool { return s.Exec(t, "postgres", query) == "0" })
	var r catalogReader
	defer r.close()
	if err := r.connect(t.Context(), upstreamTarget(s, db)); err != nil {
		t.Fatal(err)
	}
	if got := s.Exec(t, "postgres", query+" AND application_name = 'sluice'"); got != "1" {
		t.Errorf("sessions = %s", got)
	}
	if err := r.exec(t.Context(), "CREATE TABLE t (n int)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("wrote: %v", err)
	}
}

func TestCatalogSurvivesItsConnection(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	catalogFresh(t, l)
	s.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"' AND application_name = 'sluice'")
	s.Exec(t, db, "CREATE TABLE later (n int)")
	if catalogFresh(t, l).Lookup("public", "later") == nil {
		t.Error("not seen")
	}
}

func TestCatalogFailures(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	c := newTestCatalogs(t)
	target := upstreamTarget(s, db)
	good := target.Password
	target.Password = access.NewSecret("wrong")
	l := c.acquire(target)
	if got, err := l.Ready(t.Context()); err == nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := l.Fresh(t.Context()); err == nil || got != nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v, %v", got, err)
	}
	target.Password = good // as after a reload of the configuration
	if again := c.acquire(target); again != l {
		t.Fatal("another loader")
	}
	if got, err := l.Ready(t.Context()); err != nil || got == nil {
		t.Errorf("with the new password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := l.Fresh(ctx); !errors.Is(err, context.Canceled) || got == nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// A lock on a view's table does not hold the gateway: the load fails soon, and
// the earlier snapshot stays.
func TestCatalogDoesNotWaitForLocks(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE t (n int)", "CREATE VIEW v AS SELECT n FROM t")
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	before := catalogFresh(t, l)
	holder := dialTest(t, upstreamTarget(s, db), nil)
	if _, failed := holder.ask(t, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; LOCK TABLE v IN ACCESS EXCLUSIVE MODE"); failed != nil {
		t.Fatal(failed.Message)
	}
	got, err := l.Fresh(t.Context())
	if got != before {
		t.Errorf("the snapshot was lost: %v", err)
	}
}

func TestCatalogRetires(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	c := newTestCatalogs(t)
	c.Idle = time.Millisecond
	l := c.acquire(upstreamTarget(s, db))
	catalogFresh(t, l)
	l.release()
	<-l.gone
	if _, err := l.Fresh(t.Context()); err == nil {
		t.Error("a retired loader answered")
	}
	again := c.acquire(upstreamTarget(s, db))
	if again == l {
		t.Fatal("a retired loader was handed out")
	}
	catalogFresh(t, again)
	c.close()
	if _, err := c.acquire(protocol.Target{}).Fresh(t.Context()); err == nil {
		t.Error("answered after close")
	}
}
