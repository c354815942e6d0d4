package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// This file tells comparisons that a permission can cover from the rest: of a
// column as it is, with what the statement gives (a constant, a bound value, a
// computation over neither) or with another column as it is. Their answer tells
// what the permission allows to be told, wherever it goes, and so does not flow.

// condition walks a predicate.
func (a *analysis) condition(sc *scope, n *pgquery.Node, use access.Use) {
	if n == nil || n.Node == nil || !a.enter() {
		return
	}
	defer a.leave()
	if b := n.GetBoolExpr(); b != nil {
		for _, arg := range b.Args {
			a.condition(sc, arg, use)
		}
		return
	}
	a.within(n, func() { a.boolean(sc, n, use) })
}

// boolean walks an expression that is true or false: a column as such is
// compared with true.
func (a *analysis) boolean(sc *scope, n *pgquery.Node, use access.Use) {
	if ref := n.GetColumnRef(); ref != nil {
		c := a.reference(sc, ref, use)
		a.mark(&c, access.UseEqual)
		return
	}
	a.expr(sc, n, use)
}

// comparison walks an operator. It notes what it compares with use where that is
// no comparison of the kinds above.
func (a *analysis) comparison(sc *scope, e *pgquery.A_Expr, use access.Use) {
	a.operator(e.Name)
	equal, ranged := a.kindOf(e)
	if equal || ranged {
		if x, y := rowOf(e.Lexpr), rowOf(e.Rexpr); x != nil && len(x) == len(y) {
			for i := range x {
				a.sides(a.value(sc, x[i], use), a.value(sc, y[i], use), equal, use)
			}
			return
		}
	}
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_IN, pgquery.A_Expr_Kind_AEXPR_BETWEEN, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pgquery.A_Expr_Kind_AEXPR_BETWEEN_SYM, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		a.listed(sc, e, equal, use)
		return
	}
	if !equal && !ranged {
		a.expr(sc, e.Lexpr, use)
		a.expr(sc, e.Rexpr, use)
		return
	}
	a.sides(a.value(sc, e.Lexpr, use), a.value(sc, e.Rexpr, use), equal, use)
}

// rowOf returns the parts of (a, b, ...); nil: it is no such row, or nobody can tell
// how many there are.
func rowOf(n *pgquery.Node) []*pgquery.Node {
	args := n.GetRowExpr().GetArgs()
	if slices.ContainsFunc(args, expands) {
		return nil
	}
	return args
}

// ranges are the operators that compare by order or pattern.
var ranges = set("< <= > >= ~~ !~~ ~~* !~~* ~ !~ ~* !~* ^@")

// kindOf says how an operator compares: for equality, by order or pattern, or
// neither.
func (a *analysis) kindOf(e *pgquery.A_Expr) (equal, ranged bool) {
	p := names(e.Name)
	if len(p) > 1 && p[0] != "pg_catalog" || e.Lexpr == nil || e.Rexpr == nil {
		return false, false
	}
	op := p[len(p)-1]
	switch e.Kind {
	case pgquery.A_Expr_Kind_AEXPR_DISTINCT, pgquery.A_Expr_Kind_AEXPR_NOT_DISTINCT, pgquery.A_Expr_Kind_AEXPR_IN:
		return op == "=" || op == "<>", false
	case pgquery.A_Expr_Kind_AEXPR_OP, pgquery.A_Expr_Kind_AEXPR_OP_ANY, pgquery.A_Expr_Kind_AEXPR_OP_ALL:
		return op == "=" || op == "<>", ranges()[op]
	case pgquery.A_Expr_Kind_AEXPR_LIKE, pgquery.A_Expr_Kind_AEXPR_ILIKE, pgquery.A_Expr_Kind_AEXPR_SIMILAR,
		pgquery.A_Expr_Kind_AEXPR_BETWEEN, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pgquery.A_Expr_Kind_AEXPR_BETWEEN_SYM, pgquery.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return false, true
	}
	return false, false
}

// listed compares with each of a list: IN, BETWEEN.
func (a *analysis) listed(sc *scope, e *pgquery.A_Expr, equal bool, use access.Use) {
	if e.Kind != pgquery.A_Expr_Kind_AEXPR_IN {
		for _, op := range []string{"<", "<=", ">", ">="} {
			a.implied(op)
		}
	}
	items := e.Rexpr.GetList().GetItems()
	left := []*pgquery.Node{e.Lexpr}
	row := rowOf(e.Lexpr)
	if row != nil {
		left = row
	}
	for i, n := range left {
		x := a.value(sc, n, use)
		for _, y := range items {
			if parts := rowOf(y); row != nil && len(parts) == len(row) {
				y = parts[i]
			}
			a.sides(x, a.value(sc, y, use), equal, use)
		}
	}
}

// sides notes what a comparison tells of its two sides.
func (a *analysis) sides(x, y column, equal bool, use access.Use) {
	if equal {
		a.compare(x, y, use)
		return
	}
	switch {
	case y.constant():
		a.mark(&x, access.UseRange)
	case x.constant():
		a.mark(&y, access.UseRange)
	default:
		a.note(&x, use)
		a.note(&y, use)
	}
}

// compare notes what an equality tells of both sides. Against values that the
// statement computes or the session itself stored, a join is a list of guesses.
func (a *analysis) compare(x, y column, use access.Use) {
	a.mark(&x, asked(&y))
	a.mark(&y, asked(&x))
	a.flow(lineage{broken: x.line.broken || y.line.broken})
}

// asked is the use of a column that is compared for equality with c.
func asked(c *column) access.Use {
	switch {
	case c.constant():
		return access.UseEqual
	case len(c.marks) == 0 || c.mixed || c.temporary() || !c.copied():
		return access.UseEqual | access.UseJoin
	}
	return access.UseJoin
}

// asks walks IS NULL, IS TRUE and the like.
func (a *analysis) asks(sc *scope, arg *pgquery.Node, what, use access.Use) {
	c := a.value(sc, arg, use)
	a.mark(&c, what)
}

// among walks column IN (SELECT ...) and its kin.
func (a *analysis) among(sc *scope, s *pgquery.SubLink, q *pgquery.SelectStmt, use access.Use) {
	op := lastName(s.OperName)
	if op == "" {
		a.implied("=")
	}
	if op != "" && op != "=" && op != "<>" || len(s.OperName) > 1 {
		a.expr(sc, s.Testexpr, use)
		a.nested(sc, q, use)
		return
	}
	left := []*pgquery.Node{s.Testexpr}
	if row := rowOf(s.Testexpr); row != nil {
		left = row
	}
	d := a.query(sc, q, inner)
	if !d.known || len(d.cols) != len(left) {
		a.expr(sc, s.Testexpr, use)
		a.consume(d, use)
		return
	}
	for i, n := range left {
		a.compare(a.value(sc, n, use), d.cols[i], use)
	}
}
