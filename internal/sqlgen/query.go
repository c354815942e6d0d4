package sqlgen

import "strings"

// Query returns a query.
func (g *Generator) Query() string {
	sql, _ := g.query(nil)
	return sql
}

// query returns a query and the columns that it yields.
func (g *Generator) query(outer []source) (string, []Column) {
	g.size--
	switch {
	case g.size > 0 && g.chance(12):
		return g.union(outer)
	case g.size > 0 && g.chance(12):
		return g.with(outer)
	case g.chance(5):
		cell := g.expr(outer, "text")
		return "VALUES ('v', " + cell + "), ('w', NULL)", []Column{{"column1", "text"}, {"column2", "text"}}
	}
	return g.selects(outer, nil)
}

// selects returns a SELECT; its columns have the types asked for, if any are.
func (g *Generator) selects(outer []source, types []string) (string, []Column) {
	from, in := g.from(outer)
	if g.rich && types == nil && g.chance(15) {
		return g.star(from, in)
	}
	in = append(in, outer...)
	if types == nil {
		for range 1 + g.r.IntN(3) {
			types = append(types, g.typeOf(in))
		}
	}
	var targets, keys []string
	var cols []Column
	grouped := g.chance(10)
	for _, k := range types {
		c := Column{g.alias("c"), k}
		e := g.expr(in, k)
		if grouped && g.chance(50) {
			e = g.aggregate(in, k)
		} else if grouped {
			e = g.column(in, k)
			keys = append(keys, e)
		}
		targets, cols = append(targets, e+" AS "+c.Name), append(cols, c)
	}
	sql := "SELECT " + g.distinct(in, grouped) + strings.Join(targets, ", ") + " FROM " + from
	if g.chance(45) {
		sql += " WHERE " + g.predicate(in)
	}
	if grouped && len(keys) > 0 {
		sql += g.grouping(in, keys)
	}
	return sql + g.ordering(in, cols), cols
}

// typeOf picks a type for a column of a result, mostly of what there is.
func (g *Generator) typeOf(in []source) string {
	if g.rich && g.chance(70) {
		if s := pick(g, in...); len(s.cols) > 0 {
			return pick(g, s.cols...).Type
		}
	}
	return pick(g, "text", "text", "int")
}

// star returns every column of FROM's first item.
func (g *Generator) star(from string, in []source) (string, []Column) {
	sql := "SELECT " + in[0].alias + ".* FROM " + from
	if g.chance(30) {
		sql += " WHERE " + g.predicate(in)
	}
	return sql, in[0].cols
}

func (g *Generator) distinct(in []source, grouped bool) string {
	switch {
	case g.rich && !grouped && g.chance(2):
		return "DISTINCT ON (" + g.column(in, "int") + ") "
	case g.chance(6):
		return "DISTINCT "
	}
	return ""
}

func (g *Generator) grouping(in []source, keys []string) string {
	by := strings.Join(keys, ", ")
	if g.rich && g.chance(15) {
		by = pick(g, "ROLLUP (", "CUBE (", "GROUPING SETS ((), ") + by + ")"
	}
	sql := " GROUP BY " + by
	if g.chance(30) {
		sql += " HAVING " + g.aggregate(in, "int") + " > 0"
	}
	return sql
}

func (g *Generator) ordering(in []source, cols []Column) string {
	if !g.chance(12) {
		return ""
	}
	sql := " ORDER BY " + pick(g, "1", cols[0].Name, g.column(in, "int"))
	if g.rich && g.chance(10) {
		return sql + " FETCH FIRST 2 ROWS WITH TIES"
	}
	if g.chance(40) {
		sql += " LIMIT 2"
	}
	return sql
}

func (g *Generator) union(outer []source) (string, []Column) {
	left, cols := g.selects(outer, nil)
	var types []string
	for _, c := range cols {
		types = append(types, c.Type)
	}
	right, _ := g.selects(outer, types)
	return "(" + left + ") " + pick(g, "UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT ALL") + " (" + right + ")", cols
}

func (g *Generator) with(outer []source) (string, []Column) {
	name := g.alias("w")
	var head string
	var cols []Column
	switch {
	case g.chance(35):
		head, cols = g.recursive(name)
	case g.rich && g.chance(12):
		body, c := g.returning()
		head, cols = "WITH "+name+" AS ("+body+") ", c
	default:
		body, c := g.query(nil)
		head, cols = "WITH "+name+" AS "+pick(g, "", "", "MATERIALIZED ")+"("+body+") ", c
	}
	g.ctes = append(g.ctes, source{name, cols})
	body, out := g.selects(outer, nil)
	g.ctes = g.ctes[:len(g.ctes)-1]
	return head + body, out
}

// recursive walks once from what it starts with.
func (g *Generator) recursive(name string) (string, []Column) {
	start, c := g.selects(nil, []string{pick(g, "text", "int"), pick(g, "text", "int"), "int"})
	self := []source{{"r", []Column{{"a", c[0].Type}, {"b", c[1].Type}, {"n", "int"}}}}
	var back []string
	for _, col := range c[:2] {
		back = append(back, g.expr(self, col.Type))
	}
	head := "WITH RECURSIVE " + name + "(a, b, n) AS (SELECT q.*, 0 FROM (SELECT " + c[0].Name + ", " + c[1].Name + " FROM (" + start + ") s) q" +
		" UNION ALL SELECT " + strings.Join(back, ", ") + ", 1 FROM " + name + " r CROSS JOIN (VALUES (1)) one WHERE r.n = 0) "
	return head, self[0].cols
}
