package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/access"
)

// putTo adds a table whose column email is put to some uses.
func putTo(use access.Use, edit ...func(*access.ColumnUse)) change {
	return touches("public.customers", func(o *access.Object) {
		o.Read, o.ColumnsKnown = true, true
		c := access.ColumnUse{Name: "email", Use: use}
		for _, e := range edit {
			e(&c)
		}
		o.Columns = []access.ColumnUse{c, {Name: "id", Use: access.UseOutput | access.UseFlow | access.UseFilter}}
	})
}

func over(rows int64, functions ...string) func(*access.ColumnUse) {
	return func(c *access.ColumnUse) { c.Aggregates, c.MinGroup = functions, rows }
}

func as(text string) func(*access.ColumnUse) {
	return func(c *access.ColumnUse) { c.Exprs = []access.UseExpr{{Use: c.Use, Text: text}} }
}

func masking(permissions string) string {
	return "  - {id: all, effect: allow}\n  - {id: m, match: {columns: [customers.email]}, effect: mask, mask: {with: hash" + permissions + "}}\n"
}

func TestPermissionsOfMasks(t *testing.T) {
	const (
		none     = ""
		equality = ", filterable: equality"
		ranged   = ", filterable: range"
		join     = ", joinable: true"
		count    = ", aggregatable: true"
		groups   = ", aggregatable: {min_group: 10, functions: [count, avg]}"
	)
	for _, c := range []struct {
		permissions string
		use         change
		allowed     bool
	}{
		{none, putTo(access.UseOutput), true},
		{none, putTo(access.UseOutput | access.UseCarry), true},
		{none, putTo(access.UseAssign), true},
		{none, putTo(access.UseFlow), false},
		{none, putTo(access.UseOutput | access.UseEqual), false},
		{none, putTo(access.UseNull), false},
		{none, putTo(access.UseJoin), false},
		{none, putTo(access.UseGroup), false},
		{none, putTo(access.UseOrder), false},
		{none, putTo(access.UseStore), false},
		{none, putTo(access.UseRow), false},
		{none, putTo(access.UseAggregate, over(0, "count")), false},
		{", filterable: none", putTo(access.UseEqual), false},
		{equality, putTo(access.UseOutput | access.UseEqual | access.UseNull), true},
		{equality, putTo(access.UseRange), false},
		{equality, putTo(access.UseOrder), false},
		{equality, putTo(access.UseJoin), false},
		{equality, putTo(access.UseFilter), false},
		{equality, putTo(access.UseEqual | access.UseFlow), false},
		{ranged, putTo(access.UseEqual | access.UseNull | access.UseRange | access.UseOrder), true},
		{ranged, putTo(access.UseGroup), false},
		{ranged, putTo(access.UseFilter), false},
		{join, putTo(access.UseJoin | access.UseGroup), true},
		{join, putTo(access.UseEqual), false},
		{join, putTo(access.UseJoin | access.UseEqual), false}, // a list of guesses
		{join + equality, putTo(access.UseJoin | access.UseEqual), true},
		{count, putTo(access.UseAggregate, over(0, "count")), true},
		{count, putTo(access.UseAggregate, over(0, "count", "max")), false},
		{count, putTo(access.UseAggregate), false}, // nobody knows which
		{groups, putTo(access.UseAggregate, over(10, "avg", "count")), true},
		{groups, putTo(access.UseAggregate, over(9, "avg")), false},
		{groups, putTo(access.UseAggregate, over(10, "sum")), false},
		{", aggregatable: false", putTo(access.UseAggregate, over(10, "count")), false},
		{equality + ranged[len(", filterable: range"):] + join + count, putTo(access.UseStore), false},
		{none, putTo(1 << 15), false}, // a use that a later release knows
	} {
		d := loadRules(t, masking(c.permissions)).Decide(ask(access.VerbSelect, c.use))
		if (d.Effect == access.Allow) != c.allowed {
			t.Errorf("%q: %v %s", c.permissions, d.Effect, d.Message)
		}
		if !c.allowed && (d.By() != "p/m" || !strings.Contains(d.Message, "masked `customers.email`") || d.Hint == "") {
			t.Errorf("%q: by %s: %s (%s)", c.permissions, d.By(), d.Message, d.Hint)
		}
	}
}

