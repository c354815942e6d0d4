package postgres

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"sluice/access"
	"sluice/internal/pgserver"
	"sluice/internal/pgtest"
	"sluice/query/catalog"
)

const liveSchema = `
create schema finance;
create table customers(id serial primary key, name text not null, email text, ssn text, active bool);
create table orders(id serial primary key, customer_id int references customers, total numeric, note text, created_at timestamptz default now());
create view v1 as select id, ssn as code from customers;
create view v2 as select v1.code, o.total from v1 join orders o on o.id = v1.id;
create view v3 as select id, lower(ssn) || name as both from customers union all select id, note from orders;
create materialized view mv as select count(*) n, max(email) m from customers group by name;
create table ev(id int, at date, p text) partition by range(at);
create table ev24 partition of ev for values from ('2024-01-01') to ('2025-01-01');
create table parent(a int, b text); create table child(c int) inherits (parent);
create extension citext; create extension hstore; create extension pg_trgm;
create type mood as enum('a','b'); create domain posint as int check (value>0);
create table people(email citext primary key, h hstore, m mood, p posint);
create table gen(id int, mail text, cc text, loud text generated always as (upper(mail) || cc) stored, twice int generated always as (id * 2) stored);
create view vgen as select loud from gen;
create type span as range (subtype = text); create table spans(id int, s span);
create function f(a int, b int default 2) returns int language sql as 'select 1';
create function public.lower(int) returns text language sql as 'select 1::text';
create view loop1 as select 1 as a; create view loop2 as select a from loop1;
create or replace view loop1 as select a from loop2;
`

// load fills a Rows from a real server the way a loader does, with psql as the
// connection.
func load(t *testing.T, s *pgtest.Server, database string) catalog.Rows {
	t.Helper()
	var rows catalog.Rows
	for _, q := range catalog.Queries() {
		sql := catalog.SetupSQL + `; COPY (` + q.SQL + `) TO STDOUT; ROLLBACK`
		out, err := exec.Command(pgserver.Program("psql"), "-XAtq", "-d", s.DSN(database), "-c", sql).Output()
		if err != nil {
			t.Fatalf("%s: %v", q.Name, err)
		}
		for line := range strings.Lines(string(out)) {
			if err := q.Scan(&rows, copyFields(strings.TrimSuffix(line, "\n"))); err != nil {
				t.Fatalf("%s: %q: %v", q.Name, line, err)
			}
		}
	}
	return rows
}

// copyFields splits a line of COPY's text format.
func copyFields(line string) [][]byte {
	var fields [][]byte
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r")
	for _, f := range strings.Split(line, "\t") {
		if f == `\N` {
			fields = append(fields, nil)
			continue
		}
		fields = append(fields, []byte(unescape.Replace(f)))
	}
	return fields
}

func liveEnv(t *testing.T) (*Env, *pgtest.Server, string) {
	t.Helper()
	s := pgtest.Shared(t)
	db := s.Database(t)
	s.Exec(t, db, liveSchema)
	snapshot, err := catalog.Build(load(t, s, db), sharedAnalyzer())
	if err != nil {
		t.Fatal(err)
	}
	return NewEnv(Env{Catalog: snapshot, SearchPath: []string{"$user", "public"}, Database: db, User: "postgres"}), s, db
}

// backslashes are what people type in psql; their queries must stay exact, or a
// subject under restrictive rules could not look at a table's shape.
var backslashes = []string{
	`\d`, `\d customers`, `\d+ orders`, `\dt`, `\dt+`, `\dv+`, `\df`, `\df+ f`, `\du`, `\du+`, `\dn+`, `\l`, `\dx`, `\dx+ citext`, `\di`,
	`\ds`, `\d v1`, `\d+ mv`, `\d+ ev`, `\dp`, `\dT+`, `\do`, `\dc`, `\dC`, `\dy`, `\des`, `\db+`, `\sf f`, `\sv v1`,
	`\dRp`, `\det`, `\dE`, `\da`, `\dF`, `\dFd`, `\dO`, `\dL`, `\dD`, `\dconfig work_mem`, `\dX`, `\dA+`, `\z`,
	`\di+ customers_pkey`, `\ds+ orders_id_seq`, `\d people`, `\dm`, `\dP+`, `\dd`, `\ddp`, `\dS+ pg_class`, `\d+ child`,
}

func TestPsqlStaysExact(t *testing.T) {
	env, s, db := liveEnv(t)
	seen := 0
	for _, command := range backslashes {
		out, err := exec.Command(pgserver.Program("psql"), "-XqE", "-d", s.DSN(db), "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		for _, part := range strings.Split(string(out), "********* QUERY **********\n")[1:] {
			query, _, _ := strings.Cut(part, "**************************")
			seen++
			st := analyze(t, env, query)
			if !st.Action.Pure || st.Action.Verb != access.VerbSelect {
				t.Errorf("%s: %s: %s\n%s", command, sketch(st), st.Action.SQL.Why, query)
			}
			if !st.OutputsKnown {
				t.Errorf("%s: outputs are not known\n%s", command, query)
			}
		}
	}
	if seen < 80 {
		t.Errorf("only %d queries seen", seen)
	}
}

