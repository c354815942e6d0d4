package postgres

import (
	"testing"

	"sluice/access"
)

// corpus is the kind of SQL that drivers and object mappers send; all of it must
// be understood to the last word.
var corpus = map[string]access.Verb{
	// what drivers ask first
	`SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'`: access.VerbSelect,
	`SELECT pg_catalog.version()`:                                    access.VerbSelect,
	`select current_schema()`:                                        access.VerbSelect,
	`show standard_conforming_strings`:                               access.VerbShow,
	`SHOW TRANSACTION ISOLATION LEVEL`:                               access.VerbShow,
	`SET extra_float_digits = 3`:                                     access.VerbSet,
	`SET application_name = 'PostgreSQL JDBC Driver'`:                access.VerbSet,
	`SET client_encoding TO 'unicode'`:                               access.VerbSet,
	`SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY`:           access.VerbSet,
	`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE`: access.VerbBegin,
	`SELECT set_config('TimeZone', 'UTC', false)`:                    access.VerbSet,
	`DEALLOCATE "pdo_stmt_00000001"`:                                 access.VerbClose,
	`SELECT typinput='array_in'::regproc as is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) as r using ( nspname )) as sp ON sp.nspoid = typnamespace WHERE typname = $1 ORDER BY sp.r, pg_type.oid DESC`: access.VerbSelect,
	// introspection
	`SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN CASE WHEN n.nspname = 'pg_catalog' THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' ELSE NULL END ELSE NULL END ELSE 'TABLE' END AS TABLE_TYPE, d.description AS REMARKS FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid ORDER BY TABLE_TYPE, TABLE_SCHEM, TABLE_NAME`: access.VerbSelect,
	`SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef) AS "default", a.attnotnull FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_description pgd ON (pgd.objoid = a.attrelid AND pgd.objsubid = a.attnum) WHERE a.attrelid = 1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`:                                                                                                                     access.VerbSelect,
	`SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)`:                                                                                                                                                                                                          access.VerbSelect,
	`SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'customers' ORDER BY ordinal_position`:                                                                                                                                                                                                                                                                                                                                                                                               access.VerbSelect,
	`SELECT tc.constraint_name, kcu.column_name, ccu.table_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name WHERE constraint_type = 'FOREIGN KEY'`:                                                                                                                                                                                                                                                access.VerbSelect,
	// what applications do
	`SELECT "customers"."id" AS t0_r0, "customers"."name" AS t0_r1 FROM "customers" LEFT OUTER JOIN "orders" ON "orders"."customer_id" = "customers"."id" WHERE "orders"."total" > $1 ORDER BY "customers"."id" ASC LIMIT $2`: access.VerbSelect,
	`SELECT COUNT(*) FROM (SELECT DISTINCT ON ("customers"."id") "customers"."id" AS "col1" FROM "customers") subquery`:                                                                                                       access.VerbSelect,
	`SELECT 1 AS one FROM "customers" WHERE "customers"."email" = $1 LIMIT 1`:                                                                                                                                                 access.VerbSelect,
	`INSERT INTO "orders" ("customer_id", "total") VALUES ($1, $2) RETURNING "orders"."id"`:                                                                                                                                   access.VerbInsert,
	`INSERT INTO orders (id, note) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`:                                                                                                                                               access.VerbInsert,
	`UPDATE "orders" SET "total" = "orders"."total" + 1, "note" = NULL WHERE "orders"."id" IN ($1, $2)`:                                                                                                                       access.VerbUpdate,
	`select o1_0.id, o1_0.note from orders o1_0 where o1_0.id = ? `:                                                                                                                                                           access.VerbUnknown, // a placeholder that never reaches a server
	`SELECT * FROM orders WHERE id = ANY($1::int[]) AND created_at >= now() - interval '1 day' FOR UPDATE SKIP LOCKED`:                                                                                                        access.VerbLock,
	`WITH recent AS (SELECT customer_id, sum(total) AS s, row_number() OVER (PARTITION BY customer_id ORDER BY created_at DESC) AS rn FROM orders GROUP BY customer_id, created_at) SELECT c.name, r.s FROM recent r JOIN customers c ON c.id = r.customer_id WHERE r.rn = 1`: access.VerbSelect,
	`SELECT json_agg(row_to_json(t)) FROM (SELECT id, name FROM customers ORDER BY id LIMIT 10) t`:                                                                   access.VerbSelect,
	`SELECT date_trunc('month', created_at), count(*) FILTER (WHERE total > 10), percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders GROUP BY ROLLUP (1)`: access.VerbSelect,
	`SELECT name FROM customers WHERE to_tsvector('english', name) @@ plainto_tsquery('english', $1)`:                                                                access.VerbSelect,
}

func TestCorpusStaysExact(t *testing.T) {
	env, _, _ := liveEnv(t)
	for sql, verb := range corpus {
		st := analyze(t, env, sql)
		if st.Action.Verb != verb || st.Action.Confidence != access.Exact && verb != access.VerbUnknown {
			t.Errorf("%s\n%s: %s", sql, sketch(st), st.Action.SQL.Why)
		}
	}
}
