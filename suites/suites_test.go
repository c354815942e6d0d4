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
	same := func(s string) string { return s }
	for names, want := range map[string]int{"": 4, "cut": 1, "direct,sluice": 2, "direct,typo": -1, "typo": -1, ",": -1} {
		got, err := pick(names, paths, same)
		if (err != nil) != (want < 0) || err == nil && len(got) != want {
			t.Errorf("%q: %v %v", names, got, err)
		}
	}
}
