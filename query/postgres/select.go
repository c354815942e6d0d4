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
	a.consume(a.query(sc, q, inner), flowing(use))
}

func (a *analysis) subLink(sc *scope, s *pgquery.SubLink, use access.Use) {
	if len(s.OperName) > 0 {
		a.operator(s.OperName)
	}
	q := s.Subselect.GetSelectStmt()
	switch {
	case q == nil:
		a.opaque("a subquery of a kind that is not known")
	case s.SubLinkType == pgquery.SubLinkType_EXISTS_SUBLINK:
		a.query(sc, q, existence)
	case s.Testexpr != nil:
		a.among(sc, s, q, flowing(use))
	default:
		a.nested(sc, q, use)
	}
}

// query walks SELECT, VALUES and set operations below parent and returns the
// columns they yield. Whoever calls it notes what becomes of them.
func (a *analysis) query(parent *scope, q *pgquery.SelectStmt, at place) *derived {
	return a.queryOf(parent, q, at, nil)
}

// queryOf is query for the WITH query self, which may refer to itself; nil: none.
func (a *analysis) queryOf(parent *scope, q *pgquery.SelectStmt, at place, self *cte) *derived {
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
		d = a.setOperation(with, q, self)
	case len(q.ValuesLists) > 0:
		sc = with
		d = a.values(sc, q.ValuesLists)
	default:
		sc = &scope{parent: with, query: q}
		d = a.plain(sc, q, at)
	}
	a.order(sc, q.SortClause, d, access.UseOrder)
	a.window(sc, q, at)
	if q.IntoClause != nil {
		a.consume(d, access.UseStore)
	}
	return d
}

// setOperation walks both arms; every column holds the values of both. The
// grammar nests long chains to the left.
func (a *analysis) setOperation(sc *scope, q *pgquery.SelectStmt, self *cte) *derived {
	left, right := a.arms(sc, q, self)
	d := &derived{known: left.known && right.known && len(left.cols) == len(right.cols)}
	if !d.known { // nobody can tell which column meets which
		a.consume(left, access.UseFlow)
		a.consume(right, access.UseFlow)
		for _, c := range left.cols {
			d.cols = append(d.cols, column{name: c.name, line: lineage{broken: true}})
		}
		return d
	}
	for i := range left.cols {
		a.meet(q, left.cols[i], right.cols[i])
		d.cols = append(d.cols, a.merged(left.cols[i], right.cols[i]))
	}
	return d
}

// meet notes what a set operation tells of two columns by comparing them.
func (a *analysis) meet(q *pgquery.SelectStmt, left, right column) {
	if q.All && q.Op == pgquery.SetOperation_SETOP_UNION {
		return
	}
	old := a.at
	a.at = spot{word: setWords[q.Op]}
	a.compare(left, right, access.UseFilter)
	a.mark(&left, access.UseGroup)
	a.mark(&right, access.UseGroup)
	a.at = old
}

var setWords = map[pgquery.SetOperation]string{
	pgquery.SetOperation_SETOP_UNION: "UNION", pgquery.SetOperation_SETOP_INTERSECT: "INTERSECT", pgquery.SetOperation_SETOP_EXCEPT: "EXCEPT",
}

func (a *analysis) values(sc *scope, rows []*pgquery.Node) *derived {
	d := &derived{known: true}
	for r, row := range rows {
		for i, n := range row.GetList().GetItems() {
			d.known = d.known && !expands(n)
			var c column
			a.within(n, func() { c = a.value(sc, n, access.UseFlow) })
			switch {
			case i < len(d.cols):
				name := d.cols[i].name
				d.cols[i] = a.merged(d.cols[i], c)
				d.cols[i].name = name
			case r == 0:
				c.name, c.bare, c.either = "column"+strconv.Itoa(i+1), false, false
				d.cols = append(d.cols, c)
			default:
				a.note(&c, access.UseFlow) // rows of different lengths: the server refuses them
			}
		}
	}
	return d
}

