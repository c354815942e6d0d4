package policy

import (
	"strings"
	"testing"

	"sluice/internal/strictyaml"
)

// TestLoadErrors: each mistake is found, placed and explained. Rules start on
// line 6.
func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ name, rule, want string }{
		{"unknown key", `  - {id: a, efect: deny}`, `6:13: unknown key "efect", did you mean "effect"?`},
		{"missing effect", `  - {id: a}`, `6:5: key "effect" is missing`},
		{"unknown effect", `  - {id: a, effect: dney}`, `6:21: rule "a": unknown effect "dney", did you mean "deny"?`},
		{"unknown verb", `  - {id: a, match: {verbs: [delet]}, effect: deny}`, `unknown verb "delet", did you mean "delete"?`},
		{"unknown access", `  - {id: a, match: {access: [wirte]}, effect: deny}`, `unknown access "wirte", did you mean "write"?`},
		{"unknown protocol", `  - {id: a, match: {protocols: [postgresql]}, effect: deny}`, `unknown protocol "postgresql", did you mean "postgres"?`},
		{"contradiction", `  - {id: a, match: {verbs: [delete], access: [read]}, effect: deny}`, `no verb is in both verbs and access`},
		{"undefined field", `  - {id: a, match: {protocols: [postgres]}, when: "!sql.scopd", effect: deny}`, `6:56: rule "a": undefined field 'scopd', did you mean "scoped"?`},
		{"undeclared", `  - {id: a, when: "subjekt.id == 'x'", effect: deny}`, `undeclared reference to 'subjekt', did you mean "subject"?`},
		{"later view", `  - {id: a, when: "k8s.verb == 'x'", effect: deny}`, `the view "k8s" is not supported yet`},
		{"type mismatch", `  - {id: a, when: 'rate("statements", "1m") > "120"', effect: deny}`, `found no matching overload for '_>_'`},
		{"not a condition", `  - {id: a, when: subject.id, effect: deny}`, `when must be true or false, this is string`},
		{"unknown counter", `  - {id: a, when: 'rate("statments", "1m") > 1', effect: deny}`, `nothing counts statments, did you mean "statements"?`},
		{"bad window", `  - {id: a, when: 'rate("statements", "1w") > 1', effect: deny}`, `want a window between`},
		{"computed window", `  - {id: a, when: 'rate("statements", subject.id) > 1', effect: deny}`, `want a window between`},
		{"bad regex", `  - {id: a, when: "action.text.matches('(')", effect: deny}`, `invalid matches argument`},
		{"bad zone", `  - {id: a, when: now.getHours("Europe/Berlni") > 1, effect: deny}`, `no such time zone: "Europe/Berlni"`},
		{"local zone", `  - {id: a, when: now.getHours("Local") > 1, effect: deny}`, `depends on the machine`},
		{"bad network", `  - {id: a, match: {client: {cidr: [10.0.0.1/8]}}, effect: deny}`, `did you mean "10.0.0.0/8"?`},
		{"no network", `  - {id: a, match: {client: {cidr: [nowhere]}}, effect: deny}`, `not an address or network`},
		{"sql without protocol", `  - {id: a, when: "!sql.scoped", effect: deny}`, `the view sql needs match.protocols`},
		{"sql beside ssh", `  - {id: a, match: {protocols: [postgres, ssh]}, when: "!sql.scoped", effect: deny}`, `the view sql needs match.protocols`},
		{"commands", `  - {id: a, match: {protocols: [ssh], commands: {words: [rm]}}, effect: deny}`, `match.commands is not supported yet`},
		{"empty list", `  - {id: a, match: {groups: []}, effect: deny}`, `an empty list would match nothing`},
		{"empty not", `  - {id: a, match: {not: {}}, effect: deny}`, `not without conditions`},
		{"upper case", `  - {id: a, match: {tables: [Finance.x]}, effect: deny}`, `upper case in "Finance"`},
		{"database in a pattern", `  - {id: a, match: {tables: [db.finance.x]}, effect: deny}`, `has 3 parts, want name or schema.name`},
		{"bare column", `  - {id: a, match: {columns: [email]}, effect: deny}`, `want table.column or schema.table.column`},
		{"duplicate rule", "  - {id: a, effect: deny}\n  - {id: a, effect: deny}", `7:10: rule "a" is already defined at p.yaml:6:10`},
		{"approval without quorum", `  - {id: a, effect: require_approval}`, `needs approval`},
		{"quorum without approval", `  - {id: a, effect: deny, approval: {from: [{group: dba}]}}`, `approval belongs to effect require_approval`},
		{"empty quorum", `  - {id: a, effect: require_approval, approval: {from: []}}`, `names nobody`},
		{"zero count", `  - {id: a, effect: require_approval, approval: {from: [{group: dba, count: 0}]}}`, `a count between 1 and`},
		{"shape", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], binds: shape}}`, `binds: shape needs grant`},
		{"grant", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], grant: {for: 30m, uses: 20, rows: 1}}}`, `grant belongs to binds: shape`},
		{"long grant", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], binds: shape, grant: {for: 25h, uses: 20, rows: 1}}}`, `grant.for must be`},
		{"grant of nothing", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], binds: shape, grant: {for: 5m, uses: 0, rows: 1}}}`, `want grant.uses between 1 and`},
		{"grant without rows", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], binds: shape, grant: {for: 5m, uses: 1}}}`, `rows`},
		{"at", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], at: once}}`, `at is commit, or left out`},
		{"preview alone", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], preview: run}}`, `preview is run, together with at: commit`},
		{"long hold", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], at: commit, max_hold: 2h}}`, `max_hold must be between`},
		{"long glass", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], break_glass: {groups: [oncall], for: 9h, review: 24h}}}`, `break_glass wants groups`},
		{"glass for nobody", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], break_glass: {groups: [], for: 1h, review: 24h}}}`, `an empty list would match nothing`},
		{"glass without review", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], break_glass: {groups: [oncall], for: 1h}}}`, `review`},
		{"binds", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], binds: shap}}`, `unknown binds`},
		{"reason", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], reason: yes please}}`, `reason is required or optional`},
		{"impatient reminder", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], remind: 5s}}`, `remind at most every`},
		{"late escalation", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], escalate: {after: 15m, to: [{group: lead}]}}}`, `escalate.after must lie between`},
		{"escalation to nobody", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], escalate: {after: 5m, to: []}}}`, `names nobody`},
		{"expiry", `  - {id: a, effect: require_approval, approval: {from: [{group: dba}], expires: -1m}}`, `expires must be more than nothing`},
		{"mask without method", `  - {id: a, match: {columns: [t.c]}, effect: mask}`, `needs mask: {with: METHOD}`},
		{"unknown mask", `  - {id: a, match: {columns: [t.c]}, effect: mask, mask: {with: partail}}`, `unknown mask "partail", did you mean "partial"?`},
		{"unknown detector", `  - {id: a, effect: mask, mask: {detect: [secret], with: redact}}`, `unknown detector "secret", did you mean "secrets"?`},
		{"mask paths", `  - {id: a, match: {columns: [t.c]}, effect: mask, mask: {with: redact, paths: ["email"]}}`, `mask.paths: jsonpath: "email": want $`},
		{"mask paths of tables", `  - {id: a, match: {tables: [t]}, effect: mask, mask: {with: redact, paths: ["$.email"]}}`, `mask.paths needs columns`},
		{"mask paths of finds", `  - {id: a, effect: mask, mask: {detect: [pii], with: redact, paths: ["$.email"]}}`, `detectors look everywhere`},
		{"no mask paths", `  - {id: a, match: {columns: [t.c]}, effect: mask, mask: {with: redact, paths: []}}`, `an empty list`},
		{"mask key", `  - {id: a, match: {columns: [t.c]}, effect: mask, mask: {with: redact, key: old}}`, `belongs to with: hash`},
		{"mask nothing", `  - {id: a, effect: mask, mask: {with: redact}}`, `nothing to mask`},
		{"limit nothing", `  - {id: a, effect: limit, limit: {}}`, `name rows, bytes, affected_rows or timeout`},
		{"a timeout of nothing", `  - {id: a, effect: limit, limit: {timeout: 0s}}`, `between 1ms and 24h`},
		{"limit zero", `  - {id: a, effect: limit, limit: {rows: 0}}`, `at least 1`},
		{"notify nobody", `  - {id: a, effect: notify}`, `needs notify`},
		{"denial with mask", `  - {id: a, effect: deny, record: true}`, `a denial has no obligations`},
		{"bad id", `  - {id: "a/b", effect: deny}`, `rule id "a/b"`},
		{"bad mode", `  - {id: a, mode: watch, effect: deny}`, `unknown mode "watch"`},
		{"dear", `  - {id: a, when: "action.objects.all(a, action.objects.all(b, action.objects.exists(c, a.name + b.name == c.name)))", effect: deny}`, `exceeds nesting limit`},
		{"still dear", `  - {id: a, when: "action.objects.all(a, action.objects.all(b, a.name.contains(b.name + action.text)))", effect: deny}`, `units, more than`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ps := Load(parse(t, bundle(c.rule+"\n")))
			var all []string
			for _, p := range ps {
				all = append(all, p.String())
			}
			if got := strings.Join(all, "\n"); s != nil || !strings.Contains(got, c.want) {
				t.Errorf("got %v %q, want %q", s, got, c.want)
			}
		})
	}
}

