package policy

import (
	"strings"
	"testing"

	"sluice/access"
)

// Each case is one rule beside an allow for all that is understood, or, for a
// rule that allows, nothing else. The answer is whether the rule takes effect.
func TestConditionsOnObjects(t *testing.T) {
	hidden := func(r *access.Request) { // a table whose columns are not known
		r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindTable, Schema: "public", Name: "customers", Read: true})
	}
	system := func(r *access.Request) {
		r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindTable, Schema: "pg_catalog", Name: "pg_class", Read: true, System: true, ColumnsKnown: true})
	}
	systemWrite := func(r *access.Request) {
		r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindTable, Schema: "pg_catalog", Name: "pg_proc", Write: true, System: true, ColumnsKnown: true})
	}
	schemaObject := func(r *access.Request) {
		r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindSchema, Name: "finance", Write: true})
	}
	role := func(r *access.Request) {
		r.Action.Objects = append(r.Action.Objects, access.Object{Kind: access.KindRole, Name: "joe", Write: true})
	}
	unresolved := touches("salaries", func(o *access.Object) { o.Read, o.ColumnsKnown = true, true })
	noSQL := func(r *access.Request) { r.Action.SQL = nil }
	settings := func(names ...string) change {
		return func(r *access.Request) { r.Action.SQL.Settings = names }
	}
	for _, c := range []struct {
		name, match    string
		r              access.Request
		denies, allows bool // as a rule that denies, as a rule that allows
	}{
		{"table matches", `tables: [finance.*]`, ask(access.VerbSelect, reads("finance.x")), true, true},
		{"no table matches", `tables: [finance.*]`, ask(access.VerbSelect, reads("public.x")), false, false},
		{"one of two matches", `tables: [finance.*]`, ask(access.VerbSelect, reads("finance.x"), reads("public.x")), true, false},
		{"both match two patterns", `tables: [finance.*, public.x]`, ask(access.VerbSelect, reads("finance.x"), reads("public.x")), true, true},
		{"partial, no match", `tables: [finance.*]`, ask(access.VerbSelect, reads("public.x"), confidence(access.Partial)), true, false},
		{"partial, match", `tables: [finance.*]`, ask(access.VerbSelect, reads("finance.x"), confidence(access.Partial)), true, false},
		{"opaque", `tables: [finance.*]`, ask(access.VerbSelect, confidence(access.Opaque)), true, false},
		{"opaque, everything", `tables: ["*.*"]`, ask(access.VerbSelect, confidence(access.Opaque)), true, false},
		{"schema not resolved", `tables: [finance.*]`, ask(access.VerbSelect, unresolved), true, false},
		{"bare table name", `tables: [salaries]`, ask(access.VerbSelect, unresolved), true, true},
		{"no table at all, read", `tables: [finance.*]`, ask(access.VerbSelect), false, true},
		{"no table at all, write", `tables: [finance.*]`, ask(access.VerbNotify), false, false},
		{"no table at all, admin", `tables: ["*.*"]`, ask(access.VerbCreate, role), false, false},
		{"table and a role", `tables: [public.*]`, ask(access.VerbGrant, writes("public.x"), role), true, false},
		{"whole schema", `tables: [finance.*]`, ask(access.VerbDrop, schemaObject), true, false},
		{"catalog by star", `tables: ["*.*"]`, ask(access.VerbSelect, system), false, true},
		{"catalog by name", `tables: [pg_catalog.*]`, ask(access.VerbSelect, system), true, true},
		{"catalog beside a table", `tables: [public.*]`, ask(access.VerbSelect, system, reads("public.x")), true, true},
		{"catalog written", `tables: ["*.*"]`, ask(access.VerbUpdate, systemWrite), true, false},
		{"catalog written, by name", `tables: [pg_catalog.pg_proc]`, ask(access.VerbUpdate, systemWrite), true, true},

		{"column matches", `columns: [customers.email]`, ask(access.VerbSelect, reads("public.customers", "email")), true, true},
		{"another column too", `columns: [customers.email]`, ask(access.VerbSelect, reads("public.customers", "email", "id")), true, false},
		{"no column matches", `columns: [customers.email]`, ask(access.VerbSelect, reads("public.customers", "id")), false, false},
		{"columns not known", `columns: [customers.email]`, ask(access.VerbSelect, hidden), true, false},
		{"columns not known, star", `columns: ["customers.*"]`, ask(access.VerbSelect, hidden), true, true},
		{"columns of another table not known", `columns: [orders.email]`, ask(access.VerbSelect, hidden), false, false},
		{"columns, partial", `columns: [customers.email]`, ask(access.VerbSelect, reads("public.customers", "id"), confidence(access.Partial)), true, false},

		{"function called", `functions: [pg_sleep]`, ask(access.VerbSelect, calls("pg_catalog.pg_sleep")), true, true},
		{"other function too", `functions: [pg_sleep]`, ask(access.VerbSelect, calls("pg_catalog.pg_sleep", "pg_catalog.lower")), true, false},
		{"function not called", `functions: [pg_sleep]`, ask(access.VerbSelect, calls("pg_catalog.lower")), false, false},
		{"functions, partial", `functions: [pg_sleep]`, ask(access.VerbSelect, calls("public.f"), confidence(access.Partial)), true, false},
		{"functions without analysis", `functions: [pg_sleep]`, ask(access.VerbSelect, noSQL), true, false},

		{"setting", `settings: [log_*]`, ask(access.VerbConfigure, settings("log_statement")), true, true},
		{"other setting", `settings: [log_*]`, ask(access.VerbConfigure, settings("work_mem")), false, false},
		{"two settings", `settings: [log_*]`, ask(access.VerbConfigure, settings("work_mem", "log_statement")), true, false},

		{"not: every table inside", `not: {tables: [public.*]}`, ask(access.VerbSelect, reads("public.x")), false, false},
		{"not: one table outside", `not: {tables: [public.*]}`, ask(access.VerbSelect, reads("public.x"), reads("finance.x")), true, false},
		{"not: none inside", `not: {tables: [public.*]}`, ask(access.VerbSelect, reads("finance.x")), true, true},
		{"not: partial", `not: {tables: [public.*]}`, ask(access.VerbSelect, reads("public.x"), confidence(access.Partial)), true, false},
		{"not not", `not: {not: {tables: [public.*]}}`, ask(access.VerbSelect, reads("public.x"), reads("finance.x")), true, false},
		{"not: group", `not: {groups: [finance]}`, ask(access.VerbSelect), true, true},
		{"not: own group", `not: {groups: [engineering]}`, ask(access.VerbSelect), false, false},

		{"unknown verb by verbs", `verbs: [drop]`, ask(access.VerbUnknown), true, false},
		{"unknown verb by every access", `access: [read, write, admin]`, ask(access.VerbUnknown), true, true},
		{"unknown verb by some access", `access: [read, write]`, ask(access.VerbUnknown), true, false},
		{"unknown verb by star", `verbs: ["*"]`, ask(access.VerbUnknown), true, false},
		{"unknown verb by no word", `groups: [engineering]`, ask(access.VerbUnknown), true, true},
		{"unknown verb by name", `verbs: [unknown]`, ask(access.VerbUnknown), true, true},
		{"unknown verb by confidence", `confidence: [opaque]`, ask(access.VerbUnknown, confidence(access.Opaque)), true, true},
		{"not a verb, unknown", `not: {verbs: [select]}`, ask(access.VerbUnknown), true, false},
		{"verb beyond the list", `verbs: [drop]`, ask(access.Verb(200)), true, false},

		{"client inside", `client: {cidr: [10.0.0.0/8]}`, ask(access.VerbSelect), true, true},
		{"client outside", `client: {cidr: [192.168.0.0/16]}`, ask(access.VerbSelect), false, false},
		{"client mapped", `client: {cidr: [10.1.2.3]}`, ask(access.VerbSelect, func(r *access.Request) { r.Context.Client.Address = "[::ffff:10.1.2.3]:9" }), true, true},
		{"client not known", `client: {cidr: [10.0.0.0/8]}`, ask(access.VerbSelect, func(r *access.Request) { r.Context.Client.Address = "somewhere" }), true, false},

		{"exact only", `confidence: [exact], tables: [finance.*]`, ask(access.VerbSelect, confidence(access.Partial)), false, false},
		{"by id", `subjects: [alice]`, ask(access.VerbSelect), true, true},
		{"by issuer and id", `subjects: ["local/al*"]`, ask(access.VerbSelect), true, true},
		{"by another issuer", `subjects: ["corp/alice"]`, ask(access.VerbSelect), false, false},
		{"by kind", `kinds: [agent, human]`, ask(access.VerbSelect), true, true},
		{"by other kind", `kinds: [agent]`, ask(access.VerbSelect), false, false},
		{"resource name", `resource: {names: [sh*]}`, ask(access.VerbSelect), true, true},
		{"other resource name", `resource: {names: [crm]}`, ask(access.VerbSelect), false, false},
		{"label of several", `resource: {labels: {env: [dev, prod]}}`, ask(access.VerbSelect), true, true},
		{"label missing", `resource: {labels: {tier: gold}}`, ask(access.VerbSelect), false, false},
		{"labels all", `resource: {labels: {env: prod, team: crm}}`, ask(access.VerbSelect), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			everything := "  - {id: base, match: {confidence: [exact, partial, opaque]}, effect: allow}\n  - {id: base-unknown, match: {verbs: [unknown]}, effect: allow}\n"
			d := loadRules(t, everything+"  - {id: it, match: {"+c.match+"}, effect: deny}\n").Decide(c.r)
			if got := d.Effect == access.Deny; got != c.denies {
				t.Errorf("denies: got %v, want %v: %+v", got, c.denies, d)
			}
			d = loadRules(t, "  - {id: it, match: {"+c.match+"}, effect: allow}\n").Decide(c.r)
			if got := d.Effect == access.Allow; got != c.allows {
				t.Errorf("allows: got %v, want %v: %+v", got, c.allows, d)
			}
		})
	}
}

