package policy

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
	"sluice/access"
)

// Generators over a small world, so that rules and requests often meet.

var (
	someGroups  = []string{"engineering", "finance", "ops"}
	someTables  = []string{"public.orders", "public.customers", "finance.salaries"}
	someColumns = []string{"id", "email", "card"}
	someVerbs   = []access.Verb{access.VerbUnknown, access.VerbBegin, access.VerbSet, access.VerbSelect, access.VerbDelete, access.VerbDrop}
)

func drawList(t *rapid.T, label string, from []string) string {
	n := rapid.IntRange(1, 2).Draw(t, label+"#")
	var parts []string
	for range n {
		parts = append(parts, fmt.Sprintf("%q", rapid.SampledFrom(from).Draw(t, label)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func drawMatch(t *rapid.T, depth int, protocols string) string {
	var parts []string
	if protocols != "" {
		parts = append(parts, "protocols: "+protocols)
	}
	add := func(name, text string) {
		if rapid.IntRange(0, 3).Draw(t, name+"?") == 0 {
			parts = append(parts, name+": "+text)
		}
	}
	add("groups", drawList(t, "groups", someGroups))
	add("kinds", drawList(t, "kinds", []string{"human", "agent"}))
	if protocols == "" {
		add("protocols", drawList(t, "protocols", []string{"postgres", "mysql", "ssh"}))
	}
	add("access", drawList(t, "access", []string{"session", "read", "write", "admin"}))
	add("verbs", drawList(t, "verbs", []string{"select", "delete", "drop", "unknown", "*"}))
	add("tables", drawList(t, "tables", []string{"finance.*", "*.customers", "orders", "*.*"}))
	add("columns", drawList(t, "columns", []string{"*.customers.email", "finance.*.*", "orders.id"}))
	add("functions", drawList(t, "functions", []string{"pg_sleep", "public.*"}))
	add("confidence", drawList(t, "confidence", []string{"exact", "partial", "opaque"}))
	add("resource", "{labels: {env: "+drawList(t, "env", []string{"prod", "dev"})+"}}")
	if depth > 0 {
		if inner := drawMatch(t, depth-1, ""); inner != "{}" {
			add("not", inner)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

var someConditions = []string{
	"true", "session.writes > 3", "sql.scoped", "sql.tables.exists(t, t.schema == 'finance')",
	"size(sql.functions) == 0", "'finance' in subject.groups", "resource.labels.env == 'prod'", "now.getHours('UTC') > 12",
}

func drawRule(t *rapid.T, id string, effects ...string) string {
	when, protocols := "", ""
	if rapid.Bool().Draw(t, "when?") {
		c := rapid.SampledFrom(someConditions).Draw(t, "when")
		if strings.Contains(c, "sql.") {
			protocols = "[postgres, mysql]"
		}
		when = fmt.Sprintf(", when: %q", c)
	}
	match := drawMatch(t, 1, protocols)
	effect := rapid.SampledFrom(effects).Draw(t, "effect")
	extra := map[string]string{
		"require_approval": ", approval: {from: [{group: dba}]}", "limit": ", limit: {rows: 7}",
		"mask": ", mask: {columns: ['*.customers.email'], with: hash}", "notify": ", notify: [x]",
	}[effect]
	mode := ""
	if rapid.IntRange(0, 9).Draw(t, "monitor?") == 0 {
		mode = ", mode: monitor"
	}
	return fmt.Sprintf("  - {id: %s, match: %s%s, effect: %s%s%s}\n", id, match, when, effect, extra, mode)
}

func drawRules(t *rapid.T) string {
	var b strings.Builder
	for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
		b.WriteString(drawRule(t, fmt.Sprint("r", i), "allow", "allow", "deny", "require_approval", "limit", "mask", "record", "notify"))
	}
	return b.String()
}

func tryLoad(t *rapid.T, tb testing.TB, rules string) *Set {
	s, ps := shared(t).load(parse(tb, bundle(rules)))
	if s == nil {
		for _, p := range ps {
			if !strings.Contains(p.Message, "no verb is in both") {
				t.Fatalf("%v\n%s", p, rules)
			}
		}
		t.Skip("contradicting verbs")
	}
	return s
}

// shared builds one loader for all cases: that is most of the work.
var sharedLoader = sync.OnceValues(newLoader)

func shared(t *rapid.T) *loader {
	l, err := sharedLoader()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func drawRequest(t *rapid.T) access.Request {
	r := ask(rapid.SampledFrom(someVerbs).Draw(t, "verb"))
	r.Action.Confidence = access.Confidence(rapid.IntRange(0, 2).Draw(t, "confidence"))
	r.Subject.Groups = rapid.SliceOfN(rapid.SampledFrom(someGroups), 0, 2).Draw(t, "groups")
	r.Resource.Protocol = rapid.SampledFrom([]string{"postgres", "postgres", "mysql", "ssh"}).Draw(t, "protocol")
	r.Resource.Labels = map[string]string{"env": rapid.SampledFrom([]string{"prod", "dev", "test"}).Draw(t, "env")}
	r.Action.SQL.Scoped = rapid.Bool().Draw(t, "scoped")
	r.Action.SQL.Functions = rapid.SliceOfN(rapid.SampledFrom([]string{"public.f", "pg_catalog.pg_sleep"}), 0, 1).Draw(t, "functions")
	r.Context.Session.Writes = int64(rapid.IntRange(0, 6).Draw(t, "writes"))
	for range rapid.IntRange(0, 2).Draw(t, "tables") {
		reads(rapid.SampledFrom(someTables).Draw(t, "table"), rapid.SampledFrom(someColumns).Draw(t, "column"))(&r)
	}
	if rapid.IntRange(0, 4).Draw(t, "actor?") == 0 {
		r.Subject.Actor = &access.Subject{ID: "bot", Kind: access.Agent, Groups: rapid.SliceOfN(rapid.SampledFrom(someGroups), 0, 2).Draw(t, "actor groups")}
	}
	return r
}

// reach orders decisions by what they let happen.
func reach(d access.Decision) int { return 2 - severity(d.Effect) }

func TestRestrictingRulesNeverWiden(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rules := drawRules(rt)
		extra := drawRule(rt, "extra", "deny", "require_approval", "limit", "mask", "record", "notify")
		s, more := tryLoad(rt, t, rules), tryLoad(rt, t, rules+extra)
		r := drawRequest(rt)
		a, b := s.Decide(r), more.Decide(r)
		if reach(b) > reach(a) {
			rt.Fatalf("%s became %s by adding %s", a.Effect, b.Effect, extra)
		}
		if b.Effect == access.Allow && len(b.Obligations) < len(a.Obligations) {
			rt.Fatalf("obligations were lost by adding %s: %v, then %v", extra, a.Obligations, b.Obligations)
		}
	})
}

func TestAllowRulesNeverNarrow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rules := drawRules(rt)
		extra := drawRule(rt, "extra", "allow")
		if strings.Contains(extra, "labels.env") {
			rt.Skip("it may fail, and then denies")
		}
		r := drawRequest(rt)
		if a, b := tryLoad(rt, t, rules).Decide(r), tryLoad(rt, t, rules+extra).Decide(r); reach(b) < reach(a) {
			rt.Fatalf("%s became %s (%s) by adding %s", a.Effect, b.Effect, b.Message, extra)
		}
	})
}

// What is understood less is never allowed more: session verbs apart, whose
// grant does not depend on the statement, and apart from rules that speak of
// confidence themselves.
func TestLessUnderstoodIsNeverAllowedMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rules := drawRules(rt)
		if strings.Contains(rules, "confidence") {
			rules = regexp.MustCompile(`confidence: \[[^]]*\](, )?`).ReplaceAllString(rules, "")
			rules = strings.ReplaceAll(strings.ReplaceAll(rules, ", }", "}"), "not: {}", "not: {groups: [nobody]}")
		}
		s := tryLoad(rt, t, rules)
		r := drawRequest(rt)
		r.Action.Confidence = access.Exact
		exact := s.Decide(r)
		r.Action.Confidence = access.Partial
		partial := s.Decide(r)
		r.Action.Confidence = access.Opaque
		opaque := s.Decide(r)
		if reach(partial) > reach(exact) || reach(opaque) > reach(partial) {
			rt.Fatalf("exact %s, partial %s, opaque %s", exact.Effect, partial.Effect, opaque.Effect)
		}
	})
}

