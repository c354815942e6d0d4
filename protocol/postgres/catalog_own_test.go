package postgres

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/query/catalog"
)

// What an open transaction sees, laid over what all share, is what it sees.
func TestOwnCatalog(t *testing.T) {
	for _, server := range bothServers(t) {
		db := server.Database(t)
		server.Exec(t, db, "CREATE TABLE base (id int, n text)", "CREATE TABLE whole (id int) PARTITION BY RANGE (id)", "CREATE VIEW v AS SELECT id FROM base",
			"CREATE TYPE mood AS ENUM ('a', 'z')", "CREATE TYPE pair AS (a int, b int)", "CREATE SCHEMA other", "CREATE TABLE parent (x int)",
			"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
		var r catalogReader
		defer r.close()
		base, err := r.snapshot(t.Context(), upstreamTarget(server, db), catalogBuild)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgconn.Connect(t.Context(), server.DSN(db))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		own := &catalogReader{conn: conn}
		for _, step := range []string{
			"BEGIN", "CREATE TABLE made (id int PRIMARY KEY, at date DEFAULT now(), x mood)", "CREATE VIEW seen AS SELECT id, x FROM made",
			"SAVEPOINT a", "CREATE TABLE gone (id int)", "ALTER TABLE base ADD more numeric(5,2)", "ROLLBACK TO a", "ALTER TABLE made ADD y varchar(9)",
			"SAVEPOINT b", "CREATE TABLE kept AS SELECT 1 AS one", "RELEASE b", "CREATE SEQUENCE s", "CREATE MATERIALIZED VIEW m AS SELECT id FROM base",
			"ALTER TABLE base RENAME TO former", "CREATE TABLE base (z int)", "ALTER TABLE former RENAME n TO note", "CREATE OR REPLACE VIEW v AS SELECT id, note FROM former",
			"CREATE TABLE part PARTITION OF whole DEFAULT", "CREATE TABLE child (y int) INHERITS (parent)", "ALTER TABLE made ADD x2 int, DROP x CASCADE",
			"CREATE SCHEMA third", "CREATE TABLE third.base (a int)", "ALTER TABLE third.base SET SCHEMA other", "ALTER TABLE former ENABLE ROW LEVEL SECURITY",
			"CREATE RULE r AS ON DELETE TO whole DO INSTEAD NOTHING", "ALTER TYPE mood ADD VALUE 'm' BEFORE 'z'", "ALTER TYPE pair ADD ATTRIBUTE c int", "CREATE TYPE trio AS (a int, b int, c mood)",
			"CREATE DOMAIN d AS varchar(7)", "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 2'",
			"CREATE FUNCTION g(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true'; CREATE OPERATOR === (LEFTARG = int, FUNCTION = g, RIGHTARG = int)", "CREATE TEMP TABLE mine (a int)", "ALTER TABLE former DROP COLUMN id CASCADE",
		} {
			if err := own.exec(t.Context(), step); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			compareOwn(t, step, own, base)
		}
		if err := own.exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

// compareOwn compares the overlay with everything that the session sees.
func compareOwn(t *testing.T, step string, own *catalogReader, base *catalog.Snapshot) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	do := func(sql string) {
		if err := own.exec(ctx, sql); err != nil {
			t.Fatalf("%s: %s: %v", step, sql, err)
		}
	}
	do("SAVEPOINT looked")
	do(catalog.OwnSetup)
	all, err := own.rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := catalogBuild(all)
	if err != nil {
		t.Fatal(err)
	}
	results, err := own.conn.Exec(ctx, catalog.OwnSQL()).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	do("ROLLBACK TO looked")
	rows, err := catalog.ReadOwn(results[0].Rows)
	if err != nil {
		t.Fatal(err)
	}
	over, err := base.With(rows)
	if err != nil {
		t.Fatal(err)
	}
	for r := range truth.Relations {
		got := over.Lookup(r.Schema, r.Name)
		if got == nil || got.OID != r.OID || over.Relation(r.OID) != got {
			t.Errorf("%s: %s.%s is %v", step, r.Schema, r.Name, got)
			continue
		}
		// A view's text may name what it reads as it was called: see With.
		want := *r
		if !contains(rows, r.OID) {
			want.Definition = got.Definition
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %s.%s\n got %+v\nwant %+v", step, r.Schema, r.Name, *got, want)
		}
	}
	for f := range truth.EachFunction {
		if !containsRow(over.Functions(f.Name), f) {
			t.Errorf("%s: %s: %v", step, f.Name, over.Functions(f.Name))
		}
	}
	compareTypes(t, step, over, truth)
}

func compareTypes(t *testing.T, step string, over, truth *catalog.Snapshot) {
	t.Helper()
	for _, name := range []string{"mood", "pair", "trio", "d"} {
		want := truth.Type("public", name)
		if want == nil {
			continue
		}
		got := over.Type("public", name)
		if got == nil || *got != *want || over.TypeByOID(want.OID) != got || !reflect.DeepEqual(over.Labels(want.OID), truth.Labels(want.OID)) ||
			!reflect.DeepEqual(over.Parts(want.OID), truth.Parts(want.OID)) {
			t.Errorf("%s: %s: %+v, not %+v", step, name, got, want)
		}
	}
	if len(over.Operators("===")) != len(truth.Operators("===")) {
		t.Errorf("%s: operators", step)
	}
	for _, name := range []string{"public", "other", "third"} {
		if truth.HasSchema(name) && !over.HasSchema(name) {
			t.Errorf("%s: no schema %s", step, name)
		}
	}
}

func contains(rows catalog.Rows, relation uint32) bool {
	for _, r := range rows.Relations {
		if r.OID == relation {
			return true
		}
	}
	return false
}

func containsRow(list []catalog.FunctionRow, f catalog.FunctionRow) bool {
	for _, g := range list {
		if f == g {
			return true
		}
	}
	return false
}
