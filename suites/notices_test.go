package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLateNotices(t *testing.T) {
	const want = "step a\ns2: NOTICE:  one\ns2: NOTICE:  two\nstep b <waiting ...>\ns1: NOTICE:  mine\nstep c\nrow\n"
	for name, test := range map[string]struct {
		got string
		ok  bool
	}{
		"the same":            {want, true},
		"one late":            {"step a\ns2: NOTICE:  one\nstep b <waiting ...>\ns2: NOTICE:  two\ns1: NOTICE:  mine\nstep c\nrow\n", true},
		"behind another's":    {"step a\nstep b <waiting ...>\ns1: NOTICE:  mine\ns2: NOTICE:  one\ns2: NOTICE:  two\nstep c\nrow\n", true},
		"early":               {"s2: NOTICE:  one\nstep a\ns2: NOTICE:  two\nstep b <waiting ...>\ns1: NOTICE:  mine\nstep c\nrow\n", false},
		"in another order":    {"step a\nstep b <waiting ...>\ns2: NOTICE:  two\ns2: NOTICE:  one\ns1: NOTICE:  mine\nstep c\nrow\n", false},
		"missing":             {"step a\ns2: NOTICE:  one\nstep b <waiting ...>\ns1: NOTICE:  mine\nstep c\nrow\n", false},
		"all of one missing":  {"step a\ns2: NOTICE:  one\ns2: NOTICE:  two\nstep b <waiting ...>\nstep c\nrow\n", false},
		"twice":               {strings.Replace(want, "s1: NOTICE:  mine\n", "s1: NOTICE:  mine\ns1: NOTICE:  mine\n", 1), false},
		"of another session":  {strings.Replace(want, "s1: NOTICE", "s3: NOTICE", 1), false},
		"with another text":   {strings.Replace(want, "mine", "yours", 1), false},
		"another row":         {strings.Replace(want, "row", "now", 1), false},
		"steps in disorder":   {strings.Replace(want, "step c\nrow", "row\nstep c", 1), false},
		"an error in between": {strings.Replace(want, "step c\n", "ERROR:  no\nstep c\n", 1), false},
	} {
		if got := lateNotices(want, test.got); got != test.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForgiveLate(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"expected/late.out":     "s1: NOTICE:  x\nstep\n",
		"results/late.out":      "step\ns1: NOTICE:  x\n",
		"expected/second.out":   "other\n",
		"expected/second_1.out": "s1: NOTICE:  x\nstep\n",
		"results/second.out":    "step\ns1: NOTICE:  x\n",
		"expected/wrong.out":    "step\n",
		"results/wrong.out":     "stop\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := result{passed: 1, failures: []string{"late", "wrong", "second", "absent"}}
	r.forgiveLate(dir)
	if r.passed != 3 || strings.Join(r.failures, " ") != "wrong absent" {
		t.Errorf("%+v", r)
	}
}
