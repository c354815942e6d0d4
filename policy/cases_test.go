package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/access"
	"sluice/internal/strictyaml"
)

func runTests(t *testing.T, cases string, describe Describe) (Report, []strictyaml.Problem) {
	t.Helper()
	text := `apiVersion: sluice/v1
kind: PolicyTest
metadata: {name: t}
spec:
  given:
    subject: {id: alice, groups: [engineering]}
    resource: {name: shop, labels: {env: prod}}
    time: 2026-11-20T21:30:00Z
    counts: {statements: 1}
  tables: {public.orders: [id]}
  cases:
` + cases
	return RunTests(loadRules(t, guardrails), parse(t, text), describe)
}

func TestCasesPass(t *testing.T) {
	report, ps := runTests(t, `
  - name: read
    action: {verb: select, reads: {public.customers: [id, email]}}
    result: [public.customers.id, public.customers.email, "?", count]
    expect: {effect: allow, rule: engineers, rules: [p/mask-pii], masks: {public.customers.email: partial}, columns: [clear, partial, "null", clear]}
  - name: unscoped
    action: {verb: delete, scoped: false, writes: {public.orders: []}}
    expect: {effect: deny, rule: p/no-unscoped-writes, message: WHERE}
  - name: approval
    action: {verb: update, writes: {public.orders: [total]}}
    args: [1, null, x]
    expect: {effect: require_approval, approvers: {dba: 1}, limit: {affected_rows: 100}}
  - name: approved
    action: {verb: update, writes: {public.orders: [total]}}
    approvedBy: [{id: bob, groups: [dba]}]
    expect: allow
  - name: by day
    time: 2026-11-20T12:00:00+01:00
    action: {verb: update}
    expect: allow
  - name: dev
    resource: {name: shop, labels: {env: dev}}
    action: {verb: update}
    expect: allow
  - name: too fast
    counts: {statements: 121}
    action: {verb: select}
    expect: {effect: deny, rule: too-fast}
  - name: monitored
    subject: {id: joe, groups: [dba]}
    action: {verb: truncate}
    expect: {effect: deny, rule: default, would: [watch-truncate], hint: nearest}
  - name: opaque
    action: {verb: unknown, confidence: opaque}
    expect: deny
  - name: session
    session: {statements: 5, age: 1h, in_transaction: true}
    client: {address: "10.0.0.1:1"}
    action: {verb: show}
    expect: allow
`, nil)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	for _, c := range report.Cases {
		if len(c.Failures) > 0 {
			t.Errorf("%s: %v", c.Name, c.Failures)
		}
	}
	if report.Passed != 10 || report.Failed != 0 {
		t.Errorf("passed %d, failed %d", report.Passed, report.Failed)
	}
	var untested []string
	for _, p := range report.Untested() {
		untested = append(untested, p.Message)
	}
	if got := strings.Join(untested, ";"); got != "" {
		t.Errorf("untested: %s", got)
	}
}

func TestCasesFail(t *testing.T) {
	report, ps := runTests(t, `
  - name: wrong everything
    action: {verb: select, reads: {public.customers: [email]}}
    result: [public.customers.email]
    expect: {effect: deny, rule: too-fast, rules: [small-writes], would: [watch-truncate], masks: {}, columns: [clear], limit: {rows: 1}, approvers: {dba: 1}, message: nope, hint: nope}
`, nil)
	if len(ps) > 0 || report.Failed != 1 {
		t.Fatal(report, ps)
	}
	if got := report.Cases[0].Failures; len(got) != 10 {
		t.Errorf("got %d failures: %q", len(got), got)
	}
	if report.Cases[0].File != "p.yaml" || report.Cases[0].Line != 13 {
		t.Errorf("placed at %s:%d", report.Cases[0].File, report.Cases[0].Line)
	}
	if len(report.Untested()) == 0 {
		t.Error("one case cannot test every rule")
	}
}

func TestCaseProblems(t *testing.T) {
	for cases, want := range map[string]string{
		"  - {name: a, action: {verb: select}, expect: {effect: allow, rule: engineer}}": `unknown rule "engineer", did you mean "engineers"?`,
		"  - {name: a, expect: allow}":                                                        "want either a command",
		"  - {name: a, postgres: select 1, action: {verb: select}, expect: allow}":            "want either a command",
		"  - {name: a, postgres: select 1, expect: allow}":                                    "no parser here",
		"  - {name: a, action: {verb: selct}, expect: allow}":                                 "unknown verb",
		"  - {name: a, action: {verb: select, confidence: sure}, expect: allow}":              `unknown confidence "sure"`,
		"  - {name: a, action: {verb: select}, counts: {rowz: 1}, expect: allow}":             `nothing counts "rowz"`,
		"  - {name: a, action: {verb: select}, subject: {id: x, kind: robot}, expect: allow}": `unknown kind "robot"`,
		"  - {name: a, action: {verb: select}}":                                               `"expect" is missing`,
		"  - {name: a, action: {verb: select}, expct: allow}":                                 `did you mean "expect"?`,
	} {
		report, ps := runTests(t, cases+"\n", nil)
		var all []string
		for _, p := range ps {
			all = append(all, p.String())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) || len(report.Cases) > 0 {
			t.Errorf("%s: got %q, want %q", cases, got, want)
		}
	}
}

func TestCommandsAreDescribed(t *testing.T) {
	describe := func(c Command) ([]access.Action, error) {
		if c.Text == "bad" {
			return nil, errors.New("no such thing")
		}
		if c.Protocol != "postgres" || c.Resource.Name != "shop" || fmt.Sprint(c.Tables) != "map[public.orders:[id]]" {
			t.Errorf("got %+v", c)
		}
		var all []access.Action
		for _, part := range strings.Split(c.Text, ";") {
			verb, _ := access.ParseVerb(strings.TrimSpace(part))
			all = append(all, access.Action{Verb: verb, Confidence: access.Exact, SQL: &access.SQL{Scoped: true}})
		}
		return all, nil
	}
	report, ps := runTests(t, `
  - {name: one, postgres: select, expect: allow}
  - {name: the worst counts, postgres: select; delete; select, expect: require_approval}
  - {name: bad, postgres: bad, expect: deny}
`, describe)
	if report.Passed != 2 || len(ps) != 1 || !strings.Contains(ps[0].Message, "no such thing") {
		t.Errorf("got %+v, %v", report, ps)
	}
}
