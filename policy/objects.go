package policy

import (
	"sluice/access"
)

// This file answers the conditions on what an action touches.

// evalTables asks about tables. For a rule that restricts, one that matches is
// enough, a schema standing for all that is in it. For a rule that allows,
// everything that holds data must match, and an action that changes something
// without naming a table is not covered by a list of tables.
func (m *match) evalTables(q *question, _ *access.Subject, every bool) tri {
	if q.posture || q.anyColumn {
		return unknown
	}
	var s some
	for i := range q.r.Action.Objects {
		o := &q.r.Action.Objects[i]
		switch {
		case o.Kind == access.KindTable:
			if t, counts := relation(m.tables, o, every); counts {
				s.add(t)
			}
		case o.Kind == access.KindSchema && !every:
			s.add(schema(m.tables, o.Name))
		case every && beyondTables(o):
			s.add(no)
		}
	}
	if every && s.n == 0 && !harmless(q) {
		return no
	}
	return s.answer(q, every)
}

// harmless reports whether an action without tables is one that a list of
// tables need not mention: select 1, begin.
func harmless(q *question) bool {
	c := q.r.Action.Verb.Class()
	return c == access.ClassRead || c == access.ClassSession
}

// beyondTables reports objects that no list of tables can grant.
func beyondTables(o *access.Object) bool {
	switch o.Kind {
	case access.KindFunction, access.KindType, access.KindSetting, access.KindChannel:
		return o.Write
	}
	return true
}

// relation matches one table against patterns. The server's own catalog counts
// only where a pattern spells its schema out, or where it is written to.
func relation(ps []namePattern, o *access.Object, every bool) (t tri, counts bool) {
	for _, p := range ps {
		if o.System && !p.namesSchema() && (every || !o.Write) {
			continue
		}
		t = max(t, p.relation(o.Schema, o.Name))
	}
	if o.System && t == no && !(every && o.Write) {
		return no, false
	}
	return t, true
}

// schema matches a schema as a whole against patterns for its tables.
func schema(ps []namePattern, name string) tri {
	t := no
	for _, p := range ps {
		if !p.parts[0].any() && p.parts[0].match(name) {
			t = yes
		}
	}
	return t
}

// evalColumns asks about columns of tables.
func (m *match) evalColumns(q *question, _ *access.Subject, every bool) tri {
	return m.columnsOn(q, every, m.named, nil)
}

// named returns the column patterns that the block itself has.
func (m *match) named(*question, *access.Object, bool) []namePattern { return m.columns }

// columnsOn asks about columns: on gives the patterns for a table, schema, if
// there is one, judges a schema as a whole.
func (m *match) columnsOn(q *question, every bool, on func(*question, *access.Object, bool) []namePattern, schema func(*question, string) tri) tri {
	if q.posture || q.anyColumn {
		return unknown
	}
	var s some
	for i := range q.r.Action.Objects {
		o := &q.r.Action.Objects[i]
		switch {
		case o.Kind == access.KindTable:
			columnsOf(on(q, o, every), o, every, &s)
		case o.Kind == access.KindSchema && !every && schema != nil:
			s.add(schema(q, o.Name))
		case every && beyondTables(o):
			s.add(no)
		}
	}
	if every && s.n == 0 && !harmless(q) {
		return no
	}
	return s.answer(q, every)
}

func columnsOf(ps []namePattern, o *access.Object, every bool, s *some) {
	if every {
		everyColumnOf(ps, o, s)
		return
	}
	for _, p := range ps {
		t := p.onTable(o)
		if t == no {
			continue
		}
		if !o.ColumnsKnown {
			if !p.parts[2].any() {
				t = unknown
			}
			s.add(t)
			continue
		}
		for _, c := range o.Columns {
			if p.parts[2].match(c.Name) {
				s.add(t)
			}
		}
	}
}

func everyColumnOf(ps []namePattern, o *access.Object, s *some) {
	if !o.ColumnsKnown {
		s.add(fits(ps, o, nil))
		return
	}
	for i := range o.Columns {
		s.add(fits(ps, o, &o.Columns[i]))
	}
}

// fits matches one column; nil stands for all of the table's.
func fits(ps []namePattern, o *access.Object, c *access.ColumnUse) tri {
	t := no
	for _, p := range ps {
		if c == nil && p.parts[2].any() || c != nil && p.parts[2].match(c.Name) {
			t = max(t, p.onTable(o))
		}
	}
	return t
}

// onTable matches the table part of a column pattern.
func (p namePattern) onTable(o *access.Object) tri {
	if o.System && !p.namesSchema() {
		return no
	}
	return p.relation(o.Schema, o.Name)
}

// evalFunctions asks about functions called or otherwise touched.
func (m *match) evalFunctions(q *question, _ *access.Subject, every bool) tri {
	if q.posture || q.r.Action.SQL == nil {
		return unknown
	}
	var s some
	for _, f := range q.r.Action.SQL.Functions {
		schema, name := splitQualified(f)
		s.add(anyRelation(m.functions, schema, name))
	}
	for i := range q.r.Action.Objects {
		if o := &q.r.Action.Objects[i]; o.Kind == access.KindFunction {
			s.add(anyRelation(m.functions, o.Schema, o.Name))
		}
	}
	return s.answer(q, every)
}

func anyRelation(ps []namePattern, schema, name string) tri {
	t := no
	for _, p := range ps {
		t = max(t, p.relation(schema, name))
	}
	return t
}

// splitQualified cuts "schema.name" at its first dot.
func splitQualified(s string) (schema, name string) {
	for i := range len(s) {
		if s[i] == '.' {
			return s[:i], s[i+1:]
		}
	}
	return "", s
}
