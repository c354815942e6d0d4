package evasion

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A randomPolicy is the rules for one user, and what follows from them for the
// test.
type randomPolicy struct {
	seed    uint64
	user    string
	rules   []string
	secrets []secretColumn  // what is masked or hidden
	shown   map[string]bool // columns masked by path

	// permits: something about the values may be told, so that only values
	// themselves are searched for.
	permits bool
}

// methods that masks of a kind of column have. Those of a name twice are likelier.
var methodsOf = map[string][]string{
	"text":        {"null", "redact", "redact", "zero", "hash", "partial", "first_letter", "email", "email", "card_last4", "year"},
	"card":        {"null", "redact", "hash", "partial", "card_last4", "card_last4"},
	"char":        {"null", "redact", "zero"},
	"bool":        {"null", "zero"},
	"int":         {"null", "zero", "partial", "hash"},
	"numeric":     {"null", "zero", "partial", "hash"},
	"date":        {"null", "zero", "year"},
	"timestamptz": {"null", "zero", "year"},
	"uuid":        {"null", "zero", "partial", "hash"},
	"jsonb":       {"null", "redact", "zero", "hash"},
	"bytea":       {"null", "redact", "zero", "hash"},
	"text[]":      {"null", "redact", "zero", "partial", "hash"},
	"inet":        {"null", "zero", "redact"},
}

// hashed kinds whose hashes cannot be told from other values.
var hashedToValues = []string{"int", "numeric", "uuid", "bytea"}

func newPolicy(seed uint64) *randomPolicy {
	return &randomPolicy{seed: seed, user: fmt.Sprintf("r%x", seed), shown: map[string]bool{}}
}

func drawPolicy(seed uint64) *randomPolicy {
	r := rand.New(rand.NewPCG(seed, 2))
	p := newPolicy(seed)
	p.rule("all", "allow", "", "")
	permissions := r.IntN(3) == 0
	hidden := ""
	if r.IntN(4) == 0 {
		hidden = []string{"finance.*", "public.tickets", "public.notes", "public.people"}[r.IntN(4)]
		p.rule("hidden", "deny", fmt.Sprintf("tables: [%q]", hidden), "")
	}
	share := 5 + r.IntN(60)
	for _, c := range secretColumns {
		switch {
		case hidden != "" && (c.table == hidden || strings.HasPrefix(hidden, "finance") && strings.HasPrefix(c.table, "finance")):
			p.secrets = append(p.secrets, c)
		case r.IntN(100) < share:
			p.mask(r, c, permissions)
		}
	}
	if len(p.secrets) == 0 {
		p.mask(r, secretColumns[1], permissions)
	}
	if r.IntN(5) == 0 {
		detect := []string{"email", "pii", "all", "card, phone"}[r.IntN(4)]
		p.rule("found", "mask", "", "detect: ["+detect+"], with: "+[]string{"redact", "partial", `"null"`}[r.IntN(3)])
	}
	return p
}

func (p *randomPolicy) rule(id, effect, match, mask string) {
	if match != "" {
		match = ", " + match
	}
	if mask != "" {
		mask = ", mask: {" + mask + "}"
	}
	p.rules = append(p.rules, fmt.Sprintf("{id: %s, match: {groups: [%s]%s}, effect: %s%s}", id, p.user, match, effect, mask))
}

func (p *randomPolicy) mask(r *rand.Rand, c secretColumn, permissions bool) {
	methods := methodsOf[c.kind]
	m := methods[r.IntN(len(methods))]
	if m == "hash" && slices.Contains(hashedToValues, c.kind) && !permissions {
		m = "null"
	}
	how := fmt.Sprintf("with: %q", m)
	switch {
	case m == "hash" && slices.Contains(hashedToValues, c.kind):
		p.permits = true
	case c.kind == "jsonb" && r.IntN(3) == 0:
		how = `with: redact, paths: ["$.key"]`
		p.shown[c.String()] = true
	}
	if permissions && r.IntN(2) == 0 {
		p.permits = true
		how += []string{", joinable: true", ", filterable: equality", ", filterable: range", ", aggregatable: {functions: [count]}",
			", aggregatable: {functions: [count], min_group: 2}", ", joinable: true, filterable: equality, aggregatable: {functions: [count]}"}[r.IntN(6)]
	}
	p.secrets = append(p.secrets, c)
	p.rule(fmt.Sprintf("m%d", len(p.secrets)), "mask", fmt.Sprintf("columns: [%q]", c), how)
}

// document is what the gateway is given for some policies.
func document(all []*randomPolicy) (string, error) {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: User\nmetadata: {name: %s}\nspec: {groups: [%s], password: {value: demo}}\n", p.user, p.user)
		fmt.Fprintf(&b, "---\napiVersion: sluice/v1\nkind: Policy\nmetadata: {name: %s}\nspec:\n  rules:\n  - %s\n", p.user, strings.Join(p.rules, "\n  - "))
	}
	var check yaml.Node
	return b.String(), yaml.Unmarshal([]byte(b.String()), &check)
}
