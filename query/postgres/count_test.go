package postgres

import (
	"errors"
	"slices"
	"testing"
)

func TestCounting(t *testing.T) {
	env := testEnv(t)
	a := New(&direct{}, Options{})
	for _, c := range []struct {
		sql, want string
		params    []int
	}{
		{`delete from orders`, `SELECT pg_catalog.count(*) FROM orders`, nil},
		{`update orders set note = $1 where id = $2 and total > $4`, `SELECT pg_catalog.count(*) FROM orders WHERE id = $2 AND total > $4`, []int{2, 4}},
		{`update only public.orders as o set note = 'x' where o.id in (select id from customers where name = $3) returning id`,
			`SELECT pg_catalog.count(*) FROM ONLY public.orders o WHERE o.id IN (SELECT id FROM customers WHERE name = $3)`, []int{3}},
	} {
		got, params, err := a.Counting(t.Context(), "x", c.sql, env)
		if err != nil || got != c.want || !slices.Equal(params, c.params) {
			t.Errorf("%s\n got  %s %v %v\n want %s", c.sql, got, params, err, c.want)
		}
	}
	for _, sql := range []string{
		`insert into orders (id) values (1)`, `select 1`, `truncate orders`,
		`delete from orders using customers where customers.id = customer_id`,
		`update orders set note = 'x' from customers where customers.id = customer_id`,
		`with x as (select 1) delete from orders`,
		`delete from orders where random() < 0.5`,
		`delete from orders where id = nextval('orders_id_seq')`,
		`delete from orders where nobody_knows(id)`,
		`update orders set note = 'x' where current of c`,
		`delete from orders where id in (select id from orders for update)`,
	} {
		if got, _, err := a.Counting(t.Context(), "x", sql, env); !errors.Is(err, errNotCounted) {
			t.Errorf("%s: %s, %v", sql, got, err)
		}
	}
}
