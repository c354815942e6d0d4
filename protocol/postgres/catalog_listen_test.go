package postgres

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/pgtest"
)

const tellingTrigger = `CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('sluice_ddl', ''); END $$;
CREATE EVENT TRIGGER sluice_ddl ON ddl_command_end EXECUTE FUNCTION tell()`

// With the event trigger, DDL from elsewhere is seen without a poll; the
// connection that hears of it ends with the last session.
func TestCatalogHearsOfDDL(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	c := newTestCatalogs(t) // polls once an hour
	var looks atomic.Int64
	c.Seen = func(Seen) { looks.Add(1) }
	l := c.acquire(upstreamTarget(s, db))
	if _, err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	listeners := "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice' AND datname = '" + db + "'"
	eventually(t, func() bool { return s.Exec(t, "postgres", listeners) == "0" })
	s.Exec(t, db, tellingTrigger)
	catalogFresh(t, l) // as the next poll would
	for i, ddl := range []string{"CREATE TABLE later (n int)", "ALTER TABLE later ADD COLUMN m int", "ALTER TABLE later ADD COLUMN k int"} {
		s.Exec(t, db, ddl)
		eventually(t, func() bool { r := l.Snapshot().Lookup("public", "later"); return r != nil && len(r.Columns) == i+1 })
	}
	s.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"' AND application_name = 'sluice'")
	s.Exec(t, db, "ALTER TABLE later ADD COLUMN j int") // while nobody listens, perhaps
	eventually(t, func() bool { return len(l.Snapshot().Lookup("public", "later").Columns) == 4 })
	eventually(t, func() bool { return s.Exec(t, "postgres", listeners) == "1" })
	l.release()
	eventually(t, func() bool { return s.Exec(t, "postgres", listeners) == "0" })
	before := looks.Load()
	if again := c.acquire(upstreamTarget(s, db)); again != l {
		t.Error("another loader")
	}
	eventually(t, func() bool { return looks.Load() > before && s.Exec(t, "postgres", listeners) == "1" })
	s.Exec(t, db, "DROP EVENT TRIGGER sluice_ddl")
	catalogFresh(t, l)
	eventually(t, func() bool { return s.Exec(t, "postgres", listeners) == "0" })
}

func TestAccount(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	target := upstreamTarget(s, db)
	account := func() (*Account, error) {
		seen, err := (&Server{Now: time.Now}).Look(t.Context(), target)
		return seen.Account, err
	}
	a, err := account()
	if err != nil || !a.Superuser || len(a.Warnings()) != 1 || !strings.Contains(a.Warnings()[0], "superuser") {
		t.Fatalf("%+v %v", a, err)
	}
	s.Exec(t, db, "CREATE TABLE t (n int)", "CREATE ROLE \"modest Account\" LOGIN PASSWORD 'x'", "CREATE ROLE owning NOLOGIN CREATEDB")
	defer s.Exec(t, db, "DROP OWNED BY \"modest Account\"", "DROP ROLE \"modest Account\"", "DROP OWNED BY owning", "DROP ROLE owning")
	target.User, target.Password = "modest Account", access.NewSecret("x")
	if a, err = account(); err != nil || a.User != "modest Account" || len(a.Warnings()) != 0 {
		t.Errorf("%+v %v", a, err)
	}
	s.Exec(t, db, "GRANT owning, pg_read_server_files, pg_execute_server_program, pg_monitor TO \"modest Account\"", "ALTER TABLE t OWNER TO owning",
		"ALTER ROLE \"modest Account\" CREATEROLE REPLICATION BYPASSRLS")
	a, err = account()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(a.Warnings(), "\n")
	for _, want := range []string{"owns 1 tables", "may read files", "may run programs", "REVOKE pg_read_server_files FROM \"modest Account\"", "row security", "replicate", "create roles"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if len(a.Warnings()) != 6 {
		t.Errorf("%q", a.Warnings())
	}
}
