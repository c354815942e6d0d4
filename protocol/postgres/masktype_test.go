package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/access"
	"sluice/internal/pgtest"
	"sluice/mask"
	"sluice/query/catalog"
)

// typeSchema adds a type of every kind that users make.
const typeSchema = `
CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN plate AS varchar(7) CHECK (value <> 'x');
CREATE DOMAIN plates AS plate[];
CREATE DOMAIN few AS numeric(5,2);
CREATE TYPE car AS (plate plate, price numeric(10,2), mood mood, seen timestamp, "odd ""name" text);
CREATE TYPE fleet AS (name text, cars car[], home point);
CREATE TYPE nothing AS ();
CREATE TYPE texts AS RANGE (subtype = text);
CREATE TABLE rows (a int, b text);
`

// typeValues are literals of types; of arrays they are made from the elements'.
var typeValues = map[string][]string{
	"bool": {"t", "f"}, "int2": {"-12345", "7"}, "int4": {"123456789", "-2147483648"}, "int8": {"4111111111111111", "-9223372036854775808", "0"},
	"oid": {"4000000000"}, "float4": {"1.5", "-Infinity"}, "float8": {"NaN", "-3.25e100"},
	"numeric": {"-123456789.125", "4111111111111111", "NaN", "0", "1e-30", "12345678901234567890123456789012345678901234567890123456789012345678901234567890"},
	"money":   {"1234.56"}, "text": {"alice@example.com", "", `with "quotes", {braces} and \slash`, "Grüße 漢字 über", "NULL", "2024-05-06", "4111 1111 1111 1111"},
	"varchar": {"alice@example.com"}, "bpchar": {"alice", "alice@example.com  "}, "name": {"pg_class"}, "char": {"x"}, "citext": {"Alice@Example.com"},
	"date": {"1961-07-23", "infinity", "0044-03-15 BC", "2024-02-29"}, "time": {"12:34:56.789"}, "timetz": {"12:34:56+02"},
	"timestamp": {"2024-02-29 23:59:59.999999", "-infinity", "0044-03-15 01:02:03 BC"}, "timestamptz": {"1815-12-10 03:04:05+00", "infinity"},
	"interval": {"1 year 2 mons 3 days 04:05:06.7"}, "uuid": {"deadbeef-5eed-4bad-8bad-0123456789ab"},
	"json": {`{"email": "alice@example.com", "n": [1, 2.5e10]}`, "null"}, "jsonb": {`{"email": "alice@example.com", "n": [1, 2.5]}`}, "jsonpath": {"$.a"},
	"xml": {"<a>alice</a>"}, "bytea": {`\xdeadbeef00`, `\x`}, "inet": {"10.20.30.40/24", "2001:db8::1"}, "cidr": {"2001:db8::/32"},
	"macaddr": {"01:02:03:04:05:06"}, "macaddr8": {"01:02:03:04:05:06:07:08"}, "bit": {"1"}, "varbit": {"10110"},
	"point": {"(1,2)"}, "line": {"{1,2,3}"}, "lseg": {"[(1,2),(3,4)]"}, "box": {"(3,4),(1,2)"}, "path": {"((1,2),(3,4))"},
	"polygon": {"((1,2),(3,4),(5,6))"}, "circle": {"<(1,2),3>"}, "tsvector": {"'a':1 'b':2"}, "tsquery": {"'a' & 'b'"},
	"int4range": {"[1,100000)"}, "int8range": {"empty", "[1,9000000000)"}, "numrange": {"[1.5,2.5]"}, "tsrange": {"[2024-01-01,2024-02-01)"},
	"tstzrange": {"[2024-01-01,2024-02-01)"}, "daterange": {"[2024-01-01,2024-02-01)"},
	"int4multirange": {"{[1,5),[7,9)}"}, "int8multirange": {"{}"}, "nummultirange": {"{[1.5,2.5]}"}, "tsmultirange": {"{[2024-01-01,2024-02-01)}"},
	"tstzmultirange": {"{[2024-01-01,2024-02-01)}"}, "datemultirange": {"{[2024-01-01,2024-02-01)}"}, "texts_multirange": {"{[a,b]}"}, "texts": {"[alice,bob]"},
	"tid": {"(1,2)"}, "xid": {"77"}, "xid8": {"77"}, "cid": {"7"}, "pg_lsn": {"16/B374D848"}, "txid_snapshot": {"10:20:10,14"}, "pg_snapshot": {"10:20:10,14"},
	"int2vector": {"1 2 3"}, "oidvector": {"1 2 3"}, "refcursor": {"cur"}, "aclitem": {"postgres=r/postgres"}, "gtsvector": nil, "hstore": {`"a"=>"alice"`},
	"regclass": {"pg_class"}, "regtype": {"int4"}, "regproc": {"now"}, "regprocedure": {"abs(int4)"}, "regoper": {"pg_catalog.||/"}, "regoperator": {"+(int4,int4)"},
	"regrole": {"postgres"}, "regnamespace": {"pg_catalog"}, "regconfig": {"english"}, "regdictionary": {"simple"}, "regcollation": {`"C"`},
	"mood": {"so so", "happy"}, "plate": {"ABC1234", "A"}, "plates": {`{ABC1234,NULL,"A B"}`}, "few": {"-123.45", "7"},
	"car":   {`(ABC1234,9999.99,happy,"2024-05-06 07:08:09","say ""hi"" \\ (now)")`, allNull},
	"fleet": {`(ours,"{""(A,1,sad,,x)"",NULL,""(,,,,)""}","(1,2)")`}, "nothing": {"()"},
	// Types of the server's own use, that nobody can write.
	"pg_node_tree": nil, "pg_ndistinct": nil, "pg_dependencies": nil, "pg_mcv_list": nil, "pg_brin_bloom_summary": nil, "pg_brin_minmax_multi_summary": nil, "ghstore": nil,
	// information_schema's domains.
	"cardinal_number": {"7"}, "character_data": {"alice"}, "sql_identifier": {"alice"},
	"time_stamp": {"2024-05-06 07:08:09+00"}, "yes_or_no": {"YES"},
}