func TestZeroRequestsAreDenied(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tryLoad(rt, t, drawRules(rt))
		if d := s.Decide(access.Request{}); d.Effect != access.Deny {
			rt.Fatalf("the zero request: %+v", d)
		}
	})
	if d := (*Set)(nil).Decide(ask(access.VerbSelect)); d.Effect != access.Deny || d.Message == "" {
		t.Errorf("no set: %+v", d)
	}
}

// The index must find exactly the rules that a search of all would.
func TestIndexAgreesWithSearch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tryLoad(rt, t, drawRules(rt))
		r := drawRequest(rt)
		q := newQuestion(&r)
		found := map[*rule]tri{}
		s.forEach(q, func(rule *rule) {
			met, _ := rule.static(q)
			found[rule] = met
		})
		for _, rule := range s.rules {
			want := rule.matched(q)
			if rule.effect == effApproval && !rule.match.hasVerbs && r.Action.Verb.Class() == access.ClassSession {
				want = no // does not ask for what every session needs
			}
			if found[rule] != want {
				rt.Fatalf("%s: index says %s, search says %s", rule.id, found[rule], want)
			}
		}
	})
}

// A decision called stable must not change with what may change.
func TestStableDecisionsStay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tryLoad(rt, t, drawRules(rt))
		r := drawRequest(rt)
		a := s.Decide(r)
		if !a.Stable {
			return
		}
		r.Context.Time = r.Context.Time.Add(time.Duration(rapid.IntRange(-48, 48).Draw(rt, "hours")) * time.Hour)
		r.Context.Session.Writes = int64(rapid.IntRange(0, 9).Draw(rt, "later writes"))
		r.Context.Counts = counts{"statements": 1000}
		r.Context.Reason = "because"
		r.Action.Args = []access.Arg{{Value: []byte("1")}}
		if b := s.Decide(r); a.Effect != b.Effect || a.By() != b.By() || obligations(a) != obligations(b) {
			rt.Fatalf("%+v became %+v", a, b)
		}
	})
}

