package catalog

import (
	"fmt"
	"strconv"
)

// A Query fills one slice of [Rows].
type Query struct {
	Name string
	// SQL works on PostgreSQL 12 to 18, for any role. Run it with search_path set
	// to pg_catalog alone (view definitions must come out qualified), all queries
	// in one REPEATABLE READ READ ONLY transaction.
	SQL string
	// Scan appends one result row, given in text format; nil is NULL. The values
	// may be reused after it returns.
	Scan func(rows *Rows, values [][]byte) error
}

// SetupSQL makes a session's view of names what [Queries] expects. End the
// transaction with ROLLBACK or COMMIT.
const SetupSQL = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL client_encoding = 'UTF8'`

const notTemp = ` AND n.nspname NOT LIKE 'pg\_temp\_%' AND n.nspname NOT LIKE 'pg\_toast%'`

const notSystem = ` AND n.nspname NOT IN ('pg_catalog', 'information_schema')`

// Queries returns the queries that fill a Rows, in the order to run them. The
// columns of each, in order, are the fields of the row type it fills.
func Queries() []Query { return queries(func(string) string { return "" }) }

// queries are the queries with more conditions on what is read: only returns the
// one on the relation, or the row, of that alias.
func queries(only func(alias string) string) []Query {
	return []Query{
		{"schemas", `SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n WHERE true` + notTemp + only("n"), scanSchema},
		{"relations", `SELECT c.oid, n.nspname, c.relname, c.relkind,
 EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
 c.relrowsecurity
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r','v','m','p','f','S')` + notTemp + only("c"), scanRelation},
		{"columns", `SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attnotnull, a.attgenerated <> '', a.atttypmod
 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','v','m','p','f','S')` + notTemp + only("c"), scanColumn},
		// An expression's columns are what its default, before 15 the column itself, depends on.
		{"generated", `SELECT DISTINCT d.adrelid, d.adnum, p.refobjsubid FROM pg_catalog.pg_attrdef d
 JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
 JOIN pg_catalog.pg_depend p ON p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.refobjid = d.adrelid
 AND p.refobjsubid > 0 AND p.refobjsubid <> d.adnum
 AND (p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
 OR p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = d.adrelid AND p.objsubid = d.adnum)
 JOIN pg_catalog.pg_class c ON c.oid = d.adrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r','p','f')` + notTemp + only("c"), scanGenerated},
		{"inherits", `SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i
 JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r','p','f')` + only("c"), scanInherit},
		{"views", `SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid)
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v','m')` + notTemp + notSystem + only("c"), scanView},
		{"functions", `SELECT p.oid, n.nspname, p.proname, p.pronargs, p.pronargdefaults, p.provariadic <> 0,
 p.prokind, p.provolatile, p.prosecdef, l.lanname, e.extname
 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 JOIN pg_catalog.pg_language l ON l.oid = p.prolang` +
			memberOf("p.oid", "pg_proc") + ` WHERE n.nspname <> 'information_schema'
 AND (n.nspname <> 'pg_catalog' OR p.oid >= 16384)` + notTemp + only("p"), scanFunction},
		{"operators", `SELECT n.nspname, o.oprname, o.oprleft, o.oprright, l.lanname, e.extname
 FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
 LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang` +
			memberOf("o.oid", "pg_operator") + ` WHERE o.oid >= 16384` + notTemp + only("o"), scanOperator},
		{"types", `SELECT t.oid, n.nspname, t.typname, t.typtype,
 CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typelem <> 0 AND t.typlen = -1 THEN t.typelem ELSE 0 END, e.extname, t.typtypmod
 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace` +
			memberOf("t.oid", "pg_type") + `
 LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
 LEFT JOIN pg_catalog.pg_type m ON m.oid = t.typelem LEFT JOIN pg_catalog.pg_class mc ON mc.oid = m.typrelid
 WHERE t.oid >= 16384 AND coalesce(c.relkind, 'c') = 'c' AND coalesce(mc.relkind, 'c') = 'c'` + notTemp + only("t"), scanType},
		{"labels", `SELECT l.enumtypid, pg_catalog.row_number() OVER (PARTITION BY l.enumtypid ORDER BY l.enumsortorder), l.enumlabel
 FROM pg_catalog.pg_enum l WHERE true` + only("l"), scanLabel},
		{"parts", `SELECT c.reltype, a.attnum, a.attname, a.atttypid, a.atttypmod
 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'c'` + notTemp + notSystem + only("c"), scanPart},
		{"casts", `SELECT k.castsource, k.casttarget, l.lanname, e.extname FROM pg_catalog.pg_cast k
 JOIN pg_catalog.pg_proc p ON p.oid = k.castfunc JOIN pg_catalog.pg_language l ON l.oid = p.prolang` +
			memberOf("k.oid", "pg_cast") + ` WHERE k.oid >= 16384` + only("k"), scanCast},
	}
}

