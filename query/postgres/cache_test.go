package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sluice/access"
	"sluice/query/catalog"
)

// TestShapes: a text that differs in constants alone is answered without the
// parser, and exactly as the parser would have it.
func TestShapes(t *testing.T) {
	env := testEnv(t)
	for _, c := range []struct {
		first, second string
		reuse         bool
	}{
		{`select * from customers where id = 1`, `select * from customers where id = 2`, true},
		{`update orders set note = 'a' where id = 1`, `update orders set note = 'bb' where id = 22`, true},
		{`insert into orders (id) values (1); select 2`, `insert into orders (id) values (3) ;  select 4`, true},
		{`select 1 where 'a' = id::text from orders`, `select 1 where 'b' = id::text from orders`, false}, // no SQL
		{`delete from orders where 1 = 1`, `delete from orders where 1 = 2`, false},
		{`delete from orders where note like '%'`, `delete from orders where note like 'x'`, false},
		{`select name, ssn from customers order by 1`, `select name, ssn from customers order by 2`, false},
		{`select 1 limit 5`, `select 1 limit 6`, false},
		{`select 1 limit (5)`, `select 1 limit (6)`, false},
		{`select 5 from orders limit 5`, `select 6 from orders limit 5`, true},
		{`set search_path = 'a'`, `set search_path = 'b'`, false},
		{`select set_config('search_path', 'a', false)`, `select set_config('row_security', 'a', false)`, false},
		{`select nextval('a')`, `select nextval('b')`, false},
		{`do 'a'`, `do 'b'`, false},
		{`copy orders to '/a'`, `copy orders to '/b'`, false},
		{`select query_to_xml('a',true,true,'')`, `select query_to_xml('b',true,true,'')`, false},
		{`execute p(1)`, `execute p(2)`, false},
		{`alter role x password 'a'`, `alter role x password 'b'`, false},
	} {
		p := &direct{}
		a := New(p, Options{})
		if _, err := a.Analyze(t.Context(), "x", c.first, env); err != nil {
			t.Fatal(err)
		}
		before := p.parses
		got, err := a.Analyze(t.Context(), "x", c.second, env)
		if err != nil {
			t.Fatal(err)
		}
		if reused := p.parses == before; reused != c.reuse {
			t.Errorf("%s: reused %v", c.second, reused)
		}
		fresh, err := New(&direct{}, Options{}).Analyze(t.Context(), "x", c.second, env)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range got.Statements {
			want := fresh.Statements[i]
			if sketch(st) != sketch(want) || st.Action.Text != want.Action.Text || st.Start != want.Start || st.End != want.End ||
				st.Action.SQL.Fingerprint != want.Action.SQL.Fingerprint || st.Action.SQL.Limit != want.Action.SQL.Limit {
				t.Errorf("%s: %s\n instead of %s", c.second, sketch(st), sketch(want))
			}
		}
	}
}

func TestShapeRedactsSecrets(t *testing.T) {
	env, a := testEnv(t), New(&direct{}, Options{})
	for _, sql := range []string{`insert into orders (note) values ('x')`, `insert into orders (note) values ('host=a password=hunter2')`} {
		b, err := a.Analyze(t.Context(), "x", sql, env)
		if err != nil || strings.Contains(b.Statements[0].Action.Visible(), "hunter2") {
			t.Errorf("%s: %v", b.Statements[0].Action.Visible(), err)
		}
	}
}

func TestCacheKeepsEnvironmentsApart(t *testing.T) {
	a := New(&direct{}, Options{})
	for _, path := range []string{"evil", "public", "evil"} {
		b, err := a.Analyze(t.Context(), "x", `select note from orders`, testEnv(t, path))
		if err != nil || b.Statements[0].Action.Objects[0].Schema != path {
			t.Errorf("%s: %+v %v", path, b.Statements[0].Action.Objects, err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	env, a := testEnv(t), New(&direct{}, Options{CacheBytes: 1 << 20})
	for i := range 3000 {
		if _, err := a.Analyze(t.Context(), "x", fmt.Sprintf(`select %d from customers c%d`, i, i), env); err != nil {
			t.Fatal(err)
		}
	}
	for i := range a.batches.shard {
		if s := &a.batches.shard[i]; s.bytes > a.batches.max || s.bytes < 0 {
			t.Errorf("shard %d holds %d bytes of %d", i, s.bytes, a.batches.max)
		}
	}
}

func BenchmarkCached(b *testing.B) {
	env := testEnv(b)
	a := New(&direct{}, Options{})
	text := `UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2`
	for b.Loop() {
		if _, err := a.Analyze(context.Background(), "x", text, env); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShape(b *testing.B) {
	env := testEnv(b)
	a := New(&direct{}, Options{})
	texts := make([]string, 1024)
	for i := range texts {
		texts[i] = fmt.Sprintf(`UPDATE pgbench_accounts SET abalance = abalance + %d WHERE aid = %d;`, i, i*7)
	}
	i := 0
	for b.Loop() {
		if _, err := a.Analyze(context.Background(), "x", texts[i%1024], env); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// TestCreationSchema: two search_paths that find the same names, but make new ones in
// different schemas, are two environments.
func TestCreationSchema(t *testing.T) {
	a := New(&direct{}, Options{})
	for _, c := range []struct{ path, want string }{
		{"pg_catalog,public", "pg_catalog"}, {"public", "public"}, {"pg_temp,public", "pg_temp"}, {"public,pg_temp", "public"},
		{"pg_temp_3,public", "pg_temp"}, {"nosuch,$user,alice,public", "alice"}, {"nosuch", ""},
	} {
		b, err := a.Analyze(t.Context(), "x", `create table fresh (id int)`, testEnv(t, strings.Split(c.path, ",")...))
		if err != nil {
			t.Fatal(err)
		}
		st := b.Statements[0]
		if got := st.Action.Objects[0].Schema; got != c.want || (len(st.Temp) == 1) != (c.want == "pg_temp") {
			t.Errorf("%s: made in %q, temporary %v", c.path, got, st.Temp)
		}
	}
}

// TestTemporaryTypes: the row type of a temporary relation comes before the server's
// own types.
func TestTemporaryTypes(t *testing.T) {
	env := NewEnv(Env{Catalog: testSnapshot(t), SearchPath: []string{"public"}, Temp: map[string]*catalog.Relation{"text": nil}})
	for sql, want := range map[string]access.Confidence{
		`select ssn::text from customers`:            access.Partial,
		`select ssn::pg_catalog.text from customers`: access.Exact,
		`select ssn::varchar from customers`:         access.Exact,
	} {
		if got := analyze(t, env, sql).Action.Confidence; got != want {
			t.Errorf("%s: %s", sql, got)
		}
	}
}

func TestComputes(t *testing.T) {
	s := testSnapshot(t)
	env := NewEnv(Env{Catalog: s})
	for _, c := range []struct {
		oid  uint32
		want bool
	}{
		{25, true}, {1009, true}, {s.Type("public", "mood").OID, true}, {s.Type("public", "posint").OID, false}, {99999, false},
	} {
		if got := env.Computes(c.oid); got != c.want {
			t.Errorf("%d: %v", c.oid, got)
		}
	}
}
