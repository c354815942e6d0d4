package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A search_path set in a pipeline is gone when the pipeline fails: what names
// mean must not be remembered from before that.
func TestMaskedPathInPipelines(t *testing.T) {
	m := newMaskedWorld(t)
	u := m.user(t)
	f := u.conn.Frontend()
	run := func(list ...string) string {
		for _, sql := range list {
			f.Send(&pgproto3.Parse{Query: sql})
			f.Send(&pgproto3.Bind{})
			f.Send(&pgproto3.Execute{})
		}
		f.Send(&pgproto3.Sync{})
		return u.until(1)
	}
	for _, c := range []struct {
		list []string
		want string
	}{
		{[]string{"set search_path = app, public", "select note from orders where id = 1"}, "SET; n***@secret.example"},
		{[]string{"select note || '' from orders where id = 1"}, "refused"},
		{[]string{"set search_path = public", "select 1", "select note || '' from orders where id = 10", "select 1/0"}, "SET; 1; gift; 22012 division by zero"},
		{[]string{"select note || '' from orders where id = 1"}, "refused"},
		{[]string{"set search_path = public", "select 1", "select 1/0"}, "SET; 1; 22012 division by zero"},
		{[]string{"select note || '' from orders where id = 1"}, "refused"},
		{[]string{"set search_path = public", "select 1", "select 1/0", "select note || '' from orders where id = 1"}, "*"},
		{[]string{"select note || '' from orders where id = 1"}, "refused"},
		{[]string{"begin", "set local search_path = public", "select note || '' from orders where id = 10", "commit", "select note || '' from orders where id = 1"}, "*"},
		{[]string{"begin", "savepoint s", "set search_path = public", "select note || '' from orders where id = 10", "rollback to s", "select note || '' from orders where id = 1"}, "*"},
		{[]string{"rollback"}, "*"},
		{[]string{"select set_config('search_path', 'public', true)", "select note || '' from orders where id = 10"}, "*"},
		{[]string{"select note || '' from orders where id = 1"}, "refused"},
		{[]string{"set role postgres", "reset all", "select note || '' from orders where id = 10"}, "*"},
		{[]string{"select note || '' from orders where id = 10"}, "gift"},
	} {
		got := run(c.list...)
		if c.want != "*" && got != c.want && !(c.want == "refused" && isRefusal(got)) {
			t.Errorf("%q\n  got  %s\n  want %s", c.list, got, c.want)
		}
		m.clean(t, u.ear.Take())
		if t.Failed() {
			t.Logf("%q -> %s", c.list, got)
		}
	}
}

// The same in simple queries, statement by statement.
func TestMaskedPathInTransactions(t *testing.T) {
	m := newMaskedWorld(t)
	for _, steps := range [][]string{
		{"set search_path = app, public", "begin", "set search_path = public", "select 1", "select 1/0", "commit", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin", "set local search_path = public", "select 1", "commit", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin", "savepoint s", "set search_path = public", "select 1", "rollback to s", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin", "savepoint s", "set search_path = public", "select 1", "select 1/0", "rollback to s", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "set search_path = public; select 1/0", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin; set search_path = public; select 1/0", "rollback", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin", "set search_path = public", "select 1", "rollback and chain", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "begin", "declare c cursor for select note || '' from public.orders", "set search_path = public", "fetch 1 from c", "abort", "select note || '' from orders where id = 1"},
		{"set search_path = app, public", "prepare p as select note || '' from public.orders", "set search_path = public", "set search_path = app", "prepare q as select note || '' from orders", "execute q"},
		{"set search_path = public", "prepare q as select note || '' from orders order by id", "begin", "set local search_path = app", "execute q"},
		{"set search_path = app", "begin", "set local search_path = public", "prepare q as select note || '' from orders order by id", "rollback", "execute q"},
	} {
		u := m.user(t)
		got := ""
		for _, sql := range steps {
			got = u.run(simple, sql)
		}
		if !isRefusal(got) && got != "gift; plain; NULL" {
			t.Errorf("%q: %s", steps, got)
		}
		m.clean(t, u.ear.Take())
		u.run(simple, "rollback")
	}
}
