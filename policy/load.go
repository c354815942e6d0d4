package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // rules name time zones; a bare container has none

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// Kind is the kind of document that [Load] reads.
const Kind = "Policy"

// maxRules bounds how many rules a set may hold.
const maxRules = 100_000

// A Set is every rule in force, compiled. It is immutable and safe for
// concurrent use. A nil Set, like one without rules, denies everything.
type Set struct {
	rules  []*rule
	index  index
	digest string

	classes map[string]*Classification // by resource
}

// A rule is one compiled rule.
type rule struct {
	policy, id string
	name       string // policy/id
	owner      string // the policy's label "owner"
	pos        strictyaml.Pos
	effect     effect
	monitor    bool
	match      match
	when       *condition // nil: always
	approval   *access.Quorum
	wantReason bool          // who asks must say why
	wantTicket bool          // and for what
	maxAge     time.Duration // of the authentication; 0: any
	mask       *maskRule
	limit      *access.Limit
	record     bool
	notify     []string
	message    string
	hint       string
}

// A maskRule says what a rule masks.
type maskRule struct {
	columns []namePattern // schema.table.column
	tags    *tagMatch     // or those that carry a tag
	detect  []string
	with    string
	permits permits
	paths   []string // into JSON, in order; none: whole values
	key     text     // of hash; empty: the current one
}

// on returns patterns for the columns that it masks in a table.
func (m *maskRule) on(q *question, o *access.Object) []namePattern {
	if m.tags != nil {
		return m.tags.on(q, o, false)
	}
	return m.columns
}

func (r *rule) allows() bool { return r.effect == effAllow }

// changing reports whether the rule may answer differently for the same action.
func (r *rule) changing() bool {
	return r.maxAge > 0 || r.when != nil && r.when.uses&changing != 0
}

// onObjects reports whether the rule asks what an action touches.
func (r *rule) onObjects() bool {
	return r.match.objects() || r.when != nil && r.when.uses&useObjects != 0
}

func (r *rule) reason() access.Reason {
	return access.Reason{
		Policy: r.policy, Rule: r.id, Effect: r.effect.String(), Message: r.message,
		File: r.pos.File, Line: r.pos.Line,
	}
}

// Load compiles the documents of kinds Policy and Classification; other kinds
// are passed over. With any problem at all the set is nil: a bundle holds as a whole or not at all.
func Load(docs []strictyaml.Document) (*Set, []strictyaml.Problem) {
	l, err := newLoader()
	if err != nil {
		return nil, []strictyaml.Problem{{Message: "policy: " + err.Error()}}
	}
	return l.load(docs)
}

// A loader holds what every policy compiles in. Building it takes longer than
// compiling most policies.
type loader struct {
	views map[string]view
	env   *cel.Env
}

func newLoader() (*loader, error) {
	v := views()
	env, err := newEnv(v)
	return &loader{v, env}, err
}

func (l *loader) load(docs []strictyaml.Document) (*Set, []strictyaml.Problem) {
	policies, classes := ofKind(docs, Kind), ofKind(docs, ClassificationKind)
	problems := strictyaml.Duplicates(slices.Concat(policies, classes))
	k := classify(classes, &problems)
	s := &Set{digest: digest(policies, classes), classes: k.classes}
	for _, d := range policies {
		c := compiler{doc: d, classes: k, problems: &problems}
		c.expressions = expressions{env: l.env, views: l.views, defs: map[string]uses{}, problems: &problems}
		s.rules = append(s.rules, c.policy()...)
	}
	if len(s.rules) > maxRules {
		problems = append(problems, strictyaml.Problem{Message: fmt.Sprintf("%d rules, more than %d", len(s.rules), maxRules)})
	}
	if len(problems) > 0 {
		return nil, strictyaml.Sort(problems)
	}
	s.index = newIndex(s.rules)
	return s, nil
}

