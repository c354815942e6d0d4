package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// insert walks INSERT. With ON CONFLICT DO UPDATE it is an update as well,
// limited to the rows that conflict.
func (a *analysis) insert(parent *scope, s *pgquery.InsertStmt, at place) *derived {
	a.effect(access.VerbInsert)
	a.writes++
	sc := a.with(parent, s.WithClause)
	rels := a.written(s.Relation)
	for _, r := range rels {
		a.assigned(r, s.Cols)
	}
	a.assignedBehind(s.Relation, s.Cols)
	if q := s.SelectStmt.GetSelectStmt(); q != nil {
		a.consume(a.query(sc, q, inner), access.UseStore)
	} else if s.SelectStmt != nil {
		a.opaque("an INSERT from something unknown")
	}
	target := a.relationItem(s.Relation, rels)
	if c := s.OnConflictClause; c != nil {
		a.onConflict(&scope{parent: sc, items: []*item{target, excluded(target)}}, c, rels)
	}
	return a.returning(&scope{parent: sc, items: []*item{target}, list: target.listed()}, s.ReturningList, at)
}

// assigned notes the columns that an INSERT lists; none means all.
func (a *analysis) assigned(r *relUse, cols []*pgquery.Node) {
	if len(cols) == 0 {
		r.all |= access.UseAssign
		return
	}
	for _, n := range cols {
		a.assign(r, n.GetResTarget())
	}
}

func (a *analysis) assign(r *relUse, t *pgquery.ResTarget) {
	r.use(t.GetName(), access.UseAssign, spot{})
	if r.rel != nil && r.rel.Column(t.GetName()) == nil {
		r.unknown = true
		a.partial("column " + t.GetName() + " is not in the catalog")
	}
}

// excluded is the row that an INSERT wanted to write: nothing that the table
// held.
func excluded(target *item) *item {
	it := &item{alias: "excluded", known: target.known, strict: true}
	for _, c := range target.cols {
		it.cols = append(it.cols, column{name: c.name})
	}
	return it
}

// assignedBehind is assigned for what a name hides; no columns means all.
func (a *analysis) assignedBehind(rv *pgquery.RangeVar, cols []*pgquery.Node) {
	for _, r := range a.hidden(rv) {
		if len(cols) == 0 {
			r.all |= access.UseAssign
		}
		for _, n := range cols {
			if name := n.GetResTarget().GetName(); r.rel.Column(name) != nil {
				r.use(name, access.UseAssign, spot{})
			}
		}
	}
}

func (a *analysis) onConflict(sc *scope, c *pgquery.OnConflictClause, rels []*relUse) {
	if c.Infer != nil {
		for _, n := range c.Infer.IndexElems {
			if e := n.GetIndexElem(); e.GetName() != "" {
				for _, c := range a.unqualified(sc, e.GetName(), access.UseFilter) {
					a.note(&c, access.UseFilter)
				}
			} else {
				a.expr(sc, e.GetExpr(), access.UseFilter)
			}
		}
		a.condition(sc, c.Infer.WhereClause, access.UseFilter)
	}
	if c.Action == pgquery.OnConflictAction_ONCONFLICT_UPDATE {
		a.effect(access.VerbUpdate)
		a.assignments(sc, c.TargetList, rels)
		a.condition(sc, c.WhereClause, access.UseFilter)
	}
}

// assignments walks SET a = x, (b, c) = (y, z).
func (a *analysis) assignments(sc *scope, list []*pgquery.Node, rels []*relUse) {
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.opaque("an assignment of a kind that is not known")
			continue
		}
		for _, r := range rels {
			a.assign(r, t)
		}
		a.exprs(sc, t.Indirection, access.UseFlow)
		a.store(sc, t.Val)
	}
}

// store walks an expression whose value is written.
func (a *analysis) store(sc *scope, n *pgquery.Node) {
	a.within(n, func() {
		c := a.value(sc, n, access.UseFlow)
		a.note(&c, access.UseStore)
	})
}

