package sqlgen

import "strings"

// column is a reference to a column of a type; a constant if there is none.
func (g *Generator) column(in []source, typ string) string {
	var all []string
	for _, s := range in {
		for _, c := range s.cols {
			if c.Type == typ {
				all = append(all, g.reference(s, c))
			}
		}
	}
	if len(all) == 0 {
		return g.constant(typ)
	}
	return pick(g, all...)
}

// reference names a column, now and then in another way than usual.
func (g *Generator) reference(s source, c Column) string {
	if g.rich && g.chance(12) {
		return pick(g, c.Name, c.Name, c.Name, "("+s.alias+")."+c.Name, c.Name+"("+s.alias+")")
	}
	return s.alias + "." + c.Name
}

// anyColumn is a reference to a column of whatever type.
func (g *Generator) anyColumn(in []source) string {
	var all []string
	for _, s := range in {
		for _, c := range s.cols {
			all = append(all, g.reference(s, c))
		}
		if g.chance(20) {
			all = append(all, s.alias)
		}
	}
	if len(all) == 0 {
		return g.constant("text")
	}
	return pick(g, all...)
}

// constant is a value that no database of a test holds, or a common one.
func (g *Generator) constant(typ string) string {
	switch typ {
	case "int":
		return pick(g, "1", "0", "7")
	case "text":
		return pick(g, "'a'", "'n1'", "'x1'", "''")
	case "numeric":
		return pick(g, "1.5", "0.0", "100::numeric")
	case "date":
		return "DATE '2024-02-03'"
	case "timestamptz":
		return "TIMESTAMPTZ '2024-02-03 04:05:06Z'"
	case "jsonb":
		return pick(g, `'{"key": "k"}'::jsonb`, "'[1]'::jsonb")
	case "bool":
		return pick(g, "true", "false")
	case "text[]":
		return "ARRAY['a', 'b']"
	}
	return "NULL::" + typ
}

func (g *Generator) expr(in []source, typ string) string {
	g.size--
	if g.size < 0 || g.chance(60) {
		return g.column(in, typ)
	}
	switch g.r.IntN(9) {
	case 0:
		return g.constant(typ)
	case 1:
		return "coalesce(" + g.column(in, typ) + ", " + g.expr(in, typ) + ")"
	case 2:
		return "CASE WHEN " + g.predicate(in) + " THEN " + g.expr(in, typ) + " ELSE " + g.column(in, typ) + " END"
	case 3:
		body, _ := g.selects(in, []string{typ})
		return "(SELECT * FROM (" + body + ") q LIMIT 1)"
	case 4:
		if typ != "jsonb" && typ != "text[]" || g.rich {
			return "nullif(" + g.column(in, typ) + ", " + g.expr(in, typ) + ")"
		}
	case 5:
		return g.aggregateQuery(in, typ)
	case 6:
		if g.rich {
			return g.window(in, typ)
		}
	}
	return g.computed(in, typ)
}

// computed is made from values.
func (g *Generator) computed(in []source, typ string) string {
	if g.rich && g.chance(50) {
		return g.odd(in, typ)
	}
	switch typ {
	case "int":
		return pick(g, g.column(in, "int")+" + 1", "length("+g.column(in, "text")+")", "row_number() OVER (PARTITION BY "+g.column(in, "text")+" ORDER BY "+g.column(in, "int")+")::int")
	case "text":
		return pick(g, "upper("+g.column(in, "text")+")", g.column(in, "text")+"::text", g.column(in, "text")+" || 'z'", "CAST("+g.column(in, "text")+" AS varchar)")
	}
	return g.odd(in, typ)
}

// odd are the ways of the server's own functions and operators, some of which fail
// on some values: an error is an answer, too.
func (g *Generator) odd(in []source, typ string) string {
	t, i, a := g.column(in, "text"), g.column(in, "int"), g.anyColumn(in)
	switch typ {
	case "text":
		return pick(g, a+"::text", "concat("+a+", "+t+")", "format('%s %I', "+a+", "+t+")", "substr("+t+", 2)", "left("+t+", "+i+")",
			"md5("+t+")", "reverse("+t+")", "encode(convert_to("+t+", 'UTF8'), 'hex')", "greatest("+t+", 'm')", "to_json("+a+")::text",
			"quote_literal("+t+")", "pg_typeof("+a+")::text", "replace("+t+", 'a', 'b')", "regexp_replace("+t+", '^.', '')", "split_part("+t+", '@', 1)",
			"array_to_string(ARRAY["+t+", "+t+"], ',')", "(ARRAY["+t+"])[1]", "set_config('own.x', "+t+", true)", g.column(in, "jsonb")+" ->> 'key'",
			"translate("+t+", 'abc', 'xyz')", "lpad("+t+", 3)", "ROW("+a+")::text", "xmlelement(name x, "+t+")::text", "current_setting("+t+", true)")
	case "int":
		return pick(g, t+"::int", "('1' || "+t+")::int", "ascii("+t+")", "1 / ("+i+" - "+i+")", i+" * 1000000", "abs("+i+")", "position('a' in "+t+")",
			"hashtext("+t+")", "num_nulls("+a+")", "(SELECT count(*) FROM generate_series(1, least("+i+", 9)) q)::int", "width_bucket("+i+", 0, 100, 5)",
			"extract(year FROM "+g.column(in, "date")+")::int", "cardinality("+g.column(in, "text[]")+")", g.column(in, "bool")+"::int", "pg_column_size("+a+")")
	case "numeric":
		n := g.column(in, "numeric")
		return pick(g, n+" * 2", "round("+n+")", i+"::numeric", n+" / nullif("+n+", 0)", t+"::numeric", "power(2, "+i+")::numeric", "1 / ("+n+" - "+n+")")
	case "date":
		d := g.column(in, "date")
		return pick(g, d+" + 1", g.column(in, "timestamptz")+"::date", t+"::date", "date_trunc('year', "+d+")::date", d+" + "+i)
	case "timestamptz":
		return pick(g, g.column(in, "timestamptz")+" + interval '1 day'", "date_trunc('month', "+g.column(in, "timestamptz")+")", t+"::timestamptz")
	case "jsonb":
		return pick(g, "to_jsonb("+a+")", "jsonb_build_object('k', "+a+")", g.column(in, "jsonb")+" -> 'key'", t+"::jsonb", "jsonb_path_query_first("+g.column(in, "jsonb")+", '$.*')", "jsonb_build_array("+t+", "+i+")")
	case "bool":
		return pick(g, "("+g.predicate(in)+")", t+"::bool", "NOT "+g.column(in, "bool"), a+" IS NULL")
	case "text[]":
		return pick(g, "ARRAY["+t+", "+t+"]", "string_to_array("+t+", '@')", "regexp_match("+t+", '^(.)')", "array_append("+g.column(in, "text[]")+", "+t+")")
	case "bytea":
		return pick(g, "convert_to("+t+", 'UTF8')", "decode("+t+", 'hex')", "sha256("+g.column(in, "bytea")+")")
	}
	return pick(g, t+"::"+typ, g.column(in, typ)+"::text::"+typ)
}

