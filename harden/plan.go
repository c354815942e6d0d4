package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Own is the schema for what is not one role's, and the prefix of every role
// and schema that a plan makes.
const Own = "sluice"

// Mark is the comment on roles, schemas and views that a plan makes: others of
// the same names are somebody else's, and are not touched.
const Mark = "made by sluice harden"

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
	// Gone are roles that an earlier plan made and this one has no rights for.
	Gone    []string
	Channel string // that DDL is told on, and the name of the event trigger
	Notes   []string
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
	return fit(Own+"_"+group, group)
}

// maxName is where PostgreSQL cuts names (NAMEDATALEN - 1).
const maxName = 63

// fit shortens a name that is too long; what it stands for keeps it apart from
// others that begin alike.
func fit(name, of string) string {
	if len(name) <= maxName {
		return name
	}
	return digested(name, of)
}

func digested(name, of string) string {
	sum := sha256.Sum256([]byte(of))
	return strings.ToValidUTF8(name[:min(len(name), maxName-9)], "") + "_" + hex.EncodeToString(sum[:4])
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

// viewNames are the names of the role's views, by table: the table's own, unless
// that is another's, too.
func (r *Role) viewNames() map[Name]string {
	count := map[string]int{}
	for i := range r.Tables {
		if t := &r.Tables[i]; t.viewed() {
			count[t.Name.Name]++
		}
	}
	names, taken := map[Name]string{}, map[string]bool{}
	for _, alone := range []bool{true, false} { // who has a name alone keeps it
		for i := range r.Tables {
			t := &r.Tables[i]
			if !t.viewed() || (count[t.Name.Name] == 1) != alone {
				continue
			}
			name := t.Name.Name
			if !alone {
				name = fit(t.Schema+"_"+t.Name.Name, t.Schema+"."+t.Name.Name)
			}
			if taken[name] {
				name = digested(name, t.Schema+"."+t.Name.Name)
			}
			names[t.Name], taken[name] = name, true
		}
	}
	return names
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