// TestOutputsAgreeWithServer compares the lineage of results with the server's
// own column names.
func TestOutputsAgreeWithServer(t *testing.T) {
	env, s, db := liveEnv(t)
	for _, query := range []string{
		`select * from customers`, `select c.*, o.id from customers c join orders o on true`,
		`select count(*), max(id), lower(name), id + 1, id::text, 'x', 'x'::text, null from customers group by 3, 4, 5`,
		`select case when active then id end, case when true then 1 else id end, coalesce(id, 1), array[1], row(1, 2) from customers`,
		`select exists (select 1), array(select 1), (select id from customers limit 1), current_date, current_user`,
		`select * from v1`, `select * from (values (1, 'a')) v`, `select * from generate_series(1, 2)`,
		`with x as (select id i, name from customers) select * from x`, `select * from (select id as a from orders) s(b)`,
		`select id from customers union select 1`, `select name collate "C", (customers).id from customers`,
		`select greatest(1, 2), least(1, 2), nullif(1, 2), 1 between 0 and 2, not true, interval '1 day', date '2020-01-01'`,
	} {
		st := analyze(t, env, query)
		if !st.OutputsKnown && !strings.Contains(query, "generate_series") {
			t.Errorf("%s: outputs are not known: %s", query, st.Action.SQL.Why)
			continue
		}
		out, err := exec.Command(pgserver.Program("psql"), "-XAq", "-d", s.DSN(db), "-c", query).Output()
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		header, _, _ := strings.Cut(string(out), "\n")
		var names []string
		for _, o := range st.Outputs {
			names = append(names, o.Name)
		}
		if st.OutputsKnown && !slices.Equal(names, strings.Split(header, "|")) {
			t.Errorf("%s:\n server %s\n   ours %s", query, header, strings.Join(names, "|"))
		}
	}
}

func TestOrigins(t *testing.T) {
	env, _, _ := liveEnv(t)
	for _, c := range []struct{ relation, column, want string }{
		{"customers", "ssn", "public.customers.ssn"},
		{"v1", "code", "public.v1.code public.customers.ssn"},
		{"v2", "code", "public.v2.code public.v1.code public.customers.ssn"},
		{"v2", "total", "public.v2.total public.orders.total"},
		{"v3", "both", "public.v3.both public.customers.name public.customers.ssn public.orders.note"},
		{"mv", "m", "public.mv.m public.customers.email"},
		{"mv", "n", "public.mv.n"},
		{"ev24", "p", "public.ev24.p public.ev.p"},
		{"child", "b", "public.child.b public.parent.b"},
		{"child", "c", "public.child.c"},
		{"gen", "loud", "public.gen.loud public.gen.mail public.gen.cc"},
		{"gen", "twice", "public.gen.twice public.gen.id"},
		{"vgen", "loud", "public.vgen.loud public.gen.loud public.gen.mail public.gen.cc"},
		{"loop1", "a", "public.loop1.a public.loop2.a"},
	} {
		r := env.Catalog.Lookup("public", c.relation)
		origins, complete := env.Catalog.Origins(r.OID, r.Column(c.column).Num)
		var got []string
		for _, o := range origins {
			got = append(got, o.String())
		}
		slices.Sort(got[1:])
		want := strings.Fields(c.want)
		slices.Sort(want[1:])
		if !complete || !slices.Equal(got, want) {
			t.Errorf("%s.%s: %v %v", c.relation, c.column, got, complete)
		}
	}
}

func TestExtensionsAndUsersCode(t *testing.T) {
	env, _, _ := liveEnv(t)
	for query, want := range map[string]access.Confidence{
		`select * from customers where id = 5`:               access.Exact, // = of hstore and citext stand in public
		`select * from people where email = 'x'`:             access.Exact,
		`select h -> 'a', h ? 'b' from people`:               access.Exact,
		`select name from customers where name % 'x'`:        access.Exact,
		`select similarity(name, 'x') from customers`:        access.Exact,
		`select regexp_replace(email, 'a', 'b') from people`: access.Exact,
		`select id, s from spans where s @> 'b'::text`:       access.Exact, // its casts are the server's own
		`select 'a'::mood, 'a'::citext`:                      access.Exact,
		`select m from people where m = 'a'`:                 access.Exact,
		`select 1::posint`:                                   access.Partial,
		`select f(1)`:                                        access.Partial,
		`select f(1, 2, 3)`:                                  access.Partial,
		`select lower('x')`:                                  access.Partial, // public.lower(int) may be chosen
		`select pg_catalog.lower('x')`:                       access.Exact,
		`select upper('x')`:                                  access.Exact,
	} {
		if st := analyze(t, env, query); st.Action.Confidence != want {
			t.Errorf("%s: %s (%s)", query, st.Action.Confidence, st.Action.SQL.Why)
		}
	}
}
