package postgres

import (
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// A usage is what a statement does with one column of a relation.
type usage struct {
	use        access.Use
	exprs      []usedIn
	aggregates []string
	group      int64 // rows behind every aggregate at least; meaningful with aggregates
}

// A usedIn is the first expression that puts a column to a use.
type usedIn struct {
	use access.Use
	at  spot
}

// A spot is a part of the statement, for messages.
type spot struct {
	node *pgquery.Node
	word string // where there is no node: UNION
}

// quiet are the uses that need no words: what a plain SELECT or UPDATE does.
const quiet = access.UseOutput | access.UseAssign | access.UseCarry

func (u *usage) add(use access.Use, at spot) {
	if fresh := use &^ u.use &^ quiet; fresh != 0 {
		u.exprs = append(u.exprs, usedIn{fresh, at})
	}
	u.use |= use
}

// aggregate records aggregate functions over groups of at least so many rows.
func (u *usage) aggregate(functions []string, group int64) {
	if len(functions) == 0 {
		return
	}
	if len(u.aggregates) == 0 || group < u.group {
		u.group = group
	}
	for _, f := range functions {
		if !slices.Contains(u.aggregates, f) {
			u.aggregates = append(u.aggregates, f)
		}
	}
}

// merge adds what another usage does.
func (u *usage) merge(o *usage) {
	for _, e := range o.exprs {
		u.add(e.use, e.at)
	}
	u.use |= o.use
	u.aggregate(o.aggregates, o.group)
}

// computed is the usage of a column from which the one in use was computed, by a
// view: to compare lower(email) with a constant is not to compare email with it.
func (u *usage) computed() *usage {
	c := &usage{use: coarse(u.use)}
	for _, e := range u.exprs {
		c.exprs = append(c.exprs, usedIn{coarse(e.use), e.at})
	}
	return c
}

// deciding are the uses that decide about rows.
const deciding = access.UseFilter | access.UseEqual | access.UseRange | access.UseNull | access.UseJoin | access.UseGroup | access.UseOrder

// coarse replaces the finer bits by those that no permission covers.
func coarse(use access.Use) access.Use {
	if use&deciding != 0 {
		use = use&^deciding | access.UseFilter
	}
	if use&access.UseAggregate != 0 {
		use = use&^access.UseAggregate | access.UseFlow
	}
	return use
}

// maxExprs bounds the expressions kept for one column's uses.
const maxExprs = 8

// columnUse puts a usage into the words of access.
func (u *usage) columnUse(name string, d *describer) access.ColumnUse {
	c := access.ColumnUse{Name: name, Use: u.use, Aggregates: u.aggregates}
	slices.Sort(c.Aggregates)
	if len(u.aggregates) > 0 {
		c.MinGroup = u.group
	}
	for _, e := range u.exprs[:min(len(u.exprs), maxExprs)] {
		if text := d.describe(e.at); text != "" {
			c.Exprs = append(c.Exprs, access.UseExpr{Use: e.use, Text: text})
		}
	}
	return c
}

func (d *describer) columnUses(uses map[string]*usage) []access.ColumnUse {
	if len(uses) == 0 {
		return nil
	}
	list := make([]access.ColumnUse, 0, len(uses))
	for name, u := range uses {
		list = append(list, u.columnUse(name, d))
	}
	slices.SortFunc(list, func(x, y access.ColumnUse) int { return strings.Compare(x.Name, y.Name) })
	return list
}
