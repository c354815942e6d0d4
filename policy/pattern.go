package policy

import (
	"errors"
	"fmt"
	"strings"
)

// A glob matches a whole text; * stands for any run of characters. The zero
// glob matches only the empty text.
type glob struct {
	pieces []string // what stands between the stars; one piece: no star
}

func newGlob(s string) glob { return glob{strings.Split(s, "*")} }

// literal is a glob that takes stars as they are.
func literal(s string) glob { return glob{[]string{s}} }

func (g glob) wild() bool { return len(g.pieces) > 1 }

// any reports whether the glob matches everything.
func (g glob) any() bool {
	for _, p := range g.pieces {
		if p != "" {
			return false
		}
	}
	return g.wild()
}

func (g glob) match(s string) bool {
	if len(g.pieces) == 0 {
		return s == ""
	}
	if !g.wild() {
		return s == g.pieces[0]
	}
	first, last := g.pieces[0], g.pieces[len(g.pieces)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range g.pieces[1 : len(g.pieces)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}

func (g glob) String() string { return strings.Join(g.pieces, "*") }

// A namePattern is a dotted name with a glob a part: schema.table, or
// schema.table.column.
type namePattern struct {
	parts []glob
	text  string
}

// parseName reads a dotted pattern of between least and most parts. Missing
// parts in front match anything. As in SQL, "double quotes" make a part exact;
// outside them upper case is refused, because it could mean either of two names.
func parseName(s string, least, most int) (namePattern, error) {
	p := namePattern{text: s}
	for rest := s; ; {
		part, tail, more, err := nextPart(rest)
		if err != nil {
			return p, err
		}
		p.parts = append(p.parts, part)
		if !more {
			break
		}
		rest = tail
	}
	if n := len(p.parts); n < least || n > most {
		return p, fmt.Errorf("pattern %q has %d parts, want %s", s, n, wantParts(least, most))
	}
	for len(p.parts) < most {
		p.parts = append([]glob{newGlob("*")}, p.parts...)
	}
	return p, nil
}

func wantParts(least, most int) string {
	forms := []string{"name", "schema.name", "schema.table.column"}
	if most == 3 {
		forms = []string{"column", "table.column", "schema.table.column"}
	}
	return strings.Join(forms[least-1:most], " or ")
}

// nextPart reads one part of a dotted pattern.
func nextPart(s string) (part glob, rest string, more bool, err error) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		name, rest, ok := strings.Cut(quoted, `"`)
		if !ok || name == "" {
			return part, "", false, errors.New("unfinished or empty quoted name")
		}
		if rest == "" {
			return literal(name), "", false, nil
		}
		rest, ok = strings.CutPrefix(rest, ".")
		if !ok {
			return part, "", false, errors.New("want a dot after a quoted name")
		}
		return literal(name), rest, true, nil
	}
	name, rest, more := strings.Cut(s, ".")
	switch {
	case name == "":
		return part, "", false, errors.New("empty part in a pattern")
	case name != strings.ToLower(name):
		return part, "", false, fmt.Errorf("upper case in %q: write it in lower case, or as %q to mean exactly this spelling", name, `"`+name+`"`)
	case strings.ContainsAny(name, "\" \t\n'"):
		return part, "", false, fmt.Errorf("%q needs double quotes", name)
	}
	return newGlob(name), rest, more, nil
}

// relation matches a schema and a name. An empty schema is one that the
// analysis could not resolve.
func (p namePattern) relation(schema, name string) tri {
	s, n := p.parts[0], p.parts[1]
	if !n.match(name) {
		return no
	}
	if schema == "" && !s.any() {
		return unknown
	}
	return truth(s.any() || s.match(schema))
}

// names reports whether the pattern spells its schema out: only then does it
// speak of the server's own catalog.
func (p namePattern) namesSchema() bool { return !p.parts[0].wild() }

// tri is a truth value that may be unknown. The zero tri is false.
type tri uint8

const (
	no tri = iota
	unknown
	yes
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) negate() tri { return yes - t }

func (t tri) String() string { return [...]string{"no", "unknown", "yes"}[t] }
