package policy

import (
	"sync"
	"testing"

	"sluice/access"
)

// A decision sees one set or the other, never a mixture, and versions grow.
func TestSwapWhileDeciding(t *testing.T) {
	allow := loadRules(t, allowAll)
	deny := loadRules(t, "  - {id: no, when: session.writes >= 0, effect: deny}\n")
	var l Live
	l.Swap(allow)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var last uint64
			for range 300 {
				d := l.Decide(ask(access.VerbSelect))
				if want := map[string]string{allow.Digest(): "p/all", deny.Digest(): "p/no"}[d.Policy]; d.By() != want {
					t.Errorf("decided by %s under the policy of %s", d.By(), want)
				}
				if v := l.Version(); v < last {
					t.Errorf("version %d after %d", v, last)
				} else {
					last = v
				}
			}
		})
	}
	for i := range 300 {
		l.Swap([]*Set{allow, deny}[i%2])
	}
	all.Wait()
	if l.Version() != 301 {
		t.Errorf("version %d", l.Version())
	}
}

// Explanations build programs when first needed; several may need them at once.
func TestExplainConcurrently(t *testing.T) {
	s := loadRules(t, guardrails)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				if e := Explain(s, ask(access.VerbDelete, unscoped)); e.Decision.By() != "p/no-unscoped-writes" {
					t.Error(e.Decision.By())
				}
			}
		})
	}
	all.Wait()
}

// The plain path stays cheap: a handful of allocations, whatever the number of rules.
func TestAllocations(t *testing.T) {
	for _, n := range []int{10, 1000} {
		s := loadRules(t, manyRules(n))
		r := ask(access.VerbSelect, reads("public.orders", "id"))
		if got := testing.AllocsPerRun(100, func() { s.Decide(r) }); got > 10 {
			t.Errorf("%d rules: %.0f allocations", n, got)
		}
	}
}