// allNull is a composite value that has nothing to mask.
const allNull = "(,,,,)"

// typedModifiers are types whose values have a length to keep.
var typedModifiers = []struct{ typ, value string }{
	{"varchar(1)", "x"}, {"varchar(3)", "abc"}, {"varchar(5)", "漢字かな交"}, {"varchar(20)", "alice@example.com"}, {"varchar(19)", "4111-1111-1111-1111"},
	{"varchar(3)[]", "{abc,NULL}"}, {"char(1)", "x"}, {"char(20)", "alice@example.com"}, {"char(20)", "4111111111111111"}, {"char(8)[]", `{abc,"漢字"}`},
	{"numeric(5,2)", "-123.45"}, {"numeric(5,2)", "7"}, {"numeric(3,3)", "0.125"}, {"numeric(10,0)", "4294967296"}, {"numeric(16,0)", "4111111111111111"},
	{"numeric(18,2)", "4111111111111111.25"}, {"numeric(38,20)", "123456789012345678.00000000000000000001"}, {"numeric(30,30)", "0.000000000000000000000000000001"},
	{"numeric(10,2)[]", "{1.50,NULL,99999999.99}"}, {"bit(5)", "10110"}, {"bit(17)", "10110101101011010"}, {"varbit(5)", "10110"}, {"bit(3)[]", "{101}"},
	{"timestamp(0)", "2024-05-06 07:08:09"}, {"time(3)", "07:08:09.125"}, {"numeric(2,-3)", "42000"}, {"numeric(3,5)", "0.00123"},
}

// A typeBench sends masked values back to a real server.
type typeBench struct {
	conn *pgconn.PgConn
	snap *catalog.Snapshot
}

// TestMasksKeepTypes is the proof that they do: of every type that the server
// knows, in both formats, what any method leaves is taken by the server as a
// value of the type, and both formats leave the same.
func TestMasksKeepTypes(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	s.Exec(t, db, typeSchema)
	l := newTestCatalogs(t).acquire(upstreamTarget(s, db))
	defer l.release()
	conn, err := pgconn.Connect(t.Context(), s.DSN(db))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	b := &typeBench{conn, catalogFresh(t, l)}
	b.types(t, func(name string, oid, elem uint32, values []string) {
		for _, v := range values {
			b.check(t, name, oid, -1, v)
		}
	})
	for _, c := range typedModifiers {
		oid, mod := b.column(t, c.typ)
		b.check(t, c.typ, oid, mod, c.value)
	}
}

