package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Two worlds differ in nothing but masked values. Whatever a statement is, it must
// be answered alike in both: then nothing of the values is in the answer, by
// whatever way. The statements are random, of a grammar that is fond of passing
// columns on.

const interferenceSchema = `
CREATE TABLE people (id int PRIMARY KEY, name text, town text, email text, pay int);
CREATE TABLE visits (id int PRIMARY KEY, person int, note text, mail text);
CREATE VIEW plain AS SELECT id, name, email AS contact, pay FROM people;
CREATE VIEW turned AS SELECT id, lower(email) AS l, pay + 1 AS more, town FROM people;
CREATE VIEW both_ AS SELECT id, email AS e FROM people UNION ALL SELECT id, note FROM visits;
INSERT INTO visits VALUES (1, 1, 'a', 'x1'), (2, 1, 'b', 'x2'), (3, 3, 'ann', 'x3'), (4, 9, NULL, NULL);
`

// interferenceRows fills people: three columns that are the same in every world,
// then the secrets.
func interferenceRows(secrets [][2]string) string {
	var sql strings.Builder
	for i, s := range secrets {
		fmt.Fprintf(&sql, "INSERT INTO people VALUES (%d, 'n%d', 't%d', %s, %s);\n", i+1, i%3, i%2, s[0], s[1])
	}
	return sql.String()
}

// A source is something in FROM: its alias and its columns with their types, t
// or i, in that order.
type sqlSource struct {
	alias string
	cols  []sqlColumn
}

type sqlColumn struct{ name, kind string }

type sqlGenerator struct {
	r    *rand.Rand
	n    int // names given
	size int // nodes left
	ctes []sqlSource
}

func (g *sqlGenerator) name(prefix string) string {
	g.n++
	return fmt.Sprint(prefix, g.n)
}

func pick[T any](g *sqlGenerator, of ...T) T { return of[g.r.IntN(len(of))] }

func (g *sqlGenerator) chance(percent int) bool { return g.r.IntN(100) < percent }

// relations are what the schema has.
var sqlRelations = map[string][]sqlColumn{
	"people": {{"id", "i"}, {"name", "t"}, {"town", "t"}, {"email", "t"}, {"pay", "i"}},
	"visits": {{"id", "i"}, {"person", "i"}, {"note", "t"}, {"mail", "t"}},
	"plain":  {{"id", "i"}, {"name", "t"}, {"contact", "t"}, {"pay", "i"}},
	"turned": {{"id", "i"}, {"l", "t"}, {"more", "i"}, {"town", "t"}},
	"both_":  {{"id", "i"}, {"e", "t"}},
}

// query returns a query and the columns that it yields.
func (g *sqlGenerator) query(outer []sqlSource) (string, []sqlColumn) {
	g.size--
	switch {
	case g.size > 0 && g.chance(12):
		return g.union(outer)
	case g.size > 0 && g.chance(12):
		return g.with(outer)
	case g.chance(5):
		cell := g.expr(outer, "t")
		return "VALUES ('v', " + cell + "), ('w', NULL)", []sqlColumn{{"column1", "t"}, {"column2", "t"}}
	}
	return g.selects(outer, nil)
}

// selects returns a SELECT; its columns have the kinds asked for, if any are.
func (g *sqlGenerator) selects(outer []sqlSource, kinds []string) (string, []sqlColumn) {
	from, in := g.from(outer)
	in = append(in, outer...)
	if kinds == nil {
		for range 1 + g.r.IntN(3) {
			kinds = append(kinds, pick(g, "t", "t", "i"))
		}
	}
	var targets []string
	var cols []sqlColumn
	grouped := g.chance(10)
	var keys []string
	for _, k := range kinds {
		c := sqlColumn{g.name("c"), k}
		e := g.expr(in, k)
		if grouped && g.chance(50) {
			e = g.aggregate(in, k)
		} else if grouped {
			e = g.column(in, k)
			keys = append(keys, e)
		}
		targets, cols = append(targets, e+" AS "+c.name), append(cols, c)
	}
	sql := "SELECT "
	if g.chance(6) {
		sql += "DISTINCT "
	}
	sql += strings.Join(targets, ", ") + " FROM " + from
	if g.chance(45) {
		sql += " WHERE " + g.predicate(in)
	}
	if grouped && len(keys) > 0 {
		sql += " GROUP BY " + strings.Join(keys, ", ")
		if g.chance(30) {
			sql += " HAVING " + g.aggregate(in, "i") + " > 0"
		}
	}
	if g.chance(12) {
		sql += " ORDER BY " + pick(g, "1", cols[0].name, g.column(in, "i"))
		if g.chance(40) {
			sql += " LIMIT 2"
		}
	}
	return sql, cols
}

func (g *sqlGenerator) union(outer []sqlSource) (string, []sqlColumn) {
	left, cols := g.selects(outer, nil)
	var kinds []string
	for _, c := range cols {
		kinds = append(kinds, c.kind)
	}
	right, _ := g.selects(outer, kinds)
	return "(" + left + ") " + pick(g, "UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT ALL") + " (" + right + ")", cols
}

