package postgres

import (
	"strings"
	"testing"
)

// TestHidden: what a name would mean if something were gone counts as well.
func TestHidden(t *testing.T) {
	for _, c := range []struct{ path, sql, want string }{
		// Relations further along the path.
		{"evil,public", `select upper(note) from orders`, `select exact pure | evil.orders r (note:e); public.orders r (note:e); public.customers r via evil.orders (ssn:e)`},
		{"evil,public", `select upper(note) from evil.orders`, `select exact pure | evil.orders r (note:e); public.customers r via evil.orders (ssn:e)`},
		{"evil,public", `drop table orders`, `drop exact | evil.orders w (?); public.orders w (?)`},
		// The server's own cannot be dropped.
		{"public", `select 1 from pg_class`, `select exact pure | pg_catalog.pg_class r ()`},
		// Columns of the queries around.
		{"public", `select (select upper(note) from orders limit 1) from customers`, `select exact pure | public.customers r (); public.orders r (note:e)`},
		{"public", `select (select upper(id::text) from orders limit 1) from customers`, `select exact pure | public.customers r (id:e); public.orders r (id:e)`},
		{"public", `select (select upper(orders.id::text) from orders limit 1) from customers`, `select exact pure | public.customers r (); public.orders r (id:e)`},
		// A name that stands in the text does not go away.
		{"public", `select (select max(id) from (select total as id from orders) o) from customers`, `select exact pure | public.customers r (); public.orders r (total:#c)`},
		// NATURAL JOIN with what can get no more columns.
		{"public", `select name from customers natural join (select 1 as id) x`, `select exact pure | public.customers r (id:= name:o)`},
	} {
		env := testEnv(t, strings.Split(c.path, ",")...)
		if got := sketch(analyze(t, env, c.sql)); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.path, c.sql, got, c.want)
		}
	}
}

// TestMoved: views and code do not change their names unseen.
func TestMoved(t *testing.T) {
	env := testEnv(t)
	for _, sql := range []string{
		`alter function evil.lower(text) set schema public`, `alter function evil.lower(text) rename to length`,
		`alter schema evil rename to good`, `alter domain d set schema x`, `alter extension hstore set schema x`,
		`alter operator evil.+ (int, int) set schema public`,
	} {
		if got := sketch(analyze(t, env, sql)); !strings.HasPrefix(got, "alter partial") {
			t.Errorf("%s: %s", sql, got)
		}
	}
	for _, sql := range []string{`alter view evil.orders rename to x`, `alter view evil.orders set schema public`, `alter view evil.orders rename note to x`} {
		if got := sketch(analyze(t, env, sql)); !strings.Contains(got, "public.customers") {
			t.Errorf("%s: %s", sql, got)
		}
	}
	if got := sketch(analyze(t, env, `comment on view evil.orders is 'x'`)); strings.Contains(got, "public.customers") {
		t.Error(got)
	}
}
