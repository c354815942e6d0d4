package postgres

import (
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
		if a.writes == 1 && a.verb.Class() == access.ClassWrite {
			return access.ChangesCounted
		}
		return access.ChangesUnknown
	case *pgquery.Node_CopyStmt:
		if v.CopyStmt.IsFrom {
			return access.ChangesCounted
		}
	}
	return changesOf(a.verb)
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
