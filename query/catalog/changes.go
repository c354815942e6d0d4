package catalog

import "strings"

// StateSQL tells in one value whether anything at all was written since it was
// last asked: no transaction ran that could have, at the same server. It costs
// the server nothing. A standby does not show every transaction that is still
// running: there the value always differs.
const StateSQL = `SELECT pg_catalog.concat(pg_catalog.txid_current_snapshot(), ' ', pg_catalog.pg_postmaster_start_time(), ' ',
 CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.clock_timestamp() END, ' ',
 (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))`

// ChangesSQL returns one value that differs if what [Queries] would return
// may: how many rows there are behind it, and the sum of hashes of which they
// are and which transaction wrote each last. It takes the server a fraction of
// the time of the queries, and next to nothing to send. What sessions have for
// themselves, and indexes, do not count.
func ChangesSQL() string {
	parts := []string{
		changes("pg_namespace", "r.oid", "r.nspname NOT LIKE 'pg\\_temp\\_%' AND r.nspname NOT LIKE 'pg\\_toast%'"),
		changes("pg_class", "r.oid", lasting),
		`(SELECT ` + sumOf("a.attrelid", "a.xmin", "a.attnum") + ` FROM pg_catalog.pg_attribute a
 JOIN pg_catalog.pg_class r ON r.oid = a.attrelid WHERE a.attnum > 0 AND ` + lasting + `)`,
		changes("pg_inherits", "r.inhrelid", "true"),
		changes("pg_rewrite", "r.oid", "true"),
		changes("pg_proc", "r.oid", "r.oid >= 16384"),
		changes("pg_language", "r.oid", "true"),
		changes("pg_operator", "r.oid", "r.oid >= 16384"),
		// Row types are their tables', arrays come and go with their elements.
		changes("pg_type", "r.oid", "r.oid >= 16384 AND r.typtype <> 'c' AND r.typcategory <> 'A'"),
		changes("pg_enum", "r.oid", "true"),
		changes("pg_cast", "r.oid", "r.oid >= 16384"),
		changes("pg_extension", "r.oid", "true"),
		changes("pg_depend", "r.objid", "r.deptype = 'e'"),
	}
	return "SELECT pg_catalog.concat_ws(' ', " + strings.Join(parts, ",\n ") + ")"
}

// lasting are the relations that outlive sessions and have names in statements.
const lasting = `r.relkind IN ('r','v','m','p','f','S','c') AND r.relpersistence <> 't'`

func changes(table, key, where string) string {
	return `(SELECT ` + sumOf(key, "r.xmin", "0") + ` FROM pg_catalog.` + table + ` r WHERE ` + where + `)`
}

func sumOf(key, xmin, seed string) string {
	return `pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum(pg_catalog.hashint8extended(` +
		`(` + key + `::pg_catalog.int8 << 32) | ` + xmin + `::pg_catalog.text::pg_catalog.int8, ` + seed + `)))`
}
