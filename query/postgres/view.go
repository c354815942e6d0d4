package postgres

import (
	"context"

	"sluice/access"
	"sluice/query/catalog"
)

// viewSubject shares the parser with the subjects.
const viewSubject = "\x00catalog"

// TraceView explains a view's definition by analyzing it as a statement of its
// own, with a search_path of pg_catalog alone. It makes an Analyzer a
// [catalog.Tracer].
func (a *Analyzer) TraceView(s *catalog.Snapshot, view *catalog.Relation) catalog.Trace {
	env := NewEnv(Env{Catalog: s, SearchPath: []string{"pg_catalog"}})
	p, err := a.parse(context.Background(), viewSubject, view.Definition)
	if err != nil {
		return catalog.Trace{Why: err.Error()}
	}
	statements := p.statements(env, true)
	if len(statements) != 1 {
		return catalog.Trace{Why: "the definition is not one statement"}
	}
	return traceOf(statements[0], s, view)
}

func traceOf(st *Statement, s *catalog.Snapshot, view *catalog.Relation) catalog.Trace {
	t := catalog.Trace{Why: st.Action.SQL.Why}
	t.Known = st.Action.Confidence == access.Exact && st.Action.Verb == access.VerbSelect
	for i := range st.Action.Objects {
		if o := &st.Action.Objects[i]; o.Kind == access.KindTable && o.OID != 0 {
			t.Reads = append(t.Reads, o.OID)
			t.Decides = append(t.Decides, decides(o, s.Relation(o.OID))...)
		}
	}
	if st.OutputsKnown && len(st.Outputs) == len(view.Columns) {
		for _, o := range st.Outputs {
			t.Columns = append(t.Columns, catalog.Lineage{Sources: o.Sources, Complete: o.Traced, Copy: o.Bare && len(o.Sources) == 1})
		}
		return t
	}
	t.Columns = everything(st, s, view)
	return t
}

// decides lists the columns of a relation that a view's rows depend on.
func decides(o *access.Object, rel *catalog.Relation) (list []catalog.Influence) {
	if rel == nil {
		return nil
	}
	for i := range o.Columns {
		c := &o.Columns[i]
		col := rel.Column(c.Name)
		if use := c.Use & deciding; use != 0 && col != nil {
			list = append(list, catalog.Influence{Source: catalog.Source{Relation: rel.OID, Num: col.Num}, Use: use, Text: c.Expr(use)})
		}
	}
	return list
}

// everything is the answer where columns cannot be told apart: each may hold
// any column that the definition uses.
func everything(st *Statement, s *catalog.Snapshot, view *catalog.Relation) []catalog.Lineage {
	all := catalog.Lineage{Complete: st.Action.Confidence == access.Exact}
	for _, o := range st.Action.Objects {
		if o.Kind != access.KindTable {
			continue
		}
		r := s.Relation(o.OID)
		if r == nil || !o.ColumnsKnown {
			all.Complete = false
			continue
		}
		for _, c := range o.Columns {
			if col := r.Column(c.Name); col != nil {
				all.Sources = append(all.Sources, catalog.Source{Relation: r.OID, Num: col.Num})
			}
		}
	}
	columns := make([]catalog.Lineage, len(view.Columns))
	for i := range columns {
		columns[i] = all
	}
	return columns
}
