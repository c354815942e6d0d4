package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pganalyze/pg_query_go/v6/parser"

	"sluice/query/catalog"
)

// direct is the grammar in this process: tests feed it nothing that kills it.
type direct struct{ parses int }

func (d *direct) Parse(_ context.Context, _, text string) ([]byte, error) {
	d.parses++
	tree, err := parser.ParseToProtobuf(text)
	var bad *parser.Error
	if errors.As(err, &bad) {
		return nil, &SyntaxError{Message: bad.Message, Position: bad.Cursorpos}
	}
	return tree, err
}

func (d *direct) Deparse(_ context.Context, _ string, tree []byte) (string, error) {
	return parser.DeparseFromProtobuf(tree)
}

// testRows is a small shop: tables in public and finance, a partitioned table,
// views of several kinds, functions, operators and types of users.
func testRows() catalog.Rows {
	b := &rowsBuilder{oid: 20000}
	for _, s := range []string{"pg_catalog", "information_schema", "public", "finance", "evil", "alice"} {
		b.rows.Schemas = append(b.rows.Schemas, catalog.SchemaRow{OID: b.next(), Name: s})
	}
	b.table("pg_catalog", "pg_class", 'r', "oid!", "relname!", "relnamespace", "relkind", "relowner", "relam")
	b.table("pg_catalog", "pg_namespace", 'r', "oid!", "nspname!")
	b.table("pg_catalog", "pg_attribute", 'r', "attrelid!", "attname!", "attnum!", "atttypid")
	b.table("pg_catalog", "pg_stats", 'v', "schemaname", "tablename", "most_common_vals")
	b.table("pg_catalog", "pg_stat_activity", 'v', "pid", "query")
	b.table("pg_catalog", "pg_am", 'r', "oid!", "amname!")
	b.table("information_schema", "columns", 'v', "table_schema", "table_name", "column_name", "ordinal_position")
	customers := b.table("public", "customers", 'r', "id!", "name", "email", "ssn", "active", "meta")
	b.table("public", "orders", 'r', "id!", "customer_id", "total", "note", "created_at")
	b.table("public", "pgbench_accounts", 'r', "aid!", "bid", "abalance", "filler")
	b.table("public", "pgbench_branches", 'r', "bid!", "bbalance", "filler")
	b.table("public", "pgbench_tellers", 'r', "tid!", "bid", "tbalance", "filler")
	b.table("public", "pgbench_history", 'r', "tid", "bid", "aid", "delta", "mtime", "filler")
	b.table("finance", "invoices", 'r', "id!", "amount", "iban")
	b.table("public", "orders_id_seq", 'S', "last_value!", "log_cnt!", "is_called!")
	b.table("public", "remote", 'f', "id", "v")
	b.table("public", "guarded", 'r', "id", "v")
	b.rows.Relations[len(b.rows.Relations)-1].RowSecurity = true
	leads := b.table("public", "leads", 'r', "id", "email", "shout")
	b.rows.Generated = append(b.rows.Generated, catalog.GeneratedRow{Relation: leads, Num: 3, From: 2})
	b.table("public", "ruled", 'r', "id", "v")
	b.rows.Relations[len(b.rows.Relations)-1].Rules = true
	events := b.table("public", "events", 'p', "id!", "payload", "at")
	part := b.table("public", "events_2024", 'r', "id!", "payload", "at")
	b.rows.Inherits = append(b.rows.Inherits, catalog.InheritRow{Child: part, Parent: events})
	b.view("public", "v_plain", `SELECT customers.id, customers.ssn AS code FROM public.customers WHERE customers.active`, "id", "code")
	b.view("public", "v_expr", `SELECT customers.id, lower(customers.ssn) AS code FROM public.customers`, "id", "code")
	b.view("public", "v_union", `SELECT customers.id, customers.ssn FROM public.customers UNION SELECT orders.id, orders.note FROM public.orders`, "id", "x")
	b.view("public", "v_over", `SELECT v_plain.code FROM public.v_plain`, "code")
	b.view("public", "v_code", `SELECT public.f(customers.ssn) AS x FROM public.customers`, "x")
	b.view("public", "v_stats", `SELECT pg_stats.most_common_vals AS v FROM pg_catalog.pg_stats`, "v")
	b.view("public", "v_cte", `WITH c AS (SELECT customers.ssn FROM public.customers) SELECT c.ssn FROM c`, "ssn")
	b.view("public", "v_shout", `SELECT leads.shout AS s FROM public.leads WHERE leads.shout ~~ 'A%'`, "s")
	b.view("public", "v_with", `SELECT (WITH w AS (SELECT 1 FROM public.customers c WHERE c.id = o.customer_id AND c.email ~~ 'a%') SELECT count(*) FROM w) AS n FROM public.orders o`, "n")
	b.view("public", "v_with_order", `SELECT o.id, ARRAY(WITH w AS (SELECT c.id FROM public.customers c ORDER BY c.email) SELECT w.id FROM w) AS n FROM public.orders o`, "id", "n")
	b.view("evil", "orders", `SELECT customers.id, customers.ssn AS note FROM public.customers`, "id", "note")
	b.code()
	_ = customers
	return b.rows
}

