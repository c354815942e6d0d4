package postgres

import "testing"

// TestMinGroup: over how many rows every aggregate of ssn is taken at least.
func TestMinGroup(t *testing.T) {
	env := testEnv(t)
	for sql, want := range map[string]int64{
		`select name, sum(ssn) from customers group by name having count(*) >= 3`:                                                    3,
		`select name, sum(ssn), max(ssn) from customers group by name having 3 < count(*) and name <> 'x'`:                           4,
		`select date_trunc('day', meta::date), sum(ssn) from customers group by 1 having count(*) >= 3 order by sum(ssn)`:            3,
		`select sum(ssn) from customers group by name having count(*) >= 3 or true`:                                                  0,
		`select sum(ssn) from customers group by name having not count(*) >= 3`:                                                      0,
		`select sum(ssn) filter (where id = 1) from customers group by name having count(*) >= 3`:                                    0,
		`select sum(ssn) from customers, generate_series(1, 3) group by id having count(*) >= 3`:                                     0,
		`select sum(case when id = 1 then ssn end) from customers having count(*) >= 3`:                                              0,
		`select sum(ssn) from customers group by id, generate_series(1, 3) > 0 having count(*) >= 3`:                                 0,
		`select sum(ssn), unnest(array[1, 1, 1]) from customers group by id, 2 having count(*) >= 3`:                                 0,
		`select sum(ssn), (array[1, 1, 1]).unnest as u from customers group by id, u having count(*) >= 3`:                           0,
		`select name, sum(ssn), 'unnest' from customers group by name having count(*) >= 3`:                                          3,
		`select name from customers group by name having count(*) >= 3 and 1 / (case when sum(ssn) > 5 then 0 else 1 end) > 0`:       0,
		`select name, sum(ssn) from customers group by name having count(*) >= 3 and avg(ssn) > 5`:                                   0,
		`select (select sum(c.ssn) from orders o where o.id = c.id having count(*) >= 3) from customers c`:                           0,
		`select (select sum(ssn) from customers where id = o.customer_id having count(*) >= 3) from orders o group by o.customer_id`: 3,
	} {
		found := false
		for _, o := range analyze(t, env, sql).Action.Objects {
			for _, c := range o.Columns {
				if c.Name == "ssn" {
					if found = true; c.MinGroup != want {
						t.Errorf("%s: %d, want %d", sql, c.MinGroup, want)
					}
				}
			}
		}
		if !found {
			t.Errorf("%s: ssn is not used", sql)
		}
	}
}
