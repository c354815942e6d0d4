package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shapedTexts are what has literals that a canonical text may hold in another order,
// spell otherwise, or not at all.
var shapedTexts = []string{
	`select * from orders where id = 1 and note = 'a' offset 3 limit 10`,
	`update orders set note = 'a''b', total = -5 where id in (1, 2, 3) or total between 4 and 6.5`,
	`insert into orders (id, note, total) values (1, 'x', 1.5), (2, 'y', 2e3) on conflict (id) do update set note = 'z'`,
	`select substring(note from 1 for 2), substring(note for 3 from 4), overlay(note placing 'x' from 5 for 6) from orders`,
	`select 't'::bool, 'x'::text, cast(1 as float(20)), 2::numeric(10, 3), '4'::varchar(5), interval '6 days', interval(7) '8', date '2020-01-01' from orders`,
	`select case id when 1 then 'a' when 2 then 'b' else 'c' end, coalesce(note, 'd'), nullif(note, 'e') from orders where note like 'f%' escape 'g'`,
	`select note at time zone 'UTC', extract('year' from created_at), note collate "C" = 'x' from orders where (id, note) = (1, 'q') and not id is distinct from 2`,
	`delete from orders where note similar to 'a' and created_at > now() - '1 day'::interval and id = any (array[1, 2]) returning id + 7`,
	`with r(n) as (select 1 union all select 2) select n, sum(n) over (order by n rows between 3 preceding and 4 following) from r, generate_series(5, 6) g`,
	`select json_value('{}', '$.a' default 'x' on empty), xmlelement(name a, 'b'), row(1, 'c'), array[[2], [3]], '{4}'::int[], b'101', E'x\n', $$y$$, U&'z'`,
	`select 9999999999, 2147483647, -9999999999, 0.5, .5, 5., 1 + - 2, 3 - 4 from orders tablesample bernoulli (11) repeatable (12)`,
	`merge into orders o using customers c on o.id = 1 when matched and c.name = 'a' then update set note = 'b' when not matched then insert (id) values (2)`,
	`select 1 from orders where id = 1`,
}

// TestTemplates: what a template yields parses to the tree of the client's text.
func TestTemplates(t *testing.T) {
	env := testEnv(t)
	texts := slices.Clone(shapedTexts)
	for _, c := range analyzeCases {
		texts = append(texts, c.sql)
	}
	for sql := range corpus {
		texts = append(texts, sql)
	}
	used := make(map[string]bool)
	rapid.Check(t, func(t *rapid.T) {
		sql := rapid.SampledFrom(texts).Draw(t, "sql")
		p := &direct{}
		a := New(p, Options{})
		for range 3 {
			text := otherLiterals(t, sql)
			b, err := a.Analyze(t.Context(), "x", text, env)
			if err != nil || len(b.Statements) != 1 || b.Statements[0].literal {
				return // it has none
			}
			before := p.parses
			got, err := a.Canonical(t.Context(), "x", b.Statements[0])
			if err != nil {
				return // it is refused
			}
			filled := p.parses == before
			want, err := p.Parse(t.Context(), "x", text)
			if err != nil {
				t.Fatalf("%s\n %s: %v", text, got, err)
			}
			is, err := p.Parse(t.Context(), "x", got)
			if err != nil {
				t.Fatalf("%s\n %s: %v", text, got, err)
			}
			if same, err := sameTrees(want, is); !same || err != nil {
				t.Fatalf("%s\n became %s: %v", text, got, err)
			}
			used[sql] = used[sql] || filled
		}
	})
	if len(used) < 10 {
		t.Errorf("templates were used for %d texts", len(used))
	}
}