// The strictest of several rules on a column holds, and a rule in monitor mode
// says what it would have done.
func TestSeveralMasksOnAColumn(t *testing.T) {
	both := masking(", filterable: range") + "  - {id: n, match: {columns: [\"public.customers.*\"]}, effect: mask, mask: {with: partial, filterable: equality}}\n"
	s := loadRules(t, both)
	if d := s.Decide(ask(access.VerbSelect, putTo(access.UseRange))); d.Effect != access.Deny || d.By() != "p/n" {
		t.Errorf("%v by %s", d.Effect, d.By())
	}
	s = loadRules(t, masking(", filterable: range")+"  - {id: n, mode: monitor, match: {columns: [\"customers.*\"]}, effect: mask, mask: {with: partial}}\n")
	d := s.Decide(ask(access.VerbSelect, putTo(access.UseRange, as("email LIKE ..."))))
	if d.Effect != access.Allow || len(d.Would) != 1 || !strings.Contains(d.Would[0].Message, "`email LIKE ...` searches") {
		t.Errorf("%v %+v", d.Effect, d.Would)
	}
	// A rule for another table, subject or column says nothing.
	s = loadRules(t, masking(", filterable: range")+"  - {id: n, match: {columns: [orders.email]}, effect: mask, mask: {with: partial}}\n  - {id: g, match: {groups: [x], columns: [customers.email]}, effect: mask, mask: {with: partial}}\n")
	if d := s.Decide(ask(access.VerbSelect, putTo(access.UseRange))); d.Effect != access.Allow {
		t.Errorf("%v %s", d.Effect, d.Message)
	}
}

func TestMisuseMessages(t *testing.T) {
	for _, c := range []struct {
		permissions   string
		use           change
		message, hint string
	}{
		{"", putTo(access.UseFlow, as("lower(email)")), "`lower(email)` exposes masked `customers.email`; allowed: the bare column", "SELECT email FROM customers shows it masked."},
		{", filterable: equality", putTo(access.UseFlow, as("lower(email)")), "`lower(email)` exposes masked `customers.email`; allowed: the bare column, equality on it", "SELECT email FROM customers shows it masked; WHERE email = ... works."},
		{"", putTo(access.UseRow, as("c")), "`c` exposes masked `customers.email` in a whole row; allowed: the bare column", "List the columns: SELECT email, ... FROM customers shows it masked."},
		{"", putTo(access.UseEqual), "`email` compares masked `customers.email`; allowed: the bare column", ""},
		{", aggregatable: {min_group: 5}", putTo(access.UseAggregate, over(0, "count")), "count of it over at least 5 rows", "HAVING count(*) >= 5"},
		{", aggregatable: true", putTo(access.UseAggregate, over(0, "max"), as("max(email)")), "`max(email)` aggregates masked `customers.email`; allowed: the bare column, count of it", "Try count(email)."},
	} {
		d := loadRules(t, masking(c.permissions)).Decide(ask(access.VerbSelect, c.use))
		if !strings.Contains(d.Message, c.message) || !strings.Contains(d.Hint, c.hint) {
			t.Errorf("%s\n%s", d.Message, d.Hint)
		}
	}
	custom := "  - {id: all, effect: allow}\n  - {id: m, match: {columns: [customers.email]}, effect: mask, mask: {with: hash}, message: personal data, hint: ask legal}\n"
	if d := loadRules(t, custom).Decide(ask(access.VerbSelect, putTo(access.UseFlow))); !strings.HasPrefix(d.Message, "personal data: `email`") || d.Hint != "ask legal" {
		t.Errorf("%s %s", d.Message, d.Hint)
	}
}

