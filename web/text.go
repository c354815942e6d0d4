package web

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A piece is a part of a text with the class it is shown in. All pieces together
// are the text, byte for byte, except that characters which cannot be seen, or
// turn the direction of others, are shown by their numbers: what an approver
// reads must be what the server reads.
type piece struct{ Class, Text string }

// The classes of pieces.
const (
	keyword = "k"
	clause  = "k br" // a keyword that is shown on a new line
	quoted  = "s"
	comment = "c"
	number  = "n"
	param   = "v"
	foreign = "u" // letters that may look like others
	hidden  = "x" // a character shown by its number
)

// maxColoured bounds in bytes what is coloured; the rest is shown plainly.
const maxColoured = 64 << 10

// statement splits a SQL text for reading. One on a single line is shown with its
// clauses on lines of their own.
func statement(text string) []piece {
	if len(text) > maxColoured {
		return revealed(text)
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	l := lexer{rest: text, lines: !strings.Contains(text, "\n") && len(text) > 50}
	for l.rest != "" {
		l.next()
	}
	var all []piece
	for _, p := range l.out {
		for i, q := range revealed(p.Text) {
			if q.Class == "" {
				q.Class = p.Class
				if i > 0 && q.Class == clause {
					q.Class = keyword
				}
			}
			all = append(all, q)
		}
	}
	return all
}

// revealed splits a text at the characters that must be shown by their numbers.
func revealed(text string) (all []piece) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	from := 0
	for i, r := range text {
		if !unseen(r) && (r != utf8.RuneError || !broken(text[i:])) {
			continue
		}
		if from < i {
			all = append(all, piece{"", text[from:i]})
		}
		name, size := fmt.Sprintf("U+%04X", r), utf8.RuneLen(r)
		if r == utf8.RuneError && broken(text[i:]) {
			name, size = fmt.Sprintf("\\x%02X", text[i]), 1
		}
		all = append(all, piece{hidden, name})
		from = i + size
	}
	if from < len(text) {
		all = append(all, piece{"", text[from:]})
	}
	return all
}

func broken(text string) bool {
	r, size := utf8.DecodeRuneInString(text)
	return r == utf8.RuneError && size == 1
}

// unseen reports whether a character has no shape of its own.
func unseen(r rune) bool {
	switch {
	case r == '\n' || r == '\t' || r == ' ':
		return false
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp, unicode.Zs, unicode.Variation_Selector):
		return true
	}
	return r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x034F // letters without a shape
}

// plain is a text with such characters by their numbers.
func plain(text string) string {
	var b strings.Builder
	for _, p := range revealed(text) {
		b.WriteString(p.Text)
	}
	return b.String()
}

// A lexer splits SQL into pieces for the eye. It decides nothing: what a text
// means is found out by the server's own grammar.
type lexer struct {
	rest  string
	out   []piece
	lines bool   // put clauses on lines of their own
	depth int    // of parentheses
	last  string // the word before, in capitals
}

func (l *lexer) take(n int, class string) {
	l.out = append(l.out, piece{class, l.rest[:n]})
	l.rest = l.rest[n:]
}

func (l *lexer) next() {
	s := l.rest
	switch c := s[0]; {
	case strings.HasPrefix(s, "--"):
		l.take(until(s, 2, "\n"), comment)
	case strings.HasPrefix(s, "/*"):
		l.take(block(s), comment)
	case c == '\'':
		l.take(quote(s, 0, false), quoted)
	case (c == 'e' || c == 'E') && len(s) > 1 && s[1] == '\'':
		l.take(quote(s, 1, true), quoted)
	case c == '"':
		l.take(quote(s, 0, false), "")
	case c == '$':
		l.dollar()
	case c >= '0' && c <= '9':
		l.take(run(s, func(r rune) bool { return r == '.' || r == '_' || isWord(r) }), number)
	case isWord(first(s)):
		l.word()
	default:
		l.sign()
	}
}

