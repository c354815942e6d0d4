package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// What a name stands for may be another thing when a portal runs than when it was
// bound and judged: EXECUTE, FETCH, PREPARE and COPY look names up when they run.
func TestMaskedPortalsAndNames(t *testing.T) {
	m := newMaskedWorld(t)
	m.pg.Exec(t, m.db, "create schema alt; create view alt.orders as select id, level as note from public.customers; create schema tab; create table tab.notes as select 7 as id, level as body from public.customers")
	for name, steps := range map[string][]string{ // a statement, or "bind p: " and "run p"
		"a prepared statement":  {"begin", "prepare s as select city from customers", "bind p: execute s", "deallocate s", "prepare s as select level from customers", "run p"},
		"one of the protocol's": {"begin", "parse s: select city from customers", "bind p: execute s", "parse s:", "parse s: select level from customers", "run p"},
		"a cursor":              {"begin", "declare c cursor for select city from customers", "bind p: fetch all from c", "close c", "declare c cursor for select level from customers", "run p"},
		"a cursor, by a failed run": {"begin", "declare c cursor for select city from customers", "bind p: fetch all from c", "savepoint x", "fail and run p", "rollback to x",
			"close c", "declare c cursor for select level from customers", "run p"},
		"a portal":                      {"begin", "bind q: select city from customers", "bind p: fetch all from q", "bind q: select level from customers", "run p"},
		"a path and EXECUTE":            {"begin", "prepare s as select note || '' from orders", "bind p: execute s", "set local search_path = alt, public", "run p"},
		"a path and PREPARE":            {"begin", "bind p: prepare s as select note || '' from orders", "set local search_path = alt, public", "run p", "execute s"},
		"a path and COPY":               {"begin", "bind p: copy (select note || '' from orders) to stdout", "set local search_path = alt, public", "run p"},
		"a path and COPY of a table":    {"begin", "bind p: copy notes(body) to stdout", "set local search_path = tab, public", "run p"},
		"a path and CREATE TABLE":       {"begin", "bind p: create table copied as select note || '' as x from orders", "set local search_path = alt, public", "run p", "select x from copied", "rollback"},
		"a path and a view":             {"begin", "bind p: create view pg_temp.w as select note || '' as x from orders", "set local search_path = alt, public", "run p", "select x from w", "rollback"},
		"a path and DECLARE":            {"begin", "bind p: declare c cursor for select note || '' from orders", "set local search_path = alt, public", "run p", "fetch all from c", "rollback"},
		"a path and a plain portal":     {"begin", "bind p: select note || '' from orders", "set local search_path = alt, public", "run p", "rollback"},
		"a temporary table in between":  {"create temp table zz (i int)", "parse s: select level from customers union all select 'x'", "create temp table customers (level text)", "bound p: s", "run p"},
		"a temporary table and PREPARE": {"create temp table zz (i int)", "prepare s as select level from customers union all select 'x'", "create temp table customers (level text)", "execute s"},
		"a path and a temporary table": {"create temp table zz (i int)", "parse s: select level from customers union all select 'x'", "set search_path = finance, public", "bound p: s", "run p",
			"create temp table customers (level text)", "bound p: s", "run p"},
		"a path and the way back": {"create temp table zz (i int)", "parse s: select level from customers union all select 'x'", "set search_path = alt, public", "bound p: s", "run p",
			"set search_path = public", "create temp table customers (level text)", "bound p: s", "run p"},
	} {
		t.Run(name, func(t *testing.T) {
			u := m.user(t)
			for _, s := range steps {
				u.step(s)
			}
			m.clean(t, u.ear.Take())
		})
	}
}

// Where nothing has changed, such portals run, once and again.
func TestMaskedPortalsRun(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	for _, s := range [][2]string{
		{"begin", "BEGIN"}, {"prepare s as select email from customers order by id", "PREPARE"}, {"declare c cursor for select city from customers order by id", "DECLARE CURSOR"},
		{"bind p: execute s", ""}, {"bind q: fetch 2 from c", ""}, {"bind r: copy (select 7) to stdout", ""}, {"savepoint x", "SAVEPOINT"},
		{"run p", "n***@secret.example; n***@secret.example; NULL"}, {"run q", "Bern; Rome"}, {"run r", "COPY 1"},
		{"bind q: fetch 2 from c", ""}, {"run q", "Rome"}, {"bind q: prepare t as select city from customers where id = $1", ""}, {"run q", "PREPARE"}, {"execute t(1)", "Bern"},
		{"bind p: execute s", ""}, {"deallocate s", "DEALLOCATE"}, {"prepare s as select id from customers", "PREPARE"},
		{"run p", "0A000 sluice: what this would run may have changed since it was bound; bind it again"}, {"rollback", "ROLLBACK"},
		{"bind : execute s", ""}, {"bound : t", "08P01 connection error (details hidden: a mask applies)"},
	} {
		if got := u.step(s[0]); got != s[1] {
			t.Errorf("%s\n  got  %s\n  want %s", s[0], got, s[1])
		}
	}
	m.clean(t, u.ear.Take())
}

// step does one step of a conversation and returns the answer.
func (u *user) step(s string) string {
	f := u.conn.Frontend()
	what, rest, _ := strings.Cut(s, " ")
	name, sql, _ := strings.Cut(rest, ":")
	sql = strings.TrimSpace(sql)
	switch what {
	case "parse":
		if f.Send(&pgproto3.Close{ObjectType: 'S', Name: name}); sql != "" {
			f.Send(&pgproto3.Parse{Name: name, Query: sql})
		}
	case "bind":
		f.Send(&pgproto3.Parse{Query: sql})
		f.Send(&pgproto3.Close{ObjectType: 'P', Name: name})
		f.Send(&pgproto3.Bind{DestinationPortal: name})
	case "bound":
		f.Send(&pgproto3.Bind{DestinationPortal: name, PreparedStatement: sql})
		f.Send(&pgproto3.Execute{Portal: name})
	case "run":
		f.Send(&pgproto3.Execute{Portal: name})
	case "fail":
		f.Send(&pgproto3.Parse{Query: "no"})
		f.Send(&pgproto3.Execute{Portal: "p"})
	default:
		f.Send(&pgproto3.Query{String: s})
		return u.until(1)
	}
	f.Send(&pgproto3.Sync{})
	return u.until(1)
}