// memberOf joins the extension e that owns the object.
func memberOf(oid, class string) string {
	return ` LEFT JOIN pg_catalog.pg_depend d ON d.objid = ` + oid +
		` AND d.classid = 'pg_catalog.` + class + `'::pg_catalog.regclass AND d.deptype = 'e'
 LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid`
}

// A row reads the values of one result row and keeps the first error.
type row struct {
	rows   *Rows // whose texts are shared
	values [][]byte
	err    error
}

func (r *row) next() []byte {
	if len(r.values) == 0 {
		r.err = fmt.Errorf("catalog: scan: too few columns")
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *row) str() string { return string(r.next()) }

// shared is str for texts that stand in many rows: names of schemas, columns,
// languages.
func (r *row) shared() string {
	v := r.next()
	if s, ok := r.rows.texts[string(v)]; ok {
		return s
	}
	if r.rows.texts == nil {
		r.rows.texts = make(map[string]string)
	}
	s := string(v)
	r.rows.texts[s] = s
	return s
}

func (r *row) flag() bool {
	v := r.next()
	return string(v) == "t" || string(v) == "true" // as itself, or cast to text
}

func (r *row) char() byte {
	v := r.next()
	if len(v) != 1 {
		return 0
	}
	return v[0]
}

func (r *row) num(bits int) uint64 {
	v := r.next()
	if v == nil {
		return 0
	}
	n, err := strconv.ParseUint(string(v), 10, bits)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("catalog: scan: %w", err)
	}
	return n
}

// mod reads a type modifier: -1 is the server's word for none.
func (r *row) mod() int32 {
	v := r.next()
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("catalog: scan: %w", err)
	}
	return int32(n)
}

func (r *row) oid() uint32 { return uint32(r.num(32)) }

func (r *row) done() error {
	if r.err == nil && len(r.values) > 0 {
		return fmt.Errorf("catalog: scan: %d columns too many", len(r.values))
	}
	return r.err
}

func scanSchema(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Schemas = append(rows.Schemas, SchemaRow{r.oid(), r.str()})
	return r.done()
}

func scanRelation(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Relations = append(rows.Relations, RelationRow{r.oid(), r.shared(), r.str(), r.char(), r.flag(), r.flag()})
	return r.done()
}

func scanColumn(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Columns = append(rows.Columns, ColumnRow{r.oid(), int16(r.num(15)), r.shared(), r.oid(), r.flag(), r.flag(), r.mod()})
	return r.done()
}

func scanGenerated(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Generated = append(rows.Generated, GeneratedRow{r.oid(), int16(r.num(15)), int16(r.num(15))})
	return r.done()
}

func scanInherit(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Inherits = append(rows.Inherits, InheritRow{r.oid(), r.oid()})
	return r.done()
}

func scanView(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Views = append(rows.Views, ViewRow{r.oid(), r.str()})
	return r.done()
}

func scanFunction(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Functions = append(rows.Functions, FunctionRow{r.oid(), r.shared(), r.shared(), int(r.num(15)), int(r.num(15)),
		r.flag(), r.char(), r.char(), r.flag(), r.shared(), r.shared()})
	return r.done()
}

func scanOperator(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Operators = append(rows.Operators, OperatorRow{r.shared(), r.shared(), r.oid(), r.oid(), r.shared(), r.shared()})
	return r.done()
}

func scanType(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Types = append(rows.Types, TypeRow{r.oid(), r.shared(), r.str(), r.char(), r.oid(), r.shared(), r.mod()})
	return r.done()
}

func scanLabel(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Labels = append(rows.Labels, LabelRow{r.oid(), int(r.num(31)), r.str()})
	return r.done()
}

func scanPart(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Parts = append(rows.Parts, PartRow{r.oid(), int16(r.num(15)), r.shared(), r.oid(), r.mod()})
	return r.done()
}

func scanCast(rows *Rows, values [][]byte) error {
	r := row{rows: rows, values: values}
	rows.Casts = append(rows.Casts, CastRow{r.oid(), r.oid(), r.shared(), r.shared()})
	return r.done()
}
