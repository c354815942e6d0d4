package harden

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRoleNamesFitAndDiffer(t *testing.T) {
	long := strings.Repeat("ü", 40)
	a, b := RoleName(long+"a"), RoleName(long+"b")
	if len(a) > 63 || a == b || !utf8.ValidString(a) || RoleName("dba") != "sluice_dba" {
		t.Errorf("%q %q", a, b)
	}
}

func TestMaskKeepsToItsTypes(t *testing.T) {
	for _, c := range []struct {
		with string
		typ  uint32
		want string
	}{
		{"null", 23, `CASE WHEN false THEN "c" END`}, {"zero", 23, "CASE WHEN \"c\" IS NOT NULL THEN 0 END"}, {"hash", 25, ""}, {"hash", 23, ""},
		{"year", 1082, `date_trunc('year', "c"::timestamp)::date`}, {"email", 17, `CASE WHEN false THEN "c" END`}, {"partial", 1700, `CASE WHEN false THEN "c" END`},
		{"unheard of", 25, `CASE WHEN false THEN "c"::text END`},
	} {
		if got := Mask(c.with, "c", c.typ); got != c.want {
			t.Errorf("%s %d: %q", c.with, c.typ, got)
		}
	}
}

// Every view of a role has a name of its own, whatever the tables are called.
func TestViewNamesDiffer(t *testing.T) {
	long := strings.Repeat("n", 60)
	r := Role{Group: "g"}
	for _, n := range []Name{{"a", "t"}, {"b", "t"}, {"c", "a_t"}, {"c", "b_t"}, {"d", "b_t"}, {long + "1", long}, {long + "2", long}, {"e", "alone"}} {
		r.Tables = append(r.Tables, Table{Name: n, Masked: []Masked{{"email", "NULL", "x"}}})
	}
	names, seen := r.viewNames(), map[string]Name{}
	for of, name := range names {
		if other, taken := seen[name]; taken || len(name) > 63 {
			t.Errorf("%v and %v are both %q", of, other, name)
		}
		seen[name] = of
	}
	if len(names) != len(r.Tables) || names[Name{"e", "alone"}] != "alone" || names[Name{"a", "t"}] == "a_t" || names[Name{"c", "a_t"}] != "a_t" {
		t.Errorf("%v", names)
	}
}

// Whatever a table has masked, it is in no grant on the table itself.
func TestMaskedColumnsAreNotGranted(t *testing.T) {
	p := Plan{Roles: []Role{{Group: "g", Tables: []Table{
		{Name: Name{"s", "t"}, Select: Columns{Names: []string{"id"}}, Masked: []Masked{{"email", Mask("email", "email", 25), "x"}, {"token", "", "x"}}},
		{Name: Name{"s", "u"}, Masked: []Masked{{"token", "", "x"}}},
		{Name: Name{"q", "t"}, Masked: []Masked{{"email", Mask("null", "email", 25), "x"}}},
	}}}}
	sql := p.SQL()
	for _, want := range []string{`GRANT SELECT ("id") ON "s"."t" TO "sluice_g"`, `CREATE VIEW "sluice_g"."s_t"`, `CREATE VIEW "sluice_g"."q_t"`, "-- left out: token"} {
		if !strings.Contains(sql, want) {
			t.Errorf("%q is not in\n%s", want, sql)
		}
	}
	for _, never := range []string{`"sluice_g"."u"`, `GRANT SELECT ON "s"`, `AS "token"`} {
		if strings.Contains(sql, never) {
			t.Errorf("%q is in\n%s", never, sql)
		}
	}
}

// FuzzQuoting reads back what was quoted, as the server would.
func FuzzQuoting(f *testing.F) {
	for _, s := range []string{"plain", `a"b`, `a'b`, `a\b`, "$sluice$", "$sluice0$ $sluice$", "a\nb", "--", "/*"} {
		f.Add(s)
	}
	f.Add("$sluice")
	f.Add("\u202egnp\U000e0041\x1b[2J")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return // no name or text of a database is
		}
		id := Ident(s)
		inner, escaped := strings.CutPrefix(id, "U&")
		inner = inner[1 : len(inner)-1]
		if strings.Count(inner, `"`)%2 != 0 || read(t, strings.ReplaceAll(inner, `""`, `"`), escaped, `\+`, 6, `\`, 4) != s {
			t.Errorf("ident %q", id)
		}
		lit := Literal(s)
		inner, escaped = strings.CutPrefix(lit, " E")
		inner = inner[1 : len(inner)-1]
		if strings.Count(inner, `'`)%2 != 0 || read(t, strings.ReplaceAll(inner, `''`, `'`), escaped, `\U`, 8, `\u`, 4) != s || strings.Contains(s, `\`) && !escaped {
			t.Errorf("literal %q", lit)
		}
		for _, text := range []string{id, lit, oneLine(s)} {
			if strings.IndexFunc(text, unseen) >= 0 {
				t.Errorf("%q is not what it looks like", text)
			}
		}
		body := dollar(s)
		tag := body[:strings.Index(body[1:], "$")+2]
		if strings.Index(body[len(tag):], tag) != len(s) || body != tag+s+tag {
			t.Errorf("dollar %q", body)
		}
	})
}

// read undoes escapes as the server does: two kinds of a prefix and so many digits.
func read(t *testing.T, s string, escaped bool, long string, digits int, short string, few int) string {
	if !escaped {
		return s
	}
	var b strings.Builder
	for s != "" {
		switch {
		case strings.HasPrefix(s, `\\`):
			b.WriteByte('\\')
			s = s[2:]
		case strings.HasPrefix(s, long):
			s = char(t, &b, s[len(long):], digits)
		case strings.HasPrefix(s, short):
			s = char(t, &b, s[len(short):], few)
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

func char(t *testing.T, b *strings.Builder, s string, digits int) (rest string) {
	n, err := strconv.ParseUint(s[:digits], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteRune(rune(n))
	return s[digits:]
}
