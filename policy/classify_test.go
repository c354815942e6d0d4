package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// classified is what the tests' resource shop holds.
const classified = `
---
apiVersion: sluice/v1
kind: Classification
metadata: {name: shop}
spec:
  resource: shop
  columns:
    public.customers.email: [pii, contact]
    "*.customers.card": payment
    hr.*.salary: [pii]
  reviewed: [public.customers.id, public.orders.*]
`

func loadTags(t testing.TB, rules string) *Set {
	t.Helper()
	return load(t, bundle("  - {id: base, match: {access: [read, write, admin]}, effect: allow}\n"+rules)+classified)
}

// edit changes the object added last.
func edit(f func(*access.Object)) change {
	return func(r *access.Request) { f(&r.Action.Objects[len(r.Action.Objects)-1]) }
}

var (
	anyColumns = edit(func(o *access.Object) { o.ColumnsKnown, o.Columns = false, nil })
	derived    = edit(func(o *access.Object) { o.Derived = true })
	system     = edit(func(o *access.Object) { o.System = true })
)

func TestTagsRestrict(t *testing.T) {
	const pii = `  - {id: a, match: {tags: [pii]}, effect: deny}`
	const open = `  - {id: a, match: {tags: [unclassified]}, effect: deny}`
	for _, c := range []struct {
		name, rule string
		ask        []change
		want       access.Effect
	}{
		{"tagged", pii, []change{reads("public.customers", "id", "email")}, access.Deny},
		{"other tag", pii, []change{reads("public.customers", "id", "card")}, access.Allow},
		{"one tag alone, any schema", `  - {id: a, match: {tags: [payment]}, effect: deny}`, []change{reads("crm.customers", "card")}, access.Deny},
		{"any of several", `  - {id: a, match: {tags: [payment, pii]}, effect: deny}`, []change{reads("public.customers", "email")}, access.Deny},
		{"other schema", pii, []change{reads("crm.customers", "email")}, access.Allow},
		{"schema not resolved", pii, []change{reads("customers", "email")}, access.Deny},
		{"pattern for tables", pii, []change{reads("hr.people", "name", "salary")}, access.Deny},
		{"pattern for tables, other column", pii, []change{reads("hr.people", "name")}, access.Allow},
		{"columns not known", pii, []change{reads("public.customers"), anyColumns}, access.Deny},
		{"columns not known elsewhere", pii, []change{reads("public.orders"), anyColumns}, access.Allow},
		{"opaque", pii, []change{confidence(access.Opaque)}, access.Deny},
		{"below a view", pii, []change{reads("public.v", "x"), derived, reads("public.customers", "email"), edit(func(o *access.Object) { o.Via = "public.v" })}, access.Deny},
		{"schema as a whole", pii, []change{func(r *access.Request) {
			r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindSchema, Name: "hr", Write: true})
		}}, access.Deny},
		{"another schema as a whole", pii, []change{func(r *access.Request) {
			r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindSchema, Name: "scratch", Write: true})
		}}, access.Allow},
		{"another resource", pii, []change{reads("public.customers", "email"), func(r *access.Request) { r.Resource.Name = "crm" }}, access.Allow},
		{"opaque at another resource", pii, []change{confidence(access.Opaque), func(r *access.Request) { r.Resource.Name = "crm" }}, access.Allow},

		{"unclassified", open, []change{reads("public.customers", "id", "phone")}, access.Deny},
		{"all known", open, []change{reads("public.customers", "id", "email", "card")}, access.Allow},
		{"table reviewed as a whole", open, []change{reads("public.orders", "anything")}, access.Allow},
		{"table reviewed as a whole, columns not known", open, []change{reads("public.orders"), anyColumns}, access.Allow},
		{"columns not known, some unclassified", open, []change{reads("public.customers"), anyColumns}, access.Deny},
		{"new table", open, []change{reads("public.new", "id")}, access.Deny},
		{"same table in another schema", open, []change{reads("crm.orders", "id")}, access.Deny},
		{"unclassified, schema not resolved", open, []change{reads("orders", "id")}, access.Deny},
		{"no column at all", open, []change{reads("public.new")}, access.Allow},
		{"system columns", open, []change{reads("public.new", "ctid", "tableoid")}, access.Allow},
		{"view over known columns", open, []change{reads("public.v", "x"), derived, reads("public.orders", "total")}, access.Allow},
		{"view over a new column", open, []change{reads("public.v", "x"), derived, reads("public.customers", "phone")}, access.Deny},
		{"the server's catalog", open, []change{reads("pg_catalog.pg_class", "relname"), system}, access.Allow},
		{"temporary table", open, []change{reads("pg_temp.mine", "a")}, access.Allow},
		{"schema with what is not known", open, []change{func(r *access.Request) {
			r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindSchema, Name: "public", Write: true})
		}}, access.Deny},
		{"resource without classification", open, []change{reads("public.new", "id"), func(r *access.Request) { r.Resource.Name = "crm" }}, access.Allow},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := loadTags(t, c.rule).Decide(ask(access.VerbSelect, c.ask...))
			if d.Effect != c.want {
				t.Errorf("%v by %s (%s)", d.Effect, d.By(), d.Message)
			}
		})
	}
}

