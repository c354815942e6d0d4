package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/access"
	"sluice/query/catalog"
)

func TestOffsets(t *testing.T) {
	env := testEnv(t)
	text := "/* a */ select 1 ; -- b\n  ; create rule r as on insert to orders do (delete from orders; select ';') ;select 'ü;' ;"
	b, err := sharedAnalyzer().Analyze(t.Context(), "alice", text, env)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, st := range b.Statements {
		got = append(got, st.Action.Text)
		if text[st.Start:st.End] != st.Action.Text || st.Action.SQL.Index != i || st.Action.SQL.Statements != 3 {
			t.Errorf("%d: %+v", i, st)
		}
	}
	want := []string{"select 1", "create rule r as on insert to orders do (delete from orders; select ';')", "select 'ü;'"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestAtomicBody(t *testing.T) {
	st := analyze(t, testEnv(t), "create function g() returns int begin atomic select 1; select 2; end")
	if st.Action.Verb != access.VerbCreate || !strings.HasSuffix(st.Action.Text, "end") {
		t.Errorf("%+v", st.Action)
	}
}

func TestEmpty(t *testing.T) {
	for _, text := range []string{"", "  ;; ", "-- x", "/* x */"} {
		b, err := sharedAnalyzer().Analyze(t.Context(), "alice", text, testEnv(t))
		if err != nil || !b.Empty || len(b.Statements) != 0 {
			t.Errorf("%q: %+v %v", text, b, err)
		}
	}
}

func TestSyntaxErrorIsKept(t *testing.T) {
	st := analyze(t, testEnv(t), "select from where")
	if st.Syntax == nil || st.Action.Confidence != access.Opaque || st.Action.Verb != access.VerbUnknown || st.Action.Op != "SELECT" {
		t.Errorf("%+v", st)
	}
	if _, err := sharedAnalyzer().Canonical(t.Context(), "alice", st); err == nil {
		t.Error("a text without a tree has a canonical form")
	}
}

// TestDetails checks what the protocol keeps track of.
func TestDetails(t *testing.T) {
	env := testEnv(t)
	for _, c := range []struct {
		sql  string
		want func(*Statement) bool
	}{
		{`begin`, func(s *Statement) bool { return s.Tx == TxBegin && !s.ReturnsRows }},
		{`end and chain`, func(s *Statement) bool { return s.Tx == TxCommit && s.Chain }},
		{`abort`, func(s *Statement) bool { return s.Tx == TxRollback }},
		{`savepoint "A b"`, func(s *Statement) bool { return s.Tx == TxSavepoint && s.TxName == "A b" }},
		{`rollback to a`, func(s *Statement) bool { return s.Tx == TxRollbackTo && s.TxName == "a" }},
		{`release a`, func(s *Statement) bool { return s.Tx == TxRelease }},
		{`prepare transaction 'g'`, func(s *Statement) bool { return s.Tx == TxPrepare && s.TxName == "g" }},
		{`commit prepared 'g'`, func(s *Statement) bool { return s.Tx == TxCommitPrepared }},
		{`prepare p (int) as select * from customers where id = $1`, func(s *Statement) bool {
			in := s.Prepare.Inner
			return s.Prepare.Name == "p" && in.Action.Text == "select * from customers where id = $1" &&
				in.NumParams == 1 && in.Action.Verb == access.VerbSelect && in.ReturnsRows && in.OutputsKnown
		}},
		{`execute p (1, 'x', null, 1+1)`, func(s *Statement) bool {
			return s.Execute.Name == "p" && slices.Equal(s.Execute.Args, []ConstArg{{"1", false, true}, {"x", false, true}, {"", true, true}, {}})
		}},
		{`explain execute p`, func(s *Statement) bool { return s.Execute != nil && s.Action.Verb == access.VerbExecute }},
		{`create table x as execute p`, func(s *Statement) bool {
			return s.Execute != nil && s.Execute.Into && s.Action.Verb == access.VerbCreate
		}},
		{`deallocate p`, func(s *Statement) bool { return *s.Deallocate == Deallocate{"p", false} }},
		{`deallocate all`, func(s *Statement) bool { return s.Deallocate.All }},
		{`declare c no scroll cursor with hold for select 1`, func(s *Statement) bool {
			return s.Cursor.Op == CursorDeclare && s.Cursor.Hold && s.Cursor.Inner.Action.Text == "select 1" && s.Action.Verb == access.VerbSelect && !s.ReturnsRows
		}},
		{`declare c cursor for select 1`, func(s *Statement) bool { return !s.Cursor.Hold }},
		{`fetch all in c`, func(s *Statement) bool { return s.Cursor.Op == CursorFetch && s.ReturnsRows }},
		{`move 5 from c`, func(s *Statement) bool { return s.Cursor.Op == CursorMove && !s.ReturnsRows }},
		{`close all`, func(s *Statement) bool { return s.Cursor.Op == CursorClose && s.Cursor.All }},
		{`copy orders (id, note) from stdin with (format csv, header, delimiter ';', null 'x', encoding 'utf8')`, func(s *Statement) bool {
			c := s.Copy
			return c.From && c.Stdio && c.Schema == "public" && c.Relation == "orders" && slices.Equal(c.Columns, []string{"id", "note"}) &&
				c.Format == "csv" && c.Header && c.Delimiter == ";" && c.Null == "x" && c.OtherOptions
		}},
		{`copy orders to stdout binary`, func(s *Statement) bool {
			return !s.Copy.From && s.Copy.Format == "binary" && s.OutputsKnown && len(s.Outputs) == 5 && s.Outputs[3].Name == "note" && s.Outputs[3].Bare
		}},
		{`copy (select ssn, 1 from customers) to stdout`, func(s *Statement) bool {
			return s.Copy.Query != nil && len(s.Outputs) == 2 && s.Outputs[0].Bare && s.Outputs[1].Traced && len(s.Outputs[1].Sources) == 0
		}},
		{`set local search_path to a, "B c"`, func(s *Statement) bool {
			return slices.Equal(s.Settings, []SettingChange{{Name: "search_path", Value: "a, B c", Known: true, Local: true}})
		}},
		{`set time zone default`, func(s *Statement) bool { return s.Settings[0].Name == "timezone" && s.Settings[0].Reset }},
		{`set TimeZone = 'utc'`, func(s *Statement) bool { return s.Settings[0].Name == "timezone" }},
		{`reset all`, func(s *Statement) bool { return s.Settings[0].Name == "all" && s.Settings[0].Reset }},
		{`set session characteristics as transaction isolation level serializable, read write`, func(s *Statement) bool {
			return s.Action.Verb == access.VerbConfigure && s.Settings[0] == SettingChange{Name: "default_transaction_isolation", Value: "serializable", Known: true} && s.Settings[1].Value == "off"
		}},
		{`select set_config('a.b', $1, true)`, func(s *Statement) bool {
			return s.MayChangeSettings && s.Settings[0].Local && !s.Settings[0].Known && s.Action.Verb == access.VerbConfigure
		}},
		{`discard all`, func(s *Statement) bool { return s.DiscardAll }},
		{`discard temp`, func(s *Statement) bool { return s.DiscardTmp && !s.DiscardAll }},
		{`listen "Ch"`, func(s *Statement) bool { return s.Channel == "Ch" }},
		{`create temp table tt (id int)`, func(s *Statement) bool { return slices.Equal(s.Temp, []string{"tt"}) && s.DDL }},
		{`create table pg_temp.tt (id int)`, func(s *Statement) bool {
			return slices.Equal(s.Temp, []string{"tt"}) && s.Action.Verb == access.VerbTemp
		}},
		{`select 1 into temp tt`, func(s *Statement) bool { return slices.Equal(s.Temp, []string{"tt"}) && !s.ReturnsRows }},
		{`alter table orders add x int`, func(s *Statement) bool { return s.DDL }},
		{`do 'x'`, func(s *Statement) bool { return s.DDL && s.MayChangeSettings }},
		{`select $3, $1`, func(s *Statement) bool { return s.NumParams == 3 }},
		{`insert into orders values (1) returning *`, func(s *Statement) bool { return s.ReturnsRows && len(s.Outputs) == 5 }},
		{`insert into orders values (1)`, func(s *Statement) bool { return !s.ReturnsRows }},
		{`select 1 limit 7`, func(s *Statement) bool { return s.Action.SQL.Limit == 7 }},
		{`select 1 limit all`, func(s *Statement) bool { return s.Action.SQL.Limit == -1 }},
		{`select 1 limit $1`, func(s *Statement) bool { return s.Action.SQL.Limit == -1 }},
		{`(select 1 limit 5) union select 2`, func(s *Statement) bool { return s.Action.SQL.Limit == -1 }},
		{`select 1 fetch first 3 rows with ties`, func(s *Statement) bool { return s.Action.SQL.Limit == -1 }},
		{`drop table orders`, func(s *Statement) bool { return s.Action.Op == "DROP TABLE" }},
		{`create index on orders (id)`, func(s *Statement) bool { return s.Action.Op == "CREATE INDEX" }},
		{`alter role x password 'y'`, func(s *Statement) bool { return s.Action.Op == "ALTER ROLE" }},
		{`create schema s create table s.t (id int)`, func(s *Statement) bool { return len(s.Action.Objects) == 2 }},
	} {
		if st := analyze(t, env, c.sql); !c.want(st) {
			t.Errorf("%s: %+v\n%+v", c.sql, *st, st.Action)
		}
	}
}

func TestRedaction(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]string{
		`alter role bob password 'sec''ret'`:                                    `alter role bob password '***'`,
		`create user bob with encrypted password $$s$$ login`:                   `create user bob with encrypted password '***' login`,
		`create role bob login`:                                                 ``,
		`create user mapping for bob server s options (user 'x', password 'y')`: `create user mapping for bob server s options (user '***', password '***')`,
		`create server s foreign data wrapper w options (host 'h')`:             `create server s foreign data wrapper w options (host '***')`,
		`create subscription s connection 'host=x password=y' publication p`:    `create subscription s connection '***' publication p`,
		`select * from dblink('host=x password=hunter2', 'select 1') t(a int)`:  `select * from dblink('***', 'select 1') t(a int)`,
		`select dblink_connect('postgres://u:hunter2@h/db')`:                    `select dblink_connect('***')`,
		`select set_config('app.password', 'hunter2', false)`:                   `select set_config('***', '***', false)`,
		`set app.secret = hunter2`:                                              `set app.secret = '***'`,
		`set app.secret to 'hunter2'`:                                           `set app.secret to '***'`,
		`select 1, 'harmless'`:                                                  ``,
		`do $$ begin execute 'alter role x password ''y'''; end $$`:             `do '***'`,
		`alter role x passwordd 'y'`:                                            `alter role x passwordd '***'`,
		`alter role x password 'y`:                                              `alter role x password '***'`,
		`/* password 'y`:                                                        `'***'`,
		`prepare p as select 'x=1 password=y'`:                                  `prepare p as select '***'`,
	} {
		st := analyze(t, env, sql)
		if st.Action.Shown != want {
			t.Errorf("%s\n got %s\nwant %s", sql, st.Action.Shown, want)
		}
	}
}

func TestTemporaryRelations(t *testing.T) {
	cols := &catalog.Relation{RelationRow: catalog.RelationRow{Schema: "pg_temp", Name: "mine", Kind: 'r'}, Columns: []catalog.Column{{Num: 1, Name: "a"}}}
	env := NewEnv(Env{Catalog: testSnapshot(t), SearchPath: []string{"public"}, Database: "shop",
		Temp: map[string]*catalog.Relation{"mine": cols, "customers": nil}})
	for sql, want := range map[string]string{
		`select a from mine`:          `select exact pure | pg_temp.mine r (a:o)`,
		`select ssn from customers`:   `select exact pure | pg_temp.customers r (?); public.customers r (ssn:o)`, // it may have been rolled back
		`select 1 from pg_temp.other`: `select exact pure | pg_temp.other r (?)`,
		`drop table mine`:             `temp exact | pg_temp.mine w (?)`,
		`drop table customers`:        `drop exact | pg_temp.customers w (?); public.customers w (?)`,
	} {
		if got := sketch(analyze(t, env, sql)); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
	if st := analyze(t, env, `drop table mine`); !slices.Equal(st.TempDropped, []string{"mine"}) {
		t.Error(st.TempDropped)
	}
}

func TestSearchPath(t *testing.T) {
	for _, c := range []struct{ path, sql, want string }{
		{"public", `select lower('x')`, `select exact pure | `},
		{"evil,pg_catalog", `select lower('x')`, `select partial | function evil.lower `},
		{"public,evil", `select lower('x')`, `select partial | function evil.lower `}, // types may choose it
		{"public,evil", `select pg_catalog.lower('x')`, `select exact pure | `},
		{"evil,public", `select note from orders`, `select exact pure | evil.orders r (note:o); public.orders r (note:o); public.customers r via evil.orders (ssn:o)`},
		{"$user,public", `select 1 from orders`, `select exact pure | public.orders r ()`},
		{"nosuch,finance", `select 1 from invoices`, `select exact pure | finance.invoices r ()`},
		{"", `select 1 from orders`, `select partial | orders r (?)`},
	} {
		env := testEnv(t, strings.Split(c.path, ",")...)
		if got := sketch(analyze(t, env, c.sql)); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.path, c.sql, got, c.want)
		}
	}
}