func TestPermissionMistakes(t *testing.T) {
	for permissions, want := range map[string]string{
		", filterable: some":                               "unknown filterable",
		", aggregatable: {functions: [median]}":            "unknown aggregate",
		", aggregatable: {functions: []}":                  "names none",
		", aggregatable: {min_group: 1}":                   "min_group must be",
		", aggregatable: {min_grop: 5}":                    "min_grop",
		", aggregatable: sometimes":                        "",
		", detect: [email], joinable: true, columns: null": "about columns",
	} {
		_, problems := Load(parse(t, bundle(masking(permissions))))
		if len(problems) == 0 || !strings.Contains(problems[0].Message, want) && !strings.Contains(problems[len(problems)-1].Message, want) {
			t.Errorf("%s: %v", permissions, problems)
		}
	}
	s := loadRules(t, masking(", aggregatable: {functions: [sum]}"))
	if w := Lint(s, Inventory{}); len(w) == 0 || !strings.Contains(w[0].Message, "min_group") {
		t.Errorf("no warning of sums over one row: %v", w)
	}
}

// To permit more never refuses more, and what is not the bare column is refused
// without a permission.
func TestPermissionsOnlyAdd(t *testing.T) {
	options := []string{", filterable: equality", ", joinable: true", ", aggregatable: true"}
	var sets []*Set
	for i := range 1 << len(options) {
		text := ""
		for j, o := range options {
			if i&(1<<j) != 0 {
				text += o
			}
		}
		sets = append(sets, loadRules(t, masking(text)))
	}
	rapid.Check(t, func(t *rapid.T) {
		use := access.Use(rapid.Uint16().Draw(t, "use"))
		r := ask(access.VerbSelect, putTo(use, over(rapid.Int64Range(0, 3).Draw(t, "group"), "count")))
		for i, s := range sets {
			for j, more := range sets {
				if i&j == i && s.Decide(r).Effect == access.Allow && more.Decide(r).Effect != access.Allow {
					t.Fatalf("%b is allowed with %b and not with %b", use, i, j)
				}
			}
		}
		if plain := use&^bare == 0; (sets[0].Decide(r).Effect == access.Allow) != plain {
			t.Fatalf("%b without permissions: %v", use, !plain)
		}
	})
}

// Values of several columns keep a method that leaves a part only where all are
// masked by it, and a keyed hash stands beside no value that a statement chose.
func TestMergedColumns(t *testing.T) {
	s := loadRules(t, `  - {id: all, effect: allow}
  - {id: a, match: {columns: [c.email, l.email]}, effect: mask, mask: {with: email}}
  - {id: b, match: {columns: [c.card]}, effect: mask, mask: {with: card_last4}}
  - {id: h, match: {columns: [c.key]}, effect: mask, mask: {with: hash}}
  - {id: z, match: {columns: [c.age]}, effect: mask, mask: {with: zero}}
`)
	id := func(name string) access.ColumnID {
		table, column, _ := strings.Cut(name, ".")
		return access.ColumnID{Schema: "public", Table: table, Column: column}
	}
	for _, c := range []struct {
		parts []string
		mixed bool
		want  string
	}{
		{[]string{"c.email"}, false, "email"},
		{[]string{"c.email", "l.email"}, false, "email"},
		{[]string{"c.email", "c.card"}, false, "redact"},
		{[]string{"c.email", "c.name"}, false, "redact"},
		{[]string{"c.email"}, true, "redact"},
		{[]string{"c.key"}, true, "redact"},
		{[]string{"c.key", "c.name"}, false, "redact"},
		{[]string{"c.age", "c.name"}, true, "zero"},
		{[]string{"c.name", "c.city"}, true, ""},
	} {
		col := access.Column{Traced: true, Mixed: c.mixed}
		for _, p := range c.parts {
			col.Origins = append(col.Origins, id(p))
			if len(c.parts) > 1 {
				col.Parts = append(col.Parts, []access.ColumnID{id(p)})
			}
		}
		r := ask(access.VerbSelect)
		masks, err := s.Result(r, access.Decision{Effect: access.Allow}, []access.Column{col})
		if err != nil || masks[0].With != c.want {
			t.Errorf("%v: %v %v", c.parts, masks, err)
		}
	}
}