// The base rule allows opaque actions only where it leaves no access out.
func TestTagsAllow(t *testing.T) {
	rule := func(tags string) *Set {
		return load(t, bundle("  - {id: a, match: {tags: ["+tags+"]}, effect: allow}\n")+classified)
	}
	for _, c := range []struct {
		name, tags string
		ask        []change
		want       access.Effect
	}{
		{"all carry it", "pii", []change{reads("public.customers", "email")}, access.Allow},
		{"one does not", "pii", []change{reads("public.customers", "email", "id")}, access.Deny},
		{"columns not known", "pii", []change{reads("public.customers"), anyColumns}, access.Deny},
		{"columns not known, unclassified", "unclassified", []change{reads("public.new"), anyColumns}, access.Deny},
		{"unclassified", "unclassified", []change{reads("public.new", "id")}, access.Allow},
		{"unclassified, schema not resolved", "unclassified", []change{reads("new", "id")}, access.Deny},
		{"not understood", "pii", []change{reads("public.customers", "email"), confidence(access.Partial)}, access.Deny},
		{"elsewhere", "pii", []change{reads("public.customers", "email"), func(r *access.Request) { r.Resource.Name = "crm" }}, access.Deny},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := rule(c.tags).Decide(ask(access.VerbSelect, c.ask...)); d.Effect != c.want {
				t.Errorf("%v by %s (%s)", d.Effect, d.By(), d.Message)
			}
		})
	}
}

func TestTagsInsideNot(t *testing.T) {
	s := load(t, bundle("  - {id: a, match: {access: [read], not: {tags: [pii, unclassified]}}, effect: allow}\n")+classified)
	for _, c := range []struct {
		ask  []change
		want access.Effect
	}{
		{[]change{reads("public.orders", "id")}, access.Allow},
		{[]change{reads("public.customers", "email")}, access.Deny},
		{[]change{reads("public.customers", "phone")}, access.Deny},
		{[]change{reads("public.customers"), anyColumns}, access.Deny},
		{[]change{reads("public.orders"), anyColumns}, access.Allow},
	} {
		if d := s.Decide(ask(access.VerbSelect, c.ask...)); d.Effect != c.want {
			t.Errorf("%+v: %v (%s)", ask(access.VerbSelect, c.ask...).Action.Objects, d.Effect, d.Message)
		}
	}
}

func masksOf(d access.Decision) string {
	var all []string
	for _, o := range d.Obligations {
		if m, ok := o.(access.Mask); ok {
			all = append(all, fmt.Sprintf("%s=%s", m.Column, m.With))
			if m.Unknown {
				all[len(all)-1] += "?"
			}
		}
	}
	return strings.Join(all, " ")
}

