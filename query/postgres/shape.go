package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A shape is what one pass of the lexer learns about a text before anything
// else looks at it.
type shape struct {
	// key is the text with white space and comments reduced and literals replaced
	// by their kind: texts of equal keys have trees that differ in constants alone.
	key string
	// spans are the statements, from first to last token; keys their parts of key.
	spans []Span
	keys  []string
	// over says which cap the text exceeds, or that it is no SQL; empty: none.
	over string
}

// A shaper builds a shape. Depth is bounded from above, without a tree: within
// one bracket, operators nest at worst in a chain that a comma, AND or OR ends,
// CASEs in one that a comma ends; joins and set operations go on across commas.
type shaper struct {
	lex    lexer
	opts   *Options
	out    []byte
	levels []level
	items  int
	shape  shape

	start, end, keyStart int    // of the statement in progress; start < 0: none
	keySpans             []Span // the statements' parts of out
	limit                bool   // the last token was LIMIT, or FIRST or NEXT of FETCH
}

// A level is one open bracket.
type level struct {
	chain  int // operators since the last comma, AND or OR
	below  int // deepest bracket since then
	deep   int // deepest of what went before
	cases  int // CASEs since the last comma
	most   int // the most of what went before
	chains int // joins and set operations
}

func (v *level) depth() int {
	return max(v.deep, v.chain+v.below) + max(v.most, v.cases) + v.chains
}

// part ends an operand of a flat list.
func (v *level) part() {
	v.deep = max(v.deep, v.chain+v.below)
	v.chain, v.below = 0, 0
}

func shapeOf(text string, opts *Options) shape {
	s := shaper{opts: opts, start: -1, levels: make([]level, 1, 16)}
	switch {
	case len(text) > opts.MaxText:
		s.shape.over = fmt.Sprintf("text is longer than %d bytes", opts.MaxText)
		return s.shape
	case strings.IndexByte(text, 0) >= 0:
		s.shape.over = "text holds a NUL byte"
		return s.shape
	}
	s.lex.text = text
	s.out = make([]byte, 0, len(text)+16)
	s.run()
	return s.shape
}

func (s *shaper) run() {
	for {
		t := s.lex.next()
		switch t.kind {
		case tokEnd:
			s.endStatement()
			s.shape.key = string(s.out)
			for _, k := range s.keySpans {
				s.shape.keys = append(s.shape.keys, s.shape.key[k.Start:k.End])
			}
			return
		case tokBad:
			s.shape.over = "text is not SQL: it ends inside a token, or holds one that no release agrees on"
			return
		}
		s.add(t)
		if s.shape.over != "" {
			return
		}
	}
}

func (s *shaper) add(t token) {
	text := s.lex.text[t.start:t.end]
	if t.kind == tokPunct && text == ";" && len(s.levels) == 1 {
		s.endStatement()
		s.out = append(s.out, ';', 0)
		return
	}
	if s.start < 0 {
		s.start, s.keyStart = t.start, len(s.out)
	}
	s.end = t.end
	s.write(t, text)
	s.measure(t, text)
}

func (s *shaper) endStatement() {
	if s.start >= 0 {
		s.shape.spans = append(s.shape.spans, Span{s.start, s.end})
		s.keySpans = append(s.keySpans, Span{s.keyStart, len(s.out)})
	}
	if top := s.levels[0].depth(); top > s.opts.MaxDepth {
		s.tooDeep()
	}
	s.start = -1
	s.levels = append(s.levels[:0], level{})
}

// write appends the token to the key. A NUL byte, which no text holds, ends
// each token, so that no two token sequences share a key.
func (s *shaper) write(t token, text string) {
	switch t.kind {
	case tokString:
		s.out = append(s.out, '\'', stringKind(text))
	case tokInt:
		if s.limit { // a row limit is part of what a statement means
			s.out = append(s.out, text...)
		} else {
			s.out = append(s.out, intKind(text)...)
		}
	case tokFloat:
		s.out = append(s.out, '0', '.')
	default:
		s.out = append(s.out, text...)
	}
	s.out = append(s.out, 0)
	s.limit = t.kind == tokWord && isLimitWord(text)
}

func isLimitWord(word string) bool {
	return strings.EqualFold(word, "limit") || strings.EqualFold(word, "first") || strings.EqualFold(word, "next")
}

// stringKind keeps bit strings apart from the rest: the grammar gives them
// another type.
func stringKind(text string) byte {
	switch text[0] {
	case 'b', 'B', 'x', 'X':
		return text[0] | 0x20
	}
	return 's'
}

// intKind keeps integers that the grammar turns into floats apart.
func intKind(text string) string {
	if len(text) < 10 {
		return "0"
	}
	return "0L"
}

func (s *shaper) measure(t token, text string) {
	v := &s.levels[len(s.levels)-1]
	switch t.kind {
	case tokOp:
		v.chain++
	case tokWord:
		s.measureWord(v, text)
	case tokPunct:
		s.measurePunct(v, text)
	}
	if v.chain > s.opts.MaxDepth || v.cases > s.opts.MaxDepth || v.chains > s.opts.MaxDepth || len(s.levels) > s.opts.MaxDepth {
		s.tooDeep()
	}
	if s.items > s.opts.MaxItems {
		s.shape.over = fmt.Sprintf("text holds more than %d list items", s.opts.MaxItems)
	}
}

func (s *shaper) tooDeep() {
	s.shape.over = fmt.Sprintf("text nests more than %d operators, joins, set operations and brackets", s.opts.MaxDepth)
}

func (s *shaper) measurePunct(v *level, text string) {
	switch text {
	case "(", "[":
		s.levels = append(s.levels, level{})
	case ")", "]":
		if len(s.levels) > 1 {
			d := v.depth() + 1
			s.levels = s.levels[:len(s.levels)-1]
			up := &s.levels[len(s.levels)-1]
			up.below = max(up.below, d)
			up.chain++ // what follows may apply to the bracket: f(x)(y), a[1][2]
			if d > s.opts.MaxDepth {
				s.tooDeep()
			}
		}
	case ",":
		s.items++
		v.part()
		v.most, v.cases = max(v.most, v.cases), 0
	case "::", ";":
		v.chain++
	}
}

// measureWord counts the keywords that nest. AND and OR make flat lists.
func (s *shaper) measureWord(v *level, text string) {
	if len(text) > 9 {
		return
	}
	var buf [9]byte
	switch string(lower(buf[:0], text)) {
	case "join", "union", "intersect", "except":
		v.chains++
	case "and", "or":
		s.items++
		v.part()
	case "case":
		v.cases++
	case "not", "is", "isnull", "notnull", "collate", "at", "between", "like", "ilike", "similar", "in",
		"overlaps", "operator", "any", "all", "some":
		v.chain++
	}
}

func lower(dst []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// fingerprint hashes one statement's part of the key.
func fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// literalSpans returns the literals of a text: strings, numbers.
func literalSpans(text string) []Span {
	var spans []Span
	l := lexer{text: text}
	for {
		switch t := l.next(); t.kind {
		case tokEnd:
			return spans
		case tokBad:
			return append(spans, Span{t.start, t.end})
		case tokString, tokInt, tokFloat:
			spans = append(spans, Span{t.start, t.end})
		}
	}
}