// ofKind returns the documents of one kind, by name: the order of files does
// not matter.
func ofKind(docs []strictyaml.Document, kind string) []strictyaml.Document {
	found := slices.DeleteFunc(slices.Clone(docs), func(d strictyaml.Document) bool { return d.Kind != kind })
	slices.SortStableFunc(found, func(a, b strictyaml.Document) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// Digest identifies the policies: SHA-256 in hex over their names, labels and
// specs, whatever their files, order of keys, comments and formatting.
func (s *Set) Digest() string {
	if s == nil {
		return ""
	}
	return s.digest
}

// digest hashes documents in order.
func digest(policies, classes []strictyaml.Document) string {
	h := sha256.New()
	for _, d := range slices.Concat(policies, classes) {
		fmt.Fprintf(h, "%s %q\n", strings.ToLower(d.Kind), d.Name)
		keys := make([]string, 0, len(d.Labels))
		for k := range d.Labels {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(h, "label %q %q\n", k, d.Labels[k])
		}
		if d.Spec != nil {
			hashNode(h, d.Spec, 0)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashNode writes a node with the keys of mappings in order.
func hashNode(h hash.Hash, n *yaml.Node, depth int) {
	if depth > strictyaml.MaxDepth {
		return // too deep to have been decoded
	}
	switch n.Kind {
	case yaml.AliasNode:
		hashNode(h, n.Alias, depth+1)
	case yaml.MappingNode:
		pairs := make([][2]*yaml.Node, 0, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			pairs = append(pairs, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
		}
		slices.SortStableFunc(pairs, func(a, b [2]*yaml.Node) int { return cmp.Compare(a[0].Value, b[0].Value) })
		fmt.Fprintf(h, "{%d\n", len(pairs))
		for _, p := range pairs {
			hashNode(h, p[0], depth+1)
			hashNode(h, p[1], depth+1)
		}
	case yaml.SequenceNode:
		fmt.Fprintf(h, "[%d\n", len(n.Content))
		for _, c := range n.Content {
			hashNode(h, c, depth+1)
		}
	default:
		fmt.Fprintf(h, "%s %q\n", n.ShortTag(), n.Value)
	}
}

// A compiler turns one document into rules.
type compiler struct {
	doc      strictyaml.Document
	classes  *classifier
	problems *[]strictyaml.Problem
	here     strictyaml.Pos // of the block being compiled, for lists without a place
	expressions
}

func (c *compiler) fail(p strictyaml.Pos, format string, args ...any) {
	*c.problems = append(*c.problems, p.Problemf(format, args...))
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func (c *compiler) policy() []*rule {
	if !ruleName.MatchString(c.doc.Name) {
		c.fail(c.doc.NamePos, "policy name %q: want letters, digits, dots, dashes and _", c.doc.Name)
	}
	var spec policySpec
	*c.problems = append(*c.problems, c.doc.Decode(&spec)...)
	for _, d := range spec.Defs {
		c.define(d)
	}
	seen := map[string]strictyaml.Pos{}
	var rules []*rule
	for i := range spec.Rules {
		r := &spec.Rules[i]
		if first, ok := seen[r.ID.Value]; ok {
			c.fail(r.ID.Pos, "rule %q is already defined at %s", r.ID.Value, first)
		}
		seen[r.ID.Value] = r.ID.Pos
		rules = append(rules, c.rule(&spec, r))
	}
	return rules
}

func (c *compiler) rule(p *policySpec, spec *ruleSpec) *rule {
	r := &rule{
		policy: c.doc.Name, id: spec.ID.Value, name: c.doc.Name + "/" + spec.ID.Value, owner: c.doc.Labels["owner"],
		pos: spec.Pos, record: spec.Record, message: spec.Message, hint: spec.Hint,
	}
	who := fmt.Sprintf("rule %q", r.id)
	c.here = spec.Pos
	if !ruleName.MatchString(r.id) {
		c.fail(spec.ID.Pos, "rule id %q: want letters, digits, dots, dashes and _", r.id)
	}
	if len(spec.Match.Protocols) == 0 {
		spec.Match.Protocols = p.Protocols
	}
	c.effect(who, spec, r)
	r.monitor = c.mode(p.Mode, spec.Mode)
	r.match = *c.match(who, &spec.Match)
	c.obligations(who, spec, r)
	c.fresh(who, spec, r)
	if spec.When.given() {
		r.when = c.compile(who, spec.When)
		c.needsSQL(who, spec, r)
	}
	return r
}

func (c *compiler) effect(who string, spec *ruleSpec, r *rule) {
	i := slices.Index(effectNames, spec.Effect.Value)
	if i < 0 {
		if spec.Effect.Given() {
			c.fail(spec.Effect.Pos, "%s: unknown effect %q%s", who, spec.Effect.Value, strictyaml.Suggest(spec.Effect.Value, effectNames))
		}
		return
	}
	r.effect = effect(i)
}

// mode is the rule's own, or the policy's.
func (c *compiler) mode(policy, rule text) (monitor bool) {
	for _, m := range []text{policy, rule} {
		if m.Given() && m.Value != "enforce" && m.Value != "monitor" {
			c.fail(m.Pos, "unknown mode %q, want enforce or monitor", m.Value)
		}
	}
	if rule.Given() {
		return rule.Value == "monitor"
	}
	return policy.Value == "monitor"
}

// needsSQL refuses the view sql in a rule that other protocols can reach.
func (c *compiler) needsSQL(who string, spec *ruleSpec, r *rule) {
	if r.when == nil || r.when.uses&useSQL == 0 || c.onlySQL(&r.match) {
		return
	}
	c.fail(spec.When.Pos, "%s: the view sql needs match.protocols with none but %s", who, strings.Join(sqlProtocols, ", "))
}

func (c *compiler) onlySQL(m *match) bool {
	for _, p := range m.protocols {
		if !slices.Contains(sqlProtocols, p) {
			return false
		}
	}
	return len(m.protocols) > 0
}

// obligations compiles what a rule gives besides, or as, its effect.
func (c *compiler) obligations(who string, spec *ruleSpec, r *rule) {
	c.approval(who, spec, r)
	c.mask(who, spec, r)
	c.limit(who, spec, r)
	for _, n := range spec.Notify {
		r.notify = append(r.notify, n.Value)
		if n.Value == "" {
			c.fail(n.Pos, "%s: empty channel name", who)
		}
	}
	if r.effect == effRecord {
		r.record = true
	}
	if r.effect == effNotify && len(r.notify) == 0 {
		c.fail(spec.Effect.Pos, "%s: effect notify needs notify: [CHANNEL, ...]", who)
	}
	if r.effect == effDeny && (spec.Mask != nil || spec.Limit != nil || spec.Record || len(spec.Notify) > 0) {
		c.fail(spec.Effect.Pos, "%s: a denial has no obligations: nothing runs", who)
	}
}

func (c *compiler) mask(who string, spec *ruleSpec, r *rule) {
	m := spec.Mask
	if m == nil {
		if r.effect == effMask {
			c.fail(spec.Effect.Pos, "%s: effect mask needs mask: {with: METHOD}", who)
		}
		return
	}
	out := &maskRule{with: m.With.Value, columns: c.names(who, m.Columns, 2, 3)}
	if !slices.Contains(masks, out.with) {
		c.fail(m.With.Pos, "%s: unknown mask %q%s (known: %s)", who, out.with, strictyaml.Suggest(out.with, masks), strings.Join(masks, ", "))
	}
	for _, d := range m.Detect {
		if !slices.Contains(detectables, d.Value) {
			c.fail(d.Pos, "%s: unknown detector %q%s (known: %s)", who, d.Value, strictyaml.Suggest(d.Value, detectables), strings.Join(detectables, ", "))
		}
		out.detect = append(out.detect, d.Value)
	}
	slices.Sort(out.detect)
	out.detect = slices.Compact(out.detect)
	c.maskColumns(who, m, r, out)
	c.permits(who, m, out)
	c.maskPaths(who, m, r, out)
	c.maskKey(who, m, out)
	r.mask = out
}

// maskColumns takes the columns from where the rule names them.
func (c *compiler) maskColumns(who string, m *maskSpec, r *rule, out *maskRule) {
	if len(out.columns)+len(out.detect) == 0 && r.match.tags != nil {
		if out.tags = r.match.tags; len(r.match.columns) > 0 {
			c.fail(m.Pos, "%s: mask either match.columns or match.tags; use two rules for both", who)
		}
		return
	}
	if len(out.columns) == 0 && len(out.detect) == 0 {
		out.columns = r.match.columns
		for _, t := range r.match.tables {
			if len(r.match.columns) > 0 {
				break
			}
			out.columns = append(out.columns, namePattern{parts: append(slices.Clone(t.parts), newGlob("*")), text: t.text + ".*"})
		}
	}
	if len(out.columns) > 0 && len(out.detect) > 0 {
		c.fail(m.Pos, "%s: mask either columns or what detectors find; use two rules for both", who)
	}
	if len(out.columns) == 0 && len(out.detect) == 0 {
		c.fail(m.Pos, "%s: nothing to mask: name match.columns, match.tables, match.tags, mask.columns or mask.detect", who)
	}
}

func (c *compiler) limit(who string, spec *ruleSpec, r *rule) {
	l := spec.Limit
	if l == nil {
		if r.effect == effLimit {
			c.fail(spec.Effect.Pos, "%s: effect limit needs limit: {rows, bytes, affected_rows or timeout}", who)
		}
		return
	}
	get := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		if *n < 1 {
			c.fail(l.Pos, "%s: a limit must be at least 1; to allow nothing, deny", who)
		}
		return *n
	}
	r.limit = &access.Limit{Rows: get(l.Rows), Bytes: get(l.Bytes), AffectedRows: get(l.AffectedRows),
		Timeout: c.timeout(who, l), Rule: r.name}
	if *r.limit == (access.Limit{Rule: r.name}) {
		c.fail(l.Pos, "%s: limit nothing? name rows, bytes, affected_rows or timeout", who)
	}
}

func (c *compiler) timeout(who string, l *limitSpec) time.Duration {
	t := l.Timeout
	if t.Given() && (t.Value < time.Millisecond || t.Value > 24*time.Hour) {
		c.fail(t.Pos, "%s: a timeout must be between 1ms and 24h", who)
	}
	return t.Value
}
