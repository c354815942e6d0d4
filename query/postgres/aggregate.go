package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// aggregates are the functions that a mask rule can permit by name.
var aggregates = set("count sum avg min max stddev stddev_pop stddev_samp variance var_pop var_samp")

// aggregated walks the call of an aggregate over one column as it is, of the
// query that it stands in: one over a column of a query further out belongs to
// that query. It reports false for other calls.
func (a *analysis) aggregated(sc *scope, f *pgquery.FuncCall, use access.Use) bool {
	name := lastName(f.Funcname)
	if !aggregates()[name] || len(f.Args) != 1 || f.AggWithinGroup || f.FuncVariadic {
		return false
	}
	schema := ""
	if len(f.Funcname) > 1 {
		schema = f.Funcname[0].GetString_().GetSval()
	}
	if class, qualified := a.classify(schema, name, 1); class != fnPure || qualified != "pg_catalog."+name || len(f.Funcname) > 2 {
		return false
	}
	c := a.value(sc, f.Args[0], use)
	if len(c.marks) == 0 || c.scope != sc {
		a.note(&c, use)
		return true
	}
	group := int64(0)
	if f.AggFilter == nil && f.Over == nil && !c.chosen {
		group = a.floor(sc)
	}
	told := access.UseAggregate
	if f.AggDistinct {
		told |= c.widened(access.UseGroup) &^ access.UseGroup
	}
	if a.shallow {
		told = a.defined(&c, told)
	}
	for _, m := range c.marks {
		m.rel.use(m.col, told, a.at).aggregate([]string{name}, group)
	}
	return true
}

// floor is how many rows stand behind every aggregate of a query at least. What HAVING
// itself aggregates can be computed, and fail, for the groups that it drops.
func (a *analysis) floor(sc *scope) int64 {
	if sc.having {
		return 0
	}
	if sc.least == nil {
		n := a.leastGroup(sc)
		sc.least = &n
	}
	return *sc.least
}

// leastGroup is how many rows every group of a query has at least, by its own HAVING:
// those of one table, since a join would count a row again and again, as does a
// function that returns rows in GROUP BY.
func (a *analysis) leastGroup(sc *scope) int64 {
	q := sc.query
	if q == nil || q.HavingClause == nil || len(q.FromClause) != 1 || a.multiplies(q) {
		return 0
	}
	rv := q.FromClause[0].GetRangeVar()
	if rv == nil || len(sc.items) != 1 || len(sc.items[0].rels) != 1 {
		return 0
	}
	rel := sc.items[0].rels[0].rel
	if rel == nil || rel.IsView() || rel.System {
		return 0
	}
	parts := []*pgquery.Node{q.HavingClause}
	if b := q.HavingClause.GetBoolExpr(); b != nil && b.Boolop == pgquery.BoolExprType_AND_EXPR {
		parts = b.Args
	}
	most := int64(0)
	for _, n := range parts {
		most = max(most, a.counted(n))
	}
	return most
}

// multiplies reports whether a function that returns rows may stand in GROUP BY: by
// itself, or as what a position or name of the target list stands for.
func (a *analysis) multiplies(q *pgquery.SelectStmt) bool {
	if len(q.GroupClause) == 0 {
		return false
	}
	found := false
	var visit func(m protoMessage)
	visit = func(m protoMessage) {
		if found || !a.enter() {
			return
		}
		defer a.leave()
		switch v := m.Interface().(type) {
		case *pgquery.A_Const:
		case *pgquery.String:
			found = setReturning()[v.Sval] // of f(x), and of (x).f
		default:
			a.children(m, visit)
		}
	}
	for _, n := range slices.Concat(q.GroupClause, q.TargetList) {
		visit(n.ProtoReflect())
	}
	return found
}

// counted is the n of count(*) >= n; 0: it is none.
func (a *analysis) counted(n *pgquery.Node) int64 {
	e := n.GetAExpr()
	if e == nil || e.Kind != pgquery.A_Expr_Kind_AEXPR_OP || len(e.Name) != 1 {
		return 0
	}
	op, count, bound := lastName(e.Name), e.Lexpr, e.Rexpr
	if flipped, ok := map[string]string{"<": ">", "<=": ">="}[op]; ok {
		op, count, bound = flipped, e.Rexpr, e.Lexpr
	}
	f := count.GetFuncCall()
	if f == nil || !f.AggStar || f.AggFilter != nil || f.Over != nil || lastName(f.Funcname) != "count" {
		return 0
	}
	if class, qualified := a.classify("", "count", 0); class != fnPure || qualified != "pg_catalog.count" {
		return 0
	}
	i, ok := bound.GetAConst().GetVal().(*pgquery.A_Const_Ival)
	if !ok {
		return 0
	}
	a.literal = true
	switch least := int64(i.Ival.GetIval()); op {
	case ">=":
		return least
	case ">":
		return least + 1
	}
	return 0
}