func TestLoadReportsAllProblems(t *testing.T) {
	_, ps := Load(parse(t, bundle("  - {id: a, effect: x, match: {verbs: [y]}, when: z}\n  - {id: b, effect: w}\n")))
	if len(ps) != 4 {
		t.Errorf("got %d problems: %v", len(ps), ps)
	}
}

func TestExpressionPlaces(t *testing.T) {
	for name, c := range map[string]struct{ when, want string }{
		"plain":   {"when: subject.idd == 'x'", "p.yaml:8:18:"},
		"quoted":  {`when: "subject.idd == 'x'"`, "p.yaml:8:19:"},
		"literal": {"when: |\n      true &&\n      subject.idd == 'x'", "p.yaml:10:"},
		"folded":  {"when: >-\n      subject.idd == 'x'", "p.yaml:9:"},
	} {
		_, ps := Load(parse(t, bundle("  - id: a\n    effect: deny\n    "+c.when+"\n")))
		if len(ps) != 1 || !strings.HasPrefix(ps[0].String(), c.want) {
			t.Errorf("%s: got %v, want %s", name, ps, c.want)
		}
	}
}

func TestDefinitions(t *testing.T) {
	text := `apiVersion: sluice/v1
kind: Policy
metadata: {name: p}
spec:
  protocols: [postgres]
  defs:
    berlin_hour: now.getHours("Europe/Berlin")
    in_shift: berlin_hour >= 8 && berlin_hour < 18
    unscoped: "!sql.scoped"
  rules:
  - {id: all, match: {groups: [engineering]}, effect: allow}
  - {id: shift, when: "!in_shift", effect: deny}
  - {id: scoped, when: unscoped, effect: deny}
`
	s := load(t, text)
	if d := s.Decide(ask(7, groups("engineering"))); d.By() != "p/shift" || d.Stable {
		t.Errorf("got %s, stable %v", d.By(), d.Stable)
	}
	bad := strings.Replace(text, "in_shift: berlin", "in_shift: berlni", 1)
	_, ps := Load(parse(t, bad))
	if len(ps) == 0 || !strings.Contains(ps[0].String(), `definition "in_shift": undeclared reference to 'berlni_hour', did you mean "berlin_hour"?`) {
		t.Errorf("got %v", ps)
	}
	shadow := strings.Replace(text, "unscoped: ", "subject: ", 1)
	if _, ps := Load(parse(t, shadow)); len(ps) == 0 || !strings.Contains(ps[0].Message, "want a new name") {
		t.Errorf("a definition that hides a view: %v", ps)
	}
	other := strings.Replace(text, "protocols: [postgres]", "protocols: [ssh]", 1)
	if _, ps := Load(parse(t, other)); len(ps) == 0 || !strings.Contains(ps[0].Message, "the view sql needs") {
		t.Errorf("sql hidden in a definition: %v", ps)
	}
}

