package postgres

import (
	"strings"
	"testing"
)

const permitsSchema = `
CREATE TABLE people (id int PRIMARY KEY, town text, email text, pay int, born date, active bool);
INSERT INTO people VALUES (1, 'Bern', 'needle.a@x.example', 100, '1961-07-23', true), (2, 'Bern', 'needle.b@x.example', 200, '1962-08-24', false),
 (3, 'Bern', 'needle.c@x.example', 300, '1963-09-25', true), (4, 'Rome', 'needle.a@x.example', 400, NULL, true), (5, 'Rome', NULL, NULL, '1964-10-26', NULL);
CREATE TABLE leads (id int, email text, note text);
INSERT INTO leads VALUES (1, 'needle.a@x.example', 'n'), (2, 'other@x.example', 'm');
CREATE VIEW shorter AS SELECT id, left(email, 8) AS e, pay FROM people;
CREATE VIEW named AS SELECT id, email AS mail, pay, town FROM people;
CREATE VIEW doubled AS SELECT people.id, pay, town FROM people, generate_series(1, 10);
`

const permitsPolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: mails, match: {columns: ["*.people.email", "*.leads.email"]}, effect: mask, mask: {with: redact, filterable: equality, joinable: true}}
  - {id: pay, match: {columns: ["*.people.pay"]}, effect: mask, mask: {with: zero, aggregatable: {functions: [count, sum], min_group: 3}}}
  - {id: born, match: {columns: ["*.people.born"]}, effect: mask, mask: {with: year, filterable: range}}
  - {id: active, match: {columns: ["*.people.active"]}, effect: mask, mask: {with: "null", aggregatable: true, filterable: equality}}
