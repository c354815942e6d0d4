package policy

import (
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"*", "", true}, {"*", "x.y", true},
		{"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"a*a", "a", false}, {"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "acb", false}, {"a*bb*b", "abb", false}, {"a**c", "abc", true},
		{"ci-*", "ci-1", true}, {"*-*-*", "a-b", false}, {"*ab*ab*", "abab", true}, {"*ab*ab*", "aba", false},
	} {
		if got := newGlob(c.glob).match(c.text); got != c.want {
			t.Errorf("%q matches %q: got %v", c.glob, c.text, got)
		}
	}
	if (glob{}).match("x") || !literal("a*").match("a*") || literal("a*").match("ab") {
		t.Error("literals and the zero glob")
	}
}

func TestRelationPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, schema, name string
		want                  tri
	}{
		{"finance.*", "finance", "x", yes},
		{"finance.*", "public", "x", no},
		{"finance.*", "", "x", unknown},
		{"finance.salaries", "", "orders", no},
		{"salaries", "any", "salaries", yes},
		{"salaries", "", "salaries", yes},
		{"*.salaries", "", "salaries", yes},
		{"fin*.sal*", "finance", "salaries", yes},
		{`"We.ird"."T""`, "", "", no}, // does not parse, see below
		{`"Fin.ance".x`, "Fin.ance", "x", yes},
		{`"a*".x`, "ab", "x", no},
		{`"a*".x`, "a*", "x", yes},
	} {
		p, err := parseName(c.pattern, 1, 2)
		if err != nil {
			if !strings.Contains(c.pattern, `""`) {
				t.Errorf("%s: %v", c.pattern, err)
			}
			continue
		}
		if got := p.relation(c.schema, c.name); got != c.want {
			t.Errorf("%s on %q.%q: got %s, want %s", c.pattern, c.schema, c.name, got, c.want)
		}
	}
}

func TestParseNameErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"":          "empty part",
		"a..b":      "empty part",
		"a.b.c":     "3 parts, want name or schema.name",
		"Finance.x": "upper case",
		`"a.b`:      "unfinished",
		`"a"b`:      "want a dot",
		`"".x`:      "empty quoted",
		"a b.c":     "needs double quotes",
		`a".b`:      "needs double quotes",
		"x.":        "empty part",
		`"x".`:      "empty part",
	} {
		if _, err := parseName(pattern, 1, 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", pattern, err, want)
		}
	}
	if _, err := parseName("email", 2, 3); err == nil || !strings.Contains(err.Error(), "table.column") {
		t.Errorf("a bare column: %v", err)
	}
}
