package mask

import "encoding/binary"

// Values inside values: the elements of arrays, the parts of composites, the
// strings of JSON.

// scratchSize is the room on the stack for one value without its escapes;
// longer ones that have escapes are the only values that cost an allocation.
const scratchSize = 512

// nullLength is the length that stands for NULL in binary arrays and records.
const nullLength = 0xffffffff

// appendSized appends the masked form of one value with its length, as binary
// arrays and records hold them.
func (t Transform) appendSized(dst, value []byte, typ *Type) (out []byte, null bool) {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst, null = t.ApplyType(dst, value, typ, true)
	n := uint32(len(dst) - at - 4)
	if null {
		n = nullLength
	}
	binary.BigEndian.PutUint32(dst[at:], n)
	return dst, null
}

// cutSized cuts a value with its length; ok is false if there is none.
func cutSized(b []byte) (value, rest []byte, null, ok bool) {
	if len(b) < 4 {
		return nil, nil, false, false
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if n == nullLength {
		return nil, b, true, true
	}
	if uint64(n) > uint64(len(b)) {
		return nil, nil, false, false
	}
	return b[:n:n], b[n:], false, true
}

// quoted appends the masked form of one value as the text of an array or a
// composite holds it, between quotes if it needs them; twins is for [escape].
func (t Transform) quoted(dst, value []byte, typ *Type, needs func([]byte) bool, twins bool) (out []byte, null bool) {
	at := len(dst)
	dst, null = t.ApplyType(append(dst, '"'), value, typ, false)
	if null {
		return dst[:at], true
	}
	if !needs(dst[at+1:]) {
		n := copy(dst[at:], dst[at+1:])
		return dst[:at+n], false
	}
	return append(escape(dst, at+1, twins), '"'), false
}

// escape puts a backslash before every quote and backslash of dst[from:], in
// place; with twins, a quote before a quote.
func escape(dst []byte, from int, twins bool) []byte {
	n := 0
	for _, c := range dst[from:] {
		if quoteOrBackslash(c) {
			n++
		}
	}
	end := len(dst)
	dst = appendRepeated(dst, 0, n)
	for to := len(dst); n > 0; {
		end, to = end-1, to-1
		c := dst[end] // the place may be the one that is written
		dst[to] = c
		if quoteOrBackslash(c) {
			to, n = to-1, n-1
			if dst[to] = '\\'; twins {
				dst[to] = c
			}
		}
	}
	return dst
}

// unquote returns the value between the quotes that b begins with, and how many
// bytes of b it took; 0: it does not end. The value is a part of b, or in
// scratch if it has escapes: a backslash before any byte, or with twins a quote
// before a quote.
func unquote(scratch, b []byte, twins bool) (value []byte, n int) {
	plain := true
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '\\':
			if i+1 == len(b) {
				return nil, 0
			}
			if plain {
				scratch, plain = append(scratch, b[1:i]...), false
			}
			i++
		case b[i] == '"' && twins && i+1 < len(b) && b[i+1] == '"':
			if plain {
				scratch, plain = append(scratch, b[1:i]...), false
			}
			i++
		case b[i] == '"' && plain:
			return b[1:i], i + 1
		case b[i] == '"':
			return scratch, i + 1
		}
		if !plain {
			scratch = append(scratch, b[i])
		}
	}
	return nil, 0
}

func quoteOrBackslash(c byte) bool { return c == '"' || c == '\\' }

// space reports what the server's array_isspace and record_out call space.
func space(c byte) bool { return c == ' ' || c-'\t' < 5 }