func TestDigest(t *testing.T) {
	a := load(t, bundle("  - {id: a, effect: deny, message: x}\n"))
	b := load(t, "# comment\n"+bundle("  -   message: \"x\"\n      effect: deny\n      id: a\n"))
	c := load(t, bundle("  - {id: a, effect: deny, message: y}\n"))
	if a.Digest() != b.Digest() {
		t.Error("formatting changed the digest")
	}
	if a.Digest() == c.Digest() || len(a.Digest()) != 64 {
		t.Error("a change did not change the digest")
	}
	if d := a.Decide(ask(1)); d.Policy != a.Digest() {
		t.Error("decisions must name the digest")
	}
}

func TestDuplicatePolicies(t *testing.T) {
	one := bundle("  - {id: a, effect: deny}\n")
	if _, ps := Load(parse(t, one+"---\n"+one)); len(ps) != 1 || !strings.Contains(ps[0].Message, "already defined") {
		t.Errorf("got %v", ps)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(bundle(guardrails))
	f.Add(bundle("  - {id: a, when: 'true', effect: allow}\n"))
	f.Add(bundle("  - {id: a, match: {not: {not: {tables: ['*.\"x\"']}}}, effect: mask, mask: {with: hash}}\n"))
	f.Fuzz(func(t *testing.T, text string) {
		docs, _ := strictyaml.Parse("f.yaml", []byte(text))
		s, ps := Load(docs)
		if (s == nil) != (len(ps) > 0) {
			t.Fatalf("set %v with problems %v", s, ps)
		}
		if s == nil {
			return
		}
		r := ask(20, reads("public.customers", "email"))
		d := s.Decide(r)
		Explain(s, r)
		Lint(s, Inventory{})
		s.Posture(r.Subject, r.Resource)
		if d.Policy == "" || len(d.Reasons) == 0 {
			t.Fatalf("a decision without policy or reason: %+v", d)
		}
	})
}

// What an expression may cost is bounded at load, or, where no estimate is
// possible, while it runs.
func TestCost(t *testing.T) {
	for when, want := range map[string]string{
		`action.text.split(",").exists(x, x.lowerAscii() == "a")`:                              "",
		`action.objects.exists(o, subject.groups.exists(g, g == o.name))`:                      "",
		`action.objects.exists(o, subject.groups.exists(g, action.text.contains(g + o.name)))`: "units, more than",
	} {
		_, ps := Load(parse(t, bundle("  - {id: a, when: '"+when+"', effect: deny}\n")))
		var all []string
		for _, p := range ps {
			all = append(all, p.Message)
		}
		if got := strings.Join(all, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
}
