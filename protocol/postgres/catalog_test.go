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
	"sluice/internal/pgserver"
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
	s.Exec(t, db, "CREATE TABLE later (n int)")
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

// bothServers are the oldest and the newest PostgreSQL that tests have.
func bothServers(t *testing.T) []*pgtest.Server {
	t.Helper()
	return []*pgtest.Server{pgtest.Shared(t), pgtest.Start(t, pgtest.Options{Programs: pgserver.Eighteen("../..")})}
}

// Nothing is read again while nothing changed, and every kind of DDL is a change.
func TestCatalogSeesEveryChange(t *testing.T) {
	for _, server := range bothServers(t) {
		db := server.Database(t)
		server.Exec(t, db, "CREATE TABLE base (id int, n text)", "CREATE TABLE whole (id int) PARTITION BY RANGE (id)", "CREATE VIEW v AS SELECT id FROM base",
			"CREATE TYPE mood AS ENUM ('a')", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE TYPE pair AS (a int, b int)", "CREATE SCHEMA other",
			"CREATE TABLE part (id int)", "CREATE EXTENSION hstore")
		var r catalogReader
		defer r.close()
		load := func() *catalog.Snapshot {
			t.Helper()
			next, err := r.snapshot(t.Context(), upstreamTarget(server, db), catalogBuild)
			if err != nil {
				t.Fatal(err)
			}
			return next
		}
		last := load()
		if last == nil || load() != nil {
			t.Fatal("the first load, and no second one")
		}
		for _, idle := range []string{"SELECT 1", "INSERT INTO base VALUES (1)", "CREATE TEMP TABLE mine (a int)", "CREATE INDEX ON base (id)", "ANALYZE base", "BEGIN; CREATE TABLE undone (a int); ROLLBACK"} {
			if server.Exec(t, db, idle); load() != nil {
				t.Errorf("%s: read again", idle)
			}
		}
		for _, ddl := range []string{
			"ALTER TABLE base ADD COLUMN extra text", "ALTER TABLE base RENAME COLUMN extra TO more", "ALTER TABLE base ALTER COLUMN more TYPE varchar(7)",
			"ALTER TABLE base DROP COLUMN more", "DELETE FROM base; ALTER TABLE base ALTER COLUMN n SET NOT NULL", "ALTER TABLE base RENAME TO renamed",
			"ALTER TABLE renamed SET SCHEMA other", "ALTER TABLE other.renamed ENABLE ROW LEVEL SECURITY", "CREATE TABLE another (LIKE other.renamed)", "DROP TABLE another",
			"CREATE OR REPLACE VIEW v AS SELECT id + 1 AS id FROM other.renamed", "CREATE RULE rewrite AS ON DELETE TO whole DO INSTEAD NOTHING",
			"ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (1) TO (2)", "ALTER TABLE whole DETACH PARTITION part",
			"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "ALTER FUNCTION f() RENAME TO g", "DROP FUNCTION g()",
			"ALTER TYPE mood ADD VALUE 'b'", "ALTER TYPE mood RENAME VALUE 'a' TO 'c'", "ALTER TYPE pair ADD ATTRIBUTE c int", "CREATE DOMAIN d AS int", "DROP DOMAIN d",
			"CREATE CAST (hstore AS mood) WITH INOUT", "CREATE SCHEMA third", "ALTER SCHEMA third RENAME TO fourth",
			"CREATE FUNCTION h(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true'", "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = h)", "DROP OPERATOR === (int, int)",
			"ALTER EXTENSION hstore ADD FUNCTION h(int, int)", "CREATE SEQUENCE seq", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS one",
		} {
			server.Exec(t, db, ddl)
			next := load()
			if next == nil {
				t.Errorf("%s: not noticed", ddl)
				continue
			}
			if next.Version() == last.Version() && !strings.HasPrefix(ddl, "CREATE CAST") { // a cast without a function is no business of ours
				t.Errorf("%s: noticed, and the catalog is the same", ddl)
			}
			last = next
		}
	}
}
