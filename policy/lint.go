package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// An Inventory is what exists beside the rules. A nil part is not known and
// not checked.
type Inventory struct {
	Resources []access.Resource
	Groups    map[string]int // known groups and how many humans are in each; less than 0: not known
	Channels  []string       // where notifications can go
}

// Lint finds rules that are valid but cannot do what their author meant: dead,
// shadowed or redundant ones, unknown groups, approvals that nobody can give or
// that no rule allows, labels that nobody has, regular expressions that are
// slow, tags that nothing carries. What it finds are warnings.
func Lint(s *Set, inv Inventory) []strictyaml.Problem {
	if s == nil {
		return nil
	}
	l := linter{set: s, inv: inv}
	for _, r := range s.rules {
		l.resources(r)
		l.groups(r)
		l.channels(r)
		l.regexes(r)
		l.tags(r)
		l.facts(r)
		l.shadowed(r)
		l.ungranted(r)
		l.revealing(r)
		l.readsOnly(r)
	}
	return strictyaml.Sort(l.problems)
}

// facts warns of expressions that ask for what the target cannot say.
func (l *linter) facts(r *rule) {
	f := r.facts()
	if f == 0 {
		return
	}
	if slices.ContainsFunc(r.match.protocols, func(p string) bool { return p != "postgres" }) {
		l.warn(r, "sql.estimate and sql.count are known for postgres only: elsewhere the rule counts as met if it restricts, as not met if it allows")
	}
	if r.match.hasVerbs && f&access.FactCount != 0 && !r.match.verbs.has(access.VerbUpdate) && !r.match.verbs.has(access.VerbDelete) {
		l.warn(r, "sql.count is known for UPDATE and DELETE only, and the rule is about neither")
	}
}

type linter struct {
	set      *Set
	inv      Inventory
	problems []strictyaml.Problem
}

func (l *linter) warn(r *rule, format string, args ...any) {
	l.problems = append(l.problems, r.pos.Problemf("rule %q: %s", r.id, fmt.Sprintf(format, args...)))
}

// resources warns of a rule that no resource can reach, naming the label if
// that is the cause.
func (l *linter) resources(r *rule) {
	if l.inv.Resources == nil {
		return
	}
	missing := l.labels(r)
	var reached []access.Resource
	for _, res := range l.inv.Resources {
		q := newQuestion(&access.Request{Resource: res})
		if r.onResource(q) {
			reached = append(reached, res)
		}
	}
	if len(reached) == 0 && !missing {
		l.warn(r, "never applies: no resource matches its protocols, names and labels")
	}
	l.unclassed(r, reached)
	l.readLabels(r, reached)
}

// unclassed warns of tags at a resource where no column can carry any.
func (l *linter) unclassed(r *rule, reached []access.Resource) {
	if r.match.allTags() == nil {
		return
	}
	for _, res := range reached {
		if l.set.classes[res.Name] == nil {
			l.warn(r, "asks for tags, and resource %q has no Classification: no column there carries one (sluice scan %s proposes some)", res.Name, res.Name)
			return
		}
	}
}

// tags warns of tags that no Classification gives.
func (l *linter) tags(r *rule) {
	var known []string
	for _, c := range l.set.classes {
		for tag := range c.tags {
			known = append(known, tag)
		}
	}
	for _, tag := range r.match.allTags() {
		if tag != Unclassified && !slices.Contains(known, tag) {
			l.warn(r, "no Classification gives the tag %q%s", tag, strictyaml.Suggest(tag, append(known, Unclassified)))
		}
	}
	if r.match.tags != nil && r.mask != nil && len(r.mask.columns) > 0 {
		l.warn(r, "masks the columns it names where a column with such a tag is touched; to mask those with the tag, leave mask.columns out")
	}
}

// allTags lists the tags that the block asks for, also inside not.
func (m *match) allTags() (all []string) {
	for ; m != nil; m = m.not {
		if m.tags != nil {
			all = append(all, m.tags.tags...)
		}
	}
	return all
}

// onResource asks only what the rule says about the resource.
func (r *rule) onResource(q *question) bool {
	for i := range r.match.conds {
		c := &r.match.conds[i]
		if c.about == aboutResource && c.key != "not" && c.eval(q, &q.r.Subject, false) == no {
			return false
		}
	}
	return true
}

