package postgres

import (
	"strconv"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// A place says where a query stands, and so what its target list is for.
type place uint8

const (
	outermost place = iota // its columns are the statement's result
	inner                  // they flow into something else
	existence              // EXISTS: nobody sees them
)

// nested walks a query inside an expression; what it yields flows on.
func (a *analysis) nested(sc *scope, q *pgquery.SelectStmt, use access.Use) {
	d := a.query(sc, q, inner)
	for i := range d.cols {
		a.flow(d.cols[i].line)
	}
	if use == access.UseFilter {
		return
	}
	if !d.known {
		a.flow(lineage{broken: true})
	}
}

func (a *analysis) subLink(sc *scope, s *pgquery.SubLink, use access.Use) {
	if len(s.OperName) > 0 {
		a.operator(s.OperName)
	}
	a.expr(sc, s.Testexpr, flowing(use))
	q := s.Subselect.GetSelectStmt()
	switch {
	case q == nil:
		a.opaque("a subquery of a kind that is not known")
	case s.SubLinkType == pgquery.SubLinkType_EXISTS_SUBLINK:
		a.query(sc, q, existence)
	default:
		a.nested(sc, q, use)
	}
}

// query walks SELECT, VALUES and set operations below parent and returns the
// columns they yield.
func (a *analysis) query(parent *scope, q *pgquery.SelectStmt, at place) *derived {
	if q == nil || !a.enter() {
		return &derived{}
	}
	defer a.leave()
	with := a.with(parent, q.WithClause)
	if q.IntoClause != nil {
		a.into(q.IntoClause)
		at = inner
	}
	var d *derived
	var sc *scope
	switch {
	case q.Op != pgquery.SetOperation_SETOP_NONE && q.Op != pgquery.SetOperation_SET_OPERATION_UNDEFINED:
		sc = &scope{parent: with}
		d = a.setOperation(with, q)
	case len(q.ValuesLists) > 0:
		sc = with
		d = a.values(sc, q.ValuesLists)
	default:
		sc = &scope{parent: with}
		d = a.plain(sc, q, at)
	}
	a.order(sc, q.SortClause, d)
	a.window(sc, q, at)
	return d
}

// with makes the scope that a WITH clause opens.
func (a *analysis) with(parent *scope, w *pgquery.WithClause) *scope {
	sc := &scope{parent: parent}
	if w == nil {
		return sc
	}
	sc.ctes = make(map[string]*derived)
	if w.Recursive { // each may refer to each; what does cannot be traced
		for _, n := range w.Ctes {
			sc.ctes[n.GetCommonTableExpr().GetCtename()] = &derived{}
		}
	}
	for _, n := range w.Ctes {
		c := n.GetCommonTableExpr()
		if c == nil {
			a.opaque("a WITH query of a kind that is not known")
			continue
		}
		d := a.cte(sc, c)
		it := item{cols: d.cols, known: d.known}
		it.rename(names(c.Aliascolnames))
		sc.ctes[c.Ctename] = &derived{cols: it.cols, known: it.known && c.SearchClause == nil && c.CycleClause == nil}
		if w.Recursive {
			broken(it.cols)
		}
	}
	return sc
}

// broken marks columns whose lineage may be longer than what was seen.
func broken(cols []column) {
	for i := range cols {
		cols[i].line.broken = true
	}
}

// cte walks one WITH query; those that write yield their RETURNING list.
func (a *analysis) cte(sc *scope, c *pgquery.CommonTableExpr) *derived {
	switch v := c.Ctequery.GetNode().(type) {
	case *pgquery.Node_SelectStmt:
		return a.query(sc, v.SelectStmt, inner)
	case *pgquery.Node_InsertStmt:
		return a.insert(sc, v.InsertStmt, inner)
	case *pgquery.Node_UpdateStmt:
		return a.update(sc, v.UpdateStmt, inner)
	case *pgquery.Node_DeleteStmt:
		return a.delete(sc, v.DeleteStmt, inner)
	case *pgquery.Node_MergeStmt:
		return a.merge(sc, v.MergeStmt, inner)
	}
	a.opaque("a WITH query of a kind that is not known")
	return &derived{}
}

// setOperation walks both arms; every column flows into the union of both. The
// grammar nests long chains to the left.
func (a *analysis) setOperation(sc *scope, q *pgquery.SelectStmt) *derived {
	left := a.query(sc, q.Larg, inner)
	right := a.query(sc, q.Rarg, inner)
	d := &derived{known: left.known && right.known && len(left.cols) == len(right.cols)}
	for i, c := range left.cols {
		col := column{name: c.name, line: lineage{broken: !d.known}}
		col.line.add(c.line)
		if i < len(right.cols) {
			col.line.add(right.cols[i].line)
		}
		d.cols = append(d.cols, col)
	}
	return d
}

func (a *analysis) values(sc *scope, rows []*pgquery.Node) *derived {
	d := &derived{known: true}
	for _, row := range rows {
		for i, n := range row.GetList().GetItems() {
			if i == len(d.cols) {
				d.cols = append(d.cols, column{name: "column" + strconv.Itoa(i+1)})
			}
			d.cols[i].line.add(a.collect(func() { a.expr(sc, n, access.UseFlow) }))
		}
	}
	return d
}

// plain walks SELECT ... FROM ... in the order in which names become visible.
func (a *analysis) plain(sc *scope, q *pgquery.SelectStmt, at place) *derived {
	for _, n := range q.FromClause {
		a.from(sc, n)
	}
	a.expr(sc, q.WhereClause, access.UseFilter)
	d := a.targets(sc, q.TargetList, at)
	a.group(sc, q.GroupClause, d)
	a.expr(sc, q.HavingClause, access.UseFilter)
	a.exprs(sc, q.WindowClause, access.UseFilter)
	a.distinct(sc, q.DistinctClause, d)
	if len(q.LockingClause) > 0 {
		a.effect(access.VerbLock)
	}
	return d
}

// distinct: how many rows there are depends on the columns compared.
func (a *analysis) distinct(sc *scope, clause []*pgquery.Node, d *derived) {
	switch {
	case len(clause) == 0:
	case len(clause) == 1 && clause[0].GetNode() == nil:
		d.filter(a)
	default:
		a.order(sc, clause, d)
	}
}

// filter notes every column of a result as one that decides about rows.
func (d *derived) filter(a *analysis) {
	for i := range d.cols {
		for _, m := range d.cols[i].marks {
			m.rel.use(m.col, access.UseFilter)
		}
	}
}

// group and order also accept positions and names of the target list.
func (a *analysis) group(sc *scope, list []*pgquery.Node, d *derived) { a.order(sc, list, d) }

func (a *analysis) order(sc *scope, list []*pgquery.Node, d *derived) {
	for _, n := range list {
		e := n
		if s := n.GetSortBy(); s != nil {
			e = s.Node
			if len(s.UseOp) > 0 {
				a.operator(s.UseOp)
			}
		}
		if !a.position(sc, e, d) {
			a.expr(sc, e, access.UseFilter)
		}
	}
}

// position handles ORDER BY 1 and ORDER BY name where they mean a column of the
// result. It reports false if the expression has to be walked as well: a name
// can mean both, and both are then noted.
func (a *analysis) position(sc *scope, e *pgquery.Node, d *derived) bool {
	if c := e.GetAConst(); c != nil {
		a.literal = true
		i := int(c.GetIval().GetIval()) - 1
		if !d.known || i < 0 || i >= len(d.cols) {
			d.filter(a)
			a.filterAll(sc, d)
			return true
		}
		d.filterOne(i)
		return true
	}
	fields := e.GetColumnRef().GetFields()
	if len(fields) != 1 || fields[0].GetString_() == nil {
		return false
	}
	name, found := fields[0].GetString_().GetSval(), false
	for i := range d.cols {
		if d.cols[i].name == name {
			d.filterOne(i)
			found = true
		}
	}
	return found && !sc.has(name)
}

func (d *derived) filterOne(i int) {
	for _, m := range d.cols[i].marks {
		m.rel.use(m.col, access.UseFilter)
	}
}

// has reports whether a column of that name is in reach without a qualifier.
func (sc *scope) has(name string) bool {
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.items {
			if !it.hidden && !it.strict && len(it.find(name)) > 0 {
				return true
			}
		}
	}
	return false
}

