package policy

import (
	"fmt"
	"strings"

	"sluice/access"
)

// An Explanation is a decision with every rule's part in it, for the people who
// write policies. It may show what users should not see.
type Explanation struct {
	Decision access.Decision `json:"decision"`
	Rules    []Trace         `json:"rules"` // every rule, in order
	// Nearest says which rule would allow it and what is missing. Empty if a rule
	// allows it (and perhaps another denies it), or none ever allows anything.
	Nearest string `json:"nearest,omitempty"`
}

// A Trace is one rule's part in a decision.
type Trace struct {
	Rule    string `json:"rule"` // POLICY/RULE
	Effect  string `json:"effect"`
	Monitor bool   `json:"monitor,omitempty"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Outcome string `json:"outcome"` // yes, no, unknown or error
	Because string `json:"because"` // the conditions and values that decided
}

// Explain decides a request and shows how.
func Explain(s *Set, r access.Request) Explanation {
	e := Explanation{Decision: s.Decide(r)}
	if s == nil {
		return e
	}
	q := newQuestion(&r)
	for _, rule := range s.rules {
		e.Rules = append(e.Rules, rule.trace(q))
	}
	if near := s.nearest(q); near != nil && e.Decision.By() == "default" {
		e.Nearest = fmt.Sprintf("%s (%s:%d)", near.text(), near.rule.pos.File, near.rule.pos.Line)
	}
	return e
}

func (r *rule) trace(q *question) Trace {
	f := finding{rule: r}
	if f.met, _ = r.static(q); f.met != no {
		f.met = r.matched(q)
	}
	if f.met != no && r.when != nil {
		t, err := r.when.eval(q)
		f.met, f.err = min(f.met, t), err
	}
	f.freshen(q)
	t := Trace{
		Rule: r.name, Effect: r.effect.String(), Monitor: r.monitor, File: r.pos.File, Line: r.pos.Line,
		Outcome: f.met.String(), Because: f.because(q),
	}
	if f.err != nil {
		t.Outcome, t.Because = "error", f.err.Error()
	}
	return t
}

// matched is the whole match block, also what the index answers, for the member
// of the actor chain that it fits best.
func (r *rule) matched(q *question) tri {
	t := no
	for who := &q.r.Subject; who != nil; who = who.Actor {
		t = max(t, r.match.eval(q, who, r.allows()))
	}
	if t != no && r.allows() && q.r.Action.Verb.Class() == access.ClassUnknown && !r.match.verbs.has(access.VerbUnknown) && r.match.hasVerbs {
		return no // does not speak of what nobody understands
	}
	return t
}

// because names the conditions that decided: those that failed, or what was
// matched and the values of the expression.
func (f *finding) because(q *question) string {
	var parts []string
	for i := range f.rule.match.conds {
		c := &f.rule.match.conds[i]
		t := c.best(q, f.rule.allows())
		switch {
		case t == f.met && t != yes:
			parts = append(parts, fmt.Sprintf("%s => %s", c.text(), t))
		case f.met == yes && c.about == aboutObjects:
			parts = append(parts, fmt.Sprintf("%s => %s", c.text(), c.shown(q)))
		}
	}
	if f.rule.maxAge > 0 {
		parts = append(parts, fmt.Sprintf("identity.max_age %s => %t", f.rule.maxAge, !f.rule.stale(q.r)))
	}
	if f.rule.when != nil && (f.met != no || len(parts) == 0) {
		parts = append(parts, f.rule.when.because(q))
	}
	return strings.Join(parts, "; ")
}

// shown says what the condition is about in this action.
func (c *cond) shown(q *question) string {
	if c.show != nil {
		return c.show(q)
	}
	return touched(&q.r.Action)
}

// best is the condition's answer for the member of the chain that it fits best.
func (c *cond) best(q *question, every bool) tri {
	t := no
	for who := &q.r.Subject; who != nil; who = who.Actor {
		t = max(t, c.eval(q, who, every))
	}
	return t
}

// maxTouched bounds how many objects an explanation names.
const maxTouched = 8

func touched(a *access.Action) string {
	var names []string
	for _, o := range a.Objects {
		if o.Kind == access.KindTable && !o.System || o.Kind == access.KindSchema {
			names = append(names, o.Qualified())
		}
	}
	if a.SQL != nil {
		names = append(names, a.SQL.Settings...)
	}
	if len(names) > maxTouched {
		names = append(names[:maxTouched], "...")
	}
	return strings.Join(names, ", ")
}

// A distance is how far a rule is from allowing an action.
type distance struct {
	rule    *rule
	missing []string
	cost    int
}

// text says which rule is nearest and what it wants, for users: it names no files.
func (d *distance) text() string {
	return fmt.Sprintf("the nearest rule that would allow it is %s, which wants %s", d.rule.name, strings.Join(d.missing, " and "))
}

// nearest finds the allow rule with the least missing. What a person can get by
// asking, such as a group, is nearer than another resource.
func (s *Set) nearest(q *question) *distance {
	var best *distance
	for _, r := range s.rules {
		if !r.allows() || r.monitor {
			continue
		}
		if d := r.distance(q); best == nil || d.cost < best.cost {
			best = d
		}
	}
	return best
}

func (r *rule) distance(q *question) *distance {
	d := &distance{rule: r}
	session := q.r.Action.Verb.Class() == access.ClassSession // any allow at all would do
	weight := map[aspect]int{aboutResource: 16, aboutAction: 4, aboutObjects: 3, aboutClient: 2, aboutSubject: 1}
	for i := range r.match.conds {
		c := &r.match.conds[i]
		if c.best(q, true) == yes || session && c.about >= aboutAction {
			continue
		}
		d.cost += weight[c.about]
		d.missing = append(d.missing, c.text())
	}
	if r.when != nil && !session {
		if t, err := r.when.eval(q); err != nil || t != yes {
			d.cost++
			d.missing = append(d.missing, "its condition to hold")
		}
	}
	if len(d.missing) == 0 {
		d.missing = []string{"what this does to be understood"}
	}
	return d
}