type rowsBuilder struct {
	rows catalog.Rows
	oid  uint32
}

func (b *rowsBuilder) next() uint32 { b.oid++; return b.oid }

// table adds a relation; a column name with ! is NOT NULL.
func (b *rowsBuilder) table(schema, name string, kind byte, cols ...string) uint32 {
	oid := b.next()
	b.rows.Relations = append(b.rows.Relations, catalog.RelationRow{OID: oid, Schema: schema, Name: name, Kind: kind})
	for i, c := range cols {
		notNull := c[len(c)-1] == '!'
		if notNull {
			c = c[:len(c)-1]
		}
		b.rows.Columns = append(b.rows.Columns, catalog.ColumnRow{Relation: oid, Num: int16(i + 1), Name: c, Type: 25, NotNull: notNull})
	}
	return oid
}

func (b *rowsBuilder) view(schema, name, definition string, cols ...string) {
	oid := b.table(schema, name, 'v', cols...)
	b.rows.Views = append(b.rows.Views, catalog.ViewRow{Relation: oid, Definition: definition})
}

func (b *rowsBuilder) code() {
	b.rows.Functions = []catalog.FunctionRow{
		{OID: b.next(), Schema: "public", Name: "f", Args: 1, Kind: 'f', Volatile: 'i', Language: "sql"},
		{OID: b.next(), Schema: "public", Name: "count_all", Args: 0, Kind: 'f', Volatile: 'v', Language: "plpgsql"},
		{OID: b.next(), Schema: "evil", Name: "lower", Args: 1, Kind: 'f', Volatile: 'v', Language: "plpgsql"},
		{OID: b.next(), Schema: "public", Name: "similarity", Args: 2, Kind: 'f', Volatile: 'i', Language: "c", Extension: "pg_trgm"},
		{OID: b.next(), Schema: "public", Name: "dblink", Args: 2, Kind: 'f', Volatile: 'v', Language: "c", Extension: "dblink"},
		{OID: b.next(), Schema: "public", Name: "uuid_generate_v4", Args: 0, Kind: 'f', Volatile: 'v', Language: "c", Extension: "uuid-ossp"},
		{OID: b.next(), Schema: "public", Name: "vari", Args: 1, Variadic: true, Kind: 'f', Volatile: 'v', Language: "plpgsql"},
	}
	mood, secret := b.next(), b.next()
	b.rows.Types = []catalog.TypeRow{
		{OID: mood, Schema: "public", Name: "mood", Kind: 'e'},
		{OID: secret, Schema: "public", Name: "posint", Kind: 'd', Base: 23},
	}
	b.rows.Operators = []catalog.OperatorRow{
		{Schema: "public", Name: "===", Left: 25, Right: 25, Language: "plpgsql"},
		{Schema: "public", Name: "=", Left: mood, Right: mood, Language: "plpgsql"},
		{Schema: "public", Name: "%", Left: 25, Right: 25, Language: "c", Extension: "pg_trgm"},
	}
}

var sharedAnalyzer = sync.OnceValue(func() *Analyzer { return New(&direct{}, Options{}) })

func testSnapshot(t testing.TB) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.Build(testRows(), sharedAnalyzer())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testEnv(t testing.TB, path ...string) *Env {
	t.Helper()
	if len(path) == 0 {
		path = []string{"$user", "public"}
	}
	return NewEnv(Env{Catalog: testSnapshot(t), SearchPath: path, Database: "shop", User: "app"})
}

// analyze returns the one statement of a text.
func analyze(t testing.TB, env *Env, text string) *Statement {
	t.Helper()
	b, err := sharedAnalyzer().Analyze(context.Background(), "alice", text, env)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Statements) != 1 {
		t.Fatalf("%s: %d statements", text, len(b.Statements))
	}
	return b.Statements[0]
}