// filterAll is the position of a column that cannot be told.
func (a *analysis) filterAll(sc *scope, d *derived) {
	if d.known {
		return // out of range: the server refuses it
	}
	for _, it := range sc.items {
		a.noteAll(it, access.UseFilter)
	}
}

// window handles LIMIT and OFFSET. The outermost constant limit is kept; the
// key of a text's shape holds it, so that it is no literal here.
func (a *analysis) window(sc *scope, q *pgquery.SelectStmt, at place) {
	a.expr(sc, q.LimitCount, access.UseFilter)
	a.expr(sc, q.LimitOffset, access.UseFilter)
	if at == outermost && q.LimitCount != nil && q.LimitOption == pgquery.LimitOption_LIMIT_OPTION_COUNT {
		if i, ok := q.LimitCount.GetAConst().GetVal().(*pgquery.A_Const_Ival); ok {
			a.limit = int64(i.Ival.GetIval())
			a.literal = a.literal || !a.keyedLimit(int(q.LimitCount.GetAConst().Location))
		}
	}
}

// keyedLimit reports whether the constant at this place of the text is part of
// the shape's key.
func (a *analysis) keyedLimit(at int) bool {
	if at < 0 || at > len(a.text) {
		return false
	}
	before := strings.TrimRight(a.text[:at], " \t\r\n")
	word := strings.TrimLeft(before[max(0, len(before)-6):], " \t\r\n")
	return isLimitWord(word[strings.LastIndexAny(word, " \t\r\n")+1:])
}

