package policy

import (
	"strings"
	"testing"

	"sluice/access"
)

const factRules = `
  - {id: all, match: {not: {tables: [public.hidden]}}, effect: allow}
  - {id: never, match: {verbs: [truncate]}, effect: deny}
  - {id: big, match: {protocols: [postgres], access: [read]}, when: sql.estimate.rows > 1000, effect: deny}
  - {id: many, match: {protocols: [postgres], verbs: [delete]}, when: "sql.estimate.cost > 50 && sql.count.rows > 10", effect: require_approval, approval: {from: [{group: dba}]}}
  - {id: watch, mode: monitor, match: {protocols: [postgres], verbs: [update]}, when: sql.count.rows > 10, effect: deny}
`

// told is a request with what the target said.
func told(v access.Verb, f access.Facts) access.Request {
	r := ask(v)
	r.Action.SQL = &access.SQL{Scoped: true, Limit: -1, Facts: f}
	return r
}

func TestNeeds(t *testing.T) {
	s := loadRules(t, factRules)
	est := func(rows, cost int64) *access.Estimate { return &access.Estimate{Rows: rows, Cost: cost} }
	n := func(n int64) *int64 { return &n }
	const both = access.FactEstimate | access.FactCount
	for _, tt := range []struct {
		name   string
		r      access.Request
		needs  access.FactSet
		effect access.Effect
	}{
		{"a read", told(access.VerbSelect, access.Facts{}), access.FactEstimate, access.Deny},
		{"a small read", told(access.VerbSelect, access.Facts{Asked: access.FactEstimate, Estimate: est(10, 10)}), 0, access.Allow},
		{"a big read", told(access.VerbSelect, access.Facts{Asked: access.FactEstimate, Estimate: est(1001, 10)}), 0, access.Deny},
		{"asked in vain", told(access.VerbSelect, access.Facts{Asked: access.FactEstimate, Why: "no plan"}), 0, access.Deny},
		{"a fetch is not planned", told(access.VerbFetch, access.Facts{}), 0, access.Allow},
		{"a session's command", told(access.VerbShow, access.Facts{}), 0, access.Allow},
		{"a delete", told(access.VerbDelete, access.Facts{}), both, access.RequireApproval},
		{"a cheap delete", told(access.VerbDelete, access.Facts{Asked: access.FactEstimate, Estimate: est(0, 10)}), 0, access.Allow},
		{"a dear delete", told(access.VerbDelete, access.Facts{Asked: access.FactEstimate, Estimate: est(0, 100)}), access.FactCount, access.RequireApproval},
		{"a dear delete of few", told(access.VerbDelete, access.Facts{Asked: both, Estimate: est(0, 100), Count: n(10)}), 0, access.Allow},
		{"a dear delete of many", told(access.VerbDelete, access.Facts{Asked: both, Estimate: est(0, 100), Count: n(11)}), 0, access.RequireApproval},
		{"an update, monitored", told(access.VerbUpdate, access.Facts{}), access.FactCount, access.Allow},
		{"denied anyway", told(access.VerbTruncate, access.Facts{}), 0, access.Deny},
		{"an insert", told(access.VerbInsert, access.Facts{}), 0, access.Allow},
	} {
		d := s.Decide(tt.r)
		if d.Needs != tt.needs || d.Effect != tt.effect {
			t.Errorf("%s: %s needs %b, want %s needs %b (%s)", tt.name, d.Effect, d.Needs, tt.effect, tt.needs, d.Message)
		}
		if d.Needs != 0 && d.Stable {
			t.Errorf("%s: stable", tt.name)
		}
	}
	r := told(access.VerbSelect, access.Facts{})
	r.Action.Objects = []access.Object{{Kind: access.KindTable, Schema: "public", Name: "hidden", Read: true}}
	if d := s.Decide(r); d.Needs != 0 || d.Effect != access.Deny {
		t.Errorf("nothing allows it, and yet %b is asked for", d.Needs)
	}
	d := s.Decide(told(access.VerbSelect, access.Facts{Asked: access.FactEstimate, Why: "no plan"}))
	if !strings.Contains(d.Message, "no plan") {
		t.Errorf("message %q", d.Message)
	}
	if p := s.Posture(access.Subject{Issuer: "local", ID: "alice"}, access.Resource{Name: "shop", Protocol: "postgres"}); !p.Restricted {
		t.Error("what is estimated must be what runs")
	}
}

func TestFactsAreLinted(t *testing.T) {
	s := loadRules(t, `
  - {id: mixed, match: {protocols: [postgres, mysql]}, when: sql.estimate.rows > 1, effect: deny}
  - {id: reads, match: {protocols: [postgres], verbs: [select]}, when: sql.count.rows > 1, effect: deny}
  - {id: fine, match: {protocols: [postgres], verbs: [delete]}, when: sql.count.rows > 1, effect: deny}
`)
	var got []string
	for _, p := range Lint(s, Inventory{}) {
		got = append(got, p.Message)
	}
	all := strings.Join(got, "\n")
	if !strings.Contains(all, `rule "mixed": sql.estimate`) || !strings.Contains(all, `rule "reads": sql.count`) || strings.Contains(all, `rule "fine"`) {
		t.Error(all)
	}
}

func TestFactsInCases(t *testing.T) {
	set := loadRules(t, factRules)
	report, problems := RunTests(set, parse(t, `apiVersion: sluice/v1
kind: PolicyTest
metadata: {name: t}
spec:
  given: {subject: {id: alice}, resource: {name: shop}}
  cases:
  - {name: unknown, action: {verb: select}, expect: {effect: deny, rule: big, message: the test does not say}}
  - {name: small, action: {verb: select}, estimate: {rows: 30, cost: 5}, expect: allow}
  - {name: big, action: {verb: select}, estimate: {rows: 3000}, expect: {effect: deny, rule: big}}
  - {name: many, action: {verb: delete}, estimate: {cost: 51}, count: {rows: 11}, expect: require_approval}
  - {name: few, action: {verb: delete}, estimate: {cost: 51}, count: {rows: 10}, expect: allow}
`), nil)
	if len(problems) > 0 || report.Failed > 0 || report.Passed != 5 {
		t.Errorf("%v %+v", problems, report.Cases)
	}
}

// Which rule denies must not tell what a condition on a masked column picks.
func TestNothingIsAskedAboutMaskedColumns(t *testing.T) {
	s := loadRules(t, `
  - {id: all, effect: allow}
  - {id: mail, match: {columns: [public.customers.email]}, effect: mask, mask: {with: redact}}
  - {id: many, match: {protocols: [postgres], verbs: [delete]}, when: sql.count.rows > 10, effect: deny}
`)
	r := told(access.VerbDelete, access.Facts{})
	table := access.Object{Kind: access.KindTable, Schema: "public", Name: "customers", Write: true, ColumnsKnown: true}
	table.Columns = []access.ColumnUse{{Name: "id", Use: access.UseFilter}}
	r.Action.Objects = []access.Object{table}
	if d := s.Decide(r); d.Needs != access.FactCount {
		t.Errorf("by id: needs %b", d.Needs)
	}
	table.Columns = []access.ColumnUse{{Name: "email", Use: access.UseFilter}}
	r.Action.Objects = []access.Object{table}
	if d := s.Decide(r); d.Needs != 0 || d.Effect != access.Deny {
		t.Errorf("by email: %s, needs %b", d.Effect, d.Needs)
	}
}
