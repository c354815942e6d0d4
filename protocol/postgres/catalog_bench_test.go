package postgres

import (
	"fmt"
	"runtime"
	"testing"

	"sluice/internal/pgtest"
	"sluice/query/catalog"
)

// manyTables fills a database with n tables of ten columns, a tenth of them
// partitions, and a view for every twentieth.
func manyTables(tb testing.TB, s *pgtest.Server, n int) string {
	tb.Helper()
	db := s.Database(tb)
	const columns = "id bigint primary key, created_at timestamptz not null, updated_at timestamptz, name text, email text, status text, amount numeric, note text, owner_id bigint, data jsonb"
	s.Exec(tb, db, "CREATE TABLE part ("+columns+") PARTITION BY RANGE (id)", fmt.Sprintf(`DO $$ BEGIN FOR i IN 0..19 LOOP EXECUTE format('CREATE SCHEMA s%%s', i); END LOOP; END $$`))
	const batch = 500
	for at := 0; at < n; at += batch {
		s.Exec(tb, db, fmt.Sprintf(`DO $do$ DECLARE t text; BEGIN FOR i IN %d..%d LOOP
 t := format('s%%s.table_%%s', i %% 20, i);
 IF i %% 10 = 0 THEN EXECUTE format('CREATE TABLE %%s PARTITION OF part FOR VALUES FROM (%%s) TO (%%s)', t, i, i+1);
 ELSE EXECUTE 'CREATE TABLE ' || t || ' (%s)'; END IF;
 IF i %% 20 = 1 THEN EXECUTE format('CREATE VIEW %%s_v AS SELECT id, lower(email) AS email, status FROM %%s WHERE amount > 0', t, t); END IF;
END LOOP; END $do$`, at, at+batch-1, columns))
	}
	return db
}

// BenchmarkCatalog loads a schema of 10,000 tables (1,000 with -short): from
// scratch, when nothing in it changed, and when nothing was written.
func BenchmarkCatalog(b *testing.B) {
	tables := 10_000
	if testing.Short() {
		tables = 1_000
	}
	s := pgtest.Shared(b)
	target := upstreamTarget(s, manyTables(b, s, tables))
	load := func(b *testing.B, r *catalogReader) *catalog.Snapshot {
		snap, err := r.snapshot(b.Context(), target, catalogBuild)
		if err != nil {
			b.Fatal(err)
		}
		return snap
	}
	var kept catalogReader
	defer kept.close()
	b.Run("full", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kept.state, kept.changes = "", ""
			load(b, &kept)
		}
		kept.state, kept.changes = "", ""
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		snap := load(b, &kept)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB/snapshot")
		count := 0
		snap.Relations(func(*catalog.Relation) bool { count++; return true })
		b.ReportMetric(float64(count), "relations")
	})
	// The statement writes, but no DDL: as in a busy database.
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s.Exec(b, target.Resource.Database, "INSERT INTO s1.table_1 VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET updated_at = now()")
			b.StartTimer()
			if load(b, &kept) != nil {
				b.Fatal("a full load though nothing changed")
			}
		}
	})
	// What a transaction created, which it reads before its next statement.
	b.Run("own", func(b *testing.B) {
		if err := kept.exec(b.Context(), "BEGIN READ WRITE; CREATE TABLE made (id int); SET LOCAL search_path = pg_catalog"); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			results, err := kept.conn.Exec(b.Context(), catalog.OwnSQL()).ReadAll()
			if err != nil {
				b.Fatal(err)
			}
			if rows, err := catalog.ReadOwn(results[0].Rows); err != nil || len(rows.Relations) != 1 {
				b.Fatal(err, len(rows.Relations))
			}
		}
		if err := kept.exec(b.Context(), "ROLLBACK"); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			if load(b, &kept) != nil {
				b.Fatal("a full load though nothing was written")
			}
		}
	})
}
