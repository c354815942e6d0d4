package postgres

import "testing"

// In the test's catalog, orders.id is NOT NULL and the other columns may be NULL.
func TestScoped(t *testing.T) {
	env := testEnv(t)
	for where, want := range map[string]bool{
		``:                                       false,
		`where true`:                             false,
		`where false`:                            true,
		`where null`:                             true,
		`where 'true'`:                           false,
		`where 1=1`:                              false,
		`where 1=2`:                              true,
		`where 1<>2`:                             false,
		`where '1'='1'`:                          false,
		`where '1'='01'`:                         false,
		`where id=id`:                            false,
		`where id>=id`:                           false,
		`where o.id=id`:                          false,
		`where id is not distinct from id`:       false,
		`where id is not null`:                   false,
		`where note is not null`:                 true,
		`where id is null`:                       true,
		`where ctid is not null`:                 false,
		`where id=5`:                             true,
		`where 5=id`:                             true,
		`where id=$1`:                            true,
		`where $1=$1`:                            false,
		`where $1=5`:                             false,
		`where id::text='5'`:                     true,
		`where id=5 or true`:                     false,
		`where id=5 or 1=1`:                      false,
		`where id=5 or id is not null`:           false,
		`where id=5 and true`:                    true,
		`where id=5 or id=6`:                     true,
		`where id=5 or id<>5`:                    false,
		`where id>5 or id<=5`:                    false,
		`where id=5 or note='x'`:                 true,
		`where note is null or note is not null`: false,
		`where not true`:                         true,
		`where not false`:                        false,
		`where not (id=5)`:                       true,
		`where not (id=5 and id=6)`:              false,
		`where not (1=2)`:                        false,
		`where id in (1,2)`:                      true,
		`where id in (1,id)`:                     false,
		`where id not in (1,2)`:                  true,
		`where id between 1 and 5`:               true,
		`where id between id and id`:             false,
		`where id = any($1)`:                     true,
		`where id = any(array[1,2])`:             true,
		`where id = any(array[id])`:              false,
		`where id <> all('{}')`:                  false,
		`where id > 0`:                           true,
		`where id+0=id`:                          false,
		`where id=id+0`:                          false,
		`where id*0=0`:                           false,
		`where id+1=5`:                           true,
		`where coalesce(id,1)=id`:                false,
		`where lower(note)='x'`:                  true,
		`where f(id)=1`:                          false,
		`where length(note)>=0`:                  false,
		`where note like '%'`:                    false,
		`where note like '%%_'`:                  false,
		`where note like '%x%'`:                  true,
		`where note like $1`:                     true,
		`where note ~ '.*'`:                      false,
		`where note ~ 'a*'`:                      false,
		`where note ~ 'abc'`:                     true,
		`where note similar to '%'`:              false,
		`where now() > '2020-01-01'`:             false,
		`where random() < 2`:                     false,
		`where created_at < now() - interval '1 day'`:                         true,
		`where exists (select 1 from orders p where p.id = o.id)`:             false,
		`where id in (select p.id from orders p where p.id = o.id)`:           false,
		`where id in (select c.id from customers c where c.name = o.note)`:    false,
		`where exists (select 1)`:                                             false,
		`where exists (select 1 from customers c where c.id = o.customer_id)`: true,
		`where id in (select id from orders)`:                                 false,
		`where id in (select id from orders where total > 5)`:                 true,
		`where id in (select id from orders where true)`:                      false,
		`where id in (select id from orders limit 10)`:                        true,
		`where customer_id in (select id from customers)`:                     true,
		`where ctid = '(0,1)'`:                                                true,
		`where (id, note) = (1, 'x')`:                                         true,
		`where (id, note) in ((1, 'x'))`:                                      true,
		`where case when id = 1 then true else true end`:                      false,
		`where current of c`:                                                  true,
		`where total is distinct from null`:                                   false,
		`where total > customer_id`:                                           true,
		`where nosuch = 5`:                                                    false,
		`where id = (select max(id) from orders)`:                             false, // not shown to be another id
	} {
		st := analyze(t, env, `delete from orders o `+where)
		if st.Action.SQL.Scoped != want {
			t.Errorf("delete %s: scoped %v", where, !want)
		}
		if st := analyze(t, env, `update orders o set note = 'x' `+where); st.Action.SQL.Scoped != want {
			t.Errorf("update %s: scoped %v", where, !want)
		}
	}
}

func TestScopedJoins(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]bool{
		`update orders o set note = 'x' from customers c where c.id = o.customer_id`: true,
		`update orders o set note = 'x' from customers c where c.name = 'x'`:         false,
		`update orders o set note = 'x' from orders p where p.id = o.id`:             false,
		`delete from orders o using customers c where c.id = 5`:                      false,
		`delete from orders o using customers c where name = 'x' and o.id = 1`:       true,
		`delete from orders o using customers c where id = 5`:                        false, // ambiguous
		`with d as (delete from orders) select 1`:                                    false,
		`with d as (delete from orders where id = 1) delete from customers`:          false,
		`select 1`:                            true,
		`insert into orders default values`:   true,
		`truncate orders`:                     true,
		`prepare p as delete from orders`:     true,
		`explain delete from orders`:          true,
		`explain analyze delete from orders`:  false,
		`delete from nosuch where id = 5`:     true,
		`delete from nosuch where id is null`: false,
	} {
		if got := analyze(t, env, sql).Action.SQL.Scoped; got != want {
			t.Errorf("%s: scoped %v", sql, got)
		}
	}
}
