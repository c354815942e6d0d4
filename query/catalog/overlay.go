package catalog

// What an open transaction sees that nobody else does yet: its own changes, laid
// over the snapshot that all share.

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// With lays what [ReadOwn] found over s: relations, types and functions in own take
// the place of those with the same number, and of others with the same name. What
// own lacks stays, also what the transaction dropped: the server refuses to use it.
//
// Views that are not in own are understood as in s, by the numbers of what they
// read, whatever that is called now. s must not itself lie over another.
func (s *Snapshot) With(own Rows) (*Snapshot, error) {
	over, err := buildOver(own, s.tracer, s)
	if err != nil {
		return nil, err
	}
	for name, rows := range over.functions {
		over.functions[name] = append(rows, slices.DeleteFunc(slices.Clone(s.functions[name]), func(f FunctionRow) bool {
			return slices.ContainsFunc(rows, func(o FunctionRow) bool { return o.OID == f.OID })
		})...)
	}
	for name, rows := range over.operators {
		over.operators[name] = append(rows, s.operators[name]...)
	}
	over.casts = slices.Concat(s.casts, over.casts)
	sum := sha256.Sum256([]byte(s.version + " " + over.version))
	over.version = hex.EncodeToString(sum[:16])
	return over, nil
}

// Base is the snapshot that s lies over; nil: none.
func (s *Snapshot) Base() *Snapshot { return s.base }

// Empty reports whether nothing was read.
func (r *Rows) Empty() bool {
	return len(r.Schemas)+len(r.Relations)+len(r.Columns)+len(r.Generated)+len(r.Inherits)+len(r.Views)+len(r.Functions)+
		len(r.Operators)+len(r.Types)+len(r.Labels)+len(r.Parts)+len(r.Casts) == 0
}

// OwnSetup makes a transaction's view of names what [OwnSQL] expects, as [SetupSQL]
// does: run it behind a savepoint, and go back to that.
const OwnSetup = "SET LOCAL search_path = pg_catalog"

// recent holds for rows that the current transaction wrote, in itself or in
// savepoints: those have its number or later ones. It also holds for what others
// wrote and committed meanwhile.
func recent(alias string) string { return "pg_catalog.age(" + alias + ".xmin) <= 0" }

// ownRelations are the relations of which a row of the catalog is recent.
var ownRelations = `SELECT r.oid FROM pg_catalog.pg_class r WHERE ` + recent("r") + `
 UNION SELECT a.attrelid FROM pg_catalog.pg_attribute a WHERE a.attnum > 0 AND ` + recent("a") + `
 UNION SELECT w.ev_class FROM pg_catalog.pg_rewrite w WHERE ` + recent("w") + `
 UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE ` + recent("i")

// OwnSQL is one statement, so that all of it is of one moment, whose rows
// [ReadOwn] reads.
func OwnSQL() string {
	only := func(alias string) string {
		switch alias {
		case "c":
			return " AND c.oid IN (SELECT own.oid FROM own)"
		case "l": // all labels of an enum, or their order is lost
			return " AND l.enumtypid IN (SELECT e.enumtypid FROM pg_catalog.pg_enum e WHERE " + recent("e") + ")"
		}
		return " AND " + recent(alias)
	}
	var parts []string
	for _, q := range queries(only) {
		var names, values []string
		for i := range ownWidth {
			if i < widths[q.Name] {
				names = append(names, fmt.Sprintf("v%d", i))
				values = append(values, fmt.Sprintf("q.v%d::pg_catalog.text", i))
			} else {
				values = append(values, "NULL::pg_catalog.text")
			}
		}
		parts = append(parts, "SELECT '"+q.Name+"'::pg_catalog.text, "+strings.Join(values, ", ")+
			" FROM ("+q.SQL+") AS q("+strings.Join(names, ", ")+")")
	}
	return "WITH own AS MATERIALIZED (" + ownRelations + ")\n" + strings.Join(parts, "\n UNION ALL ")
}

// ownWidth is how many values a row has beside the query's name.
const ownWidth = 11

// widths are how many columns each of the queries has.
var widths = map[string]int{"schemas": 2, "relations": 6, "columns": 7, "generated": 3, "inherits": 2, "views": 2, "functions": 11,
	"operators": 6, "types": 7, "labels": 3, "parts": 5, "casts": 4}

// ReadOwn reads the rows of [OwnSQL], in text format.
func ReadOwn(rows [][][]byte) (own Rows, err error) {
	scans := make(map[string]Query)
	for _, q := range Queries() {
		scans[q.Name] = q
	}
	for i, values := range rows {
		if len(values) != 1+ownWidth {
			return own, fmt.Errorf("catalog: row %d has %d values", i, len(values))
		}
		q, ok := scans[string(values[0])]
		if !ok {
			return own, fmt.Errorf("catalog: row %d is of no known kind", i)
		}
		if err := q.Scan(&own, values[1:1+widths[q.Name]]); err != nil {
			return own, fmt.Errorf("%s: %w", q.Name, err)
		}
	}
	return own, nil
}