func (a *analysis) update(parent *scope, s *pgquery.UpdateStmt, at place) *derived {
	a.effect(access.VerbUpdate)
	a.writes++
	sc := &scope{parent: a.with(parent, s.WithClause)}
	rels := a.written(s.Relation)
	target := a.relationItem(s.Relation, rels)
	sc.items, sc.list = append(sc.items, target), target.listed()
	for _, n := range s.FromClause {
		sc.list = append(sc.list, a.from(sc, n))
	}
	a.assignments(sc, s.TargetList, rels)
	a.assignedBehind(s.Relation, s.TargetList)
	a.condition(sc, s.WhereClause, access.UseFilter)
	a.scoped(sc, target, s.WhereClause)
	return a.returning(sc, s.ReturningList, at)
}

func (a *analysis) delete(parent *scope, s *pgquery.DeleteStmt, at place) *derived {
	a.effect(access.VerbDelete)
	a.writes++
	sc := &scope{parent: a.with(parent, s.WithClause)}
	target := a.relationItem(s.Relation, a.written(s.Relation))
	sc.items, sc.list = append(sc.items, target), target.listed()
	for _, n := range s.UsingClause {
		sc.list = append(sc.list, a.from(sc, n))
	}
	a.condition(sc, s.WhereClause, access.UseFilter)
	a.scoped(sc, target, s.WhereClause)
	return a.returning(sc, s.ReturningList, at)
}

// merge walks MERGE. One that can delete is a delete, scoped by its ON
// condition and the clause's own.
func (a *analysis) merge(parent *scope, s *pgquery.MergeStmt, at place) *derived {
	a.effect(access.VerbMerge)
	a.writes++
	sc := &scope{parent: a.with(parent, s.WithClause)}
	rels := a.written(s.Relation)
	target := a.relationItem(s.Relation, rels)
	sc.items = append(sc.items, target)
	sc.list = append(sc.list, a.from(sc, s.SourceRelation))
	sc.list = append(sc.list, target.listed()...) // RETURNING * shows the source first
	a.condition(sc, s.JoinCondition, access.UseFilter)
	for _, n := range s.MergeWhenClauses {
		a.when(sc, n.GetMergeWhenClause(), s.JoinCondition, target)
		a.assignedBehind(s.Relation, n.GetMergeWhenClause().GetTargetList())
	}
	return a.returning(sc, s.ReturningList, at)
}

func (a *analysis) when(sc *scope, w *pgquery.MergeWhenClause, on *pgquery.Node, target *item) {
	if w == nil {
		a.opaque("a MERGE clause of a kind that is not known")
		return
	}
	a.condition(sc, w.Condition, access.UseFilter)
	switch w.CommandType {
	case pgquery.CmdType_CMD_DELETE:
		a.effect(access.VerbDelete)
		if !a.limits(sc, target, on) && !a.limits(sc, target, w.Condition) {
			a.unscoped = true
		}
	case pgquery.CmdType_CMD_INSERT:
		for _, r := range target.rels {
			a.assigned(r, w.TargetList)
		}
		for _, v := range w.Values {
			a.store(sc, v)
		}
	case pgquery.CmdType_CMD_UPDATE:
		a.assignments(sc, w.TargetList, target.rels)
	case pgquery.CmdType_CMD_NOTHING:
	default:
		a.opaque("a MERGE action of a kind that is not known")
	}
}

// returning walks a RETURNING list. Before PostgreSQL 18 the grammar takes old
// and new for tables; they are the target's rows.
func (a *analysis) returning(sc *scope, list []*pgquery.Node, at place) *derived {
	if len(list) == 0 {
		return &derived{known: true}
	}
	if at == outermost {
		a.st.ReturnsRows = true
	}
	target := sc.items[0]
	for _, alias := range []string{"old", "new"} {
		if sc.named("", alias) == nil {
			row := *target
			row.alias, row.schema, row.strict = alias, "", true
			sc.items = append(sc.items, &row)
		}
	}
	return a.targets(sc, list, at)
}