func (l *lexer) sign() {
	switch l.rest[0] {
	case '(':
		l.depth++
	case ')':
		l.depth--
	}
	_, size := utf8.DecodeRuneInString(l.rest)
	l.take(size, "")
}

// dollar takes a parameter or a dollar-quoted string.
func (l *lexer) dollar() {
	n := run(l.rest[1:], func(r rune) bool { return isWord(r) && r != '$' }) + 1
	switch {
	case n > 1 && l.rest[1] >= '0' && l.rest[1] <= '9':
		l.take(n, param)
	case n < len(l.rest) && l.rest[n] == '$':
		l.take(until(l.rest, n+1, l.rest[:n+1]), quoted)
	default:
		l.take(1, "")
	}
}

func (l *lexer) word() {
	n := run(l.rest, isWord)
	word := l.rest[:n]
	upper := strings.ToUpper(word)
	switch {
	case !ascii(word):
		l.take(n, foreign)
	case l.breaks(upper):
		l.take(n, clause)
	case keywords[upper]:
		l.take(n, keyword)
	default:
		l.take(n, "")
	}
	l.last = upper
}

// breaks reports whether a word begins a clause of a statement on one line.
func (l *lexer) breaks(word string) bool {
	return l.lines && l.depth == 0 && l.last != "" && clauses[word] && !joined[l.last+" "+word]
}

func isWord(r rune) bool { return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// run is the length of the longest beginning that consists of what is wanted.
func run(s string, wanted func(rune) bool) int {
	for i, r := range s {
		if !wanted(r) {
			return i
		}
	}
	return len(s)
}

// until is the length up to and including end, looked for from at.
func until(s string, at int, end string) int {
	if i := strings.Index(s[at:], end); i >= 0 {
		return at + i + len(end)
	}
	return len(s)
}

// quote is the length of a quoted text whose quote stands at at.
func quote(s string, at int, escapes bool) int {
	q := s[at]
	for i := at + 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return len(s)
}

// block is the length of a comment, which may hold others.
func block(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			if depth--; depth == 0 {
				return i + 2
			}
			i++
		}
	}
	return len(s)
}

func words(list string) map[string]bool {
	all := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		all[w] = true
	}
	return all
}

var (
	keywords = words(`ADD ALL ALTER ANALYZE AND ANY AS ASC BEGIN BETWEEN BY CASCADE CASE CAST COLUMN COMMIT CONFLICT CONSTRAINT COPY CREATE CROSS
		DATABASE DEFAULT DELETE DESC DISTINCT DO DROP ELSE END EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FOR FROM FULL FUNCTION GRANT GROUP HAVING
		IF ILIKE IN INDEX INNER INSERT INTERSECT INTO IS JOIN LATERAL LEFT LIKE LIMIT MATCHED MERGE NOT NOTHING NULL OFFSET ON OR ORDER OUTER OVER
		PARTITION PRIMARY REINDEX RENAME RESET RESTRICT RETURNING REVOKE RIGHT ROLE ROLLBACK ROW ROWS SAVEPOINT SCHEMA SELECT SET TABLE THEN TO TRUE
		TRUNCATE UNION UNIQUE UPDATE USER USING VACUUM VALUES VIEW WHEN WHERE WINDOW WITH`)
	clauses = words(`FROM WHERE SET VALUES GROUP ORDER HAVING LIMIT RETURNING UNION INTERSECT EXCEPT LEFT RIGHT INNER FULL CROSS JOIN USING`)
	// joined are pairs that stay together.
	joined = map[string]bool{"DELETE FROM": true, "DISTINCT FROM": true, "UPDATE SET": true, "LEFT JOIN": true, "RIGHT JOIN": true, "INNER JOIN": true,
		"FULL JOIN": true, "CROSS JOIN": true, "OUTER JOIN": true, "COLUMN SET": true, "ALTER SET": true, "DO UPDATE": true}
)
