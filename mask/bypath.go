package mask

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"sluice/internal/jsonpath"
)

// maxJSONDepth bounds how deep JSON is followed; deeper values become NULL.
const maxJSONDepth = 512

// Paths returns the transform that masks only the parts of JSON values that
// these paths name (see [jsonpath]); values of other kinds it masks whole, as t
// does. Strings stay strings, numbers numbers, or become null; objects and
// arrays that a path ends at become null. Paths of more than
// [jsonpath.MaxSteps] steps together are an error.
func (t Transform) Paths(paths []string) (Transform, error) {
	set, err := jsonpath.New(paths)
	if err != nil {
		return Transform{}, fmt.Errorf("mask: %w", err)
	}
	t.paths = set
	return t, nil
}

// byPath reports whether values of the kind are masked in parts.
func (t Transform) byPath(kind Kind) bool {
	return t.paths != nil && (kind == KindJSON || kind == KindJSONB)
}

// applyPaths appends a JSON value with the named parts masked. What is not JSON
// becomes NULL.
func (t Transform) applyPaths(dst, value []byte, kind Kind, binary bool) ([]byte, bool) {
	start := len(dst)
	if kind == KindJSONB && binary {
		if len(value) == 0 || value[0] != 1 {
			return dst, true
		}
		dst, value = append(dst, 1), value[1:]
	}
	whole := t
	whole.paths = nil
	w := jsonWalk{in: value, whole: &whole, set: t.paths}
	w.space()
	dst, ok := w.value(dst, t.paths.Start(), false)
	w.space()
	if !ok || w.at < len(value) {
		clear(dst[start:]) // the room behind dst must not keep the value
		return dst[:start], true
	}
	return append(dst, value[w.from:]...), false
}

// A jsonWalk reads JSON (RFC 8259) once and writes it again. What is not masked
// is copied in runs, as it is. What it writes goes from call to call and not
// into the struct, and the transform stands behind a pointer, or the compiler
// would put values on the heap.
type jsonWalk struct {
	in    []byte
	at    int // where it reads
	from  int // where what is not yet written begins
	depth int
	whole *Transform // of each part
	set   *jsonpath.Set
}

