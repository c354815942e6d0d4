package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// This file says what a mask rule permits besides the bare column: which uses of
// a masked column tell no more than its author allowed.

// A permits is what mask.filterable, aggregatable and joinable allow. The zero
// value allows the bare column alone.
type permits struct {
	uses      access.Use
	functions []string // with UseAggregate: which
	minGroup  int64    // and over how many rows at least
}

// bare are the uses that every mask allows: the column arrives masked, or is
// written without being read.
const bare = access.UseOutput | access.UseAssign | access.UseCarry

// functionsOfAggregates are those that a rule may name.
var functionsOfAggregates = []string{"count", "sum", "avg", "min", "max", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp"}

// maxGroup bounds mask.aggregatable.min_group.
const maxGroup = 1_000_000

type aggregatableSpec struct {
	Pos       strictyaml.Pos
	On        bool
	Functions texts
	MinGroup  *int64
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]: true, or what it is
// limited to.
func (a *aggregatableSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	a.Pos = d.At(n)
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &a.On)
		return
	}
	var limits struct {
		Functions texts  `yaml:"functions"`
		MinGroup  *int64 `yaml:"min_group"`
	}
	d.Decode(n, &limits)
	a.On, a.Functions, a.MinGroup = true, limits.Functions, limits.MinGroup
}

// permits compiles what a mask allows besides the bare column.
func (c *compiler) permits(who string, m *maskSpec, out *maskRule) {
	p := &out.permits
	switch m.Filterable.Value {
	case "", "none":
	case "equality":
		p.uses |= access.UseEqual | access.UseNull
	case "range":
		p.uses |= access.UseEqual | access.UseNull | access.UseRange | access.UseOrder
	default:
		c.fail(m.Filterable.Pos, "%s: unknown filterable %q, want none, equality or range", who, m.Filterable.Value)
	}
	if m.Joinable {
		p.uses |= access.UseJoin | access.UseGroup
	}
	c.aggregatable(who, m.Aggregatable, p)
	if p.uses != 0 && len(m.Detect) > 0 {
		c.fail(m.Pos, "%s: filterable, aggregatable and joinable are about columns, and this mask names none", who)
	}
}

func (c *compiler) aggregatable(who string, a *aggregatableSpec, p *permits) {
	if a == nil || !a.On {
		return
	}
	p.uses |= access.UseAggregate
	for _, f := range a.Functions {
		if !slices.Contains(functionsOfAggregates, f.Value) {
			c.fail(f.Pos, "%s: unknown aggregate %q%s (known: %s)", who, f.Value,
				strictyaml.Suggest(f.Value, functionsOfAggregates), strings.Join(functionsOfAggregates, ", "))
		}
		p.functions = append(p.functions, f.Value)
	}
	switch {
	case a.Functions == nil:
		p.functions = []string{"count"}
	case len(a.Functions) == 0:
		c.fail(a.Pos, "%s: aggregatable.functions names none", who)
	}
	if a.MinGroup != nil {
		p.minGroup = *a.MinGroup
		if p.minGroup < 2 || p.minGroup > maxGroup {
			c.fail(a.Pos, "%s: min_group must be between 2 and %d", who, maxGroup)
		}
	}
}

// A misuse is a use of a masked column that its mask does not permit.
type misuse struct {
	rule   *rule
	object *access.Object
	column *access.ColumnUse
	use    access.Use // one bit
}

// gravest orders the uses: the first one that is not permitted is named.
var gravest = [...]access.Use{
	access.UseRow, access.UseFlow, access.UseStore, access.UseFilter, access.UseAggregate, access.UseJoin,
	access.UseEqual, access.UseNull, access.UseRange, access.UseOrder, access.UseGroup,
}

// forbidden returns the first use that is not permitted; 0: all are.
func (p *permits) forbidden(c *access.ColumnUse) access.Use {
	bad := c.Use &^ (bare | p.uses)
	if c.Use&access.UseAggregate != 0 && !p.aggregates(c) {
		bad |= access.UseAggregate
	}
	if bad == 0 {
		return 0
	}
	for _, use := range gravest {
		if bad&use != 0 {
			return use
		}
	}
	return access.UseFlow
}

// aggregates reports whether the aggregates over a column are permitted ones,
// over large enough groups.
func (p *permits) aggregates(c *access.ColumnUse) bool {
	for _, f := range c.Aggregates {
		if !slices.Contains(p.functions, f) {
			return false
		}
	}
	return p.uses&access.UseAggregate != 0 && len(c.Aggregates) > 0 && c.MinGroup >= p.minGroup
}

