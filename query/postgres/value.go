package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// value walks an expression and returns what it is worth. Forms that show values
// of columns as they are (a reference, a scalar subquery, COALESCE, the results of
// CASE) keep their marks: the caller notes what becomes of them. All other
// expressions are noted here, with use.
func (a *analysis) value(sc *scope, n *pgquery.Node, use access.Use) column {
	if n == nil || n.Node == nil || !a.enter() {
		return column{line: lineage{broken: n != nil && n.Node != nil}}
	}
	defer a.leave()
	if !a.shallow {
		return a.valueOf(sc, n, use)
	}
	var c column
	line := a.collect(func() { c = a.valueOf(sc, n, use) })
	c.line.sources = c.line.sources[:len(c.line.sources):len(c.line.sources)]
	c.line.add(line) // also what it depends on
	return c
}

func (a *analysis) valueOf(sc *scope, n *pgquery.Node, use access.Use) column {
	switch v := n.Node.(type) {
	case *pgquery.Node_ColumnRef:
		return a.reference(sc, v.ColumnRef, use)
	case *pgquery.Node_SubLink:
		if q := v.SubLink.Subselect.GetSelectStmt(); q != nil && v.SubLink.SubLinkType == pgquery.SubLinkType_EXPR_SUBLINK {
			return a.scalar(sc, q, use)
		}
	case *pgquery.Node_CoalesceExpr:
		return a.anyOf(sc, v.CoalesceExpr.Args, use)
	case *pgquery.Node_CaseExpr:
		return a.caseOf(sc, v.CaseExpr, use)
	case *pgquery.Node_AExpr:
		if v.AExpr.Kind == pgquery.A_Expr_Kind_AEXPR_NULLIF {
			x, y := a.value(sc, v.AExpr.Lexpr, use), a.value(sc, v.AExpr.Rexpr, use)
			a.operator(v.AExpr.Name)
			a.compare(x, y, use)
			x.bare, x.either, x.chosen = false, false, true
			return x
		}
	case *pgquery.Node_TypeCast:
		if isText(v.TypeCast.TypeName) {
			a.typeName(v.TypeCast.TypeName)
			return a.asText(a.value(sc, v.TypeCast.Arg, use), use)
		}
	}
	return column{line: a.collect(func() { a.expr(sc, n, use) })}
}

// reference is a column by name.
func (a *analysis) reference(sc *scope, ref *pgquery.ColumnRef, use access.Use) column {
	var found []column
	line := a.collect(func() { found = a.find(sc, ref, use) })
	if len(found) == 0 {
		return column{line: line}
	}
	c := found[0]
	for _, o := range found[1:] {
		c = a.merged(c, o)
	}
	if !line.empty() {
		c.line.sources = c.line.sources[:len(c.line.sources):len(c.line.sources)]
		c.line.add(line)
		c.mixed = true
	}
	plain := len(found) == 1 && line.empty() && !c.line.broken
	c.bare, c.either = c.bare && plain && len(c.line.sources) == 1, c.either && plain
	return c
}

// scalar is the value of a subquery.
func (a *analysis) scalar(sc *scope, q *pgquery.SelectStmt, use access.Use) column {
	d := a.query(sc, q, inner)
	if !d.known || len(d.cols) != 1 {
		return column{line: a.collect(func() { a.consume(d, use) })}
	}
	c := d.cols[0]
	c.bare, c.either, c.scope = false, false, nil
	return c
}

// anyOf is the value of one of several expressions.
func (a *analysis) anyOf(sc *scope, list []*pgquery.Node, use access.Use) column {
	var c column
	for i, n := range list {
		x := a.value(sc, n, use)
		if i == 0 {
			c = x
		} else {
			c = a.merged(c, x)
		}
	}
	c.bare, c.either = false, false
	return c
}

// caseOf is the value of one of CASE's results. What its conditions ask is noted
// as it is anywhere else.
func (a *analysis) caseOf(sc *scope, e *pgquery.CaseExpr, use access.Use) column {
	var arg column
	if e.Arg != nil {
		arg = a.value(sc, e.Arg, use)
		a.implied("=")
	}
	var results []*pgquery.Node
	for _, n := range e.Args {
		w := n.GetCaseWhen()
		if w == nil {
			a.opaque("a CASE of a kind that is not known")
			return column{line: lineage{broken: true}}
		}
		if e.Arg != nil {
			a.compare(arg, a.value(sc, w.Expr, use), use)
		} else {
			a.boolean(sc, w.Expr, use)
		}
		results = append(results, w.Result)
	}
	if e.Defresult != nil {
		results = append(results, e.Defresult)
	}
	c := a.anyOf(sc, results, use)
	c.chosen = true
	return c
}

// isText reports whether a type is text without a length: a cast to it changes
// no text.
func isText(t *pgquery.TypeName) bool {
	if t == nil || len(t.Typmods) > 0 || len(t.ArrayBounds) > 0 || t.Setof {
		return false
	}
	p := names(t.Names)
	if len(p) == 2 && p[0] != "pg_catalog" || len(p) > 2 || len(p) == 0 {
		return false
	}
	return p[len(p)-1] == "text" || p[len(p)-1] == "varchar"
}

const (
	oidText    = 25
	oidVarchar = 1043
)

// asText is a value cast to text: the same value, if it was text.
func (a *analysis) asText(c column, use access.Use) column {
	for _, m := range c.marks {
		var t uint32
		if m.rel.rel != nil {
			if col := m.rel.rel.Column(m.col); col != nil {
				t = col.Type
			}
		}
		if t != oidText && t != oidVarchar {
			a.note(&c, use)
			return column{line: c.line}
		}
	}
	c.bare, c.either = false, false
	return c
}
