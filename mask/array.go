package mask

import (
	"bytes"
	"encoding/binary"
)

// maxDims is the most dimensions an array has (MAXDIM).
const maxDims = 6

// array masks the elements of an array. How many there are and which of them
// are NULL stays visible, but under null, zero (the empty array) and redact
// (an array of one).
func (t Transform) array(dst, value []byte, typ *Type, bin bool) ([]byte, bool) {
	elem := typ.Elem
	if elem == nil {
		elem = &unknownType
	}
	start := len(dst)
	ok := false
	parts := t.byPath(elem.Kind)
	switch {
	case parts && bin:
		dst, ok = t.arrayBinary(dst, value, elem)
	case parts:
		dst, ok = t.arrayText(dst, value, elem)
	case t.method == methodNull:
	case t.method == methodZero && bin:
		dst, ok = emptyArray(dst, value)
	case t.method == methodZero:
		dst, ok = append(dst, "{}"...), true
	case elem.Kind == KindUnknown:
	case t.method == methodRedact && (elem.Kind == KindArray || elem.Kind == KindComposite):
	case t.method == methodRedact:
		dst, ok = t.oneElement(dst, value, elem, bin)
	case bin:
		dst, ok = t.arrayBinary(dst, value, elem)
	default:
		dst, ok = t.arrayText(dst, value, elem)
	}
	if !ok {
		return dst[:start], true
	}
	return dst, false
}

var unknownType Type

// arrayHeader is the part of a binary array before its dimensions: their
// number, whether there are NULLs, the element's type.
const arrayHeader = 12

// emptyArray is the binary array without elements; it names its element's type
// as the value did.
func emptyArray(dst, value []byte) ([]byte, bool) {
	if len(value) < arrayHeader {
		return dst, false
	}
	dst = append(dst, nothing[:8]...)
	return append(dst, value[8:arrayHeader]...), true
}

// oneElement appends an array of one masked element, whatever the value held.
func (t Transform) oneElement(dst, value []byte, elem *Type, bin bool) ([]byte, bool) {
	if !bin {
		dst, null := t.quoted(append(dst, '{'), nil, elem, arrayQuotes, false)
		return append(dst, '}'), !null
	}
	if len(value) < arrayHeader {
		return dst, false
	}
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 0)
	dst = append(dst, value[8:arrayHeader]...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1) // one element, numbered from one
	dst, null := t.appendSized(dst, nil, elem)
	return dst, !null
}

func (t Transform) arrayBinary(dst, value []byte, elem *Type) ([]byte, bool) {
	if len(value) < arrayHeader {
		return dst, false
	}
	dims := binary.BigEndian.Uint32(value)
	if dims > maxDims || len(value) < arrayHeader+8*int(dims) {
		return dst, false
	}
	at := len(dst)
	n := uint64(min(dims, 1))
	for d := range int(dims) {
		n *= uint64(binary.BigEndian.Uint32(value[arrayHeader+8*d:]))
		if n > uint64(len(value))/4 { // each element has a length
			return dst, false
		}
	}
	dst = append(dst, value[:arrayHeader+8*dims]...)
	rest := value[arrayHeader+8*dims:]
	nulls := false
	for ; n > 0; n-- {
		v, more, null, ok := cutSized(rest)
		if !ok {
			return dst, false
		}
		if null {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
		} else {
			dst, null = t.appendSized(dst, v, elem)
		}
		nulls, rest = nulls || null, more
	}
	if nulls {
		dst[at+7] = 1
	}
	return dst, len(rest) == 0
}

// arrayText masks what array_out writes: {1,NULL,"two words"}, {{1},{2}},
// [0:1]={1,2}. Other spellings become NULL.
func (t Transform) arrayText(dst, value []byte, elem *Type) ([]byte, bool) {
	body := value
	if len(value) > 0 && value[0] == '[' {
		n := bytes.IndexByte(value, '=') + 1
		if !isBounds(value[:n]) {
			return dst, false
		}
		dst, body = append(dst, value[:n]...), value[n:]
	}
	depth := 0
	for len(body) > 0 {
		switch c := body[0]; c {
		case '{':
			depth++
		case '}':
			depth--
		case ',':
		default:
			if depth == 0 {
				return dst, false
			}
			n := 0
			if dst, n = t.arrayElement(dst, body, elem); n == 0 {
				return dst, false
			}
			body = body[n:]
			continue
		}
		dst, body = append(dst, body[0]), body[1:]
		if depth > maxDims || depth <= 0 && len(body) > 0 {
			return dst, false
		}
	}
	return dst, depth == 0 && len(value) > 0
}

func isBounds(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && c != '[' && c != ':' && c != ']' && c != '-' && c != '+' && c != '=' {
			return false
		}
	}
	return len(b) > 0
}

var nullWord = []byte("NULL")

// arrayElement masks the element that body begins with and returns its length
// there; 0: malformed.
func (t Transform) arrayElement(dst, body []byte, elem *Type) ([]byte, int) {
	if body[0] == '"' {
		var room [scratchSize]byte
		v, n := unquote(room[:0], body, false)
		if n > 0 {
			dst = t.elementOrNull(dst, v, elem)
		}
		return dst, n
	}
	n := bytes.IndexAny(body, ",}")
	if n <= 0 || bytes.ContainsAny(body[:n], `"\{`) {
		return dst, 0
	}
	if bytes.Equal(body[:n], nullWord) {
		return append(dst, nullWord...), n
	}
	return t.elementOrNull(dst, body[:n], elem), n
}

func (t Transform) elementOrNull(dst, v []byte, elem *Type) []byte {
	dst, null := t.quoted(dst, v, elem, arrayQuotes, false)
	if null {
		dst = append(dst, nullWord...)
	}
	return dst
}

// arrayQuotes reports whether array_out puts a value between quotes.
func arrayQuotes(v []byte) bool {
	if len(v) == 0 || bytes.EqualFold(v, nullWord) {
		return true
	}
	for _, c := range v {
		switch c {
		case '"', '\\', '{', '}', ',':
			return true
		}
		if space(c) {
			return true
		}
	}
	return false
}
