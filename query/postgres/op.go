package postgres

import (
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

// opOf is a statement's name in the server's own words, as its command tags
// begin. It is for people and search; nothing is decided by it.
func opOf(n *pgquery.Node) string {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_TransactionStmt:
		return words(strings.TrimPrefix(v.TransactionStmt.Kind.String(), "TRANS_STMT_"))
	case *pgquery.Node_VariableSetStmt:
		if v.VariableSetStmt.Kind >= pgquery.VariableSetKind_VAR_RESET {
			return "RESET"
		}
		return "SET"
	case *pgquery.Node_VariableShowStmt:
		return "SHOW"
	case *pgquery.Node_SelectStmt:
		if intoOf(v.SelectStmt) != nil {
			return "SELECT INTO"
		}
		return "SELECT"
	case *pgquery.Node_FetchStmt:
		if v.FetchStmt.Ismove {
			return "MOVE"
		}
		return "FETCH"
	case *pgquery.Node_VacuumStmt:
		if !v.VacuumStmt.IsVacuumcmd {
			return "ANALYZE"
		}
		return "VACUUM"
	case *pgquery.Node_GrantStmt:
		return grantOp(v.GrantStmt.IsGrant)
	case *pgquery.Node_GrantRoleStmt:
		return grantOp(v.GrantRoleStmt.IsGrant)
	case *pgquery.Node_CreateTableAsStmt:
		return "CREATE TABLE AS"
	}
	return opOfObject(n)
}

func grantOp(is bool) string {
	if is {
		return "GRANT"
	}
	return "REVOKE"
}

// opOfObject names statements after what they make, change or drop.
func opOfObject(n *pgquery.Node) string {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_DropStmt:
		return "DROP " + objectWords(v.DropStmt.RemoveType)
	case *pgquery.Node_RenameStmt:
		return "ALTER " + objectWords(v.RenameStmt.RenameType)
	case *pgquery.Node_AlterOwnerStmt:
		return "ALTER " + objectWords(v.AlterOwnerStmt.ObjectType)
	case *pgquery.Node_AlterObjectSchemaStmt:
		return "ALTER " + objectWords(v.AlterObjectSchemaStmt.ObjectType)
	case *pgquery.Node_AlterTableStmt:
		return "ALTER " + objectWords(v.AlterTableStmt.Objtype)
	case *pgquery.Node_DefineStmt:
		return "CREATE " + objectWords(v.DefineStmt.Kind)
	case *pgquery.Node_AlterFunctionStmt:
		return "ALTER " + objectWords(v.AlterFunctionStmt.Objtype)
	case *pgquery.Node_CreateFunctionStmt:
		if v.CreateFunctionStmt.IsProcedure {
			return "CREATE PROCEDURE"
		}
		return "CREATE FUNCTION"
	}
	return plainOp(n)
}

func objectWords(t pgquery.ObjectType) string {
	return words(strings.TrimPrefix(t.String(), "OBJECT_"))
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// renamed are the node types whose names are not the command's.
var renamed = map[string]string{
	"CREATE": "CREATE TABLE", "VIEW": "CREATE VIEW", "INDEX": "CREATE INDEX", "RULE": "CREATE RULE",
	"CREATE SEQ": "CREATE SEQUENCE", "ALTER SEQ": "ALTER SEQUENCE", "CREATE TRIG": "CREATE TRIGGER",
	"CREATE EVENT TRIG": "CREATE EVENT TRIGGER", "ALTER EVENT TRIG": "ALTER EVENT TRIGGER",
	"TRUNCATE": "TRUNCATE TABLE", "CLOSE PORTAL": "CLOSE CURSOR", "CONSTRAINTS SET": "SET CONSTRAINTS",
	"COMPOSITE TYPE": "CREATE TYPE", "CREATE ENUM": "CREATE TYPE", "CREATE RANGE": "CREATE TYPE",
	"ALTER ENUM": "ALTER TYPE", "CREATEDB": "CREATE DATABASE", "DROPDB": "DROP DATABASE", "LOCK": "LOCK TABLE",
	"CHECK POINT": "CHECKPOINT", "CREATE STATS": "CREATE STATISTICS", "ALTER STATS": "ALTER STATISTICS",
	"REFRESH MAT VIEW": "REFRESH MATERIALIZED VIEW", "SEC LABEL": "SECURITY LABEL", "CREATE PLANG": "CREATE LANGUAGE",
	"CREATE AM": "CREATE ACCESS METHOD", "CREATE FDW": "CREATE FOREIGN DATA WRAPPER",
	"ALTER FDW": "ALTER FOREIGN DATA WRAPPER", "CREATE FOREIGN SERVER": "CREATE SERVER",
	"ALTER FOREIGN SERVER": "ALTER SERVER", "ALTER DATABASE SET": "ALTER DATABASE", "ALTER ROLE SET": "ALTER ROLE",
}

// plainOp takes the name from the node's type: CreateSchemaStmt is CREATE SCHEMA.
func plainOp(n *pgquery.Node) string {
	m := n.ProtoReflect()
	fd := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if fd == nil {
		return ""
	}
	name := strings.TrimSuffix(string(fd.Message().Name()), "Stmt")
	var out []byte
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' && i > 0 && !(name[i-1] >= 'A' && name[i-1] <= 'Z') {
			out = append(out, ' ')
		}
		out = append(out, name[i])
	}
	op := strings.ToUpper(string(out))
	if r, ok := renamed[op]; ok {
		return r
	}
	return op
}