// TestProbes: a probe has the shape of its text, and no literal twice but for limits.
func TestProbes(t *testing.T) {
	for text, want := range map[string]string{
		`select -0, 'a', 1.5, 'a' limit 3`:         `select -271828000, 'probe 271828001', 271828002.5, 'probe 271828003' limit 3`,
		`select 12345678901, E'\'' -- c`:           `select 9271828000, 'probe 271828001' -- c`,
		`select $1, a.b, $$x$$ fetch first 2 rows`: `select $1, a.b, 'probe 271828000' fetch first 2 rows`,
		`select b'1'`: ``,
		`select x'1'`: ``,
	} {
		if got, _ := probeOf(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
		if want != "" && shapeOf(text, &sharedAnalyzer().opts).key != shapeOf(want, &sharedAnalyzer().opts).key {
			t.Errorf("%s: another shape", text)
		}
	}
}

// TestNegatedZero: -0 is 0 to the grammar, and says nothing of -5.
func TestNegatedZero(t *testing.T) {
	env, a := testEnv(t), New(&direct{}, Options{})
	for _, n := range []string{"-0", "-5", "- -7", "0"} {
		st, err := a.Analyze(t.Context(), "x", "update orders set total = "+n+" where id = 1", env)
		if err != nil {
			t.Fatal(err)
		}
		text, err := a.Canonical(t.Context(), "x", st.Statements[0])
		if err != nil || !strings.Contains(text, "total = "+strings.ReplaceAll(n, "- -7", "7")+" WHERE") {
			t.Errorf("%s: %s %v", n, text, err)
		}
	}
}

// otherLiterals puts other literals into a text.
func otherLiterals(t *rapid.T, sql string) string {
	var out strings.Builder
	end := 0
	word := rapid.SampledFrom([]string{`'a'`, `''`, `'it''s'`, `'%_x'`, `'-- no'`, `'/*'`, `'t'`, `'2020-01-01'`, `'1'`, `';'`, `'$1'`, `'a
b'`, `E'\''`, `'\'`, `U&'\0061'`, `$$q$$`, `$x$'$x$`, `N'n'`, "'a'\n'b'"})
	for _, at := range literalSpans(sql) {
		old := sql[at.Start:at.End]
		out.WriteString(sql[end:at.Start])
		end = at.End
		switch {
		case rapid.IntRange(0, 5).Draw(t, "keep") == 0:
			out.WriteString(old)
		case old[0] == '\'' || old[0] == '$':
			out.WriteString(word.Draw(t, "word"))
		case strings.Trim(old, "0123456789") == "":
			out.WriteString(rapid.SampledFrom([]string{"0", "7", "007", "123456789", "2147483647", "9999999999", "12345678901234567890", "0x1F", "1_0"}).Draw(t, "int"))
		case strings.Trim(old, "0123456789.") == "":
			out.WriteString(fmt.Sprint(rapid.SampledFrom([]string{"1.5", ".5", "5.", "1e3", "1E-3", "0.0"}).Draw(t, "float")))
		default:
			out.WriteString(old)
		}
	}
	out.WriteString(sql[end:])
	return out.String()
}

// TestTemplate: which texts have one, and what it yields.
func TestTemplate(t *testing.T) {
	a := New(&direct{}, Options{})
	for _, c := range []struct{ text, canonical, other, want string }{
		{`select 1 offset 2 limit 3`, `SELECT 1 LIMIT 3 OFFSET 2`, `select 'x' offset 5 limit 6`, ``}, // another shape
		{`select 1 offset 2 limit 3`, `SELECT 1 LIMIT 3 OFFSET 2`, `select 4 offset 5 limit 3`, `SELECT 4 LIMIT 3 OFFSET 5`},
		{`select 'a', 'b'`, `SELECT 'b', 'a'`, `select 'c', 'c'`, `SELECT 'c', 'c'`},
		{`select 'a', 'b'`, `SELECT 'a', 'b'`, `select 'it''s', ';--'`, `SELECT 'it''s', ';--'`},
		{`select 'a'`, `SELECT 'a'`, `select E'\'' `, ``},
		{`select 'a'`, `SELECT 'a'`, `select '\'`, ``},
		{`select 'a'`, `SELECT 'a'`, "select 'a'\n'b'", ``},
		{`select 'a'`, `SELECT 'a'`, `select $$b$$`, ``},
		{`select 1`, `SELECT 1`, `select 0x1F`, ``},
		{`select 1`, `SELECT 1`, `select 1_000`, ``},
		{`select 1, 1`, `SELECT 1, 1`, `select 1, 2`, ``}, // which is which
		{`select 't'::bool`, `SELECT true`, `select 'f'::bool`, ``},
		{`select 1`, `SELECT 1, 2`, `select 3`, ``},
	} {
		got := ""
		if m := a.newTemplate(c.text, c.canonical); m != nil {
			if filled, ok := a.fill(m, c.other); ok {
				got = filled
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.other, got, c.want)
		}
	}
}
