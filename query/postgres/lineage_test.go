package postgres

import (
	"fmt"
	"strings"
	"testing"

	"sluice/access"
)

// TestLayers: what the outputs of a query are made of. ! is the server's own
// description's too, = unchanged, + merged, ? mixed with what the statement gives,
// ~ not traced.
func TestLayers(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]string{
		`select x from (select ssn as x from customers) s`:                                                                   `x:ssn!=`,
		`select ssn from customers union all select note from orders`:                                                        `ssn:ssn,note=+`,
		`select ssn from customers union all select 'x'`:                                                                     `ssn:ssn=?`,
		`select ssn from customers union all select lower(note) from orders`:                                                 `ssn:ssn,note?`,
		`values ((select ssn from customers limit 1)), ('x')`:                                                                `column1:ssn=?`,
		`select coalesce(c.ssn, c.name), coalesce(c.ssn, 'x') from customers c`:                                              `coalesce:ssn,name=+ coalesce:ssn=?`,
		`select case when active then ssn end from customers`:                                                                `case:ssn=`,
		`select case when active then ssn else name end from customers`:                                                      `name:ssn,name=+`,
		`select ssn::text, ssn::varchar(3), cast(ssn as varchar) from customers`:                                             `ssn:ssn= ssn:ssn ssn:ssn=`,
		`select (select ssn) from customers`:                                                                                 `ssn:ssn=`,
		`select t.y from customers c, lateral (select c.ssn as y) t`:                                                         `y:ssn!=`,
		`select * from customers c join (select id, ssn as s from customers) d using (id)`:                                   `id:id!= name:name!= email:email!= ssn:ssn!= active:active!= meta:meta!= s:ssn!=`,
		`select id from customers full join (select total as id from orders) o using (id)`:                                   `id:id,total=+`,
		`select * from (select id, ssn from customers) a natural join (select id, note from orders) b`:                       `id:id!= ssn:ssn!= note:note!=`,
		`with recursive r as (select id, ssn from customers union all select id, ssn from r) select * from r`:                `id:id= ssn:ssn=`,
		`with recursive r(a, b) as (select name, ssn from customers union all select b, a from r) select * from r`:           `a:name,ssn=+ b:ssn,name=+`,
		`with recursive r(a, b) as (select name, lower(ssn) from customers union all select b, a from r) select a, b from r`: `a:name,ssn? b:ssn,name?`,
		`with recursive r as (select 1 as n union all select n + 1 from r) select n from r`:                                  `n:`,
		`with recursive a as (select * from b), b as (select ssn from customers) select * from a`:                            `ssn:ssn!=`,
		`select count(ssn), ssn = 'x', ssn is null, exists (select ssn) from customers`:                                      `count: ?column?: ?column?: exists:`,
		`select e from (select name as e from customers) s where exists (select e from (select note as e from orders) o)`:    `e:name!=`,
		`select (select e from (select note as e from orders) o limit 1) from (select ssn as e from customers) s`:            `e:note=`,
		`delete from orders where id = 1 returning (select ssn from customers limit 1)`:                                      `ssn:ssn=`,
		`merge into orders o using customers c on o.customer_id = c.id when matched then do nothing returning *`:             `id:id!= name:name!= email:email!= ssn:ssn!= active:active!= meta:meta!= id:id!= customer_id:customer_id!= total:total!= note:note!= created_at:created_at!=`,
		`with d as (delete from orders where id = 1 returning note as n) select n from d`:                                    `n:note!=`,
		`select s from (select ssn from customers) s`:                                                                        `s:ssn`,
		`select x.a from customers c, lateral (values (c.ssn), (c.name)) x(a)`:                                               `a:ssn,name=+`,
		`select j.b from (customers c join orders o on true) j(a, b)`:                                                        `b:name!=`,
		`select j.id from (customers c join orders o using (id)) j`:                                                          `id:id!=`,
	} {
		st := analyze(t, env, sql)
		var got []string
		for _, o := range st.Outputs {
			got = append(got, sketchOutput(env, o))
		}
		if !st.OutputsKnown || strings.Join(got, " ") != want {
			t.Errorf("%s\n got %s %s\nwant %s", sql, strings.Join(got, " "), st.Action.SQL.Why, want)
		}
	}
}