func TestConditionsInCEL(t *testing.T) {
	for _, c := range []struct {
		name, when     string
		r              access.Request
		denies, allows bool
	}{
		{"known and true", `sql.tables.exists(t, t.schema == "finance")`, ask(access.VerbSelect, reads("finance.x")), true, true},
		{"known and false", `sql.tables.exists(t, t.schema == "finance")`, ask(access.VerbSelect, reads("public.x")), false, false},
		{"tables, partial", `sql.tables.exists(t, t.schema == "finance")`, ask(access.VerbSelect, reads("public.x"), confidence(access.Partial)), true, false},
		{"functions, partial", `"public.f" in sql.functions`, ask(access.VerbSelect, confidence(access.Partial)), true, false},
		{"false and unknown", `action.verb == "drop" && size(sql.tables) > 3`, ask(access.VerbSelect, confidence(access.Partial)), false, false},
		{"true or unknown", `action.verb == "select" || size(sql.tables) > 3`, ask(access.VerbSelect, confidence(access.Partial)), true, true},
		{"columns not known", `sql.tables.exists(t, "email" in t.columns)`, ask(access.VerbSelect, touches("public.x", func(*access.Object) {})), true, false},
		{"scoped is known, partial", `!sql.scoped`, ask(access.VerbDelete, confidence(access.Partial)), false, false},
		{"scoped is not known, opaque", `!sql.scoped`, ask(access.VerbDelete, confidence(access.Opaque)), true, false},
		{"verb not known", `action.verb == "drop"`, ask(access.VerbUnknown, func(r *access.Request) { r.Subject.Groups = nil }), true, false},
		{"text too long", `action.text.matches("drop")`, ask(access.VerbSelect, func(r *access.Request) { r.Action.Text = strings.Repeat("x", maxText+1) }), true, false},
		{"text at the limit", `action.text.matches("drop")`, ask(access.VerbSelect, func(r *access.Request) { r.Action.Text = strings.Repeat("x", maxText) }), false, false},
		{"text", `action.text.matches(r"(?i)\bDROP\b")`, ask(access.VerbSelect, func(r *access.Request) { r.Action.Text = "select 1; drop table x" }), true, true},
		{"has", `has(context.ticket)`, ask(access.VerbSelect), false, false},
		{"has, given", `has(context.ticket) && context.ticket.startsWith("OPS-")`, ask(access.VerbSelect, func(r *access.Request) { r.Context.Ticket = "OPS-1" }), true, true},
		{"optional label", `resource.labels[?"tier"].orValue("") == "gold"`, ask(access.VerbSelect), false, false},
		{"network", `cidr("10.0.0.0/8").containsIP(client.address)`, ask(access.VerbSelect), true, true},
		{"labels compared", `resource.labels.env == subject.claims.env`, ask(access.VerbSelect, func(r *access.Request) { r.Subject.Claims = map[string]any{"env": "prod"} }), true, true},
		{"claims of lists", `"eu" in subject.claims.regions`, ask(access.VerbSelect, func(r *access.Request) { r.Subject.Claims = map[string]any{"regions": []any{"us", "eu"}} }), true, true},
		{"session", `session.writes >= 2 && session.age > duration("1h")`, ask(access.VerbSelect, func(r *access.Request) {
			r.Context.Session = access.SessionInfo{Writes: 2, Opened: evening.Add(-2 * 3600e9)}
		}), true, true},
		{"weekday", `now.getDayOfWeek("Europe/Berlin") == 5 && now.getHours("Europe/Berlin") == 22 && now.getHours("-03:30") == 18`, ask(access.VerbSelect), true, true},
		{"delegated", `subject.delegated || has(subject.actor)`, ask(access.VerbSelect), false, false},
		{"statements", `sql.statements > 1 && sql.limit < 0 && sql.args == 0`, ask(access.VerbSelect, func(r *access.Request) { r.Action.SQL.Statements = 2 }), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := "  - id: it\n    match: {protocols: [postgres], verbs: ['*', unknown]}\n    when: '" + c.when + "'\n    effect: "
			base := "  - {id: base, match: {verbs: ['*', unknown]}, effect: allow}\n"
			d := loadRules(t, base+rule+"deny\n").Decide(c.r)
			if got := d.Effect == access.Deny; got != c.denies {
				t.Errorf("denies: got %v, want %v: %+v", got, c.denies, d)
			}
			d = loadRules(t, rule+"allow\n").Decide(c.r)
			if got := d.Effect == access.Allow; got != c.allows {
				t.Errorf("allows: got %v, want %v: %+v", got, c.allows, d)
			}
		})
	}
}

