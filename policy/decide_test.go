package policy

import (
	"testing"

	"sluice/access"
)

const guardrails = `
  - id: engineers
    match: {groups: [engineering], access: [read, write]}
    effect: allow
  - id: no-unscoped-writes
    match: {protocols: [postgres, mysql], verbs: [delete, update]}
    when: "!sql.scoped"
    effect: deny
    message: "DELETE and UPDATE need a WHERE clause"
  - id: prod-write-off-hours
    match: {resource: {labels: {env: prod}}, access: [write, admin]}
    when: "!(now.getDayOfWeek('Europe/Berlin') in [1,2,3,4,5] && now.getHours('Europe/Berlin') >= 8 && now.getHours('Europe/Berlin') < 18)"
    effect: require_approval
    approval: {from: [{group: dba, count: 1}], expires: 15m, binds: exact}
  - id: finance-hidden
    match: {tables: ["finance.*"], not: {groups: [finance]}}
    effect: deny
  - id: mask-pii
    match: {columns: ["*.customers.email", "*.customers.card"], not: {groups: [support-lead]}}
    effect: mask
    mask: {with: partial}
  - id: too-fast
    when: rate("statements", "1m") > 120
    effect: deny
  - id: small-writes
    match: {verbs: [delete, update], resource: {labels: {env: prod}}}
    limit: {affected_rows: 100}
    effect: limit
  - {id: watch-truncate, mode: monitor, match: {verbs: [truncate]}, effect: deny}
`

func TestDecide(t *testing.T) {
	s := loadRules(t, guardrails)
	day := func(r *access.Request) { r.Context.Time = evening.Add(-10 * 3600e9) }
	for _, c := range []struct {
		name   string
		r      access.Request
		effect access.Effect
		by     string
	}{
		{"read", ask(access.VerbSelect, reads("public.orders", "id")), access.Allow, "p/engineers"},
		{"stranger", ask(access.VerbSelect, groups("sales")), access.Deny, "default"},
		{"unscoped delete", ask(access.VerbDelete, unscoped, writes("public.orders")), access.Deny, "p/no-unscoped-writes"},
		{"write at night", ask(access.VerbUpdate, writes("public.orders")), access.RequireApproval, "p/prod-write-off-hours"},
		{"write by day", ask(access.VerbUpdate, writes("public.orders"), day), access.Allow, "p/engineers"},
		{"write in dev", ask(access.VerbUpdate, writes("public.orders"), label("env", "dev")), access.Allow, "p/engineers"},
		{"finance", ask(access.VerbSelect, reads("finance.salaries", "amount")), access.Deny, "p/finance-hidden"},
		{"finance by finance", ask(access.VerbSelect, groups("engineering", "finance"), reads("finance.salaries", "amount")), access.Allow, "p/engineers"},
		{"finance through a view", ask(access.VerbSelect, reads("public.report"), touches("finance.salaries", func(o *access.Object) { o.Via = "public.report" })), access.Deny, "p/finance-hidden"},
		{"admin verb has no allow", ask(access.VerbCreate, day), access.Deny, "default"},
		{"too fast", ask(access.VerbSelect, func(r *access.Request) { r.Context.Counts = counts{"statements": 121} }), access.Deny, "p/too-fast"},
		{"as fast as allowed", ask(access.VerbSelect, func(r *access.Request) { r.Context.Counts = counts{"statements": 120} }), access.Allow, "p/engineers"},
		{"session", ask(access.VerbBegin), access.Allow, "p/engineers"},
		{"session of a stranger", ask(access.VerbBegin, groups("sales")), access.Deny, "default"},
		{"session, too fast", ask(access.VerbShow, func(r *access.Request) { r.Context.Counts = counts{"statements": 121} }), access.Deny, "p/too-fast"},
		{"partial may reach finance", ask(access.VerbSelect, confidence(access.Partial)), access.Deny, "p/finance-hidden"},
		{"partial by finance", ask(access.VerbSelect, groups("engineering", "finance"), confidence(access.Partial)), access.Allow, "p/engineers"},
		{"opaque", ask(access.VerbUnknown, groups("engineering", "finance", "support-lead"), confidence(access.Opaque)), access.Deny, "p/no-unscoped-writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.Decide(c.r)
			if d.Effect != c.effect || d.By() != c.by {
				t.Errorf("got %s by %s, want %s by %s\n%+v", d.Effect, d.By(), c.effect, c.by, d)
			}
			if d.Effect == access.Deny && d.Message == "" {
				t.Error("a denial without a message")
			}
		})
	}
}
