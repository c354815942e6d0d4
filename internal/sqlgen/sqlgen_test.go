package sqlgen

import (
	"slices"
	"strings"
	"testing"

	pgquery "github.com/pganalyze/pg_query_go/v6"
)

func testSchema(modern bool) Schema {
	return Schema{Modern: modern, Relations: []Relation{
		{Name: "people", Weight: 3, Table: true, Columns: Columns("id int, name text, born date, tags text[], profile jsonb, pay numeric")},
		{Name: "finance.notes", Table: true, Columns: Columns("id int, body text, n int")},
		{Name: "v", Columns: Columns("id int, x text, at timestamptz, ok bool, raw bytea")},
	}}
}

// The grammar is the server's, whatever the seed.
func TestEveryStatementParses(t *testing.T) {
	for seed := range uint64(4000) {
		for _, sql := range New(testSchema(seed%2 == 0), seed, int(seed%20)).Script() {
			if _, err := pgquery.Parse(sql); err != nil {
				t.Errorf("seed %d: %v: %s", seed, err, sql)
			}
		}
	}
}

func TestASeedIsAScript(t *testing.T) {
	a, b := New(testSchema(true), 7, 12).Script(), New(testSchema(true), 7, 12).Script()
	if !slices.Equal(a, b) {
		t.Errorf("%q\n%q", a, b)
	}
}

// What the package promises to make, it makes.
func TestEveryKindComesUp(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(4000) {
		all.WriteString(strings.Join(New(testSchema(true), seed, int(seed%20)).Script(), ";\n") + ";\n")
	}
	for _, part := range []string{
		"INSERT INTO", "ON CONFLICT", "UPDATE finance.notes", "DELETE FROM", "MERGE INTO", "RETURNING", "old.", "COPY (", "COPY people", "FORMAT binary",
		"DECLARE", "FETCH", "PREPARE", "EXECUTE", "EXPLAIN (", "CREATE TEMP TABLE", "CREATE TEMP VIEW", "row_to_json(", "WITH RECURSIVE", "UNION ALL",
		"EXCEPT", "LATERAL", "USING (", "NATURAL", "FULL JOIN", "GROUP BY", "ROLLUP", "HAVING", "DISTINCT ON", "OVER (", "FILTER", "VALUES", "DO $$", "SET LOCAL", "::int", "1 / (",
	} {
		if !strings.Contains(all.String(), part) {
			t.Errorf("no statement has %s", part)
		}
	}
}

// Query keeps to text and int where its schema does.
func TestQueryIsPlain(t *testing.T) {
	plain := Schema{Relations: []Relation{{Name: "people", Columns: Columns("id int, name text")}}}
	for seed := range uint64(500) {
		if sql := New(plain, seed, int(seed%15)).Query(); strings.Contains(sql, "NULL::") || !strings.Contains(sql, "people") && !strings.Contains(sql, "generate_series") && !strings.Contains(sql, "VALUES") {
			t.Error(sql)
		}
	}
}
