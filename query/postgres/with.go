package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// A cte is one query of a WITH clause.
type cte struct {
	expr      *pgquery.CommonTableExpr
	scope     *scope // that the WITH clause opens
	recursive bool
	state     cteState
	// result is what it yields: while a recursive one is walked, what was found
	// so far.
	result *derived
}

type cteState uint8

const (
	cteWaiting cteState = iota
	cteBusy
	cteDone
)

// cte returns the WITH query that an unqualified name refers to, or nil.
func (sc *scope) cte(name string) *cte {
	for s := sc; s != nil; s = s.parent {
		if c := s.ctes[name]; c != nil {
			return c
		}
	}
	return nil
}

// with makes the scope that a WITH clause opens. Each query sees those before it;
// under RECURSIVE also those behind it, and itself.
func (a *analysis) with(parent *scope, w *pgquery.WithClause) *scope {
	sc := &scope{parent: parent}
	if w == nil {
		return sc
	}
	sc.ctes = make(map[string]*cte)
	var list []*cte
	for _, n := range w.Ctes {
		e := n.GetCommonTableExpr()
		if e == nil {
			a.opaque("a WITH query of a kind that is not known")
			continue
		}
		c := &cte{expr: e, scope: sc, recursive: w.Recursive}
		list = append(list, c)
		if w.Recursive {
			sc.ctes[e.Ctename] = c
		}
	}
	for _, c := range list {
		a.resolve(c)
		sc.ctes[c.expr.Ctename] = c
	}
	return sc
}

// yields returns what a WITH query yields to a reference.
func (a *analysis) yields(c *cte) *derived {
	a.resolve(c)
	if c.result == nil {
		a.partial("WITH queries that refer to each other")
		return &derived{}
	}
	return c.result
}

// resolve walks a WITH query, once. What flows there flows nowhere yet, and so what
// decides about its rows decides about those of a view, also where it stands in one
// of the view's columns.
func (a *analysis) resolve(c *cte) {
	if c.state != cteWaiting || !a.enter() {
		return
	}
	defer a.leave()
	c.state = cteBusy
	sinks, at, shown := a.sinks, a.at, a.shown
	a.sinks, a.at, a.shown = nil, spot{}, false
	d := a.cteQuery(c)
	a.sinks, a.at, a.shown = sinks, at, shown
	a.searched(c.expr, d)
	c.result = c.named(d)
	c.state = cteDone
}

// named applies the list of column names.
func (c *cte) named(d *derived) *derived {
	it := item{cols: d.cols, known: d.known}
	it.rename(names(c.expr.Aliascolnames))
	return &derived{cols: it.cols, known: it.known && c.expr.SearchClause == nil && c.expr.CycleClause == nil}
}

// searched: SEARCH and CYCLE put values of columns into columns of their own.
func (a *analysis) searched(e *pgquery.CommonTableExpr, d *derived) {
	if e.SearchClause != nil || e.CycleClause != nil {
		a.consume(d, access.UseFlow)
	}
}

// cteQuery walks a WITH query; those that write yield their RETURNING list.
func (a *analysis) cteQuery(c *cte) *derived {
	switch v := c.expr.Ctequery.GetNode().(type) {
	case *pgquery.Node_SelectStmt:
		if c.recursive {
			return a.queryOf(c.scope, v.SelectStmt, inner, c)
		}
		return a.query(c.scope, v.SelectStmt, inner)
	case *pgquery.Node_InsertStmt:
		return a.insert(c.scope, v.InsertStmt, inner)
	case *pgquery.Node_UpdateStmt:
		return a.update(c.scope, v.UpdateStmt, inner)
	case *pgquery.Node_DeleteStmt:
		return a.delete(c.scope, v.DeleteStmt, inner)
	case *pgquery.Node_MergeStmt:
		return a.merge(c.scope, v.MergeStmt, inner)
	}
	a.opaque("a WITH query of a kind that is not known")
	return &derived{}
}

// maxRounds bounds how often the recursive parts of one statement are walked again.
const maxRounds = 24

// arms walks both sides of a set operation. The right one of a recursive query
// sees what the left one yields, and again if it yields more than that itself,
// until nothing is new.
func (a *analysis) arms(sc *scope, q *pgquery.SelectStmt, self *cte) (left, right *derived) {
	left = a.query(sc, q.Larg, inner)
	if self == nil {
		return left, a.query(sc, q.Rarg, inner)
	}
	for {
		self.result = self.named(left)
		right = a.query(sc, q.Rarg, inner)
		if left.covers(right) {
			return left, right
		}
		if a.rounds++; a.rounds > maxRounds || !left.known || !right.known || len(left.cols) != len(right.cols) {
			a.partial("what a recursive query yields cannot be traced")
			left.known = false
			return left, right
		}
		more := &derived{known: true}
		for i := range left.cols {
			more.cols = append(more.cols, a.merged(left.cols[i], right.cols[i]))
		}
		left = more
	}
}

// covers reports whether every column holds what the other's does.
func (d *derived) covers(o *derived) bool {
	if !d.known || !o.known || len(d.cols) != len(o.cols) {
		return false
	}
	for i := range d.cols {
		x, y := &d.cols[i], &o.cols[i]
		for _, m := range y.marks {
			if !slices.Contains(x.marks, m) {
				return false
			}
		}
		for _, s := range y.line.sources {
			if !slices.Contains(x.line.sources, s) {
				return false
			}
		}
		if y.line.broken && !x.line.broken || (y.mixed || y.constant()) && !x.mixed && !x.constant() {
			return false
		}
	}
	return true
}
