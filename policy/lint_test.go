package policy

import (
	"strings"
	"testing"

	"sluice/access"
)

func TestLint(t *testing.T) {
	inv := Inventory{
		Resources: []access.Resource{
			{Name: "shop", Protocol: "postgres", Labels: map[string]string{"env": "prod", "team": "shop"}},
			{Name: "crm", Protocol: "postgres", Labels: map[string]string{"env": "dev"}},
		},
		Groups:   map[string]int{"engineering": 5, "dba": 1, "empty": 0, "oidc": -1},
		Channels: []string{"ops"},
	}
	base := "  - {id: base, match: {groups: [engineering], access: [read, write]}, effect: allow}\n"
	for _, c := range []struct{ name, rule, want string }{
		{"fine", `  - {id: a, match: {resource: {labels: {env: prod}}, verbs: [delete]}, effect: deny}`, ""},
		{"dead protocol", `  - {id: a, match: {protocols: [mysql]}, effect: deny}`, "never applies"},
		{"dead name", `  - {id: a, match: {resource: {names: [erp]}}, effect: deny}`, "never applies"},
		{"missing label", `  - {id: a, match: {resource: {labels: {tier: gold}}}, effect: deny}`, "no resource has the label tier: gold"},
		{"missing value", `  - {id: a, match: {resource: {labels: {env: [prod, stage]}}}, effect: deny}`, "no resource has the label env: stage"},
		{"dead pair", `  - {id: a, match: {resource: {labels: {env: dev, team: shop}}}, effect: deny}`, "never applies"},
		{"label read", `  - {id: a, when: resource.labels.team == "shop", effect: deny}`, `reads the label "team", which resource "crm" lacks`},
		{"label read by key", `  - {id: a, when: 'resource.labels["team"] == "shop"', effect: deny}`, `reads the label "team"`},
		{"label read where it is", `  - {id: a, match: {resource: {names: [shop]}}, when: resource.labels.team == "x", effect: deny}`, ""},
		{"label read with care", `  - {id: a, when: 'has(resource.labels.team) && resource.labels.team == "x"', effect: deny}`, ""},
		{"label read optionally", `  - {id: a, when: 'resource.labels[?"team"].orValue("") == "x"', effect: deny}`, ""},
		{"unknown group", `  - {id: a, match: {groups: [enginering]}, effect: deny}`, `unknown group "enginering", did you mean "engineering"?`},
		{"unknown group inside not", `  - {id: a, match: {not: {groups: [ops]}}, effect: deny}`, `unknown group "ops"`},
		{"unknown approvers", `  - {id: a, match: {access: [write]}, effect: require_approval, approval: {from: [{group: dbaa}]}}`, `unknown approver group "dbaa", did you mean "dba"?`},
		{"no approvers", `  - {id: a, match: {access: [write]}, effect: require_approval, approval: {from: [{group: empty}]}}`, `is empty: nobody can approve`},
		{"too few approvers", `  - {id: a, match: {access: [write]}, effect: require_approval, approval: {from: [{group: dba, count: 2}]}}`, `has 1 members, and 2 must approve`},
		{"approvers from elsewhere", `  - {id: a, match: {access: [write]}, effect: require_approval, approval: {from: [{group: oidc, count: 2}]}}`, ""},
		{"approval without allow", `  - {id: a, match: {access: [admin]}, effect: require_approval, approval: {from: [{group: dba}]}}`, "approval alone grants nothing"},
		{"unknown channel", `  - {id: a, effect: notify, notify: [opps]}`, `unknown channel "opps", did you mean "ops"?`},
		{"slow regex", `  - {id: a, when: 'action.text.matches("[0-9]{16}")', effect: deny}`, "has no plain text"},
		{"regex with text", `  - {id: a, when: 'action.text.matches("(?i)drop +table")', effect: deny}`, ""},
		{"shadowed", "  - {id: a, match: {groups: [engineering], verbs: [delete], resource: {labels: {env: prod}}}, effect: allow, record: true}\n  - {id: b, match: {access: [write]}, effect: deny}", `rule "a": never allows anything: p/b`},
		{"shadowed in part", "  - {id: a, match: {groups: [dba], access: [write]}, effect: allow}\n  - {id: b, match: {verbs: [delete]}, effect: deny}", ""},
		{"shadowed sometimes", "  - {id: a, match: {groups: [dba], access: [write]}, effect: allow}\n  - {id: b, match: {access: [write]}, when: session.writes > 1, effect: deny}", ""},
		{"mask of reads", `  - {id: a, match: {columns: ["*.t.c"], access: [read]}, effect: mask, mask: {with: "null"}}`, "does not hold for insert"},
		{"mask of one verb", `  - {id: a, match: {columns: ["*.t.c"], verbs: [select]}, effect: mask, mask: {with: "null"}}`, "does not hold for fetch"},
		{"hidden from reads", `  - {id: a, match: {tables: ["f.*"], access: [read]}, effect: deny}`, "does not hold for insert"},
		{"hidden from writes", `  - {id: a, match: {tables: ["f.*"], access: [write]}, effect: deny}`, ""},
		{"mask of both", `  - {id: a, match: {columns: ["*.t.c"], access: [read, write]}, effect: mask, mask: {with: "null"}}`, ""},
		{"redundant", `  - {id: a, match: {groups: [engineering], verbs: [select]}, effect: allow}`, `adds nothing: p/base`},
		{"not redundant", `  - {id: a, match: {groups: [engineering], verbs: [select]}, effect: allow, limit: {rows: 1}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Lint(loadRules(t, base+c.rule+"\n"), inv) {
				if !strings.Contains(p.Message, `rule "base"`) {
					got = append(got, p.String())
				}
			}
			all := strings.Join(got, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("got %q, want %q", all, c.want)
			}
		})
	}
}

func TestLintOfTwins(t *testing.T) {
	s := loadRules(t, "  - {id: a, match: {groups: [x]}, effect: allow}\n  - {id: b, match: {groups: [x]}, effect: allow}\n")
	if ps := Lint(s, Inventory{}); len(ps) != 1 || !strings.Contains(ps[0].Message, `rule "b": adds nothing`) {
		t.Errorf("of two equal rules one is redundant: %v", ps)
	}
	if ps := Lint(nil, Inventory{}); len(ps) != 0 {
		t.Errorf("no set: %v", ps)
	}
}
