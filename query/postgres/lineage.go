package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
	"sluice/query/catalog"
)

// A column is one column of an item, or of a query's result, or any value.
type column struct {
	name string
	// guessed: the server makes up the name (FigureColname), and may do so otherwise.
	guessed bool
	// spelled: the name stands in the text; otherwise it is a table's.
	spelled bool
	// marks are the columns of relations whose values it holds, unchanged. Their
	// use is noted where the column is used, however many layers further out.
	marks []mark
	// line is where its value comes from, through marks and expressions. What
	// goes through an expression was noted where the expression stands.
	line lineage
	// bare: it is exactly marks[0], also by the server's own description.
	bare bool
	// either: it is exactly one of its marks, by what a name means and what it hides.
	either bool
	// mixed: it may also hold values that the statement gives.
	mixed bool
	// chosen: whose value it holds depends on a condition (CASE).
	chosen bool
	// scope is where a reference found it; nil: it is no reference, or several.
	scope *scope
}

// A mark names one column of a relation in use.
type mark struct {
	rel *relUse
	col string
}

// A lineage collects where a value comes from.
type lineage struct {
	sources []catalog.Source
	broken  bool // something could not be traced
}

func (l *lineage) add(o lineage) {
	l.broken = l.broken || o.broken
	for _, s := range o.sources {
		if !slices.Contains(l.sources, s) {
			l.sources = append(l.sources, s)
		}
	}
}

func (l *lineage) empty() bool { return len(l.sources) == 0 && !l.broken }

// constant reports whether no column's value is in it.
func (c *column) constant() bool { return len(c.marks) == 0 && c.line.empty() }

// temporary reports whether it holds what the session itself put into a table.
func (c *column) temporary() bool {
	return slices.ContainsFunc(c.marks, func(m mark) bool { return m.rel.temp })
}

// copied reports whether it holds nothing but unchanged values of columns.
func (c *column) copied() bool {
	if len(c.marks) == 0 || c.line.broken {
		return false
	}
	return !slices.ContainsFunc(c.line.sources, func(s catalog.Source) bool {
		return !slices.ContainsFunc(c.marks, func(m mark) bool {
			return m.rel.rel != nil && m.rel.rel.OID == s.Relation && m.rel.rel.ByNum(s.Num).Name == m.col
		})
	})
}

// widened are the uses that tell more of a column that was put together with
// others: to count the distinct values of a column and a constant tells whether
// the column has it.
func (c *column) widened(use access.Use) access.Use {
	const telling = access.UseGroup | access.UseJoin | access.UseOrder
	if use&telling == 0 {
		return use
	}
	if c.mixed {
		use |= access.UseEqual
	}
	if len(c.marks) > 1 {
		use |= access.UseJoin
	}
	return use
}

// maxMarks bounds the columns whose values one column may hold.
const maxMarks = 64

// merged is a column that holds the values of either.
func (a *analysis) merged(x, y column) column {
	c := column{name: x.name, guessed: x.guessed, spelled: x.spelled, line: x.line, mixed: x.mixed || y.mixed, chosen: x.chosen || y.chosen}
	c.mixed = c.mixed || len(x.marks) == 0 || len(y.marks) == 0
	c.marks = slices.Clip(x.marks)
	c.line.sources = slices.Clip(x.line.sources)
	for _, m := range y.marks {
		if !slices.Contains(c.marks, m) {
			c.marks = append(c.marks, m)
		}
	}
	c.line.add(y.line)
	switch { // a constant belongs anywhere
	case x.scope == y.scope || y.constant():
		c.scope = x.scope
	case x.constant():
		c.scope = y.scope
	}
	a.bound(&c)
	return c
}

// bound gives up on a column that holds too many others.
func (a *analysis) bound(c *column) {
	if len(c.marks) <= maxMarks {
		return
	}
	a.mark(c, access.UseFlow)
	c.marks, c.line.broken = nil, true
}

// mark records a use of a column that tells no value itself: a comparison's
// answer, not what was compared.
func (a *analysis) mark(c *column, use access.Use) {
	use = c.widened(use)
	if a.shallow {
		use = a.defined(c, use)
	}
	for _, m := range c.marks {
		m.rel.use(m.col, use, a.at)
	}
}

// defined is the use of a column in the definition of a view. There the answer of
// a comparison counts as the value, in what a query shows; what it shows decides
// about rows where it is used for that, and so does all that is used elsewhere.
func (a *analysis) defined(c *column, use access.Use) access.Use {
	const values = access.UseFlow | access.UseRow | access.UseStore | access.UseAggregate
	if use != access.UseCarry {
		a.flow(c.line)
	}
	switch {
	case a.shown && use&deciding != 0:
		return use&^deciding | access.UseFlow
	case use&deciding != 0:
		a.behind(c)
	case !a.shown && use&values != 0:
		return use | access.UseFilter
	}
	return use
}

// behind notes that what a column was computed from decides about rows.
func (a *analysis) behind(c *column) {
	for _, src := range c.line.sources {
		for _, r := range a.rels {
			if r.rel == nil || r.rel.OID != src.Relation || r.temp {
				continue
			}
			if col := r.rel.ByNum(src.Num); col != nil && !slices.Contains(c.marks, mark{r, col.Name}) {
				r.use(col.Name, access.UseFilter, a.at)
			}
		}
	}
}

// note records a use of a column's value and adds it to every open sink.
func (a *analysis) note(c *column, use access.Use) {
	a.mark(c, use)
	a.flow(c.line)
}

// noteAll records a use of every column of an item, named and unnamed.
func (a *analysis) noteAll(it *item, use access.Use) {
	for i := range it.cols {
		a.note(&it.cols[i], use)
	}
	a.noteBehind(it, use)
	if !it.known {
		a.noteUnknown(it)
	}
}

// noteUnknown records that a column was used that the catalog does not know:
// it may be any.
func (a *analysis) noteUnknown(it *item) {
	for _, r := range it.rels {
		r.unknown, r.read = true, true
	}
	for i := range it.cols {
		a.mark(&it.cols[i], access.UseFlow)
	}
	a.flow(it.wholeLineage())
}

// consume notes every column of a query's result.
func (a *analysis) consume(d *derived, use access.Use) {
	for i := range d.cols {
		a.note(&d.cols[i], use)
	}
	if !d.known {
		a.flow(lineage{broken: true})
	}
}

// flow adds to every open sink.
func (a *analysis) flow(l lineage) {
	for _, s := range a.sinks {
		s.add(l)
	}
}

// collect runs walk and returns the lineage of everything it touched.
func (a *analysis) collect(walk func()) lineage {
	var l lineage
	a.sinks = append(a.sinks, &l)
	walk()
	a.sinks = a.sinks[:len(a.sinks)-1]
	return l
}

// within runs walk with n as the place that messages name.
func (a *analysis) within(n *pgquery.Node, walk func()) {
	old := a.at
	a.at = spot{node: n}
	walk()
	a.at = old
}
