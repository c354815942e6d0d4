package postgres

import "strings"

// A tokenKind is what scan.l of the server's sources would call a token, as far
// as anything here needs to tell them apart.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokWord             // an unquoted identifier or keyword
	tokQuoted           // "identifier", U&"identifier"
	tokString           // 'x', E'x', U&'x', B'x', X'x', $tag$x$tag$
	tokInt              // digits only, in any base
	tokFloat            // with a point or an exponent
	tokParam            // $1
	tokOp               // an operator, also a single + - * / % ^ < > =
	tokPunct            // , ( ) [ ] . ; : and :: := ..
	tokBad              // nothing the server would accept
)

// A token is a range of the text.
type token struct {
	kind       tokenKind
	start, end int
}

// A lexer splits a text exactly as PostgreSQL does with
// standard_conforming_strings = on (scan.l of PostgreSQL 17). It exists beside
// libpg_query's because it runs in this process, before the text is trusted
// with anything that can crash.
//
// libpg_query differs in one thing: it does not let a comment stand between the
// parts of a string ('a' -- c, newline, 'b'). It rejects such a text, so nothing
// is misread.
//
// Where releases differ it follows the newest and calls bad what another one
// would read differently (1_000 and 0x1F are two tokens before 15).
type lexer struct {
	text string
	pos  int
}

// next returns the next token; tokEnd for ever at the end.
func (l *lexer) next() token {
	if !l.skipBlank() {
		return l.bad(l.pos)
	}
	start := l.pos
	if start >= len(l.text) {
		return token{tokEnd, start, start}
	}
	kind := l.lex(l.text[start])
	return token{kind, start, l.pos}
}

// bad ends the text: after it nothing is certain.
func (l *lexer) bad(start int) token {
	l.pos = len(l.text)
	return token{tokBad, start, len(l.text)}
}

func (l *lexer) fail() tokenKind {
	l.pos = len(l.text)
	return tokBad
}

func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// lex consumes the token that begins with c.
func (l *lexer) lex(c byte) tokenKind {
	switch {
	case c == '\'':
		return l.str(1, plainString)
	case c == '"':
		return l.quoted(1)
	case c == '$':
		return l.dollar()
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		return l.number()
	case isWordStart(c):
		return l.word(c)
	case isOpChar(c):
		l.operator()
		return tokOp
	default:
		return l.punct(c)
	}
}

// skipBlank skips white space and comments; false: a comment does not end.
func (l *lexer) skipBlank() bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isSpace(c):
			l.pos++
		case c == '-' && l.peek(1) == '-':
			l.lineComment()
		case c == '/' && l.peek(1) == '*':
			if !l.blockComment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

func (l *lexer) lineComment() {
	if i := strings.IndexAny(l.text[l.pos:], "\r\n"); i >= 0 {
		l.pos += i
		return
	}
	l.pos = len(l.text)
}

// blockComment skips a comment with those nested in it; one that does not end
// is left where it begins.
func (l *lexer) blockComment() bool {
	start := l.pos
	for depth := 0; l.pos+1 < len(l.text); {
		switch {
		case l.text[l.pos] == '/' && l.text[l.pos+1] == '*':
			depth++
			l.pos += 2
		case l.text[l.pos] == '*' && l.text[l.pos+1] == '/':
			depth--
			l.pos += 2
			if depth == 0 {
				return true
			}
		default:
			l.pos++
		}
	}
	l.pos = start
	return false
}

// word consumes an identifier, or a string or identifier with a prefix letter.
func (l *lexer) word(c byte) tokenKind {
	switch c {
	case 'e', 'E':
		if l.peek(1) == '\'' {
			return l.str(2, escapeString)
		}
	case 'b', 'B', 'x', 'X':
		if l.peek(1) == '\'' {
			return l.str(2, bitString)
		}
	case 'u', 'U':
		if l.peek(1) == '&' && l.peek(2) == '\'' {
			return l.str(3, plainString)
		}
		if l.peek(1) == '&' && l.peek(2) == '"' {
			return l.quoted(3)
		}
	}
	for l.pos < len(l.text) && isWordPart(l.text[l.pos]) {
		l.pos++
	}
	return tokWord
}

// The kinds of string: in an escape string a backslash hides the next byte, in a
// bit string two quotes are an end and a beginning.
const (
	plainString = iota
	escapeString
	bitString
)

// str consumes a string whose content begins after skip bytes, with the parts
// that continue it on further lines.
func (l *lexer) str(skip, kind int) tokenKind {
	l.pos += skip
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\\' && kind == escapeString:
			l.pos += 2
		case c != '\'':
			l.pos++
		case l.peek(1) == '\'' && kind != bitString:
			l.pos += 2
		default:
			l.pos++
			if !l.continued() {
				return tokString
			}
		}
	}
	return l.fail()
}