// labels warns of labels, or values of labels, that no resource has.
func (l *linter) labels(r *rule) (missing bool) {
	for key, values := range r.match.labels {
		for _, v := range values {
			if !slices.ContainsFunc(l.inv.Resources, func(res access.Resource) bool { return res.Labels[key] == v }) {
				l.warn(r, "no resource has the label %s: %s", key, v)
				missing = true
			}
		}
	}
	return missing
}

// readLabels warns of an expression that fails, and so denies, for want of a label.
func (l *linter) readLabels(r *rule, reached []access.Resource) {
	if r.when == nil {
		return
	}
	for _, key := range labelsRead(r.when.ast) {
		for _, res := range reached {
			if _, ok := res.Labels[key]; !ok {
				l.warn(r, "reads the label %q, which resource %q lacks: the rule fails there, and so denies (write resource.labels[?%q].orValue(\"\"))", key, res.Name, key)
				break
			}
		}
	}
}

// labelsRead lists the labels that an expression reads without asking whether
// they exist.
func labelsRead(a *cel.Ast) []string {
	var read, asked []string
	ast.PreOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			s := e.AsSelect()
			if !isLabels(s.Operand()) {
				return
			}
			if s.IsTestOnly() {
				asked = append(asked, s.FieldName())
			} else {
				read = append(read, s.FieldName())
			}
		case ast.CallKind:
			c := e.AsCall()
			if c.FunctionName() == operators.Index && isLabels(c.Args()[0]) {
				if key, ok := literalText(c.Args()[1]); ok {
					read = append(read, key)
				}
			}
		}
	}))
	slices.Sort(read)
	return slices.DeleteFunc(slices.Compact(read), func(key string) bool { return slices.Contains(asked, key) })
}

func isLabels(e ast.Expr) bool {
	return e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "labels" &&
		e.AsSelect().Operand().Kind() == ast.IdentKind && e.AsSelect().Operand().AsIdent() == "resource"
}

func (l *linter) groups(r *rule) {
	if l.inv.Groups == nil {
		return
	}
	for m := &r.match; m != nil; m = m.not {
		for _, g := range m.groups {
			if _, ok := l.inv.Groups[g]; !ok {
				l.warn(r, "unknown group %q%s", g, strictyaml.Suggest(g, l.groupNames()))
			}
		}
	}
	if r.approval == nil {
		return
	}
	l.approvers(r, r.approval.From)
	if r.approval.Escalate != nil {
		l.approvers(r, r.approval.Escalate.To)
	}
}

// approvers warns of people who do not exist.
func (l *linter) approvers(r *rule, from []access.Approvers) {
	for _, f := range from {
		switch n, ok := l.inv.Groups[f.Group]; {
		case !ok:
			l.warn(r, "unknown approver group %q%s", f.Group, strictyaml.Suggest(f.Group, l.groupNames()))
		case n == 0:
			l.warn(r, "approver group %q is empty: nobody can approve", f.Group)
		case n > 0 && n < f.Count:
			l.warn(r, "approver group %q has %d members, and %d must approve", f.Group, n, f.Count)
		}
	}
}

func (l *linter) groupNames() []string {
	var all []string
	for g := range l.inv.Groups {
		all = append(all, g)
	}
	slices.Sort(all)
	return all
}

func (l *linter) channels(r *rule) {
	names := r.notify
	if r.approval != nil {
		names = slices.Concat(names, r.approval.Channels)
		if r.approval.Glass != nil {
			names = slices.Concat(names, r.approval.Glass.Alert)
		}
	}
	for _, n := range names {
		if l.inv.Channels != nil && !slices.Contains(l.inv.Channels, n) {
			l.warn(r, "unknown channel %q%s", n, strictyaml.Suggest(n, l.inv.Channels))
		}
	}
}

func (l *linter) regexes(r *rule) {
	if r.when == nil {
		return
	}
	for _, re := range r.when.regexes {
		l.warn(r, "the regular expression %s has no plain text of %d letters that every match contains, so it runs in full on every command", re, minNeedle)
	}
}

// shadowed warns of an allow that an unconditional deny always overrides, and
// of one that adds nothing to another.
func (l *linter) shadowed(r *rule) {
	if !r.allows() || r.monitor {
		return
	}
	plain := r.mask == nil && r.maxAge == 0 && r.limit == nil && !r.record && len(r.notify) == 0
	for _, o := range l.set.rules {
		if o == r || o.monitor || o.when != nil || o.maxAge > 0 || !covers(&o.match, &r.match) {
			continue
		}
		switch {
		case o.effect == effDeny:
			l.warn(r, "never allows anything: %s (%s:%d) denies all of it", o.name, o.pos.File, o.pos.Line)
		case o.allows() && plain && (!covers(&r.match, &o.match) || r.when != nil || l.before(o, r)):
			l.warn(r, "adds nothing: %s (%s:%d) allows all of it", o.name, o.pos.File, o.pos.Line)
		}
	}
}

