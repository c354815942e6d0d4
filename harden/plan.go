package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Own is the schema for what is not one role's, and the prefix of every role
// and schema that a plan makes.
const Own = "sluice"

// A Plan is what a database shall enforce.
type Plan struct {
	Resource string
	Database string
	Roles    []Role
	Schemas  []string // with tables, in order
	// Public are tables and views on which everybody has rights, which a role
	// would have as well.
	Public []Name
	// Creators are schemas in which everybody may create things.
	Creators []string
	Channel  string // that DDL is told on, and the name of the event trigger
	Notes    []string
}

// A Name is a qualified name.
type Name struct{ Schema, Name string }

// A Role is the rights of one group of subjects.
type Role struct {
	Group   string
	Tables  []Table
	Timeout string // statement_timeout, "30s"; empty: none
	Why     string // the rule of Timeout
	// Notes are rules that the database cannot enforce for this role.
	Notes []string
}

// A Table is what a role may do with a table or view.
type Table struct {
	Name
	Select, Insert, Update Columns
	Delete, Truncate       bool
	Sequence               bool     // a sequence; Update stands for nextval
	Why                    []string // the rules, for a comment
	Masked                 []Masked // columns that a view shows instead
	NoView                 string   // why there can be no view although columns are masked
}

// Columns are those that a right is for.
type Columns struct {
	All   bool     // whatever they are, also later ones
	Names []string // otherwise
}

// Any reports whether there is any right at all.
func (c Columns) Any() bool { return c.All || len(c.Names) > 0 }

// A Masked is a column that is shown through a mask.
type Masked struct {
	Column string
	Expr   string // over the column; empty: left out
	Why    string
}

// RoleName is the role for a group. PostgreSQL cuts names at 63 bytes, so a
// longer one ends in a part of its digest.
func RoleName(group string) string {
	name := Own + "_" + group
	if len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(group))
	return strings.ToValidUTF8(name[:54], "") + "_" + hex.EncodeToString(sum[:4])
}

// writes reports whether the role may change anything.
func (r *Role) writes() bool {
	for _, t := range r.Tables {
		if t.Insert.Any() || t.Update.Any() || t.Delete || t.Truncate {
			return true
		}
	}
	return false
}

// viewed reports whether the role has views of its own.
func (r *Role) viewed() bool {
	for _, t := range r.Tables {
		if t.viewed() {
			return true
		}
	}
	return false
}

// viewed reports whether a view stands for the table: some column is masked,
// and something can be shown.
func (t *Table) viewed() bool {
	if len(t.Masked) == 0 || t.NoView != "" {
		return false
	}
	for _, m := range t.Masked {
		if m.Expr != "" {
			return true
		}
	}
	return len(t.Select.Names) > 0
}