// continued moves to the next part of a string: blanks with a newline among
// them, then a quote. Line comments count as blanks, block comments don't.
func (l *lexer) continued() bool {
	newline := false
	for i := l.pos; i < len(l.text); {
		switch c := l.text[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case isSpace(c):
			i++
		case c == '-' && i+1 < len(l.text) && l.text[i+1] == '-':
			n := strings.IndexAny(l.text[i:], "\r\n")
			if n < 0 {
				return false
			}
			i += n
		case c == '\'' && newline:
			l.pos = i + 1
			return true
		default:
			return false
		}
	}
	return false
}

func (l *lexer) quoted(skip int) tokenKind {
	l.pos += skip
	for l.pos < len(l.text) {
		switch {
		case l.text[l.pos] != '"':
			l.pos++
		case l.peek(1) == '"':
			l.pos += 2
		default:
			l.pos++
			return tokQuoted
		}
	}
	return l.fail()
}

// dollar consumes $1 or a dollar-quoted string.
func (l *lexer) dollar() tokenKind {
	if isDigit(l.peek(1)) {
		l.pos++
		for isDigit(l.peek(0)) {
			l.pos++
		}
		if isWordStart(l.peek(0)) {
			return l.fail()
		}
		return tokParam
	}
	end := l.pos + 1
	for end < len(l.text) && (isWordStart(l.text[end]) || end > l.pos+1 && isDigit(l.text[end])) {
		end++
	}
	if end >= len(l.text) || l.text[end] != '$' {
		return l.fail()
	}
	tag := l.text[l.pos : end+1]
	body := strings.Index(l.text[end+1:], tag)
	if body < 0 {
		return l.fail()
	}
	l.pos = end + 1 + body + len(tag)
	return tokString
}

// number consumes an integer in any base, or a decimal with its exponent.
func (l *lexer) number() tokenKind {
	if l.text[l.pos] == '0' && strings.IndexByte("xXoObB", l.peek(1)) >= 0 && l.peek(1) != 0 {
		return l.based(l.peek(1))
	}
	kind := tokInt
	l.digits()
	if l.peek(0) == '.' && l.peek(1) != '.' {
		kind = tokFloat
		l.pos++
		l.digits()
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		n := 1
		if s := l.peek(1); s == '+' || s == '-' {
			n = 2
		}
		if isDigit(l.peek(n)) {
			kind = tokFloat
			l.pos += n
			l.digits()
		}
	}
	if isWordStart(l.peek(0)) {
		return l.fail()
	}
	return kind
}

func (l *lexer) digits() {
	for isDigit(l.peek(0)) || l.peek(0) == '_' && isDigit(l.peek(1)) {
		l.pos++
	}
}

func (l *lexer) based(base byte) tokenKind {
	l.pos += 2
	n := 0
	for ; isBased(l.peek(0), base) || l.peek(0) == '_' && isBased(l.peek(1), base); n++ {
		l.pos++
	}
	if n == 0 || isWordStart(l.peek(0)) || isDigit(l.peek(0)) {
		return l.fail()
	}
	return tokInt
}

func isBased(c, base byte) bool {
	switch base {
	case 'x', 'X':
		return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	case 'o', 'O':
		return c >= '0' && c <= '7'
	default:
		return c == '0' || c == '1'
	}
}

// operator consumes the longest operator: it ends before a comment, and not
// in + or - unless a character stands in it that SQL's own operators lack.
func (l *lexer) operator() {
	start := l.pos
	end := start
	for end < len(l.text) && isOpChar(l.text[end]) {
		end++
	}
	op := l.text[start:end]
	if i := strings.Index(op, "/*"); i > 0 {
		op = op[:i]
	}
	if i := strings.Index(op, "--"); i > 0 {
		op = op[:i]
	}
	if !strings.ContainsAny(op, "~!@#^&|`?%") {
		for len(op) > 1 && (op[len(op)-1] == '+' || op[len(op)-1] == '-') {
			op = op[:len(op)-1]
		}
	}
	l.pos = start + len(op)
}

func (l *lexer) punct(c byte) tokenKind {
	switch c {
	case ',', '(', ')', '[', ']', ';':
		l.pos++
	case '.':
		l.pos++
		if l.peek(0) == '.' {
			l.pos++
		}
	case ':':
		l.pos++
		if d := l.peek(0); d == ':' || d == '=' {
			l.pos++
		}
	default:
		return l.fail()
	}
	return tokPunct
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isWordPart(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }

func isOpChar(c byte) bool {
	switch c {
	case '~', '!', '@', '#', '^', '&', '|', '`', '?', '+', '-', '*', '/', '%', '<', '>', '=':
		return true
	}
	return false
}