// plain walks SELECT ... FROM ... in the order in which names become visible.
func (a *analysis) plain(sc *scope, q *pgquery.SelectStmt, at place) *derived {
	for _, n := range q.FromClause {
		sc.list = append(sc.list, a.from(sc, n))
	}
	a.condition(sc, q.WhereClause, access.UseFilter)
	d := a.targets(sc, q.TargetList, at)
	a.group(sc, q.GroupClause, d)
	sc.having = true
	a.condition(sc, q.HavingClause, access.UseFilter)
	sc.having = false
	for _, n := range q.WindowClause {
		a.windowDef(sc, n.GetWindowDef(), access.UseFilter)
	}
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
		old := a.at
		a.at = spot{word: "DISTINCT"}
		d.mark(a, access.UseGroup)
		a.at = old
	default:
		a.order(sc, clause, d, access.UseGroup)
	}
}

// mark notes a use of every column of a result.
func (d *derived) mark(a *analysis, use access.Use) {
	for i := range d.cols {
		a.mark(&d.cols[i], use)
	}
}

// group also accepts positions and names of the target list, and grouping sets.
func (a *analysis) group(sc *scope, list []*pgquery.Node, d *derived) {
	for _, n := range list {
		if set := n.GetGroupingSet(); set != nil && a.enter() {
			a.group(sc, set.Content, d)
			a.leave()
			continue
		}
		if row := n.GetRowExpr(); row != nil {
			a.keys(sc, row.Args, access.UseGroup)
			continue
		}
		a.order(sc, []*pgquery.Node{n}, d, access.UseGroup)
	}
}

// order notes a use, of sorting or grouping, of what a list of expressions,
// positions and names of the target list stands for.
func (a *analysis) order(sc *scope, list []*pgquery.Node, d *derived, use access.Use) {
	for _, n := range list {
		e := n
		if s := n.GetSortBy(); s != nil {
			e = s.Node
			if len(s.UseOp) > 0 {
				a.operator(s.UseOp)
			}
		}
		a.within(e, func() {
			if !a.position(sc, e, d, use) {
				a.key(sc, e, use)
			}
		})
	}
}

// keys notes a use of expressions that are no positions.
func (a *analysis) keys(sc *scope, list []*pgquery.Node, use access.Use) {
	for _, n := range list {
		e := n
		if s := n.GetSortBy(); s != nil {
			e = s.Node
			if len(s.UseOp) > 0 {
				a.operator(s.UseOp)
			}
		}
		a.within(e, func() { a.key(sc, e, use) })
	}
}

func (a *analysis) key(sc *scope, n *pgquery.Node, use access.Use) {
	c := a.value(sc, n, access.UseFilter)
	a.mark(&c, use)
}

// windowDef walks a window. Where its frame ends can depend on values.
func (a *analysis) windowDef(sc *scope, w *pgquery.WindowDef, use access.Use) {
	if w == nil {
		return
	}
	a.keys(sc, w.PartitionClause, access.UseGroup)
	a.keys(sc, w.OrderClause, access.UseOrder)
	a.expr(sc, w.StartOffset, use)
	a.expr(sc, w.EndOffset, use)
}

