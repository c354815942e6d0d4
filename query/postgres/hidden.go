package postgres

// What a name would mean if something were not there. Whoever may drop, rename or
// alter a table decides what a name means to a statement that is judged before and
// runs behind: one of the same message, of another session that waits for the
// table, of the same session behind a rollback. So what a name hides counts as well.
// Only what holds no protected values can be changed by those whom masks concern;
// what it hides may hold some.

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// hidden returns the relations that an unqualified name would mean if those were
// gone that it means, but for the server's own, which nobody can drop.
func (a *analysis) hidden(rv *pgquery.RangeVar) (behind []*relUse) {
	if rv.GetSchemaname() != "" || a.env.Catalog == nil || a.shallow {
		return nil
	}
	first := true
	for _, schema := range a.env.path {
		r := a.lookup(schema, rv.GetRelname())
		switch {
		case r == nil:
		case first && r.System:
			return nil
		case first:
			first = false
		default:
			behind = append(behind, a.relUse(schema, r.Name, r, false))
		}
	}
	return behind
}

// mayBeBehind lets every column of an item also be the one of that name which the
// item's name hides.
func (it *item) mayBeBehind() {
	for _, r := range it.behind {
		for i := range it.cols {
			if c := r.rel.Column(it.cols[i].name); c != nil {
				it.cols[i].also(r.column(c))
			}
		}
	}
}

// also makes a column one that may hold the values of another instead.
func (c *column) also(o column) {
	c.bare, c.either = false, true
	c.marks = append(slices.Clip(c.marks), o.marks...)
	c.line.sources = slices.Clip(c.line.sources)
	c.line.add(o.line)
}

// noteBehind notes a use of all columns for what an item's name hides.
func (a *analysis) noteBehind(it *item, use access.Use) {
	for _, r := range it.behind {
		for i := range r.rel.Columns {
			c := r.column(&r.rel.Columns[i])
			a.note(&c, use)
		}
	}
}

// captured is what a lone name that is a column of a table would mean if the table
// had no such column: a column of a query around, or the row of something so called.
func (a *analysis) captured(sc *scope, name string, use access.Use, found []column) (more []column) {
	if !slices.ContainsFunc(found, func(c column) bool { return !c.spelled && len(c.marks) > 0 }) {
		return nil
	}
	for s := sc; s != nil; s = s.parent {
		for _, it := range s.items {
			if it.hidden {
				continue
			}
			if it.alias == name && !it.has(found) {
				a.noteAll(it, asRow(use))
			}
			if s != sc && !it.strict && !it.merged[name] {
				more = appendOther(more, s, found, it.find(name))
			}
		}
		for i := range s.merges {
			if s != sc && s.merges[i].name == name {
				more = appendOther(more, s, found, []*column{&s.merges[i]})
			}
		}
	}
	return more
}

// has reports whether one of the columns is the item's own: it is the item that
// would change.
func (it *item) has(found []column) bool {
	return slices.ContainsFunc(found, func(c column) bool {
		return slices.ContainsFunc(c.marks, func(m mark) bool { return slices.Contains(it.rels, m.rel) })
	})
}

func appendOther(list []column, s *scope, found []column, cols []*column) []column {
	for _, c := range cols {
		if !slices.ContainsFunc(found, func(f column) bool { return slices.Equal(f.marks, c.marks) }) {
			list = append(list, c.in(s))
		}
	}
	return list
}

// mayJoin notes that a NATURAL JOIN compares columns as soon as the other side has
// some of those names.
func (a *analysis) mayJoin(cols []column, other listing) {
	if !slices.ContainsFunc(other.items, func(it *item) bool { return !it.fixed }) {
		return
	}
	for i := range cols {
		if len(cols[i].marks) > 0 {
			a.note(&cols[i], access.UseFilter)
		}
	}
}

// moves records a change of the name of something that is no relation. Code under
// another name may be called where something else was meant.
func (a *analysis) moves(t pgquery.ObjectType) {
	switch t {
	case pgquery.ObjectType_OBJECT_FUNCTION, pgquery.ObjectType_OBJECT_PROCEDURE, pgquery.ObjectType_OBJECT_ROUTINE,
		pgquery.ObjectType_OBJECT_AGGREGATE, pgquery.ObjectType_OBJECT_OPERATOR, pgquery.ObjectType_OBJECT_OPCLASS,
		pgquery.ObjectType_OBJECT_OPFAMILY, pgquery.ObjectType_OBJECT_DOMAIN, pgquery.ObjectType_OBJECT_CONVERSION,
		pgquery.ObjectType_OBJECT_EXTENSION, pgquery.ObjectType_OBJECT_LANGUAGE, pgquery.ObjectType_OBJECT_TSPARSER,
		pgquery.ObjectType_OBJECT_TSTEMPLATE, pgquery.ObjectType_OBJECT_FDW, pgquery.ObjectType_OBJECT_ACCESS_METHOD:
		a.partial("code that is not looked into gets another name")
	}
}