// An expression that fails denies, whatever its rule's effect; in monitor mode
// it is only noted.
func TestFailingExpressions(t *testing.T) {
	base := "  - {id: base, effect: allow}\n"
	for name, when := range map[string]string{
		"missing label": `resource.labels.tier == "gold"`,
		"missing claim": `subject.claims.env == "prod"`,
		"no actor":      `subject.actor.id == "x"`,
		"not a boolean": `subject.claims.env == resource.labels.nothing`,
		"bad address":   `cidr(resource.name).containsIP(client.address)`,
		"division":      `1 / session.rows == 1`,
		"out of bounds": `subject.groups[5] == "x"`,
	} {
		for effect, extra := range map[string]string{
			"deny": "", "allow": "", "require_approval": ", approval: {from: [{group: dba}]}",
			"limit": ", limit: {rows: 1}", "mask": ", mask: {detect: [email], with: redact}", "record": "", "notify": ", notify: [x]",
		} {
			rule := "  - {id: it, when: '" + when + "', effect: " + effect + extra
			d := loadRules(t, base+rule+"}\n").Decide(ask(access.VerbSelect))
			if d.Effect != access.Deny || d.By() != "p/it" || !strings.Contains(d.Message, "could not be evaluated") {
				t.Errorf("%s, %s: got %+v", name, effect, d)
			}
			d = loadRules(t, base+rule+", mode: monitor}\n").Decide(ask(access.VerbSelect))
			if d.Effect != access.Allow || len(d.Would) != 1 || !strings.Contains(d.Would[0].Message, "could not be evaluated") {
				t.Errorf("%s, %s, monitor: got %+v", name, effect, d)
			}
		}
	}
}