func TestTagsMask(t *testing.T) {
	s := loadTags(t, `  - {id: a, match: {tags: [pii]}, effect: mask, mask: {with: partial}}
  - {id: b, match: {tags: [unclassified], tables: ["public.*"]}, effect: mask, mask: {with: "null"}}
`)
	for _, c := range []struct {
		ask  []change
		want string
	}{
		{[]change{reads("public.customers", "id", "email", "card")}, "public.customers.email=partial"},
		{[]change{reads("public.customers", "id", "email", "phone")}, "public.customers.email=partial public.customers.phone=null"},
		{[]change{reads("public.customers"), anyColumns}, "public.customers.*=null? public.customers.email=partial?"},
		{[]change{reads("crm.customers", "phone")}, ""}, // not within tables
		{[]change{reads("public.orders", "id")}, ""},
		{[]change{reads("public.v", "x"), derived, reads("public.customers", "email")}, "public.customers.email=partial"},
		{[]change{confidence(access.Opaque)}, "..=null? ..=partial?"},
		{[]change{reads("public.customers", "email"), func(r *access.Request) { r.Resource.Name = "crm" }}, ""},
	} {
		got := strings.Fields(masksOf(s.Decide(ask(access.VerbSelect, c.ask...))))
		slices.Sort(got)
		// One mask stands for all that is unknown: the strictest.
		want := strings.Fields(c.want)
		if c.want == "..=null? ..=partial?" {
			want = []string{"..=null?"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", ask(access.VerbSelect, c.ask...).Action.Objects, got, want)
		}
	}
}

func TestTagsMaskResults(t *testing.T) {
	s := loadTags(t, `  - {id: a, match: {tags: [pii]}, effect: mask, mask: {with: partial}}
  - {id: b, match: {tags: [unclassified]}, effect: mask, mask: {with: "null"}}
`)
	id := func(names ...string) access.Column {
		c := access.Column{Traced: true}
		for _, n := range names {
			p := strings.Split(n, ".")
			c.Origins = append(c.Origins, access.ColumnID{Schema: p[0], Table: p[1], Column: p[2]})
		}
		return c
	}
	cols := []access.Column{
		id("public.customers.id"), id("public.customers.email"), id("public.customers.phone"), id("public.v.x", "public.orders.id"),
		id("public.v.y", "public.customers.email"), id("public.customers_eu.email", "public.customers.email"), id("public.unlisted.x", "public.orders.id"),
		id("pg_catalog.pg_class.relname"), {}, id(),
	}
	r := ask(access.VerbSelect, reads("public.v", "x", "y"), derived, reads("public.customers_eu", "email"), derived)
	masks, err := s.Result(r, s.Decide(r), cols)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range masks {
		got = append(got, m.With)
	}
	if want := []string{"", "partial", "null", "", "partial", "partial", "null", "", "null", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	r.Resource.Name = "crm" // no column carries a tag there
	if masks, err = s.Result(r, s.Decide(r), cols); err != nil || slices.ContainsFunc(masks, func(m access.Mask) bool { return m.With != "" }) {
		t.Errorf("%v %v", masks, err)
	}
}

func TestTagsPosture(t *testing.T) {
	s := loadTags(t, `  - {id: a, match: {tags: [pii]}, effect: mask, mask: {with: partial}}`)
	alice := ask(access.VerbSelect).Subject
	for name, want := range map[string]bool{"shop": true, "crm": false} {
		if p := s.Posture(alice, access.Resource{Name: name, Protocol: "postgres"}); p.Masked != want || p.Restricted != want || !p.May {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestTagsExplain(t *testing.T) {
	s := loadTags(t, `  - {id: a, match: {tags: [pii]}, effect: deny}`)
	d := s.Decide(ask(access.VerbSelect, reads("public.orders", "id"), reads("public.customers", "id", "email")))
	if got := d.Reasons[0].Because; got != "tags: [pii] => public.customers.email" {
		t.Error(got)
	}
}

func TestClassification(t *testing.T) {
	s := loadTags(t, "")
	c := s.Classification("shop")
	for _, x := range []struct {
		schema, table, column string
		tags                  string
		known                 bool
	}{
		{"public", "customers", "email", "[contact pii]", true}, {"public", "customers", "card", "[payment]", true},
		{"public", "customers", "id", "[]", true}, {"public", "orders", "x", "[]", true}, {"public", "customers", "phone", "[]", false},
		{"hr", "a", "salary", "[pii]", true}, {"", "customers", "email", "[]", false},
	} {
		if got := fmt.Sprint(c.Tags(x.schema, x.table, x.column)); got != x.tags || c.Known(x.schema, x.table, x.column) != x.known {
			t.Errorf("%v: %s %v", x, got, c.Known(x.schema, x.table, x.column))
		}
	}
	if none := s.Classification("crm"); none.Known("public", "customers", "email") || none.Tags("a", "b", "c") != nil {
		t.Error("a resource without classification knows something")
	}
	if got := c.Missing([]access.ColumnID{{Schema: "public", Table: "customers", Column: "email"}, {Schema: "crm", Table: "customers", Column: "card"}}); fmt.Sprint(got) != "[public.customers.id]" {
		t.Errorf("missing: %q", got)
	}
	if ps := s.Unplaced([]string{"shopp"}); len(ps) != 1 || ps[0].Message != `there is no resource "shop", did you mean "shopp"?` {
		t.Error(ps)
	}
	if ps := s.Unplaced([]string{"shop"}); ps != nil {
		t.Error(ps)
	}
	without := load(t, bundle("  - {id: base, match: {access: [read, write, admin]}, effect: allow}\n"))
	if without.Digest() == s.Digest() {
		t.Error("a classification does not change the digest")
	}
}

func TestClassificationProblems(t *testing.T) {
	const head = "apiVersion: sluice/v1\nkind: Classification\nmetadata: {name: c}\nspec:\n"
	for _, c := range []struct{ name, spec, want string }{
		{"no resource", "  columns: {a.b: [x]}", "resource"},
		{"nothing", "  resource: shop", "nothing is classified"},
		{"key", "  resource: shop\n  colums: {a.b: [x]}", "colums"},
		{"pattern", "  resource: shop\n  columns: {email: [x]}", `pattern "email" has 1 parts`},
		{"too long", "  resource: shop\n  reviewed: [db.a.b.c]", "has 4 parts"},
		{"upper case", "  resource: shop\n  columns: {public.Customers.email: [x]}", "upper case"},
		{"empty part", "  resource: shop\n  columns: {public..email: [x]}", "empty part"},
		{"no tags", "  resource: shop\n  columns: {a.b: []}", "has no tags"},
		{"tag's name", "  resource: shop\n  columns: {a.b: [PII]}", `tag "PII"`},
		{"tag twice", "  resource: shop\n  columns: {a.b: [x, x]}", "stands twice"},
		{"reserved", "  resource: shop\n  columns: {a.b: [unclassified]}", "cannot be set"},
		{"same key", "  resource: shop\n  columns: {a.b: [x], a.b: [y]}", "already set"},
		{"tagged and reviewed", "  resource: shop\n  columns: {a.b: [x]}\n  reviewed: [\"*.a.b\"]", "already classified at p.yaml:6:13"},
		{"list of columns", "  resource: shop\n  columns: [a.b]", "want a mapping"},
		{"two documents", "  resource: shop\n  columns: {a.b: [x]}\n---\n" + strings.Replace(head, "name: c", "name: d", 1) + "  resource: shop\n  columns: {a.b: [y]}", "already classified"},
		{"one name", "  resource: shop\n  columns: {a.b: [x]}\n---\n" + head + "  resource: crm\n  columns: {a.b: [y]}", "already defined"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ps := Load(parse(t, head+c.spec+"\n"))
			if s != nil || len(ps) == 0 || !strings.Contains(ps[0].Message, c.want) {
				t.Errorf("%v, want %q", ps, c.want)
			}
		})
	}
}

func TestTagsInRules(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`  - {id: a, match: {tags: [PII]}, effect: deny}`, "want lower-case"},
		{`  - {id: a, match: {tags: []}, effect: deny}`, "empty list"},
		{`  - {id: a, match: {tags: [pii], columns: [a.b]}, effect: mask, mask: {with: "null"}}`, "either match.columns or match.tags"},
	} {
		if _, ps := Load(parse(t, bundle(c.rule)+classified)); len(ps) != 1 || !strings.Contains(ps[0].Message, c.want) {
			t.Errorf("%s: %v", c.rule, ps)
		}
	}
}

func TestTagsLint(t *testing.T) {
	inv := Inventory{Resources: []access.Resource{{Name: "shop", Protocol: "postgres"}, {Name: "crm", Protocol: "postgres"}}}
	for _, c := range []struct{ rule, want string }{
		{`  - {id: a, match: {resource: {names: [shop]}, tags: [pii, unclassified]}, effect: deny}`, ""},
		{`  - {id: a, match: {resource: {names: [shop]}, tags: [pi]}, effect: deny}`, `no Classification gives the tag "pi", did you mean "pii"?`},
		{`  - {id: a, match: {resource: {names: [shop]}, not: {tags: [secret]}}, effect: deny}`, `gives the tag "secret"`},
		{`  - {id: a, match: {tags: [pii]}, effect: deny}`, `resource "crm" has no Classification`},
		{`  - {id: a, match: {resource: {names: [shop]}, tags: [pii]}, effect: mask, mask: {with: "null", columns: [a.b]}}`, "leave mask.columns out"},
	} {
		var got []string
		for _, p := range Lint(loadTags(t, c.rule), inv) {
			got = append(got, p.Message)
		}
		if all := strings.Join(got, "\n"); c.want == "" && all != "" || !strings.Contains(all, c.want) {
			t.Errorf("%s: %q, want %q", c.rule, all, c.want)
		}
	}
}

func FuzzClassification(f *testing.F) {
	f.Add(strings.TrimPrefix(classified, "\n---\n"), "customers", "email")
	f.Fuzz(func(t *testing.T, text, table, column string) {
		docs, ps := strictyaml.Parse("f.yaml", []byte(text))
		if len(ps) > 0 {
			return
		}
		c := classify(ofKind(docs, ClassificationKind), &ps).classes["shop"]
		if len(c.Tags("public", table, column)) > 0 && !c.Known("public", table, column) {
			t.Error("tagged and not known")
		}
	})
}