`

func TestPermittedUses(t *testing.T) {
	m := maskedWorldOf(t, permitsSchema, permitsPolicy)
	u := m.user(t)
	for sql, want := range map[string]string{
		// Equality.
		"select id, email from people where email = 'needle.a@x.example' order by id":                    "1|[redacted]; 4|[redacted]",
		"select id from people where 'needle.b@x.example' = email":                                       "2",
		"select id from people where email in ('needle.b@x.example', 'x')":                               "2",
		"select id from people where email not in ('needle.a@x.example')":                                "2; 3",
		"select id from people where email = any ('{needle.b@x.example}')":                               "2",
		"select id from people where email <> all (array['needle.a@x.example']) and id < 3":              "2",
		"select id from people where email is null":                                                      "5",
		"select id from people where not (email is not null)":                                            "5",
		"select id from people where email is not distinct from null":                                    "5",
		"select id from people where email = lower('NEEDLE.B@x.example')":                                "2",
		"select id from people where (id, email) = (2, 'needle.b@x.example')":                            "2",
		"select id from people where (email, id) in (('needle.b@x.example', 2), ('x', 1))":               "2",
		"select id, email = 'needle.a@x.example' from people order by id":                                "1|t; 2|f; 3|f; 4|t; 5|NULL",
		"select case when email = 'needle.b@x.example' then 'it' else 'no' end from people where id = 2": "it",
		"select case email when 'needle.b@x.example' then 'it' end from people where id = 2":             "it",
		"select count(*) filter (where email is null) from people":                                       "1",
		"select e is null from (select email as e, id from people) s where id = 5":                       "t",
		"select id from (select id, email as e from people) s where e = 'needle.b@x.example'":            "2",
		"with p as (select * from people) select id from p where email = 'needle.b@x.example'":           "2",
		"select id from named where mail = 'needle.b@x.example'":                                         "2",
		"select exists (select 1 from people where email = 'needle.b@x.example')":                        "t",
		"select (select id from people where email = 'needle.b@x.example')":                              "2",
		"update people set town = 'Oslo' where email = 'needle.b@x.example' returning town":              "Oslo",
		"select id from people where active order by id":                                                 "1; 3; 4",
		"select id from people where active is false":                                                    "2",
		"select count(active) from people":                                                               "4",
		"select nullif(email, 'needle.b@x.example') from people where id = 2":                            "NULL",
		// Joins and groups.
		"select p.id, l.id from people p join leads l on l.email = p.email order by 1":           "1|1; 4|1",
		"select id from people where email in (select email from leads) order by id":             "1; 4",
		"select l.id from leads l where exists (select 1 from people p where p.email = l.email)": "1",
		"select count(*) from people join leads using (email)":                                   "2",
		"select email, count(*) from people group by email order by 2 desc limit 1":              "[redacted]|2",
		"select count(*) from (select distinct email from people) s":                             "4",
		"select count(*) from (select email from people union select email from leads) s":        "5",
		"select count(*) from (select email from people intersect select email from leads) s":    "1",
		"select count(*) over (partition by email) from people where id = 1":                     "1",
		// Ranges.
		"select id from people where born < '1962-12-31' order by born desc":     "2; 1",
		"select id from people where born between '1962-01-01' and '1963-12-31'": "2; 3",
		"select born from people order by born limit 1":                          "1961-01-01",
		// Aggregates over enough rows.
		"select town, sum(pay) from people group by town having count(*) >= 3": "Bern|600",
		"select count(pay), sum(pay) + 1 from people having count(*) > 2":      "4|1001",
		"select sum(coalesce(pay, 0)) from people having 3 <= count(*)":        "1000",
	} {
		for _, how := range []mode{simple, extended} {
			u.run(simple, "begin")
			got := u.run(how, sql)
			u.run(simple, "rollback")
			if got != want {
				t.Errorf("%s: %s\n  got  %s\n  want %s", how, sql, got, want)
			}
		}
		m.clean(t, u.ear.Take())
	}
}

// What comes close to a permitted use and tells more.
func TestNotPermittedUses(t *testing.T) {
	m := maskedWorldOf(t, permitsSchema, permitsPolicy)
	u := m.user(t)
	for sql, want := range map[string]string{
		"select id from people where email like 'n%'":                                     "`email LIKE ...` searches",
		"select id from people where email > 'n'":                                         "`email > ...` searches",
		"select id from people where lower(email) = 'x'":                                  "`lower(email) = ...` filters by",
		"select id from people where email || '' = 'x'":                                   "filters by",
		"select id from people where left(email, 1) = 'n'":                                "filters by",
		"select id from people where email::varchar(3) = 'nee'":                           "filters by",
		"select id from people where email::\"char\" = 'n'":                               "filters by",
		"select id from people where email collate \"C\" = 'n'":                           "filters by",
		"select email like 'n%' from people":                                              "`email LIKE ...` searches",
		"select lower(email) from people":                                                 "`lower(email)` exposes masked `people.email`; allowed: the bare column, equality on it, joining and grouping by it",
		"select id from people order by email":                                            "`email` sorts by",
		"select id from shorter where e = 'needle.b'":                                     "filters by masked `people.email` (through public.shorter)",
		"select e, count(*) from shorter group by e":                                      "filters by",
		"select id from (select id, left(email, 8) as e from people) s where e = 'x'":     "exposes",
		"select max(email) from people":                                                   "`max(email)` aggregates",
		"select count(email) from people":                                                 "`count(email)` aggregates",
		"select g from people p join generate_series(1, 400) g on g = p.pay":              "`g = p.pay` compares", // guesses
		"select id from people where pay = 100":                                           "`pay = ...` compares",
		"select pay is null from people":                                                  "tests",
		"select distinct pay from people":                                                 "DISTINCT` groups by",
		"insert into leads(note) select email from people":                                "copies",
		"update leads set note = p.email from people p":                                   "copies",
		"select p from people p where email = 'x'":                                        "exposes masked `people.email` in a whole row",
		"select id from people where email = any (select note from leads) or email ~ 'x'": "searches",
		// Groups that are too small, or only look large.
		"select sum(pay) from people":                                                                               "aggregates masked `people.pay`; allowed: the bare column, count, sum of it over at least 3 rows",
		"select id, sum(pay) from people group by id":                                                               "aggregates",
		"select town, sum(pay) from people group by town having count(*) >= 2":                                      "aggregates",
		"select town, sum(pay) from people group by town having count(*) >= 3 or true":                              "aggregates",
		"select town, sum(pay) from people group by town having count(id) >= 3":                                     "aggregates",
		"select town, avg(pay) from people group by town having count(*) >= 3":                                      "aggregates",
		"select id, sum(pay) from people, generate_series(1, 3) group by id having count(*) >= 3":                   "aggregates",
		"select id, sum(pay) from doubled group by id having count(*) >= 3":                                         "aggregates",
		"select id, sum(pay) from (select * from people, generate_series(1, 3)) s group by id having count(*) >= 3": "aggregates",
		"select town, sum(pay) filter (where id = 1) from people group by town having count(*) >= 3":                "aggregates",
		"select town, sum(case when id = 1 then pay end) from people group by town having count(*) >= 3":            "aggregates",
		"select sum(nullif(pay, 5)) from people having count(*) >= 3":                                               "aggregates",
		"select sum(pay) over (partition by id) from people":                                                        "aggregates",
		"select (select sum(p.pay) from leads having count(*) >= 3) from people p group by p.id":                    "exposes",
		"select (select sum(p.pay)) from people p":                                                                  "exposes",
		"select sum(pay + 0) from people having count(*) >= 3":                                                      "exposes",
		"select town, sum(distinct pay), min(pay) from people group by town having count(*) >= 3":                   "aggregates",
		"select string_agg(pay::text, ',') from people having count(*) >= 3":                                        "exposes",
		"prepare p as select town, sum(pay) from people group by town having count(*) >= $1":                        "aggregates",
		// Guesses beside the values.
		"select count(*) from (select born from people union select date '1961-07-23') s": "groups by",
		"select count(distinct coalesce(pay, 100)) from people having count(*) >= 3":      "compares",
	} {
		if got := u.run(simple, sql); !isRefusal(got) || !strings.Contains(got, want) {
			t.Errorf("%s\n  got  %s\n  want %s", sql, got, want)
		}
		m.clean(t, u.ear.Take())
	}
	// A temporary table is a list of guesses, too.
	mails := strings.Replace(permitsPolicy, "filterable: equality, joinable", "joinable", 1)
	m = maskedWorldOf(t, permitsSchema, mails)
	u = m.user(t)
	u.run(simple, "create temp table guess (e text)")
	for _, sql := range []string{"select 1 from people p join guess on e = p.email", "select id from people where email in (select e from guess)",
		"select id from people join (values ('x')) v(e) on v.e = email", "select count(*) from (select email from people intersect select 'needle.a@x.example') s",
		"select id from people join unnest(array['x']) u(e) on u.e = email", "select id from people p join leads l on upper(l.note) = p.email",
		"select id from people where email = (select 'x')", "select count(distinct e) from (select email e from people union all select 'x') s",
		"select count(*) from people natural join (select 'x' as email) s"} {
		if got := u.run(simple, sql); !isRefusal(got) {
			t.Errorf("%s: %s", sql, got)
		}
	}
	if got := u.run(simple, "select count(*) from people join leads using (email)"); got != "2" {
		t.Errorf("a join of two masked columns: %s", got)
	}
}