func (g *sqlGenerator) with(outer []sqlSource) (string, []sqlColumn) {
	name := g.name("w")
	var head string
	var cols []sqlColumn
	if g.chance(35) {
		start, c := g.selects(nil, []string{pick(g, "t", "i"), pick(g, "t", "i"), "i"})
		var back []string
		self := []sqlSource{{"r", []sqlColumn{{"a", c[0].kind}, {"b", c[1].kind}, {"n", "i"}}}}
		for _, col := range c[:2] {
			back = append(back, g.expr(self, col.kind))
		}
		step := "SELECT " + strings.Join(back, ", ") + ", 1 FROM " + name + " r JOIN visits v ON v.id = 1 WHERE r.n = 0"
		head = "WITH RECURSIVE " + name + "(a, b, n) AS (SELECT q.*, 0 FROM (SELECT " + c[0].name + ", " + c[1].name + " FROM (" + start + ") s) q UNION ALL " + step + ") "
		cols = self[0].cols
	} else {
		body, c := g.query(nil)
		head, cols = "WITH "+name+" AS ("+body+") ", c
	}
	g.ctes = append(g.ctes, sqlSource{name, cols})
	body, out := g.selects(outer, nil)
	g.ctes = g.ctes[:len(g.ctes)-1]
	return head + body, out
}

func (g *sqlGenerator) from(outer []sqlSource) (string, []sqlSource) {
	sql, s := g.item(outer)
	in := []sqlSource{s}
	for g.size > 0 && g.chance(35) {
		g.size--
		lateral := g.chance(25)
		var seen []sqlSource
		if lateral {
			seen = in
		}
		more, m := g.item(seen)
		if lateral && strings.HasPrefix(more, "(") {
			more = "LATERAL " + more
		}
		a, b := pick(g, s.cols...), pick(g, m.cols...)
		switch {
		case a.kind == b.kind && g.chance(70):
			sql += pick(g, " JOIN ", " LEFT JOIN ", " JOIN ") + more + " ON " + s.alias + "." + a.name + " = " + m.alias + "." + b.name
		default:
			sql += " CROSS JOIN " + more
		}
		in = append(in, m)
	}
	return sql, in
}

func (g *sqlGenerator) item(outer []sqlSource) (string, sqlSource) {
	alias := g.name("s")
	switch {
	case len(g.ctes) > 0 && g.chance(50):
		c := pick(g, g.ctes...)
		return c.alias + " " + alias, sqlSource{alias, c.cols}
	case g.size > 0 && g.chance(35):
		body, cols := g.query(outer)
		if g.chance(30) { // renamed
			var names []string
			cols = slices.Clone(cols)
			for i := range cols {
				cols[i].name = g.name("x")
				names = append(names, cols[i].name)
			}
			return "(" + body + ") " + alias + "(" + strings.Join(names, ", ") + ")", sqlSource{alias, cols}
		}
		return "(" + body + ") " + alias, sqlSource{alias, cols}
	case g.chance(6):
		return "generate_series(1, " + pick(g, "2", g.expr(outer, "i")) + ") " + alias + "(g)", sqlSource{alias, []sqlColumn{{"g", "i"}}}
	}
	name := pick(g, "people", "people", "people", "visits", "plain", "turned", "both_")
	return name + " " + alias, sqlSource{alias, sqlRelations[name]}
}

// column is a reference to a column of a kind; a constant if there is none.
func (g *sqlGenerator) column(in []sqlSource, kind string) string {
	var all []string
	for _, s := range in {
		for _, c := range s.cols {
			if c.kind == kind {
				all = append(all, s.alias+"."+c.name)
			}
		}
	}
	if len(all) == 0 {
		return g.constant(kind)
	}
	return pick(g, all...)
}

func (g *sqlGenerator) constant(kind string) string {
	if kind == "i" {
		return pick(g, "1", "0", "7")
	}
	return pick(g, "'a'", "'n1'", "'x1'", "''")
}

func (g *sqlGenerator) expr(in []sqlSource, kind string) string {
	g.size--
	if g.size < 0 || g.chance(60) {
		return g.column(in, kind)
	}
	switch g.r.IntN(9) {
	case 0:
		return g.constant(kind)
	case 1:
		return "coalesce(" + g.column(in, kind) + ", " + g.expr(in, kind) + ")"
	case 2:
		return "CASE WHEN " + g.predicate(in) + " THEN " + g.expr(in, kind) + " ELSE " + g.column(in, kind) + " END"
	case 3:
		body, _ := g.selects(in, []string{kind})
		return "(SELECT * FROM (" + body + ") q LIMIT 1)"
	case 4:
		return "nullif(" + g.column(in, kind) + ", " + g.expr(in, kind) + ")"
	case 5:
		return g.aggregateQuery(in, kind)
	}
	if kind == "i" {
		return pick(g, g.column(in, "i")+" + 1", "length("+g.column(in, "t")+")", "row_number() OVER (PARTITION BY "+g.column(in, "t")+" ORDER BY "+g.column(in, "i")+")")
	}
	return pick(g, "upper("+g.column(in, "t")+")", g.column(in, "t")+"::text", g.column(in, "t")+" || 'z'", "CAST("+g.column(in, "t")+" AS varchar)")
}