func (g *Generator) window(in []source, typ string) string {
	over := " OVER (" + pick(g, "", "PARTITION BY "+g.anyColumn(in)+" ") + "ORDER BY " + g.column(in, "int") + ")"
	f := pick(g, "lag", "lead", "first_value", "last_value")
	return f + "(" + g.column(in, typ) + ")" + over
}

func (g *Generator) aggregateQuery(in []source, typ string) string {
	from, inner := g.from(in)
	return "(SELECT " + g.aggregate(inner, typ) + " FROM " + from + ")"
}

func (g *Generator) aggregate(in []source, typ string) string {
	a, c := g.anyColumn(in), g.column(in, typ)
	switch typ {
	case "int":
		return pick(g, "count(*)::int", "count("+g.column(in, "text")+")::int", "count(DISTINCT "+g.column(in, "text")+")::int", "max("+c+")", "sum("+c+")::int")
	case "text":
		if g.rich && g.chance(40) {
			return pick(g, "json_agg("+a+")::text", "array_agg("+a+")::text", "string_agg("+a+"::text, '' ORDER BY "+a+")", "max("+c+") FILTER (WHERE "+g.predicate(in)+")",
				"mode() WITHIN GROUP (ORDER BY "+c+")", "xmlagg(xmlelement(name x, "+c+"))::text")
		}
		return pick(g, "min("+c+")", "string_agg("+c+", ',')")
	case "numeric":
		return pick(g, "sum("+c+")", "avg("+c+")", "max("+c+")", "stddev("+c+")", "sum("+g.column(in, "int")+")::numeric")
	case "date", "timestamptz", "text[]", "inet":
		return pick(g, "min(", "max(") + c + ")"
	case "jsonb":
		return pick(g, "jsonb_agg("+a+")", "jsonb_object_agg("+g.column(in, "int")+", "+a+")")
	case "bool":
		return pick(g, "bool_or(", "every(") + c + ")"
	}
	return "(array_agg(" + c + "))[1]"
}

func (g *Generator) predicate(in []source) string {
	g.size--
	k := pick(g, "text", "int")
	switch g.r.IntN(8) {
	case 0:
		return g.column(in, k) + " IS NOT NULL"
	case 1:
		return g.column(in, k) + " IN (" + g.constant(k) + ", " + g.constant(k) + ")"
	case 2:
		return g.column(in, "text") + " LIKE 'n%'"
	case 3:
		if g.size > 0 {
			body, _ := g.selects(in, []string{k})
			return g.column(in, k) + " IN (" + body + ")"
		}
	case 4:
		if g.size > 0 {
			body, _ := g.selects(in, nil)
			return "EXISTS (" + body + ")"
		}
	case 5:
		return g.column(in, "int") + pick(g, " > ", " = ", " <> ") + g.expr(in, "int")
	case 6:
		if g.rich {
			return g.oddPredicate(in)
		}
	}
	return g.column(in, k) + " = " + g.column(in, k)
}

func (g *Generator) oddPredicate(in []source) string {
	t, a := g.column(in, "text"), g.anyColumn(in)
	return pick(g, a+" IS NULL", a+"::text > 'm'", t+" BETWEEN 'a' AND 'm'", t+" ~ '^q'", t+" = ANY (ARRAY['a', "+t+"])", "("+a+", 1) IS DISTINCT FROM ("+a+", 1)",
		g.column(in, "bool"), g.column(in, "numeric")+" > 100", g.column(in, "date")+" < CURRENT_DATE", t+" SIMILAR TO 'q%'", g.column(in, "jsonb")+" ? 'key'",
		strings.Join([]string{g.predicate(in), g.predicate(in)}, pick(g, " AND ", " OR ")), "NOT ("+g.predicate(in)+")")
}
