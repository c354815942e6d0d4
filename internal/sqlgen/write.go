package sqlgen

import "strings"

// returning is a statement that writes and returns something.
func (g *Generator) returning() (string, []Column) {
	switch g.r.IntN(3) {
	case 0:
		return g.insert(true)
	case 1:
		return g.update(true)
	}
	return g.remove(true)
}

// write is a statement that writes.
func (g *Generator) write() string {
	list := g.chance(70)
	var sql string
	switch g.r.IntN(4) {
	case 0:
		sql, _ = g.insert(list)
	case 1:
		sql, _ = g.update(list)
	case 2:
		sql, _ = g.remove(list)
	default:
		sql = g.merge(list)
	}
	return sql
}

// columns picks some of a relation's, in its order.
func (g *Generator) columns(r Relation) []Column {
	var some []Column
	for _, c := range r.Columns {
		if g.chance(40) {
			some = append(some, c)
		}
	}
	if some == nil {
		some = []Column{pick(g, r.Columns...)}
	}
	return some
}

func names(cols []Column) (all []string) {
	for _, c := range cols {
		all = append(all, c.Name)
	}
	return all
}

func (g *Generator) insert(list bool) (string, []Column) {
	r := g.relation(writable)
	cols := g.columns(r)
	if g.chance(50) { // a row that NOT NULL does not refuse
		cols = r.Columns
	}
	var types, cells []string
	for _, c := range cols {
		types, cells = append(types, c.Type), append(cells, g.constant(c.Type))
	}
	body := "VALUES (" + strings.Join(cells, ", ") + ")"
	if g.chance(75) {
		body, _ = g.selects(nil, types)
	}
	alias := g.alias("t")
	sql := "INSERT INTO " + r.Name + " AS " + alias + " (" + strings.Join(names(cols), ", ") + ") " + body
	if g.chance(25) {
		c := pick(g, cols...)
		sql += " ON CONFLICT " + pick(g, "DO NOTHING", "DO NOTHING", "(id) DO UPDATE SET "+c.Name+" = "+pick(g, "excluded."+c.Name, alias+"."+c.Name))
	}
	return g.result(sql, list, []source{{alias, r.Columns}})
}

func (g *Generator) update(list bool) (string, []Column) {
	r := g.relation(writable)
	alias := g.alias("t")
	in := []source{{alias, r.Columns}}
	from := ""
	if g.chance(50) {
		item, s := g.item(nil)
		from, in = " FROM "+item, append(in, s)
	}
	var sets []string
	for _, c := range g.columns(r) {
		if len(sets) < 2 {
			sets = append(sets, c.Name+" = "+g.expr(in, c.Type))
		}
	}
	sql := "UPDATE " + r.Name + " AS " + alias + " SET " + strings.Join(sets, ", ") + from
	if g.chance(60) {
		sql += " WHERE " + g.predicate(in)
	}
	return g.result(sql, list, in)
}

func (g *Generator) remove(list bool) (string, []Column) {
	r := g.relation(writable)
	alias := g.alias("t")
	in := []source{{alias, r.Columns}}
	using := ""
	if g.chance(50) {
		item, s := g.item(nil)
		using, in = " USING "+item, append(in, s)
	}
	sql := "DELETE FROM " + r.Name + " AS " + alias + using
	if g.chance(70) {
		sql += " WHERE " + g.predicate(in)
	}
	return g.result(sql, list, in)
}

func (g *Generator) merge(list bool) string {
	r := g.relation(writable)
	alias := g.alias("t")
	item, s := g.item(nil)
	t := source{alias, r.Columns}
	both := []source{t, s}
	c, d := pick(g, r.Columns...), pick(g, r.Columns...)
	sql := "MERGE INTO " + r.Name + " AS " + alias + " USING " + item + " ON " + g.predicate(both) +
		" WHEN MATCHED " + pick(g, "", "AND "+g.predicate(both)+" ") + "THEN " + pick(g, "DELETE", "UPDATE SET "+c.Name+" = "+g.expr(both, c.Type), "DO NOTHING") +
		" WHEN NOT MATCHED THEN " + pick(g, "DO NOTHING", "INSERT ("+d.Name+") VALUES ("+g.expr([]source{s}, d.Type)+")")
	if g.schema.Modern {
		sql, _ = g.result(sql, list, both)
	}
	return sql
}

// result adds RETURNING.
func (g *Generator) result(sql string, list bool, in []source) (string, []Column) {
	if !list {
		return sql, nil
	}
	if g.schema.Modern && g.chance(20) {
		t := in[0]
		in = append(in, source{"old", t.cols}, source{"new", t.cols})
	}
	if g.chance(25) {
		return sql + " RETURNING " + in[0].alias + ".*", in[0].cols
	}
	var targets []string
	var cols []Column
	for range 1 + g.r.IntN(2) {
		c := Column{g.alias("c"), g.typeOf(in)}
		targets, cols = append(targets, g.expr(in, c.Type)+" AS "+c.Name), append(cols, c)
	}
	return sql + " RETURNING " + strings.Join(targets, ", "), cols
}
