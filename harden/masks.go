package harden

import "strings"

// OIDs of types that have more masks than NULL (pg_type.dat).
const (
	oidText      = 25
	oidVarchar   = 1043
	oidInt2      = 21
	oidInt4      = 23
	oidInt8      = 20
	oidNumeric   = 1700
	oidDate      = 1082
	oidTimestamp = 1114
)

// Mask returns an SQL expression that shows a column as a masking method does,
// or less; empty if nothing honest can be said in SQL. Hashes are keyed, and
// the key is no business of the database's: without it, equal values could be
// found by trying.
func Mask(with, column string, typ uint32) string {
	c := Ident(column)
	switch typ {
	case oidText, oidVarchar:
		return strings.ReplaceAll(text(with), "@c", c+"::text")
	case oidInt2, oidInt4, oidInt8, oidNumeric:
		if with == "zero" {
			return "CASE WHEN " + c + " IS NOT NULL THEN 0 END"
		}
	case oidDate:
		if with == "year" {
			return "date_trunc('year', " + c + "::timestamp)::date"
		}
	case oidTimestamp:
		if with == "year" {
			return "date_trunc('year', " + c + ")"
		}
	}
	if with == "hash" {
		return ""
	}
	return null(c)
}

// null is NULL of the column's own type.
func null(c string) string { return "CASE WHEN false THEN " + c + " END" }

// text is the expression for a text @c. Regular expressions are those of
// PostgreSQL, where $ is the end of the text.
func text(with string) string {
	switch with {
	case "redact":
		return "CASE WHEN @c IS NOT NULL THEN '[redacted]' END"
	case "zero":
		return "CASE WHEN @c IS NOT NULL THEN '' END"
	case "partial":
		return `CASE WHEN length(@c) >= 10 THEN '****' || "right"(@c, 4) WHEN length(@c) >= 6 THEN '****' || "right"(@c, 2) WHEN @c IS NOT NULL THEN '****' END`
	case "first_letter":
		return `CASE WHEN length(@c) > 1 THEN "left"(@c, 1) || '****' WHEN @c IS NOT NULL THEN '****' END`
	case "card_last4":
		return `CASE WHEN @c ~ '^[0-9]([ -]?[0-9])*$' AND length(translate(@c, ' -', '')) BETWEEN 12 AND 19 AND "right"(@c, 4) ~ '^[0-9]{4}$'` +
			` THEN '****' || "right"(@c, 4) WHEN @c IS NOT NULL THEN '****' END`
	case "email":
		return `CASE WHEN @c ~ '^[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@([A-Za-z0-9][A-Za-z0-9-]{0,60}[.])+[A-Za-z]{2,60}$'` +
			` THEN CASE WHEN strpos(@c, '@') > 2 THEN "left"(@c, 1) ELSE '' END || '***' || substr(@c, strpos(@c, '@')) WHEN @c IS NOT NULL THEN '****' END`
	case "hash":
		return ""
	}
	return "CASE WHEN false THEN @c END"
}
