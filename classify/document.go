package classify

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Document writes proposals as YAML: a Classification of the resource under a
// name, and if rules is set a Policy that masks what it tags. What was found stands
// in comments. Both are valid as they are, if the configuration has nothing of the
// same names.
func Document(w io.Writer, resource, name string, rules bool, proposals []Proposal) error {
	d := document{resource: resource, name: name}
	d.sort(proposals)
	if len(d.tagged)+len(d.reviewed) > 0 {
		d.classification()
	} else {
		d.line("# %s: nothing to classify.", resource)
	}
	d.left()
	if rules && len(d.tagged) > 0 {
		d.policy()
	}
	_, err := io.WriteString(w, d.b.String())
	return err
}

type document struct {
	b        strings.Builder
	resource string
	name     string
	tagged   []Proposal
	reviewed []Proposal
	empty    []Proposal
}

func (d *document) line(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

func (d *document) sort(proposals []Proposal) {
	patterns := map[string]bool{} // two names that cannot be spelt may share one
	for _, p := range proposals {
		switch {
		case len(p.Tags) > 0:
			if !patterns[p.pattern()] {
				patterns[p.pattern()] = true
				d.tagged = append(d.tagged, p)
			}
		case p.Empty || !p.exact(): // a star would call reviewed what nobody has seen
			d.empty = append(d.empty, p)
		default:
			d.reviewed = append(d.reviewed, p)
		}
	}
}

func (d *document) classification() {
	d.line("# Proposed from samples and names: look at each line before you keep it.")
	d.line("apiVersion: sluice/v1\nkind: Classification\nmetadata: {name: %s}\nspec:\n  resource: %s", Quote(d.name), Quote(d.resource))
	if len(d.tagged) > 0 {
		d.line("  columns:")
	}
	for _, p := range d.tagged {
		d.line("    %s: [%s]  # %s", p.pattern(), strings.Join(p.Tags, ", "), comment(p.Why))
	}
	if len(d.reviewed) > 0 {
		d.line("  # Nothing was found here. Keeping a line says that somebody has looked.\n  reviewed:")
	}
	for _, p := range d.reviewed {
		d.line("  - %s  # %s", p.pattern(), comment(p.Why))
	}
}

// left names what has to be looked at by hand.
func (d *document) left() {
	if len(d.empty) == 0 {
		return
	}
	d.line("  # No values to look at; as long as they are not listed, these are unclassified:")
	for _, p := range d.empty {
		d.line("  # - %s", comment(p.pattern()))
	}
}

func (d *document) policy() {
	d.line("---\n# Who sees what is tagged in clear is yours to say: add not: {groups: [...]} to a rule.")
	d.line("apiVersion: sluice/v1\nkind: Policy\nmetadata: {name: %s}\nspec:\n  rules:", Quote(d.name+"-privacy"))
	d.masks()
	if slices.ContainsFunc(d.tagged, func(p Proposal) bool { return slices.Contains(p.Tags, kindFreeText.tag) }) {
		d.line("  - id: mask-in-text\n    match: {resource: {names: [%s]}}\n    effect: mask\n    mask: {detect: [pii, secrets], with: redact}  # in every column that no other rule masks",
			Quote(d.resource))
	}
	d.line("  - id: masked-until-classified\n    match: {resource: {names: [%s]}, tags: [unclassified]}\n    effect: mask\n    mask: {with: \"null\"}", Quote(d.resource))
}

// masks writes one rule for each first tag.
func (d *document) masks() {
	var done []string
	for _, p := range d.tagged {
		if p.Mask == "" || slices.Contains(done, p.Tags[0]) {
			continue
		}
		done = append(done, p.Tags[0])
		d.line("  - id: mask-%s\n    match: {resource: {names: [%s]}, tags: [%s]}\n    effect: mask\n    mask: {with: %s}", p.Tags[0], Quote(d.resource), p.Tags[0], Quote(p.Mask))
	}
}

// pattern is the column as the configuration spells it, quoted for YAML.
func (p Proposal) pattern() string {
	return Quote(Name(p.Schema) + "." + Name(p.Table) + "." + Name(p.Column))
}

// exact reports whether the pattern fits this column alone.
func (p Proposal) exact() bool {
	return !strings.Contains(p.Schema+p.Table+p.Column, `"`)
}

// Name spells one part of a name as patterns do: plain, or in double quotes
// where a pattern would read it otherwise. A name that holds a double quote
// cannot be spelt: it becomes a star, which fits it too.
func Name(part string) string {
	plain := part != "" && strings.ToLower(part) == part && !strings.ContainsAny(part, "*.\" \t\r\n'")
	switch {
	case plain:
		return part
	case part == "" || strings.Contains(part, `"`):
		return "*"
	}
	return `"` + part + `"`
}

// Quote writes a YAML scalar that is read as exactly this text.
func Quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-'
	}) < 0
	if plain && s[0] >= 'a' && s[0] <= 'z' && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unseen(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		case unseen(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unseen reports characters that YAML or a reader takes for something else:
// people look at every line.
func unseen(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// comment keeps a text on its line, and to what can be seen.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if unseen(r) {
			return ' '
		}
		return r
	}, s)
}
