package postgres

import pgquery "github.com/pganalyze/pg_query_go/v6"

// subLink: column IN (query) is limited if the query is, or shows another
// table; EXISTS if it compares with the target's row.
func (p *predicates) subLink(s *pgquery.SubLink) truth {
	q := s.Subselect.GetSelectStmt()
	if q == nil {
		return unsure
	}
	switch s.SubLinkType {
	case pgquery.SubLinkType_ANY_SUBLINK:
		if len(s.OperName) == 0 && p.someBareOrRow(s.Testexpr) && p.narrows(q) {
			return limited
		}
	case pgquery.SubLinkType_EXISTS_SUBLINK:
		if p.correlated(q) {
			return limited
		}
	}
	return unsure
}

func (p *predicates) someBareOrRow(n *pgquery.Node) bool {
	if row := n.GetRowExpr(); row != nil {
		return p.someBare(row.Args)
	}
	return p.bare(n) != ""
}

// narrows reports whether a query yields less than the whole target.
func (p *predicates) narrows(q *pgquery.SelectStmt) bool {
	if q.LimitCount != nil && q.LimitCount.GetAConst() != nil && !q.LimitCount.GetAConst().Isnull {
		return true
	}
	if len(q.ValuesLists) > 0 {
		return true
	}
	if p.correlates(q) {
		return false // it may look up the very row
	}
	if q.WhereClause != nil {
		return p.limitsAny(q)
	}
	if len(q.FromClause) != 1 {
		return false
	}
	return q.WithClause == nil && p.others(q.FromClause)
}

// limitsAny reports whether the WHERE clause of a subquery limits one of its
// tables.
func (p *predicates) limitsAny(q *pgquery.SelectStmt) bool {
	sc := &scope{}
	for _, n := range q.FromClause {
		rv := n.GetRangeVar()
		if rv == nil || q.WithClause != nil || p.sc.cte(rv.Relname) != nil {
			return false
		}
		sc.items = append(sc.items, p.a.relationItem(rv, p.a.relation(rv.Schemaname, rv.Relname)))
	}
	for _, it := range sc.items {
		if p.a.limits(sc, it, q.WhereClause) {
			return true
		}
	}
	return false
}

// correlated reports whether one AND-part of a subquery's WHERE compares a
// column of the target with something of the subquery's own.
func (p *predicates) correlated(q *pgquery.SelectStmt) bool {
	if !p.others(q.FromClause) {
		return false
	}
	parts := []*pgquery.Node{q.WhereClause}
	if b := q.WhereClause.GetBoolExpr(); b != nil && b.Boolop == pgquery.BoolExprType_AND_EXPR {
		parts = b.Args
	}
	for _, n := range parts {
		e := n.GetAExpr()
		if e == nil || e.Kind != pgquery.A_Expr_Kind_AEXPR_OP || lastName(e.Name) != "=" {
			continue
		}
		if p.outer(e.Lexpr) != p.outer(e.Rexpr) {
			return true
		}
	}
	return false
}

// outer reports whether an expression is target.column, spelled out.
func (p *predicates) outer(n *pgquery.Node) bool {
	parts := names(n.GetColumnRef().GetFields())
	return len(parts) > 1 && parts[len(parts)-2] == p.target.alias
}

// others reports whether a FROM clause consists of relations that are not the
// target: of its own rows, each finds itself.
func (p *predicates) others(from []*pgquery.Node) bool {
	for _, n := range from {
		rv := n.GetRangeVar()
		if rv == nil || p.isTarget(rv) {
			return false
		}
	}
	return true
}

func (p *predicates) isTarget(rv *pgquery.RangeVar) bool {
	if rv.Schemaname == "" && p.sc.cte(rv.Relname) != nil {
		return true // who knows
	}
	for _, r := range p.a.relation(rv.Schemaname, rv.Relname) {
		for _, t := range p.target.rels {
			if r == t {
				return true
			}
		}
	}
	return false
}

// correlates reports whether a subquery names the target's row.
func (p *predicates) correlates(q *pgquery.SelectStmt) bool {
	found := false
	p.a.eachColumn(&pgquery.Node{Node: &pgquery.Node_SelectStmt{SelectStmt: q}}, func(ref *pgquery.ColumnRef) {
		parts := names(ref.Fields)
		found = found || len(parts) > 1 && parts[len(parts)-2] == p.target.alias
	})
	return found || p.a.steps > maxSteps
}
