package evasion

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"sluice/internal/pgtest"
	"sluice/internal/sqlgen"
)

// A secretColumn is a column that a random policy may mask.
type secretColumn struct {
	table, name, kind string
	ids               []int // of the rows that have it
}

func (c secretColumn) String() string { return c.table + "." + c.name }

func upTo(n int) (ids []int) {
	for i := range n {
		ids = append(ids, i+1)
	}
	return ids
}

// secretColumns: what testdata/random.sql has.
var secretColumns = []secretColumn{
	{"public.customers", "name", "text", upTo(6)},
	{"public.customers", "email", "text", upTo(6)},
	{"public.customers", "phone", "text", upTo(6)},
	{"public.customers", "card", "card", upTo(6)},
	{"public.customers", "national_id", "text", upTo(6)},
	{"public.customers", "country", "char", upTo(6)},
	{"public.customers", "newsletter", "bool", upTo(6)},
	{"public.customers", "created_at", "timestamptz", upTo(6)},
	{"public.products", "name", "text", upTo(4)},
	{"public.products", "sku", "text", upTo(4)},
	{"public.products", "price", "numeric", upTo(4)},
	{"public.products", "stock", "int", upTo(4)},
	{"public.orders", "total", "numeric", append(upTo(9), 21, 22, 23)},
	{"public.tickets", "body", "text", upTo(4)},
	{"public.tickets", "created_at", "timestamptz", upTo(4)},
	{"finance.invoices", "amount", "numeric", upTo(5)},
	{"finance.invoices", "due", "date", upTo(5)},
	{"finance.salaries", "employee", "text", upTo(5)},
	{"finance.salaries", "email", "text", upTo(5)},
	{"finance.salaries", "role", "text", upTo(5)},
	{"finance.salaries", "salary", "int", upTo(5)},
	{"public.notes", "body", "text", upTo(4)},
	{"public.notes", "n", "int", upTo(4)},
	{"public.people", "name", "text", append(upTo(4), 9)},
	{"public.people", "note", "text", append(upTo(4), 9)},
	{"public.people", "ssn", "int", append(upTo(4), 9)},
	{"public.people", "salary", "numeric", append(upTo(4), 9)},
	{"public.people", "uid", "uuid", append(upTo(4), 9)},
	{"public.people", "born", "date", append(upTo(4), 9)},
	{"public.people", "seen", "timestamptz", append(upTo(4), 9)},
	{"public.people", "profile", "jsonb", append(upTo(4), 9)},
	{"public.people", "photo", "bytea", append(upTo(4), 9)},
	{"public.people", "tags", "text[]", append(upTo(4), 9)},
	{"public.people", "home", "inet", append(upTo(4), 9)},
	{"public.people", "secret", "text", append(upTo(4), 9)},
}

// randomSchema is what the statements are over.
func randomSchema(version int) sqlgen.Schema {
	const (
		orders = "id int, customer_id int, status order_status, total numeric, ordered_at timestamptz"
		people = "id int, name text, note text, ssn int, salary numeric, uid uuid, born date, seen timestamptz, profile jsonb, photo bytea, tags text[], home inet, secret text"
	)
	s := sqlgen.Schema{Modern: version >= 18}
	table := func(weight int, name, columns string) {
		s.Relations = append(s.Relations, sqlgen.Relation{Name: name, Columns: sqlgen.Columns(columns), Weight: weight, Table: true})
	}
	view := func(name, columns string) {
		s.Relations = append(s.Relations, sqlgen.Relation{Name: name, Columns: sqlgen.Columns(columns)})
	}
	table(6, "customers", "id int, name text, email text, phone text, card text, national_id text, country text, newsletter bool, created_at timestamptz")
	table(2, "products", "id int, sku text, name text, price numeric, stock int")
	table(2, "orders", orders)
	table(1, "orders_2024", orders)
	table(1, "order_items", "order_id int, product_id int, quantity int, price numeric")
	table(2, "tickets", "id int, customer_id int, body text, created_at timestamptz")
	table(1, "carts", "id int, customer_id int, product_id int")
	table(1, "finance.invoices", "id int, order_id int, amount numeric, due date, paid bool")
	table(2, "finance.salaries", "id int, employee text, email text, role text, salary int")
	table(3, "notes", "id int, body text, n int")
	table(5, "people", people)
	table(1, "staff", people+", desk int")
	view("contacts", "id int, name text, email text, phone text")
	view("order_overview", "id int, day date, customer text, email text, status order_status, total numeric")
	view("best_customers", "id int, name text, email text, orders int, spent numeric")
	view("revenue", "month date, orders int, total numeric")
	view("v_same", "id int, name text, email text")
	view("v_renamed", "id int, contact text, n text")
	view("v_over", "id int, c text")
	view("v_expr", "id int, contact text, k text, label text")
	view("v_union", "id int, x text")
	view("v_agg", "country text, emails text, first text")
	view("v_where", "id int")
	view("v_order", "id int")
	view("v_json", "id int, j jsonb")
	view("v_people", "id int, born date, more int, salary numeric, tags text[], s text")
	view("m_mails", "id int, contact text")
	return s
}