// position handles ORDER BY 1 and ORDER BY name where they mean a column of the
// result. It reports false if the expression has to be walked as well: a name
// can mean both, and both are then noted.
func (a *analysis) position(sc *scope, e *pgquery.Node, d *derived, use access.Use) bool {
	if c := e.GetAConst(); c != nil {
		a.literal = true
		i := int(c.GetIval().GetIval()) - 1
		if !d.known || i < 0 || i >= len(d.cols) {
			d.mark(a, use)
			a.filterAll(sc, d)
			return true
		}
		a.mark(&d.cols[i], use)
		return true
	}
	fields := e.GetColumnRef().GetFields()
	if len(fields) != 1 || fields[0].GetString_() == nil {
		return false
	}
	name, found := fields[0].GetString_().GetSval(), false
	for i := range d.cols {
		if d.cols[i].name == name {
			a.mark(&d.cols[i], use)
			found = true
		}
	}
	return found && !sc.has(name)
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
	a.within(q.LimitCount, func() { a.expr(sc, q.LimitCount, access.UseFilter) })
	a.within(q.LimitOffset, func() { a.expr(sc, q.LimitOffset, access.UseFilter) })
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

// targets walks a target list or RETURNING list. Columns that it shows as they
// are pass on with their marks.
func (a *analysis) targets(sc *scope, list []*pgquery.Node, at place) *derived {
	d := &derived{known: true, fixed: true}
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.opaque("a target of a kind that is not known")
			continue
		}
		if expands(t.Val) {
			a.expanded(sc, t.Val, at, d)
			continue
		}
		ref := t.Val.GetColumnRef()
		a.within(t.Val, func() {
			shown := a.shown
			a.shown = shown || a.shallow
			c := a.value(sc, t.Val, flowAt(at, ref != nil))
			a.shown = shown
			c.name, c.scope, c.guessed, c.spelled = targetName(t), nil, t.Name == "" && ref == nil, true
			d.add(a, c)
		})
	}
	if at == inner {
		d.mark(a, access.UseCarry)
	}
	return d
}

// flowAt is the use of what a target computes. Nobody sees that of EXISTS, but it
// can fail.
func flowAt(at place, bare bool) access.Use {
	if at == existence && bare {
		return 0
	}
	return access.UseFlow
}

// maxColumns is the server's own limit on a target list (MaxTupleAttributeNumber);
// a chain of SELECT *, * would double their number at each step.
const maxColumns = 1664

func (d *derived) add(a *analysis, c column) {
	if len(d.cols) >= maxColumns {
		d.known = false
		a.note(&c, access.UseFlow)
		return
	}
	d.cols = append(d.cols, c)
}

// starOf is the use of the columns that a star would show if it meant something
// else.
func starOf(at place) access.Use {
	switch at {
	case outermost:
		return access.UseOutput
	case existence:
		return 0
	}
	return access.UseFlow
}

// expands reports whether the server makes any number of columns of an expression:
// *, table.*, (expression).*.
func expands(n *pgquery.Node) bool {
	fields := n.GetColumnRef().GetFields()
	if ind := n.GetAIndirection(); ind != nil {
		fields = ind.Indirection
	}
	return len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil
}

// expanded adds what such an expression shows. How many columns there are in a
// composite value is not known here, unless it is the row of an item.
func (a *analysis) expanded(sc *scope, n *pgquery.Node, at place, d *derived) {
	if ref := n.GetColumnRef(); ref != nil {
		a.star(sc, names(ref.Fields[:len(ref.Fields)-1]), at, d)
		return
	}
	ind := n.GetAIndirection()
	if p := names(ind.Arg.GetColumnRef().GetFields()); len(p) == 1 && len(ind.Indirection) == 1 && sc.isRow(p[0]) {
		a.star(sc, p, at, d)
		return
	}
	d.known, d.fixed = false, false
	a.within(n, func() { a.expr(sc, n, access.UseFlow) })
}

// isRow reports whether a name can only be that of an item's row.
func (sc *scope) isRow(name string) bool {
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.items {
			if !it.hidden && !it.known {
				return false
			}
		}
	}
	return !sc.has(name) && len(sc.named("", name)) == 1
}

// star expands * and table.*.
func (a *analysis) star(sc *scope, qualifier []string, at place, d *derived) {
	d.fixed = false
	list := sc.list
	if len(qualifier) > 0 {
		list = nil
		for _, it := range a.starItems(sc, qualifier) {
			list = append(list, it.listed()...)
		}
	}
	for _, l := range list {
		for _, c := range l.cols {
			d.add(a, c)
		}
		for _, it := range l.items {
			a.noteBehind(it, starOf(at))
		}
		if l.known {
			continue
		}
		d.known = false
		if at == existence {
			continue
		}
		for _, it := range l.items {
			if !it.known {
				a.noteUnknown(it)
			}
		}
	}
}
