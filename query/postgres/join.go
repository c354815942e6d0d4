package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// join adds both sides, then what the condition compares.
func (a *analysis) join(sc *scope, n *pgquery.Node, j *pgquery.JoinExpr) listing {
	start, merges := len(sc.items), len(sc.merges)
	left := a.from(sc, j.Larg)
	right := a.from(sc, j.Rarg)
	l := listing{known: left.known && right.known, items: slices.Concat(left.items, right.items)}
	shared := names(j.UsingClause)
	if j.IsNatural {
		shared = a.natural(left, right)
		a.within(n, func() {
			a.mayJoin(without(left.cols, shared), right)
			a.mayJoin(without(right.cols, shared), left)
		})
	}
	var common []column
	for _, name := range shared {
		var c column
		a.within(n, func() { c = a.using(&left, &right, name, j.Jointype) })
		for _, it := range sc.items[start:] {
			it.merge(name)
		}
		inner := slices.DeleteFunc(slices.Clone(sc.merges[merges:]), func(m column) bool { return m.name == name })
		sc.merges = append(append(sc.merges[:merges:merges], inner...), c)
		common = append(common, c)
	}
	l.cols = slices.Concat(common, without(left.cols, shared), without(right.cols, shared))
	a.condition(sc, j.Quals, access.UseFilter)
	if j.JoinUsingAlias != nil {
		it := &item{cols: common, known: l.known, strict: true}
		it.aliased(j.JoinUsingAlias)
		sc.items = append(sc.items, it)
	}
	if j.Alias != nil {
		sc.merges = sc.merges[:merges]
		return a.hide(sc, sc.items[start:], l, j.Alias)
	}
	return l
}

// hide makes one item of a join that has an alias.
func (a *analysis) hide(sc *scope, inside []*item, l listing, alias *pgquery.Alias) listing {
	it := &item{cols: l.cols, known: l.known, sure: true}
	for _, i := range inside {
		if !i.hidden && !i.strict {
			it.sure = it.sure && i.sure
			it.src.add(i.src)
			it.rels = append(it.rels, i.rels...)
		}
		i.hidden = true
	}
	it.aliased(alias)
	sc.items = append(sc.items, it)
	return it.listing()
}

// merge notes that a JOIN USING took a name from an item.
func (it *item) merge(name string) {
	if it.merged == nil {
		it.merged = make(map[string]bool)
	}
	it.merged[name] = true
}

// without returns the columns that are called otherwise.
func without(cols []column, names []string) []column {
	return slices.DeleteFunc(slices.Clone(cols), func(c column) bool { return slices.Contains(names, c.name) })
}

// using compares the columns of one name on both sides and returns the one that
// the join shows: a FULL JOIN computes it from both.
func (a *analysis) using(left, right *listing, name string, kind pgquery.JoinType) column {
	x, y := a.side(left, name), a.side(right, name)
	a.implied("=")
	a.compare(x, y, access.UseFilter)
	c := x
	switch kind {
	case pgquery.JoinType_JOIN_INNER, pgquery.JoinType_JOIN_LEFT:
	case pgquery.JoinType_JOIN_RIGHT:
		c = y
	default:
		c = a.merged(x, y)
	}
	c.name, c.scope = name, nil
	return c
}

// side is the column of that name on one side of a join.
func (a *analysis) side(l *listing, name string) column {
	found := slices.IndexFunc(l.cols, func(c column) bool { return c.name == name })
	if found >= 0 {
		c := l.cols[found]
		for i := found + 1; i < len(l.cols); i++ { // ambiguous: the server refuses it
			if l.cols[i].name == name {
				c = a.merged(c, l.cols[i])
			}
		}
		return c
	}
	c := column{name: name, mixed: true}
	for _, it := range l.items {
		if !it.known {
			a.noteUnknown(it)
			c.line.add(it.wholeLineage())
		}
	}
	return c
}

// natural returns the names that stand on both sides. If a side is not known, any
// may: nobody can tell then.
func (a *analysis) natural(left, right listing) []string {
	if !left.known || !right.known {
		for _, it := range slices.Concat(left.items, right.items) {
			a.noteAll(it, access.UseFilter)
		}
	}
	var shared []string
	for _, c := range left.cols {
		if !slices.Contains(shared, c.name) && slices.ContainsFunc(right.cols, func(o column) bool { return o.name == c.name }) {
			shared = append(shared, c.name)
		}
	}
	return shared
}
