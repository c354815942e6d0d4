package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestMaskedTypes decodes masked values in binary, as a driver would.
func TestMaskedTypes(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	r := u.conn.ExecParams(context.Background(), "select email, card, national_id, salary, uid, profile, photo, born, tags, codes, level from customers order by id limit 2",
		nil, nil, nil, []int16{1}).Read()
	if r.Err != nil || len(r.Rows) != 2 {
		t.Fatal(r.Err, len(r.Rows))
	}
	types := pgtype.NewMap()
	for _, row := range r.Rows {
		var out []string
		for i, f := range r.FieldDescriptions {
			if f.Format != 1 {
				t.Errorf("%s is not in binary", f.Name)
			}
			typ, ok := types.TypeForOID(f.DataTypeOID)
			if !ok {
				t.Fatalf("%s has type %d", f.Name, f.DataTypeOID)
			}
			v, err := typ.Codec.DecodeDatabaseSQLValue(types, f.DataTypeOID, f.Format, row[i])
			if err != nil {
				t.Errorf("%s: %v in %q", f.Name, err, row[i])
			}
			if f.DataTypeOID == pgtype.TextArrayOID && row[i] != nil {
				v, _ = typ.Codec.DecodeValue(types, f.DataTypeOID, f.Format, row[i])
			}
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			out = append(out, fmt.Sprint(v))
		}
		got, last4 := strings.Join(out, "|"), "1202"
		if strings.Contains(got, "5609") {
			last4 = "5609"
		}
		year := map[string]string{"1202": "1961", "5609": "1962"}[last4]
		if want := `n***@secret.example|****` + last4 + `|0|0|00000000-0000-0000-0000-000000000000|"[redacted]"||` + year + `-01-01 00:00:00 +0000 UTC|[[redacted]]|<nil>|`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	m.clean(t, u.ear.Take())
}

// maskedSessions are conversations: each step must answer as given; "refused"
// is any refusal, "*" anything that tells no secret.
var maskedSessions = map[string][][2]string{
	"cursor": {{"begin", "BEGIN"}, {"declare c cursor for select id, email from customers order by id", "DECLARE CURSOR"}, {"fetch 1 from c", "1|n***@secret.example"},
		{"fetch all from c", "2|n***@secret.example; 3|NULL"}, {"move backward all in c", "MOVE 3"}, {"fetch forward 1 in c", "1|n***@secret.example"}, {"close c", "CLOSE CURSOR"}, {"fetch 1 from c", "*"}, {"rollback", "ROLLBACK"}},
	"binary cursor": {{"begin", "BEGIN"}, {"declare c binary cursor for select email, national_id, salary, uid, photo, born, codes from customers order by id", "DECLARE CURSOR"}, {"fetch all from c", "*"}, {"rollback", "ROLLBACK"}},
	"scroll cursor": {{"begin", "BEGIN"}, {"declare c scroll cursor with hold for select email from customers order by id", "DECLARE CURSOR"}, {"commit", "COMMIT"}, {"fetch last from c", "NULL"}, {"fetch first from c", "n***@secret.example"}, {"fetch absolute 2 from c", "n***@secret.example"}, {"close all", "CLOSE CURSOR ALL"}},
	"cursor taken over by another": {{"begin", "BEGIN"}, {"declare c cursor for select 1", "DECLARE CURSOR"}, {"savepoint s", "SAVEPOINT"}, {"close c", "CLOSE CURSOR"}, {"declare c cursor for select email from customers order by id", "DECLARE CURSOR"}, {"fetch 1 from c", "n***@secret.example"},
		{"rollback to s", "ROLLBACK"}, {"fetch 1 from c", "*"}, {"rollback", "ROLLBACK"}},
	"an update at a cursor": {{"begin", "BEGIN"}, {"declare c cursor for select email from customers for update", "DECLARE CURSOR"}, {"fetch c", "n***@secret.example"}, {"update customers set note = 'x' where current of c returning email", "*"}, {"rollback", "ROLLBACK"}},
	"prepare": {{"prepare p as select email, card from customers where id = $1", "PREPARE"}, {"execute p(1)", "n***@secret.example|****1202"}, {"explain execute p(1)", "*"}, {"create table copied as execute p(1)", "*"}, {"select count(*) from pg_class where relname = 'copied'", "0"},
		{"deallocate p", "DEALLOCATE"}, {"execute p(1)", "*"}, {"prepare p(int) as select $1 + 1", "PREPARE"}, {"execute p(1)", "2"}, {"discard all", "DISCARD ALL"}, {"execute p(1)", "*"}},
	"prepare over a rollback": {{"prepare p as select 'x' as email from orders limit 1", "PREPARE"}, {"begin", "BEGIN"}, {"deallocate p", "DEALLOCATE"}, {"prepare p as select email from customers order by id", "PREPARE"}, {"rollback", "ROLLBACK"}, {"execute p", "n***@secret.example; n***@secret.example; NULL"}},
	"search_path": {{"set search_path = app, public", "SET"}, {"select note from orders order by id", "n***@secret.example; n***@secret.example; NULL"}, {"select lower('x')", "refused"}, {"select count(1)", "refused"}, {"select pg_catalog.lower('X')", "x"},
		{"reset search_path", "RESET"}, {"select note from orders where id = 10", "gift"}, {"select lower('X')", "x"}},
	"search_path under a prepared statement": {{"prepare p as select note from orders order by id", "PREPARE"}, {"execute p", "gift; plain; NULL"}, {"set search_path = app, public", "SET"}, {"execute p", "n***@secret.example; n***@secret.example; NULL"},
		{"begin", "BEGIN"}, {"set local search_path = public", "SET"}, {"execute p", "gift; plain; NULL"}, {"rollback", "ROLLBACK"}, {"execute p", "n***@secret.example; n***@secret.example; NULL"}, {"discard all", "DISCARD ALL"}},
	"search_path by set_config":  {{"select set_config('search_path', 'app, public', false)", "app, public"}, {"select note from orders where id = 1", "n***@secret.example"}, {"select set_config('search_path', 'app,' || 'public', false); select note from orders where id = 1", "refused"}},
	"search_path in one message": {{"set search_path = app; select note from orders", "refused"}, {"select note from orders where id = 10", "gift"}},
	"a temporary table hides another": {{"create temp table customers (id int, email text)", "CREATE TABLE"}, {"insert into customers select id, name from public.customers", "refused"}, {"select email from customers", "*"}, {"insert into customers select id, email from public.customers", "refused"},
		{"select email from public.customers where id = 1", "n***@secret.example"}, {"drop table customers", "refused"}},
	"a temporary work table":                 {{"create temp table work as select id, name from customers", "SELECT 3"}, {"select count(*) from work", "3"}, {"select name from work where id = 1", "Ann"}, {"insert into work select id, email from customers", "refused"}, {"drop table work", "DROP TABLE"}},
	"a temporary table that was rolled back": {{"begin", "BEGIN"}, {"create temp table customers (id int, email text)", "CREATE TABLE"}, {"rollback", "ROLLBACK"}, {"select email from customers where id = 1", "*"}, {"select upper(email) from customers", "refused"}},
	"notices":                                {{"listen gossip", "LISTEN"}, {"insert into alarms values (5, 'x')", "INSERT 0 1"}, {"select 1", "1"}, {"delete from alarms where id = 5", "DELETE 1"}, {"notify gossip, 'hello'", "NOTIFY"}, {"select 1", "1"}},
	"lexical settings":                       {{"set standard_conforming_strings = off", "*"}, {"select 'a\\'' || email from customers --'", "*"}, {"set client_encoding = 'SJIS'", "*"}, {"select email from customers where id = 1", "*"}, {"set backslash_quote = on", "*"}, {"select email || '' from customers", "refused"}},
	"client_min_messages":                    {{"set client_min_messages = debug5", "*"}, {"set debug_print_plan = on", "*"}, {"set log_statement = 'all'", "*"}, {"select email from customers where id = 1", "*"}},
	"roles":                                  {{"create role spy", "CREATE ROLE"}, {"set role spy", "SET"}, {"select email from public.customers", "*"}, {"reset role", "RESET"}, {"drop role spy", "DROP ROLE"}, {"select email from customers where id = 1", "n***@secret.example"}},
	"a schema renamed in steps":              {{"begin", "BEGIN"}, {"alter schema finance rename to f", "refused"}, {"rollback", "ROLLBACK"}, {"select * from f.invoices", "*"}, {"alter table finance.invoices set schema public", "refused"}, {"alter table customers set schema app", "refused"}, {"alter schema public rename to p", "refused"}},
	"multi":                                  {{"select 1; select email from customers where id = 1; select 2", "1; n***@secret.example; 2"}, {"select email from customers where id = 1; select id from customers where email = 'x'", "refused"}, {"begin; declare c cursor for select email from customers order by id; fetch 1 from c; commit", "BEGIN; DECLARE CURSOR; n***@secret.example; COMMIT"}},
	"new relations":                          {{"create view public.fresh as select id, name from customers", "*"}, {"create table fresh_t (id int, note text)", "CREATE TABLE"}, {"insert into fresh_t select id, name from customers", "INSERT 0 3"}, {"select note from fresh_t where id = 1", "Ann"}, {"insert into fresh_t select id, email from customers", "refused"}, {"drop table fresh_t", "DROP TABLE"}},
	"a table made in the transaction": {{"begin", "BEGIN"}, {"create table made (id int, note text)", "CREATE TABLE"}, {"insert into made values (1, 'x') returning *", "1|x"}, {"insert into made select id, email from customers", "refused"},
		{"rollback", "ROLLBACK"}, {"select note from made", "refused"}, {"begin", "BEGIN"}, {"create table made as select id, name from customers", "SELECT 3"}, {"savepoint a", "SAVEPOINT"}, {"alter table made add more text", "ALTER TABLE"},
		{"update made set more = 'y' where id = 1 returning *", "1|Ann|y"}, {"rollback to a", "ROLLBACK"}, {"select * from made where id = 1", "1|Ann"}, {"update made set more = 'y'", "refused"}, {"rollback", "ROLLBACK"}},
	"a view made in the transaction": {{"begin", "BEGIN"}, {"create view seen as select id, name as who, city from customers", "CREATE VIEW"}, {"select who from seen where id = 1", "Ann"}, {"alter view seen rename who to name", "ALTER VIEW"},
		{"select name from seen where id = 1", "Ann"}, {"create view more as select email from customers", "refused"}, {"rollback", "ROLLBACK"}},
	"prepared before and behind a change": {{"create table made (id int, note text)", "CREATE TABLE"}, {"insert into made values (1, 'x')", "INSERT 0 1"}, {"prepare p as select note from made", "PREPARE"}, {"begin", "BEGIN"}, {"alter table made rename note to was", "ALTER TABLE"},
		{"alter table made add note text default 'y'", "ALTER TABLE"}, {"select was, note from made", "x|y"}, {"rollback", "ROLLBACK"}, {"execute p", "x"}, {"drop table made", "DROP TABLE"}},
	"functions": {{"create function pg_temp.f() returns text language sql as 'select email from public.customers limit 1'", "refused"}, {"select pg_temp.f()", "refused"}},
	"guc":       {{"set my.x = 'a'", "SET"}, {"select current_setting('my.x')", "a"}, {"select set_config('my.x', (select email from customers limit 1), false)", "refused"}, {"show my.x", "a"}},
	"returning": {{"begin", "BEGIN"}, {"update customers set note = 'z' where id = 1 returning id, email, note", "1|n***@secret.example|z"}, {"update customers c set note = 'z' where id = 1 returning c.*", "*"}, {"insert into customers(id, name, email) values (50, 'x', 'p@q.example') returning *", "*"},
		{"delete from customers where id = 50 returning email", "***@q.example"}, {"rollback", "ROLLBACK"}},
}

func TestMaskedSessions(t *testing.T) {
	m := newMaskedWorld(t)
	for _, how := range []mode{simple, extended, extendedBin} {
		for name, steps := range maskedSessions {
			u := m.user(t)
			for _, s := range steps {
				if how != simple && strings.Contains(s[0], ";") {
					continue
				}
				got := u.run(how, s[0])
				switch {
				case s[1] == "*" || how == extendedBin && s[1] != "refused":
				case s[1] == "refused" && isRefusal(got):
				case got == s[1]:
				default:
					t.Errorf("%s: %s: %s\n  got  %s\n  want %s", how, name, s[0], got, s[1])
				}
			}
			m.clean(t, u.ear.Take())
			u.conn.Close(context.Background())
		}
	}
}

func TestMaskedCopy(t *testing.T) {
	m := newMaskedWorld(t)
	u, direct := m.user(t), m.direct(t)
	for _, c := range []struct{ sql, want string }{ // *: anything that tells no secret
		{"copy (select * from v_clear order by id) to stdout", "1\tAnn\tBern\n2\tBen\tRome\n3\tCid\tRome\n"},
		{"copy orders (id, note) to stdout", "10\tgift\n11\tplain\n12\t\\N\n"},
		{"copy (select id, email from customers order by id) to stdout", "1\tn***@secret.example\n2\tn***@secret.example\n3\t\\N\n"},
		{"copy (select email, id from customers where id = 1) to stdout (format csv, header)", "email,id\n\"n***@secret.example\",1\n"},
		{"copy (select email, id from customers where id = 1) to stdout (header)", "email\tid\nn***@secret.example\t1\n"},
		{"copy customers (email, card) to stdout with delimiter '|'", "n***@secret.example|****1202\nn***@secret.example|****5609\n\\N|\\N\n"},
		{"copy (select body from notes where id = 1) to stdout", "ask [redacted] about [redacted]\n"},
		{"copy events_2024 to stdout", "1\t2024-02-03\t[redacted]\n"},
		{"copy (table staff) to stdout csv", "1,\"[redacted]\",5\n"},
		{"copy (select contact from v_renamed where id = 1) to stdout csv quote '''' escape 'x' delimiter 'e'", "'n***@secret.exxample'\n"},
		{"copy customers (id, email, level) to stdout", "*"}, {"copy customers to stdout", "*"},
		{"copy (select * from customers where id = 1) to stdout", "*"}, {"copy customers to stdout (format csv, null 'x')", "*"}, {"copy customers to stdout (null 'x')", "*"},
		{"copy (update customers set note = 'x' where id = 1 returning email) to stdout", "*"}, {"copy customers to stdout (format binary)", "*"}, {"copy (select * from customers) to stdout (format binary)", "*"},
		{"copy (select email, national_id, born from customers) to stdout binary", "*"}, {"copy (select id, c from customers c) to stdout", "*"}, {"copy (values (1, 'a')) to stdout", "1\ta\n"},
		{"copy customers (email) to stdout csv force quote email", "*"}, {"copy customers to stdout (encoding 'latin1')", "*"}, {"copy (select now() is null, id from orders) to stdout", "*"},
	} {
		var out, plain bytes.Buffer
		if u.conn.IsClosed() {
			t.Errorf("the session ended before %s", c.sql)
			u.open()
		}
		_, err := u.conn.CopyTo(context.Background(), &out, c.sql)
		if c.want != "*" && (err != nil || out.String() != c.want) {
			t.Errorf("%s\n  got  %q, %v\n  want %q", c.sql, &out, err, c.want)
		}
		if err == nil {
			direct.run(simple, "begin")
			direct.conn.CopyTo(context.Background(), &plain, c.sql)
			direct.run(simple, "rollback")
			if bytes.Count(plain.Bytes(), []byte{'\n'}) != bytes.Count(out.Bytes(), []byte{'\n'}) && !strings.Contains(c.sql, "binary") {
				t.Errorf("%s: other rows than %q: %q", c.sql, &plain, &out)
			}
		}
		m.clean(t, u.ear.Take())
		u.raw(false, c.sql)
		m.clean(t, u.ear.Take())
	}
}

// Statements described once and executed often, portals with row limits, and
// what comes between them.
func TestMaskedPipelines(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	f := u.conn.Frontend()
	ctx := context.Background()
	sd, err := u.conn.Prepare(ctx, "s", "select id, email, national_id from customers where id <= $1 order by id", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, formats := range [][]int16{{0}, {1}, {0, 1, 1}} {
		for range 3 {
			r := u.conn.ExecStatement(ctx, sd, [][]byte{[]byte("2")}, nil, formats).Read()
			if r.Err != nil || len(r.Rows) != 2 || string(r.Rows[0][1]) != "n***@secret.example" {
				t.Errorf("%v: %v %q", formats, r.Err, r.Rows)
			}
		}
	}
	m.clean(t, u.ear.Take())
	step := func(want string, n int, ms ...pgproto3.FrontendMessage) {
		t.Helper()
		for _, msg := range ms {
			f.Send(msg)
		}
		if got := u.until(n); want != "*" && got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		m.clean(t, u.ear.Take())
	}
	arg := [][]byte{[]byte("3")}
	bind := func(portal, name string, args [][]byte, bin int16) *pgproto3.Bind {
		return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name, Parameters: args, ResultFormatCodes: []int16{bin}}
	}
	sync := &pgproto3.Sync{}
	one := &pgproto3.Execute{MaxRows: 1}
	step("1|n***@secret.example|0; 2|n***@secret.example|0; 3|NULL|NULL", 1, bind("", "s", arg, 0), one, one, one, sync)
	step("*", 1, bind("", "s", arg, 1), one, one, one, sync)
	step("BEGIN", 1, &pgproto3.Query{String: "begin"})
	step("1|n***@secret.example|0", 1, bind("p", "s", arg, 0), &pgproto3.Execute{Portal: "p", MaxRows: 1}, sync)
	step("2|n***@secret.example|0", 1, &pgproto3.Query{String: "fetch 1 from p"})
	step("3|NULL|NULL", 1, &pgproto3.Execute{Portal: "p"}, sync)
	step("DECLARE CURSOR", 1, &pgproto3.Query{String: "declare q cursor for select email, born from customers order by id"})
	step("n***@secret.example|1961-01-01; n***@secret.example|1962-01-01", 1, &pgproto3.Execute{Portal: "q", MaxRows: 2}, sync)
	step("*", 1, &pgproto3.Describe{ObjectType: 'P', Name: "q"}, &pgproto3.Execute{Portal: "q"}, sync)
	step("ROLLBACK", 1, &pgproto3.Query{String: "rollback"})
	// The same name for another statement in one pipeline.
	step("1; n***@secret.example", 1, &pgproto3.Parse{Query: "select 1"}, bind("a", "", nil, 0), &pgproto3.Parse{Query: "select email from customers where id = 1"}, bind("b", "", nil, 0),
		&pgproto3.Execute{Portal: "a"}, &pgproto3.Execute{Portal: "b"}, sync)
	step("*", 1, &pgproto3.Parse{Name: "t", Query: "select email from customers where id = 1"}, bind("x", "t", nil, 0), &pgproto3.Close{ObjectType: 'S', Name: "t"},
		&pgproto3.Parse{Name: "t", Query: "select 1"}, &pgproto3.Execute{Portal: "x"}, bind("", "t", nil, 1), &pgproto3.Execute{}, sync)
	// EXECUTE, FETCH and their like through the extended protocol.
	step("PREPARE", 1, &pgproto3.Query{String: "prepare e as select email, lower(name), 1 + id from customers order by id"})
	for _, bin := range []int16{0, 1} {
		want := "n***@secret.example|ann|2; n***@secret.example|ben|3; NULL|cid|4"
		if bin == 1 {
			want = "*"
		}
		step(want, 1, &pgproto3.Parse{Query: "execute e"}, bind("", "", nil, bin), &pgproto3.Execute{}, sync)
	}
	step("BEGIN", 1, &pgproto3.Query{String: "begin; declare z cursor for select upper(name), email from customers order by id"})
	step("ANN|n***@secret.example", 1, &pgproto3.Parse{Query: "fetch 1 from z"}, bind("", "", nil, 0), &pgproto3.Execute{}, sync)
	step("*", 1, &pgproto3.Query{String: "rollback"})
	// The fast path.
	for _, oid := range []uint32{2923, 870, 1598, 2926} { // table_to_xml, lower, random, query_to_xml
		step("*", 1, &pgproto3.FunctionCall{Function: oid, Arguments: [][]byte{[]byte("customers")}})
	}
}

// Start-up options and copies into the database must tell nothing, either.
func TestMaskedStartup(t *testing.T) {
	m := newMaskedWorld(t)
	for _, more := range []string{"options='-c search_path=app'", "options='-c standard_conforming_strings=off'", "search_path=app", "replication=database", "client_encoding=SJIS", "options='-c debug_print_plan=on'"} {
		c, err := pgconn.Connect(context.Background(), m.dsn(more))
		if err != nil {
			continue
		}
		if got := execSQL(c, "select note from orders"); strings.Contains(got, "needle") {
			t.Errorf("%s: %s", more, got)
		}
		c.Close(context.Background())
	}
	u := m.user(t)
	for _, data := range []string{"5\tx\n5\ty\n", "7\tbad\n", "q\tx\n", "8\n"} {
		if _, err := u.conn.CopyFrom(context.Background(), strings.NewReader(data), "copy alarms from stdin"); err == nil {
			t.Errorf("%q went in", data)
		}
		m.clean(t, u.ear.Take())
	}
	if _, err := u.conn.CopyFrom(context.Background(), strings.NewReader("1\tx\n"), "copy blurts (id) from stdin"); err == nil {
		t.Error("it went in")
	}
	m.clean(t, u.ear.Take())
}