func TestWithoutCatalog(t *testing.T) {
	env := NewEnv(Env{SearchPath: []string{"public"}, Database: "shop"})
	for sql, want := range map[string]string{
		`select id from customers`:           `select partial | customers r (?)`,
		`select relname from pg_class`:       `select partial | pg_catalog.pg_class r (?)`,
		`select lower('x')`:                  `select partial | `,
		`select 1`:                           `select exact pure | `,
		`begin`:                              `begin exact | `,
		`delete from customers where id = 1`: `delete partial | customers rw (?)`,
	} {
		if got := sketch(analyze(t, env, sql)); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

func TestOutputs(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]string{
		`select id, ssn as x, lower(email), 1, (select name from customers limit 1) from customers`: `id=id! x=ssn! lower=email ?column?= name=name`,
		`select y from (select ssn y from customers) s`:                                             `y=ssn!`,
		`with c as (select ssn, name from customers) select * from c`:                               `ssn=ssn! name=name!`,
		`with recursive c as (select ssn from customers union select ssn from c) select * from c`:   `ssn=ssn`,
		`select ssn from customers union select note from orders`:                                   `ssn=ssn+note`,
		`select f(ssn) from customers`:                                                              `f=ssn~`,
		`select c from customers c`:                                                                 `c=id+name+email+ssn+active+meta`,
		`select g from generate_series(1,2) g`:                                                      `g=`,
		`select u.v from customers, lateral unnest(array[ssn]) u(v)`:                                `v=ssn`,
		`select coalesce(c.ssn, o.note) from customers c, orders o`:                                 `coalesce=ssn+note`,
		`delete from orders where id = 1 returning note`:                                            `note=note!`,
		`explain select ssn from customers`:                                                         `QUERY PLAN=`,
		`show all`:                                                                                  `name= setting= description=`,
	} {
		st := analyze(t, env, sql)
		var got []string
		for _, o := range st.Outputs {
			s := o.Name + "="
			for i, src := range o.Sources {
				id, _ := env.Catalog.ColumnID(src)
				s += strings.Repeat("+", min(i, 1)) + id.Column
			}
			if o.Bare {
				s += "!"
			}
			if !o.Traced {
				s += "~"
			}
			got = append(got, s)
		}
		if !st.OutputsKnown || strings.Join(got, " ") != want {
			t.Errorf("%s\n got %v %s\nwant %s", sql, st.OutputsKnown, strings.Join(got, " "), want)
		}
	}
	for _, sql := range []string{`select * from nosuch`, `select * from generate_series(1, 2)`} {
		if st := analyze(t, env, sql); st.OutputsKnown {
			t.Errorf("%s: outputs are known", sql)
		}
	}
}

func TestColumnsThroughViews(t *testing.T) {
	st := analyze(t, testEnv(t), `select code from v_over`)
	cols, ok := st.Columns()
	if !ok || len(cols) != 1 || !cols[0].Traced || fmt.Sprint(cols[0].Origins) != "[public.v_over.code public.v_plain.code public.customers.ssn]" {
		t.Errorf("%+v %v", cols, ok)
	}
}

// failing is a parser that cannot be asked.
type failing struct{ err error }

func (f failing) Parse(context.Context, string, string) ([]byte, error)   { return nil, f.err }
func (f failing) Deparse(context.Context, string, []byte) (string, error) { return "", f.err }

func TestParserFailures(t *testing.T) {
	env := testEnv(t)
	if _, err := New(failing{context.Canceled}, Options{}).Analyze(t.Context(), "x", "select 1", env); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b, err := New(failing{fmt.Errorf("x: %w", ErrHostile)}, Options{}).Analyze(t.Context(), "x", "select 1", env)
	if err != nil || b.Statements[0].Action.Confidence != access.Opaque || b.Statements[0].Syntax != nil {
		t.Errorf("%+v %v", b, err)
	}
	if _, err := New(failing{}, Options{}).Analyze(t.Context(), "x", "select 1", &Env{}); err == nil {
		t.Error("an environment without a key is accepted")
	}
}

func TestCanonical(t *testing.T) {
	env := testEnv(t)
	for _, c := range analyzeCases {
		st := analyze(t, env, c.sql)
		if st.tree == nil {
			continue
		}
		text, err := sharedAnalyzer().Canonical(t.Context(), "x", st)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if again := analyze(t, env, text); sketch(again) != sketch(st) {
			t.Errorf("%s became %s:\n%s\n%s", c.sql, text, sketch(st), sketch(again))
		}
	}
}

// lying deparses to something else.
type lying struct{ direct }

func (*lying) Deparse(context.Context, string, []byte) (string, error) { return "select 2", nil }

func TestCanonicalMustMeanTheSame(t *testing.T) {
	a := New(&lying{}, Options{})
	b, err := a.Analyze(t.Context(), "x", "select 1", testEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := a.Canonical(t.Context(), "x", b.Statements[0]); !errors.Is(err, errDiffers) {
		t.Errorf("%q %v", text, err)
	}
}

// TestGrowth: what could grow without bound in a short text does not.
func TestGrowth(t *testing.T) {
	env := testEnv(t)
	sub := "select 1"
	where := "true"
	for range 60 {
		sub = "select *, * from (" + sub + ") s"
		where = "id in (select c.id from customers c, orders o where o." + where + ")"
	}
	with := "with c0 as (select * from customers)"
	for i := range 60 {
		with += fmt.Sprintf(", c%d as (select * from c%d a, c%d b)", i+1, i, i)
	}
	join := "customers j0 natural join orders x"
	for i := range 60 {
		join = fmt.Sprintf("((%s) as j%d(a,b,c,d,e,f) natural join orders x%d)", join, i+1, i)
	}
	for _, sql := range []string{sub, with + " select * from c60", "delete from orders where " + where, "select * from " + join} {
		st := analyze(t, env, sql)
		if st.Action.Confidence == access.Opaque || len(st.Outputs) > maxColumns {
			t.Errorf("%.60s: %d outputs, %s", sql, len(st.Outputs), st.Action.SQL.Why)
		}
	}
}

// FuzzAnalyze: whatever the grammar accepts is walked without a panic, and what
// is called pure looks like it.
func FuzzAnalyze(f *testing.F) {
	for _, c := range analyzeCases {
		f.Add(c.sql)
	}
	env := testEnv(f)
	a := New(&direct{}, Options{MaxDepth: 500, CacheBytes: 1 << 20})
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			return
		}
		p, err := a.parse(t.Context(), "x", text)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range p.analyze(env, false) {
			check(t, p.text, st)
		}
	})
}

