package mask

import (
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	const statement = `select ssn::int, Foo, "Bar baz" from customers where note = 'alice'`
	for _, c := range []struct{ code, message, want string }{
		{"22P02", `invalid input syntax for type integer: "078-05-1120"`, "invalid input syntax for a type" + notice},
		{"22012", "division by zero", "division by zero"},
		{"23505", `duplicate key value violates unique constraint "078-05-1120"`, "duplicate key value violates a unique constraint" + notice},
		{"P0001", "078-05-1120", "an exception was raised" + notice},
		{"P0001", "division by zero", "division by zero"},
		{"42P01", `relation "customers" does not exist`, `relation does not exist: "customers"` + notice},
		{"42703", `column "foo" does not exist`, `column does not exist: "foo"` + notice},
		{"42703", `column "s3cret" does not exist`, "column does not exist" + notice},
		{"42703", `column "select ssn" does not exist`, "column does not exist" + notice},
		{"42703", `column "oo" does not exist`, "column does not exist" + notice},
		{"42601", `syntax error at or near "078"`, "syntax error" + notice},
		{"42703", `column "" does not exist`, "column does not exist" + notice},
		{"42703", `column "foo`, "column does not exist" + notice},
		{"57014", "canceling statement due to user request", "canceling statement due to user request"},
		{"57014", "canceling statement of 078-05-1120", "statement canceled" + notice},
		{"25P02", "current transaction is aborted, commands ignored until end of transaction block", "current transaction is aborted, commands ignored until end of transaction block"},
		{"22ZZZ", "078-05-1120", "invalid data" + notice},
		{"00000", "078-05-1120", "the database sent a notice" + notice},
		{"ABCDE", "078-05-1120", "the database reported an error" + notice},
		{"", "078-05-1120", "the database reported an error" + notice},
	} {
		if got := Scrub(c.code, c.message, statement); got != c.want {
			t.Errorf("Scrub(%s, %q) = %q, want %q", c.code, c.message, got, c.want)
		}
	}
	if got := Scrub("42P01", `relation "customers" does not exist`, ""); strings.Contains(got, "customers") {
		t.Errorf("without a statement: %q", got)
	}
}

// FuzzScrub: of a message nothing is left but a name that the statement holds.
func FuzzScrub(f *testing.F) {
	f.Add("42P01", `relation "customers" does not exist`, "select * from customers")
	f.Add("22P02", `invalid input: "x"`, "x")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, code, message, statement string) {
		got := strings.TrimSuffix(Scrub(code, message, statement), notice)
		if constantMessages[got] {
			return
		}
		rest := strings.TrimPrefix(got, template(code))
		if rest == "" {
			return
		}
		name := strings.Trim(strings.TrimPrefix(rest, ": "), `"`)
		if !strings.HasPrefix(code, "42") || !strings.Contains(strings.ToLower(statement), strings.ToLower(name)) {
			t.Fatalf("Scrub(%q, %q, %q) = %q", code, message, statement, got)
		}
	})
}
