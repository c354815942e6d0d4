package audit

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// An obj appends one JSON object's members; it knows when a comma is due.
// Hand-written because the journal is on the path of every statement:
// encoding/json takes about ten times as long.
type obj struct {
	b     []byte
	first bool
}

func open(b []byte) obj { return obj{append(b, '{'), true} }

func (o *obj) close() []byte { return append(o.b, '}') }

// key starts a member. Keys are constants of this package and need no escaping.
func (o *obj) key(k string) {
	if o.first {
		o.first = false
	} else {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

// str writes a member unless it is empty.
func (o *obj) str(k, v string) {
	if v != "" {
		o.must(k, v)
	}
}

// must writes a member even if it is empty.
func (o *obj) must(k, v string) {
	o.key(k)
	o.b = appendString(o.b, v)
}

// raw writes a member whose value is known to need no escaping.
func (o *obj) raw(k, v string) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = append(o.b, v...)
	o.b = append(o.b, '"')
}

func (o *obj) flag(k string, v bool) {
	if v {
		o.key(k)
		o.b = append(o.b, "true"...)
	}
}

func (o *obj) boolean(k string, v bool) {
	o.key(k)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *obj) num(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

// count writes a number unless it is zero.
func (o *obj) count(k string, v int64) {
	if v != 0 {
		o.num(k, v)
	}
}

func (o *obj) hex(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = hex.AppendEncode(o.b, v)
	o.b = append(o.b, '"')
}

func (o *obj) strings(k string, v []string) {
	if len(v) > 0 {
		o.key(k)
		o.b = appendStrings(o.b, v)
	}
}

func (o *obj) time(k string, t time.Time) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = appendTime(o.b, t)
	o.b = append(o.b, '"')
}

func appendStrings(b []byte, v []string) []byte {
	b = append(b, '[')
	for i, s := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString writes s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as with encoding/json: a journal line is always valid JSON.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		var n int
		b, n = appendEscaped(b, s[i:])
		i += n
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendEscaped writes the first character of s and says how many bytes it took.
func appendEscaped(b []byte, s string) ([]byte, int) {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return append(b, '\\', c), 1
	case c == '\n':
		return append(b, '\\', 'n'), 1
	case c == '\r':
		return append(b, '\\', 'r'), 1
	case c == '\t':
		return append(b, '\\', 't'), 1
	case c < 0x20 || c == 0x7f:
		const digits = "0123456789abcdef"
		return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15]), 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return append(b, `\ufffd`...), 1
	}
	return append(b, s[:n]...), n
}

// appendTime writes RFC 3339 in UTC with microseconds, always 27 characters,
// so that text order is time order.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return append(b, "0001-01-01T00:00:00.000000Z"...)
	}
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = append(b, '-')
	b = appendDigits(b, int(month), 2)
	b = append(b, '-')
	b = appendDigits(b, day, 2)
	b = append(b, 'T')
	b = appendDigits(b, hour, 2)
	b = append(b, ':')
	b = appendDigits(b, minute, 2)
	b = append(b, ':')
	b = appendDigits(b, second, 2)
	b = append(b, '.')
	b = appendDigits(b, t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

func appendDigits(b []byte, v, width int) []byte {
	var d [8]byte
	for i := width - 1; i >= 0; i-- {
		d[i] = byte('0' + v%10)
		v /= 10
	}
	return append(b, d[:width]...)
}

// maxDepth bounds nesting in claims and extras, whatever an identity provider sent.
const maxDepth = 8

// appendAny writes claims and extras: what encoding/json would decode, plus
// the integers that the gateway itself puts there. Anything else goes through
// encoding/json and, if that fails, is written as null.
func appendAny(b []byte, v any, depth int) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		s, _ := cut(v, MaxArg)
		return appendString(b, s)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case []string:
		return appendStrings(b, v)
	case []any:
		return appendList(b, v, depth)
	case map[string]any:
		return appendMap(b, v, depth)
	}
	j, err := json.Marshal(v)
	if err != nil || len(j) > MaxArg {
		return append(b, "null"...)
	}
	return append(b, j...)
}

func appendList(b []byte, v []any, depth int) []byte {
	if depth >= maxDepth {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, e := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendAny(b, e, depth+1)
	}
	return append(b, ']')
}

// appendMap writes members in the order of their names: equal maps, equal bytes.
func appendMap(b []byte, m map[string]any, depth int) []byte {
	if depth >= maxDepth {
		return append(b, "null"...)
	}
	var few [8]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendAny(b, m[k], depth+1)
	}
	return append(b, '}')
}

// cut shortens s to at most limit bytes, at a character's end, and reports
// whether it did.
func cut(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit], true
}
