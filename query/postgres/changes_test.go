package postgres

import (
	"testing"

	"sluice/access"
)

// TestChanges: what a limit on affected rows may rest on.
func TestChanges(t *testing.T) {
	env := testEnv(t)
	for _, c := range []struct {
		sql  string
		want access.Changes
	}{
		{`update orders set note = 'x' where id = 1`, access.ChangesCounted},
		{`delete from orders using customers where customers.id = customer_id returning orders.id`, access.ChangesCounted},
		{`insert into orders (id) select id from customers on conflict (id) do update set note = 'x'`, access.ChangesCounted},
		{`insert into orders (id) values (nextval('orders_id_seq'))`, access.ChangesCounted},
		{`merge into orders o using customers c on o.customer_id = c.id when matched then delete`, access.ChangesCounted},
		{`with x as (select id from customers) delete from orders where customer_id in (select id from x)`, access.ChangesCounted},
		{`copy orders from stdin`, access.ChangesCounted},
		{`copy orders from '/tmp/x'`, access.ChangesCounted},
		// Somebody else counts.
		{`with x as (delete from orders returning id) select * from x`, access.ChangesUnknown},
		{`with x as (delete from orders returning id) update customers set name = 'x'`, access.ChangesUnknown},
		{`insert into orders (id) with x as (delete from customers returning id) select id from x`, access.ChangesUnknown},
		{`create table y as with x as (delete from orders returning id) select * from x`, access.ChangesUnknown},
		{`copy (delete from orders returning id) to stdout`, access.ChangesUnknown},
		{`explain analyze delete from orders where id = 1`, access.ChangesUnknown},
		{`update ruled set v = 1 where id = 1`, access.ChangesUnknown},
		{`truncate orders`, access.ChangesUnknown},
		{`drop table orders`, access.ChangesUnknown},
		{`alter table orders drop column note`, access.ChangesUnknown},
		{`do $$ begin delete from orders; end $$`, access.ChangesUnknown},
		{`call p()`, access.ChangesUnknown},
		{`execute p`, access.ChangesUnknown}, // what stands behind it decides
		{`delete frm orders`, access.ChangesUnknown},
		// Nothing to count.
		{`select * from orders for update`, access.ChangesNone},
		{`select nextval('orders_id_seq')`, access.ChangesNone},
		{`explain delete from orders`, access.ChangesNone},
		{`prepare p as delete from orders`, access.ChangesNone},
		{`declare c cursor for select * from orders`, access.ChangesNone},
		{`fetch all in c`, access.ChangesNone},
		{`copy orders to stdout`, access.ChangesNone},
		{`copy (select 1) to stdout`, access.ChangesNone},
		{`begin`, access.ChangesNone},
		{`set application_name = 'x'`, access.ChangesNone},
		{`set role x`, access.ChangesNone},
		{`create index on orders (note)`, access.ChangesNone},
		{`grant select on orders to x`, access.ChangesNone},
		{`notify x`, access.ChangesNone},
	} {
		b, err := New(&direct{}, Options{}).Analyze(t.Context(), "x", c.sql, env)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Statements[0].Action.SQL.Changes; got != c.want {
			t.Errorf("%s: %d, want %d", c.sql, got, c.want)
		}
	}
}
