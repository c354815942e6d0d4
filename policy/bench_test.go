package policy

import (
	"fmt"
	"strings"
	"testing"

	"sluice/access"
)

// manyRules are n rules as a company with many teams has them: a question by
// one of them has few candidates.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("  - {id: all, match: {groups: [engineering], access: [read, write]}, effect: allow}\n")
	for i := 1; i < n; i++ {
		k := i / 6
		env := "prod"
		if k > 0 {
			env = fmt.Sprintf("env%d", k)
		}
		switch i % 6 {
		case 0:
			fmt.Fprintf(&b, "  - {id: r%d, match: {protocols: [postgres], verbs: [delete, update], resource: {labels: {env: %s}}}, when: '!sql.scoped', effect: deny}\n", i, env)
		case 1:
			fmt.Fprintf(&b, "  - {id: r%d, match: {resource: {labels: {env: %s}}, access: [write, admin]}, when: 'now.getHours(\"Europe/Berlin\") > 24', effect: require_approval, approval: {from: [{group: dba}]}}\n", i, env)
		case 2:
			fmt.Fprintf(&b, "  - {id: r%d, match: {tables: ['finance%d.*'], resource: {labels: {env: %s}}, not: {groups: [finance]}}, effect: deny}\n", i, k, env)
		case 3:
			fmt.Fprintf(&b, "  - {id: r%d, match: {columns: ['*.customers%d.email'], resource: {labels: {env: %s}}, not: {groups: [support]}}, effect: mask, mask: {with: partial}}\n", i, k, env)
		case 4:
			fmt.Fprintf(&b, "  - {id: r%d, match: {resource: {labels: {env: %s}}}, when: 'rate(\"statements\", \"1m\") > %d', effect: deny}\n", i, env, 120+k)
		case 5:
			fmt.Fprintf(&b, "  - {id: r%d, match: {groups: [team%d], access: [read, write]}, effect: allow}\n", i, k)
		}
	}
	return b.String()
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		s := loadRules(b, manyRules(n))
		r := ask(access.VerbSelect, reads("public.orders", "id", "total"), reads("public.items", "id"))
		b.Run(fmt.Sprint("read/", n), func(b *testing.B) { decideAll(b, s, r, access.Allow) })
		w := ask(access.VerbUpdate, writes("public.orders"))
		b.Run(fmt.Sprint("write/", n), func(b *testing.B) { decideAll(b, s, w, access.Allow) })
	}
}

func BenchmarkDecideRegex(b *testing.B) {
	s := loadRules(b, `
  - {id: all, match: {groups: [engineering]}, effect: allow}
  - id: words
    match: {protocols: [postgres]}
    when: action.text.matches(r'(?i)\b(drop\s+database|pg_read_file|lo_import)\b')
    effect: deny
`)
	r := ask(access.VerbSelect)
	r.Action.Text = "select u.id, u.email, o.total from shop.users u join shop.orders o on o.user_id = u.id where o.created_at > now() - interval '1 day' order by o.created_at desc limit 200"
	decideAll(b, s, r, access.Allow)
}

func decideAll(b *testing.B, s *Set, r access.Request, want access.Effect) {
	b.ReportAllocs()
	for b.Loop() {
		if d := s.Decide(r); d.Effect != want {
			b.Fatalf("%+v", d)
		}
	}
}
