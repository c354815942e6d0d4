package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// from adds an entry of a FROM clause to the scope.
func (a *analysis) from(sc *scope, n *pgquery.Node) {
	if !a.enter() {
		return
	}
	defer a.leave()
	switch v := n.GetNode().(type) {
	case *pgquery.Node_RangeVar:
		sc.items = append(sc.items, a.rangeVar(sc, v.RangeVar))
	case *pgquery.Node_RangeSubselect:
		a.rangeSubselect(sc, v.RangeSubselect)
	case *pgquery.Node_JoinExpr:
		a.join(sc, v.JoinExpr)
	case *pgquery.Node_RangeFunction:
		a.rangeFunction(sc, v.RangeFunction)
	case *pgquery.Node_RangeTableSample:
		a.tableSample(sc, v.RangeTableSample)
	case *pgquery.Node_RangeTableFunc:
		f := v.RangeTableFunc
		line := a.collect(func() {
			a.expr(sc, f.Docexpr, access.UseFlow)
			a.expr(sc, f.Rowexpr, access.UseFlow)
			a.exprs(sc, f.Columns, access.UseFlow)
			a.exprs(sc, f.Namespaces, access.UseFlow)
		})
		a.computed(sc, line, f.Alias, "xmltable")
	case *pgquery.Node_JsonTable:
		line := a.collect(func() {
			a.children(v.JsonTable.ProtoReflect(), func(c protoMessage) { a.generic(sc, c, access.UseFlow) })
		})
		a.computed(sc, line, v.JsonTable.Alias, "json_table")
	default:
		a.opaque("a FROM item of a kind that is not known")
	}
}

// rangeVar is a table or a WITH query.
func (a *analysis) rangeVar(sc *scope, rv *pgquery.RangeVar) *item {
	if rv.Schemaname == "" && rv.Catalogname == "" {
		if d := sc.cte(rv.Relname); d != nil {
			it := d.item()
			it.alias = rv.Relname
			it.aliased(rv.Alias)
			return it
		}
	}
	return a.relationItem(rv, a.use1(rv, true, false))
}

// item is a query as a FROM item. The use of its columns was noted where the
// query stands, so they carry no marks.
func (d *derived) item() *item {
	it := &item{cols: make([]column, len(d.cols)), known: d.known, src: lineage{broken: !d.known}}
	for i, c := range d.cols {
		it.cols[i] = column{name: c.name, line: c.line, bare: c.bare}
	}
	return it
}

func (a *analysis) rangeSubselect(sc *scope, r *pgquery.RangeSubselect) {
	parent := sc.parent
	if r.Lateral {
		parent = sc
	}
	q := r.Subquery.GetSelectStmt()
	if q == nil {
		a.opaque("a subquery of a kind that is not known")
		return
	}
	d := a.query(parent, q, inner)
	it := d.item()
	it.aliased(r.Alias)
	sc.items = append(sc.items, it)
}

// rangeFunction is a call in FROM; its columns have names that only the server
// knows.
func (a *analysis) rangeFunction(sc *scope, r *pgquery.RangeFunction) {
	name := ""
	line := a.collect(func() {
		for _, f := range r.Functions {
			parts := f.GetList().GetItems()
			if len(parts) == 0 {
				continue
			}
			name, _ = figureName(parts[0])
			a.expr(sc, parts[0], access.UseFlow)
		}
	})
	a.computed(sc, line, r.Alias, name)
}

func (a *analysis) computed(sc *scope, line lineage, alias *pgquery.Alias, name string) {
	it := &item{alias: name, src: line}
	it.aliased(alias)
	sc.items = append(sc.items, it)
}

// tableSample: the server's own methods only choose rows.
func (a *analysis) tableSample(sc *scope, r *pgquery.RangeTableSample) {
	if m := lastName(r.Method); m != "system" && m != "bernoulli" || len(r.Method) > 1 {
		a.partial("a table sample method that is not the server's own")
	}
	a.exprs(sc, r.Args, access.UseFilter)
	a.expr(sc, r.Repeatable, access.UseFilter)
	a.from(sc, r.Relation)
}

// join adds both sides, then what the condition compares.
func (a *analysis) join(sc *scope, j *pgquery.JoinExpr) {
	start := len(sc.items)
	a.from(sc, j.Larg)
	middle := len(sc.items)
	a.from(sc, j.Rarg)
	left, right := sc.items[start:middle], sc.items[middle:]
	if j.IsNatural {
		a.natural(sc, left, right)
	}
	for _, name := range names(j.UsingClause) {
		sc.merged = true
		a.using(left, name)
		a.using(right, name)
		if j.Jointype == pgquery.JoinType_JOIN_FULL {
			sc.computesFull(name)
		}
	}
	a.expr(sc, j.Quals, access.UseFilter)
	if j.JoinUsingAlias != nil {
		sc.items = append(sc.items, joined(sc, sc.items[start:], j.JoinUsingAlias, true))
	}
	if j.Alias != nil {
		inside := sc.items[start:]
		it := joined(sc, inside, j.Alias, false)
		for _, i := range inside {
			i.hidden = true
		}
		sc.items = append(sc.items, it)
	}
}

func (sc *scope) computesFull(name string) {
	if sc.full == nil {
		sc.full = make(map[string]bool)
	}
	sc.full[name] = true
}

// using notes a join column on one side.
func (a *analysis) using(side []*item, name string) {
	for _, it := range side {
		if it.hidden || it.strict {
			continue
		}
		cols := it.find(name)
		for _, c := range cols {
			a.note(c, access.UseFilter)
		}
		if len(cols) == 0 && !it.known {
			a.noteUnknown(it)
		}
	}
}

// natural compares every name that stands on both sides; if a side is not
// known, any.
func (a *analysis) natural(sc *scope, left, right []*item) {
	sc.merged = true
	for _, pair := range [][2][]*item{{left, right}, {right, left}} {
		for _, it := range pair[0] {
			for i := range it.cols {
				if !it.hidden && mayHave(pair[1], it.cols[i].name) {
					a.note(&it.cols[i], access.UseFilter)
					sc.computesFull(it.cols[i].name)
				}
			}
			if !it.known {
				a.noteUnknown(it)
			}
		}
	}
}

func mayHave(items []*item, name string) bool {
	for _, it := range items {
		if !it.hidden && (!it.known || len(it.find(name)) > 0) {
			return true
		}
	}
	return false
}

// joined is the item that an alias on a join makes. The order of its columns
// is not the items' where USING merged some: positions are then not known.
func joined(sc *scope, items []*item, alias *pgquery.Alias, strict bool) *item {
	it := &item{known: !sc.merged, strict: strict}
	for _, inside := range items {
		if inside.hidden || inside.strict {
			continue
		}
		it.known = it.known && inside.known
		it.src.add(inside.src)
		it.rels = append(it.rels, inside.rels...)
		it.cols = append(it.cols, inside.cols...)
	}
	if len(alias.Colnames) > 0 && sc.merged {
		it.cols = it.anything()
	}
	it.aliased(alias)
	return it
}

// anything are the item's columns where nobody knows which is which.
func (it *item) anything() []column {
	line := it.wholeLineage()
	line.broken = true
	var marks []mark
	for _, c := range it.cols {
		for _, m := range c.marks {
			if !slices.Contains(marks, m) {
				marks = append(marks, m)
			}
		}
	}
	cols := make([]column, len(it.cols))
	for i, c := range it.cols {
		cols[i] = column{name: c.name, line: line, marks: marks}
	}
	return cols
}
