package policy

import (
	"fmt"

	"sluice/access"
)

// hidden is the mask of a column whose origin is not known where some column is
// masked: it may show anything. NULL fits every type.
const hidden = "null"

// whole hides all of a value and keeps its type.
const whole = "redact"

// Result is the second point of evaluation: it says how each column of the
// result of an allowed action is masked. It returns one Mask a column; the zero
// Mask leaves a column clear.
//
// A column is masked by the strictest rule that matches any of its origins. A
// column that could not be traced is masked as NULL (Unknown is set) if any rule
// masks columns for this request. Detectors apply to every column not masked
// otherwise. An action that was not allowed has no result: that is an error, as
// is a rule that cannot be evaluated.
func (s *Set) Result(r access.Request, d access.Decision, cols []access.Column) ([]access.Mask, error) {
	out := make([]access.Mask, len(cols))
	if d.Effect != access.Allow {
		return nil, fmt.Errorf("policy: result of an action that was not allowed")
	}
	q := newQuestion(&r)
	rules, err := s.maskers(q)
	if err != nil || len(rules) == 0 {
		return out, err
	}
	for i := range cols {
		out[i] = columnMask(q, rules, &cols[i])
	}
	return out, nil
}

// maskers returns the rules that mask something for a request, whatever columns
// the action is known to touch.
func (s *Set) maskers(q *question) ([]*rule, error) {
	if s == nil {
		return nil, fmt.Errorf("policy: no policy is loaded")
	}
	q.anyColumn = true
	var rules []*rule
	var failed error
	s.forEach(q, func(rule *rule) {
		if rule.mask == nil || rule.monitor {
			return
		}
		f := finding{rule: rule}
		if f.met, f.by = rule.static(q); f.met == no {
			return
		}
		if rule.when != nil {
			t, err := rule.when.eval(q)
			if f.met = min(f.met, t); err != nil {
				failed = fmt.Errorf("policy: %s could not be evaluated: %w", rule.name, err)
			}
		}
		if f.met != no {
			rules = append(rules, rule)
		}
	})
	return rules, failed
}

func columnMask(q *question, rules []*rule, c *access.Column) access.Mask {
	var m access.Mask
	for _, r := range rules {
		if len(r.mask.detect) > 0 {
			continue
		}
		if !c.Traced {
			m = unite(m, access.Mask{With: hidden, Unknown: true, Rule: r.name})
		}
		for _, o := range c.Origins {
			if r.hides(q, o) {
				m = unite(m, r.maskOf(o))
			}
		}
	}
	if m.With == "" {
		return detection(rules)
	}
	m = oneOfMany(q, rules, c, m)
	if found := detection(rules); len(m.Paths) > 0 && found.With != "" { // detectors look at what the paths leave
		m.Detect, m.Finds = found.Detect, found.With
	}
	return m
}

// oneOfMany hides a column that holds values of several others whole, unless all
// are masked alike. A method that leaves a part would leave it of values that it
// is not made for, and a keyed hash would answer guesses that stand beside.
func oneOfMany(q *question, rules []*rule, c *access.Column, m access.Mask) access.Mask {
	if len(c.Parts) == 0 && !c.Mixed {
		return m
	}
	if m.Paths = nil; strictness(m.With) > strictness("hash") {
		return m
	}
	alike := !c.Mixed
	for _, part := range c.Parts {
		with := ""
		for _, o := range part {
			for _, r := range rules {
				if r.hides(q, o) {
					with = stricter(with, r.mask.with)
				}
			}
		}
		alike = alike && with == m.With
	}
	if !alike {
		m.With = whole
	}
	return m
}

// hides reports whether the rule masks what comes from a column.
func (r *rule) hides(q *question, c access.ColumnID) bool {
	o := access.Object{Kind: access.KindTable, Schema: c.Schema, Name: c.Table, ColumnsKnown: true, Columns: []access.ColumnUse{{Name: c.Column}}}
	if !r.onTable(&o) {
		return false
	}
	o.Derived, o.System = q.derived(c), c.Schema == "pg_catalog" || c.Schema == "information_schema"
	for _, p := range r.mask.on(q, &o) {
		if p.parts[2].match(c.Column) && p.onTable(&o) != no {
			return true
		}
	}
	return false
}

// derived reports whether the action touches the column's table as one whose
// columns stand for those of others.
func (q *question) derived(c access.ColumnID) bool {
	for i := range q.r.Action.Objects {
		if o := &q.r.Action.Objects[i]; o.Kind == access.KindTable && o.Name == c.Table && o.Schema == c.Schema {
			return o.Derived
		}
	}
	return false
}

// detection merges the rules that look into values: what any of them looks for,
// masked as the strictest says.
func detection(rules []*rule) access.Mask {
	var m access.Mask
	for _, r := range rules {
		if len(r.mask.detect) == 0 {
			continue
		}
		if m.With == "" {
			m = access.Mask{With: r.mask.with, Rule: r.name}
		}
		m.With = stricter(m.With, r.mask.with)
		m.Detect = append(m.Detect, r.mask.detect...)
	}
	return m
}