// targets walks a target list or RETURNING list.
func (a *analysis) targets(sc *scope, list []*pgquery.Node, at place) *derived {
	d := &derived{known: true}
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.opaque("a target of a kind that is not known")
			continue
		}
		ref := t.Val.GetColumnRef()
		switch {
		case ref != nil && ref.Fields[len(ref.Fields)-1].GetAStar() != nil:
			a.star(sc, names(ref.Fields[:len(ref.Fields)-1]), at, d)
		case ref != nil:
			d.cols = append(d.cols, a.bareTarget(sc, t, ref, at))
		default:
			d.cols = append(d.cols, a.target(sc, t, at))
		}
	}
	return d
}

// useAt is the use of a bare column in a target list.
func useAt(at place) access.Use {
	switch at {
	case outermost:
		return access.UseOutput
	case existence:
		return 0
	}
	return access.UseFlow
}

// bareTarget is a target that is a column reference.
func (a *analysis) bareTarget(sc *scope, t *pgquery.ResTarget, ref *pgquery.ColumnRef, at place) column {
	var found []*column
	line := a.collect(func() { found = a.columnRef(sc, ref, useAt(at)) })
	col := column{name: targetName(t), line: line}
	for _, c := range found {
		col.marks = append(col.marks, c.marks...)
	}
	col.bare = len(found) == 1 && found[0].bare && !line.broken && len(line.sources) == 1
	return col
}

func (a *analysis) target(sc *scope, t *pgquery.ResTarget, at place) column {
	use := access.UseFlow
	line := a.collect(func() { a.expr(sc, t.Val, use) })
	return column{name: targetName(t), line: line}
}

// maxColumns is the server's own limit on a target list (MaxTupleAttributeNumber);
// a chain of SELECT *, * would double their number at each step.
const maxColumns = 1664

func (d *derived) add(c column) {
	if len(d.cols) >= maxColumns {
		d.known = false
		return
	}
	d.cols = append(d.cols, c)
}

// star expands * and table.*.
func (a *analysis) star(sc *scope, qualifier []string, at place, d *derived) {
	for _, it := range a.starItems(sc, qualifier) {
		for _, c := range it.cols {
			for _, m := range c.marks {
				m.rel.use(m.col, sc.used(c.name, useAt(at)))
			}
			a.flow(c.line)
			d.add(c)
		}
		if !it.known {
			d.known = false
			if at != existence {
				a.noteUnknown(it)
			}
		}
	}
	if len(qualifier) == 0 && sc.merged {
		d.known = false
		broken(d.cols)
	}
}
