package postgres

import (
	"slices"

	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// changes says what the command tag will tell of the rows that a statement
// changes. The tag counts what the outermost statement does: with one that
// writes inside it (WITH, EXPLAIN ANALYZE, COPY (query)), nothing does.
func (a *analysis) changes(n *pgquery.Node) access.Changes {
	if a.confidence == access.Opaque {
		return access.ChangesUnknown
	}
	switch v := n.GetNode().(type) {
	case *pgquery.Node_InsertStmt, *pgquery.Node_UpdateStmt, *pgquery.Node_DeleteStmt, *pgquery.Node_MergeStmt:
		if a.writes == 1 && a.verb.Class() == access.ClassWrite && !a.rewritten() {
			return access.ChangesCounted
		}
		return access.ChangesUnknown
	case *pgquery.Node_CopyStmt:
		if v.CopyStmt.IsFrom {
			return access.ChangesCounted
		}
	}
	if a.writes > 0 && a.verb.Class() != access.ClassRead && a.verb.Class() != access.ClassSession {
		return access.ChangesUnknown // CREATE TABLE AS WITH ... DELETE
	}
	return changesOf(a.verb)
}

// rewritten reports whether a rule replaces what the statement does.
func (a *analysis) rewritten() bool {
	return slices.ContainsFunc(a.rels, func(r *relUse) bool { return r.write && r.rel != nil && r.rel.Rules })
}

// changesOf is what the verb of a statement that counts nothing says.
func changesOf(v access.Verb) access.Changes {
	switch v {
	case access.VerbNextval, access.VerbTemp, access.VerbLock, access.VerbNotify,
		access.VerbCreate, access.VerbGrant, access.VerbVacuum, access.VerbSetRole, access.VerbConfigure:
		return access.ChangesNone
	}
	if c := v.Class(); c == access.ClassRead || c == access.ClassSession {
		return access.ChangesNone
	}
	return access.ChangesUnknown
}