// TestUnknownOutputs: where a composite value becomes columns nobody here can tell
// which are which.
func TestUnknownOutputs(t *testing.T) {
	env := testEnv(t)
	for sql, known := range map[string]bool{
		`select (o).*, (select ssn from customers) from orders o`:                                        true,
		`select (o).note from orders o`:                                                                  true,
		`select (n.o).*, (select ssn from customers), (z).* from (select o from orders o) n, (select) z`: false,
		`select (json_each('{}')).*, (select ssn from customers)`:                                        false,
		`select (ssn).* from customers ssn, customers`:                                                   false, // a column comes before a row
		`select (g).* from generate_series(1, 2) g, orders o`:                                            false,
		`values ((select 1), 2)`:                                                                         true,
		`select v.* from orders o, lateral (values (o.*, (select ssn from customers limit 1))) v`:        false,
		`select v.* from orders o, lateral (values ((o).*, 1)) v`:                                        false,
	} {
		if st := analyze(t, env, sql); st.OutputsKnown != known {
			t.Errorf("%s: %v %v", sql, st.OutputsKnown, st.Outputs)
		}
	}
}

func sketchOutput(env *Env, o Output) string {
	var sources []string
	for _, src := range o.Sources {
		id, _ := env.Catalog.ColumnID(src)
		sources = append(sources, id.Column)
	}
	s := o.Name + ":" + strings.Join(sources, ",")
	for _, f := range []struct {
		is   bool
		mark string
	}{{o.Bare, "!"}, {o.Copied, "="}, {o.Merged, "+"}, {o.Mixed, "?"}, {!o.Traced, "~"}} {
		if f.is {
			s += f.mark
		}
	}
	return s
}

// TestUseExprs: messages name the expression, and no constant of it.
func TestUseExprs(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]string{
		`select lower(ssn) || 'secret' from customers`:                                                 "lower(ssn) || ...",
		`select id from customers where ssn = 'secret' and id = 1`:                                     "ssn = ...",
		`select id from customers where ssn in ('secret', 'b')`:                                        "ssn IN ...",
		`select id from customers where ssn between 'secret' and 'b'`:                                  "ssn BETWEEN ...",
		`select id from customers where ssn not like 'secret%'`:                                        "ssn LIKE ...",
		`select id from customers where (ssn is null) or id = 2`:                                       "ssn IS NULL",
		`select count(distinct ssn) from customers`:                                                    "count(DISTINCT ssn)",
		`select c from customers c`:                                                                    "c",
		`select row_to_json(c) from customers c`:                                                       "row_to_json(c)",
		`select case when ssn > 'secret' then 5 end from customers`:                                    "CASE ... END",
		`select distinct ssn from customers`:                                                           "DISTINCT",
		`select ssn from customers union select note from orders`:                                      "UNION",
		`select 1 from customers join orders on ssn = note`:                                            "ssn = note",
		`select 1 from customers join (select note as ssn from orders) o using (ssn)`:                  "USING (ssn)",
		`select id from customers where ssn = $1`:                                                      "ssn = $1",
		`select id from customers where ssn::int > 5`:                                                  "ssn::int4 > ...",
		`select id from customers where ssn = any (array['secret'])`:                                   "ssn = ANY(array(...))",
		`select ` + strings.Repeat("lower(", 60) + "ssn" + strings.Repeat(")", 60) + ` from customers`: "lower(lower(lower(lower(lower(lower(lower(lower(lower(lower(lower(lower(...",
	} {
		text := ""
		for _, o := range analyze(t, env, sql).Action.Objects {
			for _, c := range o.Columns {
				if c.Name == "ssn" {
					text = c.Expr(^access.Use(0))
				}
			}
		}
		if text != want {
			t.Errorf("%s\n got %s\nwant %s", sql, text, want)
		}
	}
}

// TestRecursionIsBounded: recursive queries that nest are walked again only so often.
func TestRecursionIsBounded(t *testing.T) {
	env := testEnv(t)
	cols, back := "a0", "a1"
	for i := 1; i < 12; i++ {
		cols += fmt.Sprint(", a", i)
		back += fmt.Sprint(", a", (i+1)%12)
	}
	inner := "select " + back + " from r"
	text := "with recursive r(" + cols + ") as (select id, name, email, ssn, active, meta, id, name, email, ssn, active, meta from customers union all " + inner + ") select a0 from r"
	if st := analyze(t, env, text); st.Action.Confidence != access.Exact || len(st.Outputs) != 1 || len(st.Outputs[0].Sources) != 6 {
		t.Errorf("%s: %+v", st.Action.SQL.Why, st.Outputs)
	}
	nested := "select id, name, ssn from customers"
	for i := range 40 {
		nested = fmt.Sprintf("with recursive r%d(a, b, c) as (%s union all select b, c, a from (with q as (%s) select a, b, c from r%d) s) select * from r%d", i, nested, "select 1", i, i)
	}
	st := analyze(t, env, nested)
	if st.Action.Confidence == access.Exact && len(st.Outputs) > 0 && len(st.Outputs[0].Sources) < 3 {
		t.Errorf("%+v", st.Outputs)
	}
}
