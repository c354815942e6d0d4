package policy

import (
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// ClassificationKind is the kind of document that says what the columns of a
// resource hold.
const ClassificationKind = "Classification"

// Unclassified is the tag of every column that no Classification of its
// resource mentions. A resource without any has no such column.
const Unclassified = "unclassified"

// maxClassified bounds the entries of all Classifications together.
const maxClassified = 2_000_000

type classificationSpec struct {
	Resource text           `yaml:"resource,required"`
	Columns  taggedSpec     `yaml:"columns"`
	Reviewed texts          `yaml:"reviewed"` // looked at, and nothing to say
	Pos      strictyaml.Pos // of the spec
}

// taggedSpec keeps the place of each column.
type taggedSpec []struct {
	column text
	tags   texts
}

// UnmarshalStrict implements [strictyaml.Unmarshaler]. One tag needs no list.
func (s *taggedSpec) UnmarshalStrict(d *strictyaml.Decoder, n *yaml.Node) {
	d.Pairs(n, func(key, val *yaml.Node) {
		entry := struct {
			column text
			tags   texts
		}{column: text{Value: key.Value, Pos: d.At(key)}}
		if val.Kind == yaml.ScalarNode {
			entry.tags = make(texts, 1)
			d.Decode(val, &entry.tags[0])
		} else {
			d.Decode(val, &entry.tags)
		}
		*s = append(*s, entry)
	})
}

// A Classification says what the columns of one resource hold: every document
// for it together. It is immutable. A nil Classification knows nothing.
type Classification struct {
	resource string
	pos      strictyaml.Pos // of the first document's resource
	known    columnIndex    // what has tags or was reviewed
	tags     map[string]*columnIndex
}

// Resource returns the name of the resource.
func (c *Classification) Resource() string { return c.resource }

// Known reports whether the column has tags or was reviewed.
func (c *Classification) Known(schema, table, column string) bool {
	return c != nil && c.known.has(schema, table, column)
}

// Tags returns the tags of a column, sorted. What it inherits, being a view's
// or a partition's, is not asked.
func (c *Classification) Tags(schema, table, column string) []string {
	if c == nil {
		return nil
	}
	var all []string
	for tag, columns := range c.tags {
		if columns.has(schema, table, column) {
			all = append(all, tag)
		}
	}
	slices.Sort(all)
	return all
}

// Missing returns what the Classification names without a star and none of the
// columns is: a typo, or a column that was renamed.
func (c *Classification) Missing(columns []access.ColumnID) []string {
	if c == nil {
		return nil
	}
	fits := map[string]bool{}
	for _, id := range columns {
		for _, p := range c.known.on(id.Table) {
			if p.parts[2].match(id.Column) && p.relation(id.Schema, id.Table) == yes {
				fits[p.text] = true
			}
		}
	}
	var missing []string
	for _, p := range c.known.all {
		if !fits[p.text] && !p.parts[1].wild() && !p.parts[2].wild() {
			missing = append(missing, p.text)
		}
	}
	return missing
}

// covers reports whether all columns of a table are known, whatever they are.
func (c *Classification) covers(schema, table string) bool {
	return slices.ContainsFunc(c.known.on(table), func(p namePattern) bool {
		return p.parts[2].any() && p.relation(schema, table) == yes
	})
}

// A columnIndex finds the column patterns that can fit a table.
type columnIndex struct {
	byTable map[string][]namePattern // by the table's name, with those in rest
	rest    []namePattern            // the table's name has a star
	all     []namePattern
}

func (x *columnIndex) add(p namePattern) { x.all = append(x.all, p) }

// finish makes what was added findable.
func (x *columnIndex) finish() {
	x.byTable = map[string][]namePattern{}
	for _, p := range x.all {
		if table := p.parts[1]; table.wild() {
			x.rest = append(x.rest, p)
		} else {
			x.byTable[table.String()] = append(x.byTable[table.String()], p)
		}
	}
	for table := range x.byTable {
		x.byTable[table] = append(x.byTable[table], x.rest...)
	}
}

// on returns the patterns whose table part may fit. The slice is shared.
func (x *columnIndex) on(table string) []namePattern {
	if x == nil {
		return nil
	}
	if ps, ok := x.byTable[table]; ok {
		return ps
	}
	return x.rest
}

func (x *columnIndex) has(schema, table, column string) bool {
	for _, p := range x.on(table) {
		if p.parts[2].match(column) && p.relation(schema, table) == yes {
			return true
		}
	}
	return false
}

// Classification returns what is known about a resource's columns; nil if no
// document speaks of it.
func (s *Set) Classification(resource string) *Classification {
	if s == nil {
		return nil
	}
	return s.classes[resource]
}

// Unplaced reports Classifications of resources that are not among those that
// exist: their tags would protect nothing.
func (s *Set) Unplaced(resources []string) []strictyaml.Problem {
	var problems []strictyaml.Problem
	if s == nil {
		return nil
	}
	for name, c := range s.classes {
		if !slices.Contains(resources, name) {
			problems = append(problems, c.pos.Problemf("there is no resource %q%s", name, strictyaml.Suggest(name, resources)))
		}
	}
	return strictyaml.Sort(problems)
}

// A classifier collects the Classifications of a bundle.
type classifier struct {
	problems *[]strictyaml.Problem
	classes  map[string]*Classification
	seen     map[string]strictyaml.Pos // by resource and pattern
	sets     map[string]*tagSet        // by resource and tags, once for all rules
}

// classify reads the documents of kind Classification.
func classify(docs []strictyaml.Document, problems *[]strictyaml.Problem) *classifier {
	k := &classifier{problems: problems, classes: map[string]*Classification{}, seen: map[string]strictyaml.Pos{}, sets: map[string]*tagSet{}}
	for _, d := range docs {
		var spec classificationSpec
		ps := d.Decode(&spec)
		*problems = append(*problems, ps...)
		if len(ps) == 0 {
			k.add(&spec)
		}
	}
	if len(k.seen) > maxClassified {
		k.fail(docs[0].NamePos, "%d columns are classified, more than %d", len(k.seen), maxClassified)
	}
	for _, c := range k.classes {
		c.known.finish()
		for _, columns := range c.tags {
			columns.finish()
		}
	}
	return k
}

func (k *classifier) fail(p strictyaml.Pos, format string, args ...any) {
	*k.problems = append(*k.problems, p.Problemf(format, args...))
}

var tagName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

func (k *classifier) add(spec *classificationSpec) {
	name := spec.Resource.Value
	c := k.classes[name]
	if c == nil {
		c = &Classification{resource: name, pos: spec.Resource.Pos, tags: map[string]*columnIndex{}}
		k.classes[name] = c
	}
	if len(spec.Columns)+len(spec.Reviewed) == 0 {
		k.fail(spec.Pos, "nothing is classified: give columns: {schema.table.column: [TAG, ...]} or reviewed: [...]")
	}
	for _, e := range spec.Columns {
		if p, ok := k.column(c, e.column); ok {
			k.tag(c, p, e.column, e.tags)
		}
	}
	for _, t := range spec.Reviewed {
		k.column(c, t)
	}
}

// column notes one column, or a pattern for several, as known.
func (k *classifier) column(c *Classification, t text) (namePattern, bool) {
	p, err := parseName(t.Value, 2, 3)
	if err != nil {
		k.fail(t.Pos, "%v", err)
		return p, false
	}
	key := fmt.Sprintf("%q %q", c.resource, p.parts)
	if first, ok := k.seen[key]; ok {
		k.fail(t.Pos, "%q is already classified at %s", t.Value, first)
		return p, false
	}
	k.seen[key] = t.Pos
	c.known.add(p)
	return p, true
}

func (k *classifier) tag(c *Classification, p namePattern, column text, tags texts) {
	if len(tags) == 0 {
		k.fail(column.Pos, "%q has no tags: list it under reviewed if it needs none", column.Value)
	}
	var have []string
	for _, t := range tags {
		switch {
		case t.Value == Unclassified:
			k.fail(t.Pos, "the tag %q is given to what stands in no Classification, it cannot be set", t.Value)
		case !tagName.MatchString(t.Value):
			k.fail(t.Pos, "tag %q: want lower-case letters, digits, dots, dashes and _", t.Value)
		case slices.Contains(have, t.Value):
			k.fail(t.Pos, "tag %q stands twice", t.Value)
		}
		have = append(have, t.Value)
		if c.tags[t.Value] == nil {
			c.tags[t.Value] = &columnIndex{}
		}
		c.tags[t.Value].add(p)
	}
}