// Letters that make no word, digits that make no zero.
const (
	needleLetters = "bcdfghjklmnpqrstvwxz"
	needleDigits  = "123456789"
)

// A filling is what one world has in the secret columns: the SQL that puts it
// there, and the forms in which it could get out.
type filling struct {
	r       *rand.Rand
	half    int // of the year: the worlds share no day
	sql     strings.Builder
	needles []needle
}

// fill makes a world's secrets. Whatever masks leave of them on purpose is the same
// in every world: first letters, domains, last digits, years, lengths, which are NULL.
func fill(seed uint64, half int, secrets []secretColumn, shown map[string]bool) *filling {
	f := &filling{r: rand.New(rand.NewPCG(seed, uint64(7+half))), half: half}
	for _, c := range secrets {
		var cells []string
		for i, id := range c.ids {
			cells = append(cells, fmt.Sprintf("(%d, %s)", id, f.value(c.kind, i, shown[c.String()])))
		}
		typ := map[string]string{"card": "text", "char": "char(2)"}[c.kind]
		if typ == "" {
			typ = c.kind
		}
		fmt.Fprintf(&f.sql, "UPDATE %s t SET %s = x::%s FROM (VALUES %s) v(id, x) WHERE t.id = v.id;\n", c.table, c.name, typ, strings.Join(cells, ", "))
	}
	f.sql.WriteString("REFRESH MATERIALIZED VIEW best_customers; REFRESH MATERIALIZED VIEW revenue; REFRESH MATERIALIZED VIEW m_mails;")
	return f
}

func (f *filling) random(n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[f.r.IntN(len(of))]
	}
	return string(b)
}

// value is a literal, of the nth row. A part that a path of JSON leaves is shown.
func (f *filling) value(kind string, n int, shown bool) string {
	switch kind {
	case "text":
		return "'" + f.text() + "'"
	case "card":
		core := f.random(10, needleDigits)
		f.find("card", core)
		return "'49" + core + "1202'"
	case "char":
		return "'" + f.random(2, needleLetters) + "'"
	case "bool":
		return []string{"true", "false"}[f.r.IntN(2)]
	case "int":
		v := "1" + f.random(5, needleDigits) + "0042" // below 2^31
		f.find("int", v)
		return v
	case "numeric":
		core := f.random(5, needleDigits)
		f.find("numeric", core+"00.42")
		return core + "00.42"
	case "date", "timestamptz":
		day := fmt.Sprintf("%d-%02d-%02d", 1921+n, 2+6*f.half+f.r.IntN(5-f.half), 2+f.r.IntN(26))
		f.find(kind, day)
		if kind == "date" {
			return "'" + day + "'"
		}
		return "'" + day + " 12:13:14Z'"
	case "uuid":
		v := f.random(16, "0123456789abcdef")
		f.find("uuid", v[:8])
		bin, _ := hex.DecodeString(v)
		f.needles = append(f.needles, needle{"uuid raw", pgtest.Lower(bin)})
		return "'" + v + "8bad0123456789ab'"
	case "jsonb":
		visible := "77"
		if !shown {
			visible = f.random(9, needleDigits)
			f.find("number in JSON", visible)
		}
		return `'{"key": "` + f.text() + `", "n": ` + visible + `}'`
	case "bytea":
		v := f.random(20, "0123456789abcdef")
		f.find("bytea", v)
		bin, _ := hex.DecodeString(v)
		f.needles = append(f.needles, needle{"bytea raw", pgtest.Lower(bin)})
		return `'\x` + v + "'"
	case "text[]":
		return "'{" + f.text() + "," + f.text() + "}'"
	}
	v := fmt.Sprintf("203.%d.%d.%d", 100+f.r.IntN(100), 100+f.r.IntN(100), 100+f.r.IntN(100)) // inet
	f.find("inet", v)
	return "'" + v + "'"
}

// text is a text whose core is secret.
func (f *filling) text() string {
	core := f.random(10, needleLetters)
	f.find("text", core)
	value := "q" + core + "@v.example"
	for _, v := range []string{value, core} {
		sum := md5.Sum([]byte(v))
		f.needles = append(f.needles, needle{"text's md5", []byte(hex.EncodeToString(sum[:]))})
	}
	return value
}

// find adds the forms of a secret.
func (f *filling) find(name, secret string) {
	text := []byte(secret)
	reversed := slices.Clone(text)
	slices.Reverse(reversed)
	add := func(how string, b []byte) { f.needles = append(f.needles, needle{name + how, pgtest.Lower(b)}) }
	add("", text)
	add(" reversed", reversed)
	add(" in hex", []byte(hex.EncodeToString(text)))
	for skip := range 3 {
		padded := append(make([]byte, skip), text...)
		form := base64.RawStdEncoding.EncodeToString(padded)
		if form = form[(skip*4+2)/3 : len(form)-2]; len(form) > 5 {
			add(" in base64", []byte(form))
		}
	}
}
