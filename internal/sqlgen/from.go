package sqlgen

import (
	"slices"
	"strings"
)

// maxItems bounds FROM: everything joined with everything takes for ever.
const maxItems = 3

func (g *Generator) from(outer []source) (string, []source) {
	sql, s := g.item(outer)
	in := []source{s}
	for g.size > 0 && len(in) < maxItems && g.chance(35) {
		g.size--
		lateral := g.chance(25)
		var seen []source
		if lateral {
			seen = in
		}
		more, m := g.item(seen)
		if lateral && strings.HasPrefix(more, "(") {
			more = "LATERAL " + more
		}
		sql += g.join(more, s, m)
		in = append(in, m)
	}
	return sql, in
}

// join is a join of what m names with what comes before, on columns of s and m.
func (g *Generator) join(more string, s, m source) string {
	a, b := pick(g, s.cols...), pick(g, m.cols...)
	switch {
	case a.Type == b.Type && g.rich && a.Name == b.Name && g.chance(30):
		return " JOIN " + more + " USING (" + a.Name + ")"
	case a.Type == b.Type && g.chance(70):
		return pick(g, " JOIN ", " LEFT JOIN ", " JOIN ") + more + " ON " + s.alias + "." + a.Name + " = " + m.alias + "." + b.Name
	case g.rich && g.chance(5):
		return pick(g, " NATURAL JOIN ", " NATURAL FULL JOIN ") + more
	case g.rich && a.Type == b.Type:
		return pick(g, " RIGHT JOIN ", " FULL JOIN ") + more + " ON " + s.alias + "." + a.Name + " = " + m.alias + "." + b.Name
	}
	return " CROSS JOIN " + more
}

func (g *Generator) item(outer []source) (string, source) {
	alias := g.alias("s")
	switch {
	case len(g.ctes) > 0 && g.chance(50):
		c := pick(g, g.ctes...)
		return c.alias + " " + alias, source{alias, c.cols}
	case g.size > 0 && g.chance(35):
		body, cols := g.query(outer)
		if g.chance(30) { // renamed
			var names []string
			cols = slices.Clone(cols)
			for i := range cols {
				cols[i].Name = g.alias("x")
				names = append(names, cols[i].Name)
			}
			return "(" + body + ") " + alias + "(" + strings.Join(names, ", ") + ")", source{alias, cols}
		}
		return "(" + body + ") " + alias, source{alias, cols}
	case g.chance(6):
		return "generate_series(1, " + g.few(outer) + ") " + alias + "(g)", source{alias, []Column{{"g", "int"}}}
	case g.rich && g.chance(3):
		return g.function(outer, alias)
	}
	r := g.relation(anyRelation)
	return r.Name + " " + alias, source{alias, r.Columns}
}

// few is how often something is repeated.
func (g *Generator) few(outer []source) string {
	if n := g.expr(outer, "int"); !g.rich {
		return pick(g, "2", n)
	} else if g.chance(50) {
		return "least(" + n + ", 3)"
	}
	return "2"
}

// function is a function in FROM that takes values apart.
func (g *Generator) function(outer []source, alias string) (string, source) {
	text := []Column{{"u", "text"}}
	switch g.r.IntN(4) {
	case 0:
		return "unnest(" + g.expr(outer, "text[]") + ") " + alias + "(u)", source{alias, text}
	case 1:
		return "regexp_split_to_table(" + g.expr(outer, "text") + ", '@') " + alias + "(u)", source{alias, text}
	case 2:
		return "jsonb_each_text(" + g.expr(outer, "jsonb") + ") " + alias + "(k, u)", source{alias, []Column{{"k", "text"}, {"u", "text"}}}
	}
	return "ROWS FROM (unnest(ARRAY[" + g.expr(outer, "text") + "]), generate_series(1, 2)) " + alias + "(u, n)", source{alias, []Column{{"u", "text"}, {"n", "int"}}}
}