// Whoever is allowed or asked anything may do something, and whoever has masks
// has them in the posture.
func TestPostureCoversDecisions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := tryLoad(rt, t, drawRules(rt))
		r := drawRequest(rt)
		d, p := s.Decide(r), s.Posture(r.Subject, r.Resource)
		if d.Effect != access.Deny && !p.May {
			rt.Fatalf("%s by %s, but the posture says that nothing is possible", d.Effect, d.By())
		}
		for _, o := range d.Obligations {
			if _, ok := o.(access.Mask); ok && !p.Masked {
				rt.Fatalf("masked, but the posture says not: %+v", d)
			}
		}
	})
}

// The filter may pass too much, never too little.
func TestFilterNeverDropsAMatch(t *testing.T) {
	patterns := []string{
		`(?i)\b(drop\s+database|pg_read_file|lo_import)\b`, `(?i)kill`, `secret|password`, `(abc)+x?`, `a{2,5}bcd`, `(?:foo)?bar`,
		`^select`, `[xyz]drop`, `(?i)straße`, `dr(op|own)`, `(?i)(drop|(truncate|trunc))`, `.*`, ``, `x*y+zzz`,
	}
	words := []string{"drop", "DROP", "dRoWn", "database", " ", "pg_read_file", "kill", "\u212Aill", "\u017Fecret", "SECRET", "abc", "aaabcd", "bar", "select", "xdrop", "STRASSE", "straße", "trunc", "zzz", "yyyzzz"}
	compiled := map[string]*regexp.Regexp{}
	for _, p := range patterns {
		compiled[p] = regexp.MustCompile(p)
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(patterns).Draw(rt, "pattern")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 5).Draw(rt, "words"), "")
		if compiled[p].MatchString(text) && !newFilter(p).pass(text) {
			rt.Fatalf("%q matches %q, and the filter %v drops it", p, text, newFilter(p).needles)
		}
	})
}

func TestFilters(t *testing.T) {
	for pattern, want := range map[string]string{
		`(?i)\b(drop\s+database|pg_read_file|lo_import)\b`: "[database pg_read_file lo_import]",
		`(?i)\bDROP\b`: "[drop]",
		`a|bcd`:        "[]",
		`\d+`:          "[]",
		`x(foo|bar)y`:  "[foo bar]",
		`(foo)?`:       "[]",
	} {
		if got := fmt.Sprint(newFilter(pattern).needles); got != want {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
}

// What zones.go reads must be what CEL itself would.
func TestZonesAgreeWithCEL(t *testing.T) {
	for name := range clockReaders {
		for _, zone := range []string{"Europe/Berlin", "America/St_Johns", "UTC", "+05:30", "-03:30"} {
			// A zone that is computed goes CEL's own way.
			rule := fmt.Sprintf("  - {id: a, when: 'now.%s(\"%s\") == now.%s(subject.email + \"%s\")', effect: allow}\n", name, zone, name, zone)
			for _, when := range []time.Time{evening, time.Date(2024, 2, 29, 23, 59, 59, 5e8, time.UTC), time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)} {
				r := ask(access.VerbSelect)
				r.Context.Time = when
				if d := loadRules(t, rule).Decide(r); d.Effect != access.Allow {
					t.Errorf("%s in %s at %s: %s", name, zone, when, d.Message)
				}
			}
		}
	}
}
