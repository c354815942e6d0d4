package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// A scope is what column names can mean at one place of a query: the items of
// its FROM clause, then those of the queries around it.
type scope struct {
	parent *scope
	items  []*item
	ctes   map[string]*cte
	// list is what an unqualified star stands for, in order.
	list []listing
	// merges are the columns that JOIN USING made of two.
	merges []column
	// query is the SELECT whose scope this is, for what its HAVING says.
	query *pgquery.SelectStmt
	// having: its HAVING is being walked. least: see floor; nil: not asked yet.
	having bool
	least  *int64
}

// A listing is the columns that a part of a FROM clause shows, in order.
type listing struct {
	cols  []column
	known bool // there are no others
	items []*item
}

// An item is one entry of a FROM clause.
type item struct {
	behind []*relUse // what the name of its relation hides
	alias  string    // what qualifies its columns; empty: nothing does
	schema string    // of a relation named without an alias: schema.name.column
	rels   []*relUse
	cols   []column
	known  bool // cols are all the columns there are
	hidden bool // by an alias on the join it is part of
	strict bool // its columns need a qualifier: OLD, NEW, EXCLUDED
	sure   bool // the catalog says what its columns are called
	fixed  bool // its columns are those that the text lists

	// merged are the names that a JOIN USING took from it.
	merged map[string]bool

	// src is what a column that is not in cols may hold (functions in FROM).
	src lineage
}

// A derived is the result of a query used as a table.
type derived struct {
	cols  []column
	known bool
	fixed bool // the text lists the columns: no table's becoming another changes them
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

// rename applies an alias's column list. Where not all columns are known, nobody
// knows which is which.
func (it *item) rename(names []string) {
	if len(names) == 0 {
		return
	}
	any := column{line: it.wholeLineage(), marks: it.allMarks(), mixed: true}
	cols := slices.Clone(it.cols)
	for i := range cols {
		if !it.known {
			any.name = cols[i].name
			cols[i] = any
		}
	}
	for i, n := range names {
		if i < len(cols) {
			cols[i].name, cols[i].guessed, cols[i].spelled = n, false, true
		} else if !it.known {
			any.name = n
			cols = append(cols, any)
		}
	}
	it.cols = cols
}

// allMarks are those of every column.
func (it *item) allMarks() []mark {
	var marks []mark
	for i := range it.cols {
		for _, m := range it.cols[i].marks {
			if !slices.Contains(marks, m) {
				marks = append(marks, m)
			}
		}
	}
	return marks
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

// find resolves a column reference. What it finds the caller notes, all of
// them: where several items have a name, any may be meant. Anything else that the
// reference may mean, a whole row or a column that the catalog does not know, is
// noted here. The columns are copies that know their scope.
func (a *analysis) find(sc *scope, ref *pgquery.ColumnRef, use access.Use) []column {
	parts := ref.Fields
	if parts[len(parts)-1].GetAStar() != nil {
		a.starValue(sc, names(parts[:len(parts)-1]), use)
		return nil
	}
	p := names(parts)
	switch len(p) {
	case 1:
		return a.unqualified(sc, p[0], use)
	case 2:
		return a.qualified(sc, "", p[0], p[1], use)
	case 3:
		return a.qualified(sc, p[0], p[1], p[2], use)
	case 4:
		a.database(p[0])
		return a.qualified(sc, p[1], p[2], p[3], use)
	}
	a.opaque("a column reference of too many parts")
	return nil
}

// unqualified resolves a lone name: a column of the nearest scope that has it,
// else a whole row. A name that the server makes up does not end the search. Nor
// do items whose columns are not known, and a name that is certain rules them out:
// in one scope it would be ambiguous.
func (a *analysis) unqualified(sc *scope, name string, use access.Use) []column {
	var found []column
	open := false
	for s := sc; s != nil; s = s.parent {
		here := len(found)
		certain := false
		for i := range s.merges {
			if s.merges[i].name == name {
				found, certain = append(found, s.merges[i].in(s)), true
			}
		}
		var unknown []*item
		for _, it := range s.items {
			if it.hidden || it.strict || it.merged[name] {
				continue
			}
			cols := it.find(name)
			for _, c := range cols {
				found = append(found, c.in(s))
				certain = certain || it.sure || it.known && !c.guessed
			}
			if len(cols) == 0 && !it.known {
				unknown = append(unknown, it)
			}
		}
		if certain && len(found) > here {
			return append(found, a.captured(s, name, use, found[here:])...)
		}
		for _, it := range unknown {
			open = true
			a.noteUnknown(it)
		}
	}
	if len(found) == 0 {
		a.wholeRow(sc, name, use, open)
	}
	return found
}

// in is the column as a reference found it.
func (c *column) in(s *scope) column {
	out := *c
	out.scope = s
	return out
}

// wholeRow resolves a name that is no known column: the row of the item called so.
// open: it may also be a column that is not known, which was noted.
func (a *analysis) wholeRow(sc *scope, name string, use access.Use, open bool) {
	items := sc.named("", name)
	if len(items) == 0 && !open {
		a.unresolved(sc, name)
	}
	for _, it := range items {
		a.noteAll(it, asRow(use))
	}
}

// asRow is the use of a column as a part of its row.
func asRow(use access.Use) access.Use {
	if use == 0 {
		return 0
	}
	return access.UseRow
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
	found, _ := sc.scoped(schema, name)
	return found
}

// scoped is named, with the scope that has them.
func (sc *scope) scoped(schema, name string) ([]*item, *scope) {
	for s := sc; s != nil; s = s.parent {
		var found []*item
		for _, it := range s.items {
			if it.alias == name && !it.hidden && (schema == "" || it.schema == schema) {
				found = append(found, it)
			}
		}
		if len(found) > 0 {
			return found, s
		}
	}
	return nil, nil
}

// qualified resolves table.column. A name that is no column of a known table is
// a function of its row.
func (a *analysis) qualified(sc *scope, schema, table, name string, use access.Use) []column {
	items, at := sc.scoped(schema, table)
	if len(items) == 0 {
		a.unresolved(sc, table+"."+name)
		return nil
	}
	var found []column
	for _, it := range items {
		cols := it.find(name)
		for _, c := range cols {
			found = append(found, c.in(at))
		}
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
		a.noteAll(it, asRow(use))
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
