package policy

import (
	"cmp"
	"slices"
	"strings"

	"sluice/access"
	"sluice/internal/jsonpath"
	"sluice/internal/strictyaml"
)

// This file says what a rule's mask is, and which of several masks holds.

// maskPaths compiles mask.paths, the parts of JSON columns.
func (c *compiler) maskPaths(who string, m *maskSpec, r *rule, out *maskRule) {
	if m.Paths == nil {
		return
	}
	out.paths = c.strings(who, m.Paths)
	for _, t := range m.Paths {
		if _, err := jsonpath.Parse(t.Value); err != nil {
			c.fail(t.Pos, "%s: mask.paths: %v", who, err)
		}
	}
	if len(out.detect) > 0 {
		c.fail(m.Pos, "%s: mask.paths is about columns: detectors look everywhere", who)
	} else if len(r.match.columns) == 0 && len(m.Columns) == 0 && out.tags == nil {
		c.fail(m.Pos, "%s: mask.paths needs columns: name match.columns or mask.columns", who)
	}
	slices.Sort(out.paths)
	out.paths = slices.Compact(out.paths)
	if _, err := jsonpath.New(out.paths); err != nil {
		c.fail(m.Pos, "%s: mask.paths: %v", who, err)
	}
}

// maskKey takes mask.key; whether the gateway has it is checked where it is
// configured.
func (c *compiler) maskKey(who string, m *maskSpec, out *maskRule) {
	if out.key = m.Key; m.Key.Given() && (out.with != "hash" || m.Key.Value == "") {
		c.fail(m.Key.Pos, "%s: mask.key is the id of a key and belongs to with: hash", who)
	}
}

// Keyless reports rules that name keys of hash which are not among those known:
// their columns would become NULL.
func (s *Set) Keyless(known []string) []strictyaml.Problem {
	var problems []strictyaml.Problem
	if s == nil {
		return nil
	}
	for _, r := range s.rules {
		if r.mask != nil && r.mask.key.Given() && !slices.Contains(known, r.mask.key.Value) {
			problems = append(problems, r.mask.key.Pos.Problemf("rule %q: the gateway has no mask key %q%s", r.id, r.mask.key.Value, strictyaml.Suggest(r.mask.key.Value, known)))
		}
	}
	return problems
}

// maskOf is the rule's mask of one column.
func (r *rule) maskOf(c access.ColumnID) access.Mask {
	return access.Mask{Column: c, Detect: r.mask.detect, With: r.mask.with, Rule: r.name, Paths: r.mask.paths, Key: r.mask.key.Value}
}

// unite merges two masks of the same values: the stricter method holds, a whole
// value over its parts, the parts of both together. Of two keys of hash neither
// is stricter, and the current one holds.
func unite(a, b access.Mask) access.Mask {
	switch {
	case a.With == "":
		return b
	case b.With == "":
		return a
	}
	m := a
	if strictness(b.With) > strictness(a.With) {
		m = b
	} else if a.With == b.With && a.Key != b.Key {
		m.Key = ""
	}
	m.Paths = unitePaths(a.Paths, b.Paths)
	return m
}

func unitePaths(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	if slices.Equal(a, b) {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// strictest keeps one mask a column, the strictest, in order of column.
func strictest(all []access.Mask) []access.Mask {
	key := func(m access.Mask) string {
		return m.Column.String() + "\x00" + strings.Join(m.Detect, ",")
	}
	slices.SortStableFunc(all, func(a, b access.Mask) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(strictness(b.With), strictness(a.With)))
	})
	var out []access.Mask
	for _, m := range all {
		if n := len(out); n > 0 && key(out[n-1]) == key(m) {
			unknown := out[n-1].Unknown || m.Unknown
			out[n-1] = unite(out[n-1], m)
			out[n-1].Unknown = unknown
			continue
		}
		out = append(out, m)
	}
	return out
}
