package main

import (
	"reflect"
	"testing"
)

func TestParseRegress(t *testing.T) {
	out := `============== dropping database "regression"         ==============
test test_setup                   ... ok         1012 ms
parallel group (20 tests):  char varchar oid
     boolean                      ... ok          172 ms
     char                         ... FAILED       93 ms
test psql                         ... FAILED (test process exited with exit code 2)    42 ms
 1 of 3 tests failed.
`
	res := parseRegress([]byte(out))
	if res.passed != 2 || !reflect.DeepEqual(res.failures, []string{"char", "psql"}) {
		t.Errorf("got %+v", res)
	}
}

func TestPick(t *testing.T) {
	for names, want := range map[string]int{"": len(suites), "pgx": 1, "pgx,regress": 2, "nothing": 0} {
		if got := len(pick(names)); got != want {
			t.Errorf("pick(%q) = %d suites, want %d", names, got, want)
		}
	}
}
