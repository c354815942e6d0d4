package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sluice/access"
)

func TestStanding(t *testing.T) {
	s := load(t, bundle(`  - {id: read, match: {groups: [analysts], access: [read]}, effect: allow}
  - {id: write, match: {groups: [writers], access: [read, write, admin]}, effect: allow, limit: {timeout: 30s}}
  - {id: sometimes, match: {groups: [night]}, when: now.getHours() > 20, effect: allow}
  - {id: alone, match: {subjects: [alice], verbs: [insert]}, effect: allow}
  - {id: hidden, match: {tables: ["finance.*"], not: {groups: [writers]}}, effect: deny}
  - {id: no-card, match: {columns: ["*.customers.card"], verbs: [update, truncate]}, effect: deny}
  - {id: slow, match: {verbs: [delete]}, when: "rate(\"writes\", \"1m\") > 3", effect: deny}
  - {id: ask, match: {groups: [writers], verbs: [delete]}, effect: require_approval, approval: {from: [{group: dba}]}}
  - {id: email, match: {columns: ["*.customers.email"], not: {groups: [writers]}}, effect: mask, mask: {with: email}}
  - {id: email2, match: {tags: [pii], not: {groups: [writers]}}, effect: mask, mask: {with: "null"}}
  - {id: by-day, match: {columns: ["*.customers.id"]}, when: now.getHours() < 5, effect: mask, mask: {with: "null"}}
  - {id: abroad, match: {client: {cidr: [10.0.0.0/8]}, verbs: [select]}, effect: deny}
  - {id: text, match: {groups: [analysts], verbs: [select]}, effect: mask, mask: {detect: [email], with: redact}}
  - {id: watch, mode: monitor, match: {}, effect: deny}
  - {id: fast, match: {groups: [writers]}, effect: limit, limit: {timeout: 10s}}
`)+classified)
	res := ask(access.VerbSelect).Resource
	for _, c := range []struct {
		group   string
		verb    access.Verb
		changes []change
		allowed bool
		rule    string
		masks   string
		open    string
	}{
		{"analysts", access.VerbSelect, []change{reads("public.orders", "id")}, true, "read", "", "[abroad text]"},
		{"analysts", access.VerbSelect, []change{reads("public.customers", "id", "email")}, true, "read", "public.customers.email=null", "[by-day abroad text]"},
		{"analysts", access.VerbSelect, []change{reads("finance.salaries", "id")}, false, "hidden", "", "[abroad text]"},
		{"analysts", access.VerbInsert, []change{writes("public.orders")}, false, "", "", "[alone]"},
		{"analysts", access.VerbUpdate, []change{writes("public.orders")}, false, "", "", "[]"},
		{"writers", access.VerbSelect, []change{reads("public.customers", "email")}, true, "write", "", "[abroad]"},
		{"writers", access.VerbSelect, []change{reads("finance.salaries", "id")}, true, "write", "", "[abroad]"},
		{"writers", access.VerbUpdate, []change{reads("public.customers", "card")}, false, "no-card", "", "[]"},
		{"writers", access.VerbTruncate, []change{writes("public.customers"), anyColumns}, false, "no-card", "", "[by-day]"},
		{"writers", access.VerbDelete, []change{writes("public.orders")}, true, "write", "", "[slow ask]"},
		{"night", access.VerbSelect, []change{reads("public.orders", "id")}, true, "sometimes", "", "[sometimes abroad]"},
		{"nobody", access.VerbSelect, []change{reads("public.orders", "id")}, false, "", "", "[abroad]"},
	} {
		st := s.Standing(res, c.group, ask(c.verb, c.changes...).Action)
		var open []string
		for _, o := range st.Open {
			open = append(open, o.Rule)
		}
		masks := masksOf(access.Decision{Obligations: obligationsOf(st.Masks)})
		if st.Allowed != c.allowed || st.Rule.Rule != c.rule || masks != c.masks || fmt.Sprint(open) != c.open {
			t.Errorf("%s %v: %v by %q, masks %q, open %v; want %+v", c.group, c.verb, st.Allowed, st.Rule.Rule, masks, open, c)
		}
	}
	if st := s.Standing(res, "writers", ask(access.VerbSelect, reads("public.orders", "id")).Action); st.Timeout != 10*time.Second || st.TimedBy.Rule != "fast" {
		t.Errorf("%+v", st)
	}
	if got := s.Groups(res); !slices.Equal(got, []string{"analysts", "night", "writers"}) {
		t.Errorf("%q", got)
	}
	if none := (*Set)(nil).Standing(res, "writers", access.Action{}); none.Allowed {
		t.Error("no policy allows")
	}
}

func obligationsOf(masks []access.Mask) (all []access.Obligation) {
	for _, m := range masks {
		all = append(all, m)
	}
	return all
}
