package sqlgen

import "strings"

// Script returns what a client does in one transaction, a statement each: a
// query, a write, COPY TO STDOUT, cursors, prepared statements, plans, temporary
// objects, whole rows. Names that it gives are used up when the session has ended
// or the transaction is rolled back and `DEALLOCATE ALL` ran.
func (g *Generator) Script() []string {
	g.rich = true
	if g.chance(8) {
		return append([]string{g.setting()}, g.script()...)
	}
	return g.script()
}

// setting changes how things are named or written until the transaction ends.
func (g *Generator) setting() string {
	return "SET LOCAL " + pick(g, "search_path = finance, public", "search_path = public, pg_temp, pg_catalog", "bytea_output = escape", "DateStyle = 'German'",
		"TimeZone = 'Asia/Tokyo'", "extra_float_digits = -5", "xmlbinary = hex", "client_min_messages = debug1", "enable_hashjoin = off", "enable_seqscan = off", "plan_cache_mode = force_generic_plan")
}

func (g *Generator) script() []string {
	switch n := g.r.IntN(100); {
	case n < 45:
		return []string{g.Query()}
	case n < 60:
		return []string{g.write()}
	case n < 67:
		return []string{g.copy()}
	case n < 73:
		return g.cursor()
	case n < 77:
		p := g.name("p")
		return []string{"PREPARE " + p + " AS " + g.any(), "EXECUTE " + p}
	case n < 82:
		return []string{"EXPLAIN (" + pick(g, "", "ANALYZE, TIMING OFF, SUMMARY OFF, ") + pick(g, "", "VERBOSE, ") + "COSTS OFF" + pick(g, "", ", FORMAT JSON") + ") " + g.any()}
	case n < 87:
		return g.temporary()
	case n < 97:
		return []string{g.whole()}
	}
	return []string{g.strange()}
}

// any is a query or a write.
func (g *Generator) any() string {
	if g.chance(75) {
		return g.Query()
	}
	return g.write()
}

func (g *Generator) copy() string {
	format := pick(g, "", " (FORMAT csv, HEADER)", " (FORMAT binary)", " (FORMAT csv, FORCE_QUOTE *)")
	if g.chance(30) {
		r := g.relation(writable)
		return "COPY " + r.Name + pick(g, "", " ("+strings.Join(names(g.columns(r)), ", ")+")") + " TO STDOUT" + format
	}
	return "COPY (" + g.any() + ") TO STDOUT" + format
}

func (g *Generator) cursor() []string {
	c := g.name("k")
	all := []string{"DECLARE " + c + pick(g, " ", " BINARY ", " SCROLL ") + "CURSOR FOR " + g.Query()}
	for range 1 + g.r.IntN(2) {
		all = append(all, pick(g, "FETCH ALL FROM ", "FETCH 2 FROM ", "FETCH FROM ", "MOVE 1 IN ", "FETCH LAST FROM ")+c)
	}
	return all
}

func (g *Generator) temporary() []string {
	name := g.name("tmp")
	body, cols := g.query(nil)
	if g.chance(30) {
		return []string{"CREATE TEMP VIEW " + name + " AS " + body, "SELECT * FROM " + name}
	}
	return []string{
		"CREATE TEMP TABLE " + name + " AS " + body,
		pick(g, "SELECT * FROM "+name, "TABLE "+name, "SELECT t."+cols[0].Name+" FROM "+name+" t", "COPY "+name+" TO STDOUT", "UPDATE "+name+" SET "+cols[0].Name+" = NULL RETURNING *"),
	}
}

// whole uses rows as values.
func (g *Generator) whole() string {
	from, in := g.from(nil)
	s := pick(g, in...)
	c := pick(g, s.cols...).Name
	row := s.alias
	target := pick(g, row, row+".*", "row_to_json("+row+")", "to_jsonb("+row+")", "jsonb_agg("+row+")", "("+row+")."+c, row+"::text", "array_agg("+row+")",
		"json_build_object('r', "+row+")", "(to_jsonb("+row+") ->> '"+c+"')", "jsonb_object_keys(to_jsonb("+row+"))", "ROW("+row+".*)", "("+row+" IS NULL)", "hashtext("+row+"::text)",
		"count("+row+")", "count(DISTINCT "+row+")", "(SELECT q."+c+" FROM (SELECT ("+row+").*) q)", "xmlforest("+row+"."+c+")", "max("+row+"::text)", "coalesce("+row+", NULL)")
	sql := "SELECT " + target + " AS w FROM " + from
	if g.chance(30) {
		sql += " WHERE " + g.predicate(in)
	}
	return sql
}

// strange are statements of which most are refused to whoever is restricted.
func (g *Generator) strange() string {
	from, in := g.from(nil)
	value := "(SELECT " + g.anyColumn(in) + "::text FROM " + from + " LIMIT 1)"
	return pick(g,
		"DO $$ BEGIN RAISE NOTICE '%', "+value+"; END $$",
		"DO $$ BEGIN RAISE EXCEPTION '%', "+value+"; END $$",
		"SELECT pg_notify('c', "+value+")",
		"SELECT query_to_xml('SELECT "+strings.ReplaceAll(g.anyColumn(in), "'", "''")+" FROM "+strings.ReplaceAll(from, "'", "''")+"', true, false, '')",
		"SELECT lo_from_bytea(0, convert_to("+value+", 'UTF8'))",
		"SELECT setval('counter', length("+value+"))",
		"SELECT pg_get_viewdef('contacts'::regclass)",
		"SELECT most_common_vals::text FROM pg_stats",
		"SELECT current_setting('own.x', true)",
		"TABLE "+g.relation(anyRelation).Name,
		"LOCK TABLE "+g.relation(writable).Name+" IN ACCESS SHARE MODE",
		"SELECT * FROM "+g.relation(writable).Name+" FOR UPDATE",
		"VALUES ("+value+", 1), (NULL, 2)",
		"ALTER TABLE "+g.relation(writable).Name+" ADD COLUMN extra text DEFAULT "+value,
		"CREATE TEMP TABLE x (c text DEFAULT "+value+")",
		"SELECT * FROM "+g.relation(writable).Name+" TABLESAMPLE SYSTEM (100) REPEATABLE (1)",
	)
}
