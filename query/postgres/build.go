package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// newStatement is the least that can be said of a text.
func newStatement(text string, env *Env) *Statement {
	return &Statement{
		Action: access.Action{
			Text: text,
			SQL:  &access.SQL{Scoped: true, Limit: -1, Database: env.Database},
		},
	}
}

// opaqueStatement is a text that is not understood.
func opaqueStatement(text string, env *Env, why string) *Statement {
	st := newStatement(text, env)
	st.End = len(text)
	st.Action.SQL.Scoped = false
	st.Action.SQL.Why = why
	st.Action.Shown = redactOpaque(text)
	st.Action.Op = firstWord(text)
	st.Action.Origin = new(access.Origin)
	st.MayChangeSettings = true
	st.ReturnsRows = true
	st.DDL = true
	return st
}

// statement analyzes any statement and completes it.
func (a *analysis) statement(n *pgquery.Node) {
	root := &scope{}
	at := outermost
	switch v := n.GetNode().(type) {
	case *pgquery.Node_SelectStmt:
		a.selectStmt(root, v.SelectStmt)
	case *pgquery.Node_InsertStmt:
		a.outputs(a.insert(root, v.InsertStmt, at))
	case *pgquery.Node_UpdateStmt:
		a.outputs(a.update(root, v.UpdateStmt, at))
	case *pgquery.Node_DeleteStmt:
		a.outputs(a.delete(root, v.DeleteStmt, at))
	case *pgquery.Node_MergeStmt:
		a.outputs(a.merge(root, v.MergeStmt, at))
	case *pgquery.Node_CopyStmt:
		a.copyStmt(v.CopyStmt)
	default:
		a.literal = true
		if !a.session(n) {
			a.utility(n)
		}
	}
	a.finish()
	a.st.Action.SQL.Changes = a.changes(n)
}

func (a *analysis) selectStmt(root *scope, q *pgquery.SelectStmt) {
	a.effect(access.VerbSelect)
	a.st.ReturnsRows = intoOf(q) == nil
	d := a.query(root, q, outermost)
	if !a.st.ReturnsRows {
		a.consume(d, access.UseStore)
		return
	}
	a.outputs(d)
}

// intoOf finds SELECT INTO, which stands in the leftmost arm.
func intoOf(q *pgquery.SelectStmt) *pgquery.IntoClause {
	for q != nil {
		if q.IntoClause != nil {
			return q.IntoClause
		}
		q = q.Larg
	}
	return nil
}

// outputs describes the result by lineage, and notes what it shows.
func (a *analysis) outputs(d *derived) {
	d.mark(a, access.UseOutput)
	a.st.OutputsKnown = d.known
	if !d.known {
		return
	}
	a.st.Outputs = make([]Output, len(d.cols))
	for i := range d.cols {
		c := &d.cols[i]
		a.st.Outputs[i] = Output{Name: c.name, Sources: c.line.sources, Traced: !c.line.broken, Bare: c.bare, Either: c.either,
			Copied: c.copied(), Merged: len(c.marks) > 1, Mixed: len(c.marks) > 0 && c.mixed}
	}
}
