package postgres

import (
	"context"
	"fmt"
	"strings"
)

// A template is the canonical text of statements of one shape, cut where their
// literals stand.
//
// Why what it yields is right: texts of one shape have the same tokens but for their
// literals, and so trees that differ in constants alone. A probe of the shape, with
// literals that nobody else would write, and its canonical text were proven to have the
// same tree; each literal of the one stands, as it is and once, in the other. The
// grammar hands literals on as they are, or negates numbers: what holds for the probe's
// holds for all. (One text with its own literals proves less: -0 becomes 0.) That what
// is put in are still the tokens that they were is looked at each time.
type template struct {
	key   string   // the canonical text's shape
	parts []string // what stands around the literals: one more than those
	order []int    // which literal of the client's text comes next
}

// likeOthers is canonical for statements of which no conclusion looked at a constant: the
// parser is asked only for the first of a shape.
func (a *Analyzer) likeOthers(ctx context.Context, subject, text string) (string, error) {
	shape := shapeOf(text, &a.opts)
	if shape.over != "" || len(shape.spans) != 1 {
		return a.canonical(ctx, subject, text)
	}
	t, known := a.templates.get(shape.key, EnvKey{})
	if !known {
		t = a.templateOf(ctx, subject, text, shape.key)
		if ctx.Err() == nil {
			a.templates.put(shape.key, EnvKey{}, t, t.size())
		}
	}
	if t != nil {
		if filled, ok := a.fill(t, text); ok {
			return filled, nil
		}
	}
	return a.canonical(ctx, subject, text)
}

// templateOf makes the template of a text's shape; nil: there is none.
func (a *Analyzer) templateOf(ctx context.Context, subject, text, key string) *template {
	probe, ok := probeOf(text)
	if s := shapeOf(probe, &a.opts); !ok || s.key != key || s.over != "" {
		return nil
	}
	canonical, err := a.canonical(ctx, subject, probe)
	if err != nil {
		return nil
	}
	return a.newTemplate(probe, canonical)
}

// probeOf puts a literal of its own into every place of a text, but for row limits, which
// belong to the shape. It reports false for kinds of literal that no template holds.
func probeOf(text string) (string, bool) {
	var out strings.Builder
	l := lexer{text: text}
	end, n, limit := 0, 271828000, false
	for {
		t := l.next()
		token := text[t.start:t.end]
		literal := ""
		switch t.kind {
		case tokEnd, tokBad:
			out.WriteString(text[end:])
			return out.String(), t.kind == tokEnd
		case tokString:
			if literal = fmt.Sprintf("'probe %d'", n); stringKind(token) != 's' {
				return "", false
			}
		case tokInt:
			if literal = fmt.Sprint(n); limit {
				literal = token
			} else if intKind(token) != "0" {
				literal = fmt.Sprintf("9%d", n)
			}
		case tokFloat:
			literal = fmt.Sprintf("%d.5", n)
		}
		if literal != "" {
			out.WriteString(text[end:t.start])
			out.WriteString(literal)
			end, n = t.end, n+1
		}
		limit = t.kind == tokWord && isLimitWord(token)
	}
}

// newTemplate cuts a canonical text at the literals of the text that it is of; nil:
// nobody can tell what became of which.
func (a *Analyzer) newTemplate(text, canonical string) *template {
	s := shapeOf(canonical, &a.opts)
	place := make(map[string]int)
	literals := literalSpans(text)
	for i, at := range literals {
		place[text[at.Start:at.End]] = i
	}
	spans := literalSpans(canonical)
	if s.over != "" || len(place) != len(literals) || len(spans) != len(literals) {
		return nil
	}
	t := &template{key: s.key}
	end := 0
	for _, at := range spans {
		literal := canonical[at.Start:at.End]
		i, ok := place[literal]
		if !ok {
			return nil
		}
		delete(place, literal)
		t.parts, t.order = append(t.parts, canonical[end:at.Start]), append(t.order, i)
		end = at.End
	}
	t.parts = append(t.parts, canonical[end:])
	return t
}

// size is what a template takes, roughly.
func (t *template) size() int {
	if t == nil {
		return 0
	}
	return 2*len(t.key) + 24*len(t.parts)
}

// fill returns the canonical form of another text of the same shape.
func (a *Analyzer) fill(t *template, text string) (string, bool) {
	literals := literalSpans(text)
	if len(literals) != len(t.order) {
		return "", false
	}
	var out strings.Builder
	for n, i := range t.order {
		literal := text[literals[i].Start:literals[i].End]
		if !plainLiteral(literal) {
			return "", false
		}
		out.WriteString(t.parts[n])
		out.WriteString(literal)
	}
	out.WriteString(t.parts[len(t.order)])
	s := shapeOf(out.String(), &a.opts)
	return out.String(), s.over == "" && s.key == t.key
}

// plainLiteral reports whether a literal is spelled in the way that every release
// reads alike, as the deparser does: 'text' in one piece and without backslashes,
// decimal numbers.
func plainLiteral(s string) bool {
	if s[0] == '\'' {
		inside := strings.ReplaceAll(s[1:len(s)-1], "''", "")
		return !strings.ContainsAny(inside, `'\`)
	}
	return strings.Trim(s, "0123456789.eE+-") == ""
}