func (l *linter) before(a, b *rule) bool {
	return slices.Index(l.set.rules, a) < slices.Index(l.set.rules, b)
}

// covers reports whether whatever b matches, a matches: false where that is
// not plain to see.
func covers(a, b *match) bool {
	if a.not != nil || a.objects() || len(a.settings) > 0 || len(a.cidrs) > 0 || len(a.subjects) > 0 || len(a.names) > 0 {
		return false
	}
	for key, values := range a.labels {
		if !within(b.labels[key], values) {
			return false
		}
	}
	return within(b.protocols, a.protocols) && within(b.groups, a.groups) && within(b.kinds, a.kinds) &&
		coversVerbs(a, b) && within(b.confidence, a.confidence)
}

func coversVerbs(a, b *match) bool {
	if !a.hasVerbs {
		return true
	}
	if !b.hasVerbs {
		return false
	}
	for i := range b.verbs {
		if b.verbs[i]&^a.verbs[i] != 0 {
			return false
		}
	}
	return true
}

// within reports whether a condition on small is at least as narrow as one on
// large; an empty list is no condition.
func within[T comparable](small, large []T) bool {
	if len(large) == 0 {
		return true
	}
	if len(small) == 0 {
		return false
	}
	return !slices.ContainsFunc(small, func(v T) bool { return !slices.Contains(large, v) })
}

// ungranted warns of an approval rule for what no rule allows: approval alone
// grants nothing.
func (l *linter) ungranted(r *rule) {
	if r.effect != effApproval || r.monitor {
		return
	}
	for _, o := range l.set.rules {
		if o.allows() && !o.monitor && overlap(&o.match, &r.match) {
			return
		}
	}
	l.warn(r, "approval alone grants nothing, and no rule allows any of it")
}

// revealing warns of permissions that undo a mask.
func (l *linter) revealing(r *rule) {
	if r.mask == nil {
		return
	}
	p := &r.mask.permits
	if p.minGroup == 0 && p.uses&access.UseAggregate != 0 && slices.ContainsFunc(p.functions, func(f string) bool { return f != "count" }) {
		l.warn(r, "aggregates of a group of one row are the value itself: give aggregatable.min_group")
	}
}

// readsOnly warns of rules that hide columns or tables from statements whose verb reads:
// one that writes as well has another verb, and can read all the same.
func (l *linter) readsOnly(r *rule) {
	hides := r.mask != nil && len(r.mask.detect) == 0 || r.effect == effDeny && r.match.objects()
	if !hides || r.allows() || r.monitor || !r.match.hasVerbs || !r.match.verbs.has(access.VerbSelect) {
		return
	}
	for _, v := range []access.Verb{access.VerbFetch, access.VerbCopyOut, access.VerbInsert, access.VerbUpdate, access.VerbDelete, access.VerbLock} {
		if !r.match.verbs.has(v) {
			l.warn(r, "does not hold for %s, which can read as well (RETURNING, INSERT ... SELECT, FOR UPDATE): leave verbs and access out", v)
			return
		}
	}
}

// overlap reports whether two blocks may match the same action: true where that
// is not plain to see.
func overlap(a, b *match) bool {
	for key, values := range a.labels {
		if meet(values, b.labels[key]) {
			continue
		}
		return false
	}
	return meet(a.protocols, b.protocols) && meet(a.kinds, b.kinds) && (!a.hasVerbs || !b.hasVerbs || a.verbs.meets(b.verbs))
}

func meet[T comparable](a, b []T) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

func (s verbSet) meets(o verbSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// Untested returns a warning for every rule that no test made fire.
func (r Report) Untested() []strictyaml.Problem {
	var all []strictyaml.Problem
	for _, c := range r.Coverage {
		if c.Fired == 0 {
			_, id, _ := strings.Cut(c.Rule, "/")
			all = append(all, strictyaml.Problem{File: c.File, Line: c.Line, Column: 1, Message: fmt.Sprintf("rule %q: no test makes it fire", id)})
		}
	}
	return all
}
