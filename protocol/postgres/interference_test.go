package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/internal/sqlgen"
)

// Two worlds differ in nothing but masked values. Whatever a statement is, it must
// be answered alike in both: then nothing of the values is in the answer, by
// whatever way. The statements are random, of a grammar that is fond of passing
// columns on.

const interferenceSchema = `
CREATE TABLE people (id int PRIMARY KEY, name text, town text, email text, pay int);
CREATE TABLE visits (id int PRIMARY KEY, person int, note text, mail text);
CREATE VIEW plain AS SELECT id, name, email AS contact, pay FROM people;
CREATE VIEW turned AS SELECT id, lower(email) AS l, pay + 1 AS more, town FROM people;
CREATE VIEW both_ AS SELECT id, email AS e FROM people UNION ALL SELECT id, note FROM visits;
INSERT INTO visits VALUES (1, 1, 'a', 'x1'), (2, 1, 'b', 'x2'), (3, 3, 'ann', 'x3'), (4, 9, NULL, NULL);
`

// interferenceRows fills people: three columns that are the same in every world,
// then the secrets.
func interferenceRows(secrets [][2]string) string {
	var sql strings.Builder
	for i, s := range secrets {
		fmt.Fprintf(&sql, "INSERT INTO people VALUES (%d, 'n%d', 't%d', %s, %s);\n", i+1, i%3, i%2, s[0], s[1])
	}
	return sql.String()
}

var interferenceRelations = sqlgen.Schema{Relations: []sqlgen.Relation{
	{Name: "people", Weight: 3, Columns: sqlgen.Columns("id int, name text, town text, email text, pay int")},
	{Name: "visits", Columns: sqlgen.Columns("id int, person int, note text, mail text")},
	{Name: "plain", Columns: sqlgen.Columns("id int, name text, contact text, pay int")},
	{Name: "turned", Columns: sqlgen.Columns("id int, l text, more int, town text")},
	{Name: "both_", Columns: sqlgen.Columns("id int, e text")},
}}

// interfere runs random statements in both worlds and compares the answers.
func interfere(t *testing.T, a, b *maskedWorld, statements int) {
	t.Helper()
	left, right, direct := a.user(t), b.user(t), a.direct(t)
	for _, u := range []*user{left, right, direct} {
		u.run(simple, "set statement_timeout = '300ms'")
	}
	allowed, touched := 0, 0
	for seed := range statements {
		sql := sqlgen.New(interferenceRelations, uint64(seed), 2+seed%14).Query()
		x, y := left.run(simple, sql), right.run(simple, sql)
		if isRefusal(x) && isRefusal(y) || tooSlow(x) || tooSlow(y) {
			continue
		}
		if sorted(x) != sorted(y) {
			t.Errorf("seed %d tells the worlds apart: %s\n  %.300s\n  %.300s", seed, sql, x, y)
		}
		if !strings.HasPrefix(x, "42") && !strings.HasPrefix(x, "2") {
			allowed++
			if direct.run(simple, sql) != x {
				touched++
			}
		}
	}
	t.Logf("%d of %d statements were answered, %d of them with something masked", allowed, statements, touched)
	if allowed < statements/10 || touched < statements/50 {
		t.Errorf("too few statements say anything: %d answered, %d masked, of %d", allowed, touched, statements)
	}
}

// tooSlow: some of the statements join everything with everything.
func tooSlow(answer string) bool { return strings.Contains(answer, "57014 canceling") }

// sorted puts rows in order: a query without ORDER BY promises none.
func sorted(answer string) string {
	rows := strings.Split(answer, "; ")
	slices.Sort(rows)
	return strings.Join(rows, "; ")
}

const interferenceStatements = 500

const interferencePolicy = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: data}
spec:
  rules:
  - {id: all, effect: allow}
  - {id: emails, match: {columns: ["*.people.email"]}, effect: mask, mask: {with: "null"%[1]s}}
  - {id: pay, match: {columns: ["*.people.pay"]}, effect: mask, mask: {with: "null"%[1]s}}
`

// Without permissions nothing of the values tells, not even which are null or equal.
func TestNoInterference(t *testing.T) {
	rules := fmt.Sprintf(interferencePolicy, "")
	a := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'a'", "1"}, {"'n1'", "2"}, {"'x1'", "3"}, {"'x1'", "3"}, {"NULL", "7"}}), rules)
	b := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'zz'", "7"}, {"NULL", "NULL"}, {"'b'", "0"}, {"'ann'", "5"}, {"'n1'", "9"}}), rules)
	interfere(t, a, b, interferenceStatements)
}

// With joins and counts permitted, which values are equal and which are null may
// tell, and nothing more: the worlds differ by a renaming of values that no
// statement can name. It keeps their order, in which groups happen to come.
func TestNoInterferenceBeyondEquality(t *testing.T) {
	rules := fmt.Sprintf(interferencePolicy, ", joinable: true, aggregatable: true")
	a := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'q1'", "101"}, {"'q2'", "102"}, {"'q1'", "101"}, {"'q3'", "103"}, {"NULL", "NULL"}}), rules)
	b := maskedWorldOf(t, interferenceSchema+interferenceRows([][2]string{{"'p1'", "301"}, {"'p5'", "302"}, {"'p1'", "301"}, {"'p9'", "303"}, {"NULL", "NULL"}}), rules)
	interfere(t, a, b, interferenceStatements)
}