func (w *jsonWalk) space() {
	for w.at < len(w.in) {
		switch w.in[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// take reads one byte if it comes next.
func (w *jsonWalk) take(c byte) bool {
	if w.at < len(w.in) && w.in[w.at] == c {
		w.at++
		return true
	}
	return false
}

// value reads one value, and masks it if a path ends at it.
func (w *jsonWalk) value(dst []byte, st jsonpath.State, named bool) ([]byte, bool) {
	if w.at >= len(w.in) {
		return dst, false
	}
	c := w.in[w.at]
	if st != 0 && !named {
		st, named = w.set.Value(st, c == '[')
	}
	start := w.at
	switch c {
	case '{', '[':
		return w.container(dst, c, st, named)
	case '"':
		plain, ok := w.str()
		if ok && named {
			dst = w.maskString(dst, start, plain)
		}
		return dst, ok
	}
	kind, ok := w.scalar(c)
	if ok && named {
		dst = w.maskScalar(dst, start, kind)
	}
	return dst, ok
}

// container reads an object or array. One that a path ends at is only checked,
// and null takes its place.
func (w *jsonWalk) container(dst []byte, open byte, st jsonpath.State, named bool) (out []byte, ok bool) {
	if w.depth++; w.depth > maxJSONDepth {
		return dst, false
	}
	if named {
		st = 0
	}
	start := w.at
	w.at++
	w.space()
	ok = true
	switch {
	case open == '{' && !w.take('}'):
		dst, ok = w.members(dst, st)
	case open == '[' && !w.take(']'):
		dst, ok = w.elements(dst, st)
	}
	w.depth--
	if ok && named {
		dst = append(w.replace(dst, start), "null"...)
	}
	return dst, ok
}

func (w *jsonWalk) members(dst []byte, st jsonpath.State) ([]byte, bool) {
	for {
		next, named, ok := w.key(st)
		if !ok {
			return dst, false
		}
		if dst, ok = w.value(dst, next, named); !ok {
			return dst, false
		}
		if w.space(); w.take('}') {
			return dst, true
		}
		if !w.take(',') {
			return dst, false
		}
		w.space()
	}
}

// key reads a member's name and the colon.
func (w *jsonWalk) key(st jsonpath.State) (next jsonpath.State, named, ok bool) {
	start := w.at
	if w.at >= len(w.in) || w.in[w.at] != '"' {
		return 0, false, false
	}
	plain, ok := w.str()
	if !ok {
		return 0, false, false
	}
	if st != 0 {
		key := w.in[start+1 : w.at-1]
		st, named = w.set.Member(st, func(name string) bool { return sameKey(key, name, plain) })
	}
	w.space()
	ok = w.take(':')
	w.space()
	return st, named, ok
}

func (w *jsonWalk) elements(dst []byte, st jsonpath.State) ([]byte, bool) {
	for i := 0; ; i++ {
		next, named := st, false
		if st != 0 {
			next, named = w.set.Element(st, i)
		}
		var ok bool
		if dst, ok = w.value(dst, next, named); !ok {
			return dst, false
		}
		if w.space(); w.take(']') {
			return dst, true
		}
		if !w.take(',') {
			return dst, false
		}
		w.space()
	}
}

// replace writes what stands before start and was not written yet; what was
// read since then is left out.
func (w *jsonWalk) replace(dst []byte, start int) []byte {
	dst = append(dst, w.in[w.from:start]...)
	w.from = w.at
	return dst
}

// str reads a string. plain says that it has no escapes.
func (w *jsonWalk) str() (plain, ok bool) {
	plain = true
	for i := w.at + 1; i < len(w.in); i++ {
		switch c := w.in[i]; {
		case c == '"':
			w.at = i + 1
			return plain, true
		case c < ' ':
			return false, false
		case c == '\\':
			plain = false
			n := escapeLength(w.in[i:])
			if n == 0 {
				return false, false
			}
			i += n - 1
		}
	}
	return false, false
}

// escapeLength is the length of the escape that b begins with; 0: it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// scalar reads a number or one of the three words.
func (w *jsonWalk) scalar(c byte) (kind Kind, ok bool) {
	switch c {
	case 't':
		return KindBool, w.word("true")
	case 'f':
		return KindBool, w.word("false")
	case 'n':
		return KindUnknown, w.word("null")
	}
	return KindNumeric, w.number()
}

func (w *jsonWalk) word(s string) bool {
	if len(w.in)-w.at < len(s) || string(w.in[w.at:w.at+len(s)]) != s {
		return false
	}
	w.at += len(s)
	return true
}

func (w *jsonWalk) number() bool {
	w.take('-')
	if !w.take('0') && !w.digits() {
		return false
	}
	if w.take('.') && !w.digits() {
		return false
	}
	if w.take('e') || w.take('E') {
		if !w.take('+') {
			w.take('-')
		}
		return w.digits()
	}
	return true
}

// digits reads one digit or more.
func (w *jsonWalk) digits() bool {
	start := w.at
	for w.at < len(w.in) && isDigit(w.in[w.at]) {
		w.at++
	}
	return w.at > start
}

func (w *jsonWalk) maskString(dst []byte, start int, plain bool) []byte {
	dst = w.replace(dst, start)
	value := w.in[start+1 : w.at-1]
	if !plain {
		var room [scratchSize]byte
		value = decodeJSON(room[:0], value)
	}
	at := len(dst)
	dst, null := w.whole.Apply(append(dst, '"'), value, KindText, false)
	if null {
		return append(dst[:at], "null"...)
	}
	return append(encodeJSON(dst, at+1), '"')
}

func (w *jsonWalk) maskScalar(dst []byte, start int, kind Kind) []byte {
	dst = w.replace(dst, start)
	switch {
	case kind == KindNumeric:
		if out, null := w.whole.Apply(dst, w.in[start:w.at], kind, false); !null {
			return out
		}
	case kind == KindBool && w.whole.method == methodZero:
		return append(dst, "false"...)
	}
	return append(dst, "null"...)
}

// sameKey compares an object's key, as written, with a name.
func sameKey(key []byte, name string, plain bool) bool {
	if plain {
		return string(key) == name
	}
	var room [scratchSize]byte
	return string(decodeJSON(room[:0], key)) == name
}

var jsonEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// decodeJSON appends what a string says; its escapes are valid. Half of a
// surrogate pair becomes U+FFFD.
func decodeJSON(dst, b []byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...)
		}
		dst, b = append(dst, b[:i]...), b[i:]
		if b[1] != 'u' {
			dst, b = append(dst, jsonEscapes[b[1]]), b[2:]
			continue
		}
		r := hexRune(b[2:])
		b = b[6:]
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
				pair = utf16.DecodeRune(r, hexRune(b[2:]))
			}
			if r = pair; r != utf8.RuneError {
				b = b[6:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func hexRune(b []byte) rune {
	return rune(nibble(b[0]))<<12 | rune(nibble(b[1]))<<8 | rune(nibble(b[2]))<<4 | rune(nibble(b[3]))
}

// encodeJSON escapes dst[from:] in place, as a string must be.
func encodeJSON(dst []byte, from int) []byte {
	more := 0
	for _, c := range dst[from:] {
		more += escapeGrowth(c)
	}
	end := len(dst)
	dst = appendRepeated(dst, 0, more)
	for to := len(dst); to > end; {
		end--
		c := dst[end] // the places written may hold it
		switch n := escapeGrowth(c); n {
		case 0:
			to--
			dst[to] = c
		case 1:
			to -= 2
			dst[to], dst[to+1] = '\\', c
		default:
			to -= 6
			copy(dst[to:], `\u00`)
			dst[to+4], dst[to+5] = hexDigits[c>>4], hexDigits[c&15]
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"

func escapeGrowth(c byte) int {
	switch {
	case quoteOrBackslash(c):
		return 1
	case c < ' ':
		return 5
	}
	return 0
}
