package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// from adds an entry of a FROM clause to the scope and returns the columns that
// it shows.
func (a *analysis) from(sc *scope, n *pgquery.Node) listing {
	if !a.enter() {
		return listing{}
	}
	defer a.leave()
	var it *item
	switch v := n.GetNode().(type) {
	case *pgquery.Node_RangeVar:
		it = a.rangeVar(sc, v.RangeVar)
	case *pgquery.Node_RangeSubselect:
		it = a.rangeSubselect(sc, v.RangeSubselect)
	case *pgquery.Node_JoinExpr:
		return a.join(sc, n, v.JoinExpr)
	case *pgquery.Node_RangeFunction:
		it = a.rangeFunction(sc, v.RangeFunction)
	case *pgquery.Node_RangeTableSample:
		return a.tableSample(sc, v.RangeTableSample)
	case *pgquery.Node_RangeTableFunc:
		it = a.xmlTable(sc, v.RangeTableFunc)
	case *pgquery.Node_JsonTable:
		line := a.collect(func() {
			a.children(v.JsonTable.ProtoReflect(), func(c protoMessage) { a.generic(sc, c, access.UseFlow) })
		})
		it = a.computed(line, v.JsonTable.Alias, "json_table")
	default:
		a.opaque("a FROM item of a kind that is not known")
		return listing{}
	}
	sc.items = append(sc.items, it)
	return it.listing()
}

func (it *item) listing() listing { return listing{it.cols, it.known, []*item{it}} }

func (it *item) listed() []listing { return []listing{it.listing()} }

func (a *analysis) xmlTable(sc *scope, f *pgquery.RangeTableFunc) *item {
	line := a.collect(func() {
		a.expr(sc, f.Docexpr, access.UseFlow)
		a.expr(sc, f.Rowexpr, access.UseFlow)
		a.exprs(sc, f.Columns, access.UseFlow)
		a.exprs(sc, f.Namespaces, access.UseFlow)
	})
	return a.computed(line, f.Alias, "xmltable")
}

// rangeVar is a table or a WITH query.
func (a *analysis) rangeVar(sc *scope, rv *pgquery.RangeVar) *item {
	if rv.Schemaname == "" && rv.Catalogname == "" {
		if c := sc.cte(rv.Relname); c != nil {
			it := a.yields(c).item()
			it.alias = rv.Relname
			it.aliased(rv.Alias)
			return it
		}
	}
	return a.relationItem(rv, a.use1(rv, true, false))
}

// item is a query as a FROM item.
func (d *derived) item() *item {
	it := &item{cols: slices.Clone(d.cols), known: d.known, fixed: d.fixed, src: lineage{broken: !d.known}}
	for i := range it.cols {
		it.cols[i].scope = nil
	}
	return it
}

func (a *analysis) rangeSubselect(sc *scope, r *pgquery.RangeSubselect) *item {
	parent := sc.parent
	if r.Lateral {
		parent = sc
	}
	q := r.Subquery.GetSelectStmt()
	if q == nil {
		a.opaque("a subquery of a kind that is not known")
		return new(item)
	}
	it := a.query(parent, q, inner).item()
	it.aliased(r.Alias)
	return it
}

// rangeFunction is a call in FROM; its columns have names that only the server
// knows.
func (a *analysis) rangeFunction(sc *scope, r *pgquery.RangeFunction) *item {
	name := ""
	a.definitions(r.Coldeflist)
	line := a.collect(func() {
		for _, f := range r.Functions {
			parts := f.GetList().GetItems()
			if len(parts) == 0 {
				continue
			}
			for _, list := range parts[1:] {
				a.definitions(list.GetList().GetItems())
			}
			name, _ = figureName(parts[0])
			a.within(parts[0], func() { a.expr(sc, parts[0], access.UseFlow) })
		}
	})
	return a.computed(line, r.Alias, name)
}

// definitions judges the types of a column definition list: values are read as them.
func (a *analysis) definitions(list []*pgquery.Node) {
	for _, n := range list {
		a.typeName(n.GetColumnDef().GetTypeName())
	}
}

func (a *analysis) computed(line lineage, alias *pgquery.Alias, name string) *item {
	it := &item{alias: name, src: line}
	it.aliased(alias)
	return it
}

// tableSample: the server's own methods only choose rows.
func (a *analysis) tableSample(sc *scope, r *pgquery.RangeTableSample) listing {
	if m := lastName(r.Method); m != "system" && m != "bernoulli" || len(r.Method) > 1 {
		a.partial("a table sample method that is not the server's own")
	}
	a.exprs(sc, r.Args, access.UseFilter)
	a.expr(sc, r.Repeatable, access.UseFilter)
	return a.from(sc, r.Relation)
}
