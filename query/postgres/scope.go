package postgres

import (
	"slices"

	"sluice/access"
	"sluice/query/catalog"
)

// A scope is what column names can mean at one place of a query: the items of
// its FROM clause, then those of the queries around it.
type scope struct {
	parent *scope
	items  []*item
	ctes   map[string]*derived
	// merged is true if a JOIN USING or NATURAL JOIN put columns together: the
	// order of an unqualified star is then not the items' order.
	merged bool
	// full holds the columns that a FULL JOIN USING computes from both sides.
	full map[string]bool
}

// An item is one entry of a FROM clause.
type item struct {
	alias  string // what qualifies its columns; empty: nothing does
	schema string // of a relation named without an alias: schema.name.column
	rels   []*relUse
	cols   []column
	known  bool // cols are all the columns there are
	hidden bool // by an alias on the join it is part of
	strict bool // its columns need a qualifier: OLD, NEW, EXCLUDED

	// src is what a column that is not in cols may hold (functions in FROM).
	src lineage
}

// A column is one column of an item, or of a query's result.
type column struct {
	name  string
	marks []mark // the columns of relations that it is, to note their use
	line  lineage
	bare  bool // exactly marks[0], unchanged
}

// A mark names one column of a relation in use.
type mark struct {
	rel *relUse
	col string
}

// A lineage collects where a value comes from.
type lineage struct {
	sources []catalog.Source
	broken  bool // something could not be traced
}

func (l *lineage) add(o lineage) {
	l.broken = l.broken || o.broken
	for _, s := range o.sources {
		if !slices.Contains(l.sources, s) {
			l.sources = append(l.sources, s)
		}
	}
}

// A derived is the result of a query used as a table.
type derived struct {
	cols  []column
	known bool
}

// find returns the item's columns called name: more than one if a join put two
// of that name under one alias.
func (it *item) find(name string) []*column {
	var found []*column
	for i := range it.cols {
		if it.cols[i].name == name {
			found = append(found, &it.cols[i])
		}
	}
	return found
}

// rename applies an alias's column list.
func (it *item) rename(names []string) {
	cols := slices.Clone(it.cols)
	for i, n := range names {
		if i < len(cols) {
			cols[i].name = n
		} else if !it.known {
			cols = append(cols, column{name: n, line: it.wholeLineage()})
		}
	}
	it.cols = cols
}

// wholeLineage is everything any column of the item may hold.
func (it *item) wholeLineage() lineage {
	line := it.src
	line.sources = slices.Clone(line.sources)
	line.broken = line.broken || !it.known && len(it.rels) > 0
	for i := range it.cols {
		line.add(it.cols[i].line)
	}
	return line
}

// systemColumns exist in every table and show nothing of its content.
var systemColumns = set("ctid xmin xmax cmin cmax tableoid oid")

// note records a use of a column and adds its lineage to every open sink.
func (a *analysis) note(c *column, use access.Use) {
	for _, m := range c.marks {
		m.rel.use(m.col, use)
	}
	a.flow(c.line)
}

// noteAll records a use of every column of an item, named and unnamed.
func (a *analysis) noteAll(it *item, use access.Use) {
	for i := range it.cols {
		a.note(&it.cols[i], use)
	}
	if !it.known {
		a.noteUnknown(it)
	}
}

// noteUnknown records that a column was used that the catalog does not know.
func (a *analysis) noteUnknown(it *item) {
	for _, r := range it.rels {
		r.unknown, r.read = true, true
	}
	a.flow(it.wholeLineage())
}

// flow adds to every open sink.
func (a *analysis) flow(l lineage) {
	for _, s := range a.sinks {
		s.add(l)
	}
}

// collect runs walk and returns the lineage of everything it touched.
func (a *analysis) collect(walk func()) lineage {
	var l lineage
	a.sinks = append(a.sinks, &l)
	walk()
	a.sinks = a.sinks[:len(a.sinks)-1]
	return l
}

// unqualified resolves a lone name: a column of the nearest scope that has it,
// else a whole row. Where several items have it, all are meant. Columns of
// subqueries don't end the search: only the catalog is sure of its names.
func (a *analysis) unqualified(sc *scope, name string, use access.Use) []*column {
	var found []*column
	open := false
	for s := sc; s != nil; s = s.parent {
		certain := false
		for _, it := range s.items {
			if it.hidden || it.strict {
				continue
			}
			cols := it.find(name)
			for _, c := range cols {
				a.note(c, s.used(name, use))
				certain = certain || len(c.marks) > 0
			}
			found = append(found, cols...)
			if len(cols) == 0 && !it.known {
				open = true
				a.noteUnknown(it)
			}
		}
		if certain {
			return found
		}
	}
	if len(found) == 0 && !open {
		a.wholeRow(sc, name, use)
	}
	if open {
		return nil
	}
	return found
}

// used turns a bare output into a flow where FULL JOIN computes the column.
func (s *scope) used(name string, use access.Use) access.Use {
	if s.full[name] && use == access.UseOutput {
		return access.UseFlow
	}
	return use
}

// wholeRow resolves a name that is no column: the row of the item called so.
func (a *analysis) wholeRow(sc *scope, name string, use access.Use) {
	items := sc.named("", name)
	if len(items) == 0 {
		a.unresolved(sc, name)
		return
	}
	for _, it := range items {
		a.noteAll(it, flowing(use))
	}
}

// flowing is the use of a column inside something larger.
func flowing(use access.Use) access.Use {
	if use == access.UseOutput {
		return access.UseFlow
	}
	return use
}

// named returns the items that schema.name (or name) qualifies, of the nearest
// scope that has any.
func (sc *scope) named(schema, name string) []*item {
	for s := sc; s != nil; s = s.parent {
		var found []*item
		for _, it := range s.items {
			if it.alias == name && !it.hidden && (schema == "" || it.schema == schema) {
				found = append(found, it)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// qualified resolves table.column. A name that is no column of a known table is
// a function of its row.
func (a *analysis) qualified(sc *scope, schema, table, name string, use access.Use) []*column {
	items := sc.named(schema, table)
	if len(items) == 0 {
		a.unresolved(sc, table+"."+name)
		return nil
	}
	var found []*column
	for _, it := range items {
		cols := it.find(name)
		for _, c := range cols {
			a.note(c, use)
		}
		found = append(found, cols...)
		if len(cols) == 0 {
			a.attribute(it, name, use)
		}
	}
	return found
}

// attribute handles item.name where name is no known column.
func (a *analysis) attribute(it *item, name string, use access.Use) {
	switch {
	case !it.known:
		a.noteUnknown(it)
	case len(it.rels) > 0 && systemColumns()[name]:
	default:
		a.noteAll(it, flowing(use))
		a.function("", name, 1, nil)
	}
}

// unresolved is a name that means nothing here: the server knows better, or
// will refuse it. Anything in reach may be meant.
func (a *analysis) unresolved(sc *scope, name string) {
	if systemColumns()[name] && sc.hasRelation() {
		return
	}
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.items {
			a.noteUnknown(it)
		}
	}
	a.flow(lineage{broken: true})
	a.partial("column " + name + " cannot be resolved")
}

func (sc *scope) hasRelation() bool {
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.items {
			if len(it.rels) > 0 {
				return true
			}
		}
	}
	return false
}

// cte returns the WITH query that an unqualified name refers to, or nil.
func (sc *scope) cte(name string) *derived {
	for s := sc; s != nil; s = s.parent {
		if d := s.ctes[name]; d != nil {
			return d
		}
	}
	return nil
}