// misuse returns what a rule forbids in an action; nil: nothing.
func (r *rule) misuse(q *question) *misuse {
	if r.mask == nil || len(r.mask.detect) > 0 {
		return nil
	}
	a := &q.r.Action
	for i := range a.Objects {
		o := &a.Objects[i]
		if o.Kind != access.KindTable || !o.ColumnsKnown {
			continue
		}
		for _, p := range r.mask.on(q, o) {
			if p.onTable(o) == no || !r.onTable(o) {
				continue
			}
			for j := range o.Columns {
				c := &o.Columns[j]
				if c.Use&^bare == 0 || !p.parts[2].match(c.Name) {
					continue
				}
				if use := r.mask.permits.forbidden(c); use != 0 {
					return &misuse{r, o, c, use}
				}
			}
		}
	}
	return nil
}

// misused returns the first use of a masked column that a rule which holds
// forbids.
func (j *judgement) misused() *misuse {
	for i := range j.findings {
		f := &j.findings[i]
		if f.rule.mask == nil || f.rule.monitor || !f.holds() {
			continue
		}
		if m := f.rule.misuse(j.q); m != nil {
			return m
		}
	}
	return nil
}

// refuse denies for a misuse.
func (j *judgement) refuse(d *access.Decision, m *misuse) {
	d.Message, d.Hint = join(m.rule.message, m.text()), m.rule.hint
	if d.Hint == "" {
		d.Hint = m.hint()
	}
	first := m.rule.reason()
	first.Message = d.Message
	d.Reasons = j.reasons(first, m.rule)
}

// verbs say what a use does to a masked column.
var useVerbs = map[access.Use]string{
	access.UseRow: "exposes", access.UseFlow: "exposes", access.UseStore: "copies", access.UseFilter: "filters by",
	access.UseAggregate: "aggregates", access.UseJoin: "joins by", access.UseEqual: "compares", access.UseNull: "tests",
	access.UseRange: "searches", access.UseOrder: "sorts by", access.UseGroup: "groups by",
}

// text says what is refused and what would not be.
func (m *misuse) text() string {
	what := m.column.Expr(m.use)
	if what == "" {
		what = m.column.Name
	}
	text := fmt.Sprintf("`%s` %s masked `%s.%s`", what, useVerbs[m.use], m.object.Name, m.column.Name)
	if m.use == access.UseRow {
		text += " in a whole row"
	}
	if m.object.Via != "" {
		text += " (through " + m.object.Via + ")"
	}
	return text + "; allowed: " + strings.Join(append([]string{"the bare column"}, m.rule.mask.permits.words()...), ", ")
}

// words name what a mask allows besides the bare column.
func (p *permits) words() []string {
	var all []string
	switch {
	case p.uses&access.UseRange != 0:
		all = append(all, "comparing it with constants")
	case p.uses&access.UseEqual != 0:
		all = append(all, "equality on it")
	}
	if p.uses&access.UseJoin != 0 {
		all = append(all, "joining and grouping by it")
	}
	if p.uses&access.UseAggregate != 0 {
		text := strings.Join(p.functions, ", ") + " of it"
		if p.minGroup > 0 {
			text += fmt.Sprintf(" over at least %d rows", p.minGroup)
		}
		all = append(all, text)
	}
	return all
}

// hint shows a form that would pass.
func (m *misuse) hint() string {
	p, name := &m.rule.mask.permits, m.column.Name
	switch {
	case m.use == access.UseRow:
		return fmt.Sprintf("List the columns: SELECT %s, ... FROM %s shows it masked.", name, m.object.Name)
	case m.use == access.UseStore:
		return fmt.Sprintf("Leave %s out of what is written; a SELECT shows it masked.", name)
	case m.use == access.UseAggregate && p.aggregatesAll(m.column):
		return fmt.Sprintf("Aggregate over one table, in the list of a SELECT with HAVING count(*) >= %d and without FILTER, OVER and CASE.", p.minGroup)
	case m.use == access.UseAggregate && p.uses&access.UseAggregate != 0:
		return fmt.Sprintf("Try %s(%s).", p.functions[0], name)
	}
	forms := []string{fmt.Sprintf("SELECT %s FROM %s shows it masked", name, m.object.Name)}
	if p.uses&access.UseEqual != 0 {
		forms = append(forms, fmt.Sprintf("WHERE %s = ... works", name))
	}
	if p.uses&access.UseRange != 0 {
		forms = append(forms, fmt.Sprintf("ORDER BY %s works", name))
	}
	return strings.Join(forms, "; ") + "."
}

// aggregatesAll reports whether only the size of the group is wrong.
func (p *permits) aggregatesAll(c *access.ColumnUse) bool {
	enough := *c
	enough.MinGroup = p.minGroup
	return p.aggregates(&enough)
}