func check(t *testing.T, text string, st *Statement) {
	t.Helper()
	act := &st.Action
	if text[st.Start:st.End] != act.Text {
		t.Errorf("text %q is not at %d-%d", act.Text, st.Start, st.End)
	}
	if act.Pure && (act.Confidence != access.Exact || act.Verb.Class() == access.ClassWrite || act.Verb.Class() == access.ClassAdmin) {
		t.Errorf("%q: pure %s %s", text, act.Verb, act.Confidence)
	}
	if (act.Verb == access.VerbUnknown) != (act.Confidence == access.Opaque && act.Verb != access.VerbDo) && act.Verb == access.VerbUnknown {
		t.Errorf("%q: unknown verb with confidence %s", text, act.Confidence)
	}
	if act.Confidence != access.Exact && act.SQL.Why == "" {
		t.Errorf("%q: %s without a reason", text, act.Confidence)
	}
}

// What stands for other columns says so, and lists them.
func TestDerivedObjects(t *testing.T) {
	for text, want := range map[string]string{
		"select payload from events_2024":    "public.events_2024:true public.events:false",
		"select code from v_over":            "public.v_over:true public.v_plain:true public.customers:false",
		"select id from customers":           "public.customers:false",
		"drop view v_plain":                  "public.v_plain:false",
		"select payload from events limit 1": "public.events:false",
	} {
		var got []string
		for _, o := range analyze(t, testEnv(t), text).Action.Objects {
			got = append(got, fmt.Sprintf("%s:%v", o.Qualified(), o.Derived))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