func (g *sqlGenerator) aggregateQuery(in []sqlSource, kind string) string {
	from, inner := g.from(in)
	return "(SELECT " + g.aggregate(inner, kind) + " FROM " + from + ")"
}

func (g *sqlGenerator) aggregate(in []sqlSource, kind string) string {
	if kind == "i" {
		return pick(g, "count(*)::int", "count("+g.column(in, "t")+")::int", "count(DISTINCT "+g.column(in, "t")+")::int", "max("+g.column(in, "i")+")", "sum("+g.column(in, "i")+")::int")
	}
	return pick(g, "min("+g.column(in, "t")+")", "string_agg("+g.column(in, "t")+", ',')")
}

func (g *sqlGenerator) predicate(in []sqlSource) string {
	g.size--
	k := pick(g, "t", "i")
	switch g.r.IntN(8) {
	case 0:
		return g.column(in, k) + " IS NOT NULL"
	case 1:
		return g.column(in, k) + " IN (" + g.constant(k) + ", " + g.constant(k) + ")"
	case 2:
		return g.column(in, "t") + " LIKE 'n%'"
	case 3:
		if g.size > 0 {
			body, _ := g.selects(in, []string{k})
			return g.column(in, k) + " IN (" + body + ")"
		}
	case 4:
		if g.size > 0 {
			body, _ := g.selects(in, nil)
			return "EXISTS (" + body + ")"
		}
	case 5:
		return g.column(in, "i") + pick(g, " > ", " = ", " <> ") + g.expr(in, "i")
	}
	return g.column(in, k) + " = " + g.column(in, k)
}

// interfere runs random statements in both worlds and compares the answers.
func interfere(t *testing.T, a, b *maskedWorld, statements int) {
	t.Helper()
	left, right, direct := a.user(t), b.user(t), a.direct(t)
	for _, u := range []*user{left, right, direct} {
		u.run(simple, "set statement_timeout = '300ms'")
	}
	allowed, touched := 0, 0
	for seed := range statements {
		g := &sqlGenerator{r: rand.New(rand.NewPCG(uint64(seed), 1)), size: 2 + seed%14}
		sql, _ := g.query(nil)
		x, y := left.run(simple, sql), right.run(simple, sql)
		if isRefusal(x) && isRefusal(y) || tooSlow(x) || tooSlow(y) {
			continue
		}
		if sorted(x) != sorted(y) {
			t.Errorf("seed %d tells the worlds apart: %s\n  %.300s\n  %.300s", seed, sql, x, y)
		}
		if !strings.HasPrefix(x, "42") && !strings.HasPrefix(x, "2") {
			allowed++
			if direct.run(simple, sql) != x {
				touched++
			}
		}
	}
	t.Logf("%d of %d statements were answered, %d of them with something masked", allowed, statements, touched)
	if allowed < statements/10 || touched < statements/50 {
		t.Errorf("too few statements say anything: %d answered, %d masked, of %d", allowed, touched, statements)
	}
}

// tooSlow: some of the statements join everything with everything.
func tooSlow(answer string) bool { return strings.Contains(answer, "57014 canceling") }

// sorted puts rows in order: a query without ORDER BY promises none.
func sorted(answer string) string {
	rows := strings.Split(answer, "; ")
	slices.Sort(rows)
	return strings.Join(rows, "; ")
}

const interferenceStatements = 500

const interferencePolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: emails, match: {columns: ["*.people.email"]}, effect: mask, mask: {with: "null"%[1]s}}
  - {id: pay, match: {columns: ["*.people.pay"]}, effect: mask, mask: {with: "null"%[1]s}}
`

// Without permissions nothing of the values tells, not even which are null or equal.
func TestNoInterference(t *testing.T) {
	rules := fmt.Sprintf(interferencePolicy, "")
	a := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'a'", "1"}, {"'n1'", "2"}, {"'x1'", "3"}, {"'x1'", "3"}, {"NULL", "7"}}), rules)
	b := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'zz'", "7"}, {"NULL", "NULL"}, {"'b'", "0"}, {"'ann'", "5"}, {"'n1'", "9"}}), rules)
	interfere(t, a, b, interferenceStatements)
}

// With joins and counts permitted, which values are equal and which are null may
// tell, and nothing more: the worlds differ by a renaming of values that no
// statement can name. It keeps their order, in which groups happen to come.
func TestNoInterferenceBeyondEquality(t *testing.T) {
	rules := fmt.Sprintf(interferencePolicy, ", joinable: true, aggregatable: true")
	a := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'q1'", "101"}, {"'q2'", "102"}, {"'q1'", "101"}, {"'q3'", "103"}, {"NULL", "NULL"}}), rules)
	b := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'p1'", "301"}, {"'p5'", "302"}, {"'p1'", "301"}, {"'p9'", "303"}, {"NULL", "NULL"}}), rules)
	interfere(t, a, b, interferenceStatements)
}
