package policy

import (
	"slices"
	"strings"

	"sluice/access"
)

// This file answers the condition on tags: which columns carry one is looked up
// at load, for each resource, so that a decision does with them what it does
// with columns that a rule names.

// A tagMatch is a compiled list of tags.
type tagMatch struct {
	tags []string           // as written
	at   map[string]*tagSet // by resource; none: no column there carries one
}

// A tagSet is the columns of one resource that carry one of some tags.
type tagSet struct {
	columns columnIndex
	open    *Classification // if what it does not know counts as well; otherwise nil
}

func (c *compiler) tags(who string, ts texts) *tagMatch {
	names := c.strings(who, ts)
	if len(names) == 0 {
		return nil
	}
	for _, t := range ts {
		if !tagName.MatchString(t.Value) {
			c.fail(t.Pos, "%s: tag %q: want lower-case letters, digits, dots, dashes and _", who, t.Value)
		}
	}
	return &tagMatch{tags: names, at: c.classes.resolve(names)}
}

// resolve finds the columns with one of the tags, by resource.
func (k *classifier) resolve(tags []string) map[string]*tagSet {
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	at := map[string]*tagSet{}
	for resource, c := range k.classes {
		key := resource + "\x00" + strings.Join(sorted, "\x00")
		if k.sets[key] == nil {
			k.sets[key] = c.tagSet(sorted)
		}
		if set := k.sets[key]; set.open != nil || len(set.columns.all) > 0 {
			at[resource] = set
		}
	}
	return at
}

func (c *Classification) tagSet(tags []string) *tagSet {
	set := &tagSet{}
	for _, tag := range slices.Compact(tags) {
		if tag == Unclassified {
			set.open = c
		} else if columns := c.tags[tag]; columns != nil {
			set.columns.all = append(set.columns.all, columns.all...)
		}
	}
	set.columns.finish()
	return set
}

// on returns patterns for the table's columns that carry a tag at the resource,
// nil if there can be none. every asks for what certainly carries one, as a rule
// that allows must.
func (m *tagMatch) on(q *question, o *access.Object, every bool) []namePattern {
	set := m.at[q.r.Resource.Name]
	if set == nil {
		return nil
	}
	ps := set.columns.on(o.Name)
	if set.open == nil || !classifiable(o) {
		return ps
	}
	return append(ps[:len(ps):len(ps)], set.open.unknown(o, every)...)
}

// classifiable reports whether a table has columns of its own that a
// Classification should name. What the session made for itself, it filled from
// what was judged then.
func classifiable(o *access.Object) bool {
	return !o.System && !o.Derived && !strings.HasPrefix(o.Schema, "pg_temp")
}

// unknown returns patterns for the columns in use that the Classification does
// not know. Where it cannot be told which are used, or of which schema, it is all
// of them for a rule that restricts, and none for a rule that allows.
func (c *Classification) unknown(o *access.Object, every bool) []namePattern {
	star := newGlob("*")
	if !o.ColumnsKnown {
		if every || c.covers(o.Schema, o.Name) {
			return nil
		}
		return []namePattern{{parts: []glob{star, literal(o.Name), star}}}
	}
	var all []namePattern
	for _, col := range o.Columns {
		if c.Known(o.Schema, o.Name, col.Name) || systemColumn(col.Name) || every && o.Schema == "" {
			continue
		}
		all = append(all, namePattern{parts: []glob{star, literal(o.Name), literal(col.Name)}})
	}
	return all
}

// systemColumn reports the columns that every table has, which no user's
// column can be called.
func systemColumn(name string) bool {
	switch name {
	case "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax":
		return true
	}
	return false
}

// evalTags asks about columns that carry a tag. Where the resource has none,
// there is nothing that could be hidden.
func (m *match) evalTags(q *question, _ *access.Subject, every bool) tri {
	if m.tags.at[q.r.Resource.Name] == nil && !every {
		return no
	}
	return m.columnsOn(q, every, m.tags.on, m.tags.schema)
}

// schema matches a schema as a whole.
func (m *tagMatch) schema(q *question, name string) tri {
	set := m.at[q.r.Resource.Name]
	if set == nil {
		return no
	}
	if set.open != nil && !strings.HasPrefix(name, "pg_") {
		return unknown
	}
	return schema(set.columns.all, name)
}

// tagged names the columns that made the condition hold, for explanations.
func (m *tagMatch) tagged(q *question) string {
	var names []string
	for i := range q.r.Action.Objects {
		o := &q.r.Action.Objects[i]
		if o.Kind != access.KindTable {
			continue
		}
		for _, p := range m.on(q, o, false) {
			names = append(names, p.within(o)...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxTouched {
		names = append(names[:maxTouched], "...")
	}
	return strings.Join(names, ", ")
}

// within names the columns of a table in use that the pattern fits.
func (p namePattern) within(o *access.Object) []string {
	if p.onTable(o) == no {
		return nil
	}
	if !o.ColumnsKnown {
		return []string{o.Qualified() + "." + p.parts[2].String()}
	}
	var names []string
	for _, c := range o.Columns {
		if p.parts[2].match(c.Name) {
			names = append(names, o.Qualified()+"."+c.Name)
		}
	}
	return names
}