// types calls f for every type with values to test; a type without is an error.
func (b *typeBench) types(t *testing.T, f func(name string, oid, elem uint32, values []string)) {
	for _, row := range b.rows(t, `SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.oid, CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0 END,
 t.typname, e.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type e ON e.oid = t.typelem LEFT JOIN pg_class c ON c.oid IN (t.typrelid, e.typrelid) AND c.relkind <> 'c'
 WHERE t.typtype IN ('b','d','e','c','r','m') AND c.oid IS NULL AND t.typname NOT IN ('_record', '_cstring') ORDER BY t.oid`) {
		elem := uint32(number(t, row[2]))
		values, known := typeValues[row[3]]
		if elem != 0 && !known {
			if values, known = typeValues[row[4]]; known {
				values = arraysOf(values)
			}
		}
		if !known {
			t.Errorf("no value of the type %s to test with", row[0])
		}
		f(row[0], uint32(number(t, row[1])), elem, values)
	}
}

func arraysOf(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(v) + `"`
	}
	first, all := quoted[0], strings.Join(quoted, ",")
	return []string{"{" + all + "}", "{" + first + ",NULL}", "{{" + first + "},{NULL}}", "[-1:0]={" + first + "," + first + "}", "{}"}
}

func (b *typeBench) column(t *testing.T, typ string) (oid uint32, mod int32) {
	t.Helper()
	row := b.rows(t, "DROP TABLE IF EXISTS one; CREATE TEMP TABLE one (c "+typ+"); SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = 'one'::regclass AND attnum = 1")[0]
	return uint32(number(t, row[0])), int32(number(t, row[1]))
}

func (b *typeBench) rows(t *testing.T, sql string) (all [][]string) {
	t.Helper()
	results, err := b.conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	for _, row := range results[len(results)-1].Rows {
		var texts []string
		for _, v := range row {
			texts = append(texts, string(v))
		}
		all = append(all, texts)
	}
	return all
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// check masks one value with every method in both formats and sends it back.
func (b *typeBench) check(t *testing.T, name string, oid uint32, mod int32, value string) {
	t.Helper()
	delim := b.rows(t, fmt.Sprintf("SELECT typdelim, typsend <> 0 AND typreceive <> 0 FROM pg_type WHERE oid = %d", oid))[0]
	if delim[0] == ";" {
		value = strings.NewReplacer(`",`, `";`, `},`, `};`).Replace(value)
	}
	typ, keys := typeOf(b.snap, oid, mod), testMaskKeys(t)
	for _, with := range mask.Methods() {
		tr, err := keys.Compile(with, "")
		if err != nil {
			t.Fatal(err)
		}
		var seen [2]string
		for format := range int16(2) {
			seen[format] = seen[0]
			if format == 1 && delim[1] != "t" {
				continue
			}
			field, err := b.send(t, name, oid, 0, []byte(value), format)
			if err != nil {
				if format == 1 && strings.Contains(err.Error(), "no binary output function") {
					continue
				}
				t.Fatalf("%s %q: %v", name, value, err)
			}
			out, null := tr.ApplyType(nil, field, &typ, format == 1)
			if seen[format] = "NULL"; null {
				continue
			}
			if back, err := b.send(t, name, oid, format, append([]byte{}, out...), 0); err != nil {
				t.Errorf("%s of %s %q, format %d: the server does not take %q: %v", with, name, value, format, out, err)
			} else {
				seen[format] = string(back)
			}
			if with != "zero" && len(field) > 4 && typ.Kind != mask.KindArray && value != allNull && string(out) == string(field) {
				t.Errorf("%s of %s %q, format %d: unchanged", with, name, value, format)
			}
		}
		if seen[0] != seen[1] && !strings.HasPrefix(name, "json") {
			t.Errorf("%s of %s %q: text %s, binary %s", with, name, value, seen[0], seen[1])
		}
	}
}

// send passes a value in one format through the server, through a column where
// the type has a modifier, and returns it in another format.
func (b *typeBench) send(t *testing.T, name string, oid uint32, in int16, value []byte, out int16) ([]byte, error) {
	t.Helper()
	sql := "SELECT $1::" + name
	if strings.ContainsAny(name, "(") {
		sql = "INSERT INTO one VALUES ($1) RETURNING c"
	}
	r := b.conn.ExecParams(t.Context(), sql, [][]byte{value}, []uint32{oid}, []int16{in}, []int16{out}).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	return r.Rows[0][0], nil
}

func testMaskKeys(t testing.TB) *mask.Keys {
	t.Helper()
	keys, err := mask.NewKeys(mask.Key{ID: "new", Secret: access.NewSecret("a key for all tests")}, mask.Key{ID: "old", Secret: access.NewSecret("a key from long ago")})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
