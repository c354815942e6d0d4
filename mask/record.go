package mask

import "encoding/binary"

// record masks every part of a composite value by its own type.
func (t Transform) record(dst, value []byte, typ *Type, bin bool) ([]byte, bool) {
	if t.method == methodNull && t.paths == nil || len(typ.Parts) == 0 {
		return dst, true
	}
	start := len(dst)
	ok := false
	if bin {
		dst, ok = t.recordBinary(dst, value, typ.Parts)
	} else {
		dst, ok = t.recordText(dst, value, typ.Parts)
	}
	if !ok {
		return dst[:start], true
	}
	return dst, false
}

// recordBinary masks what record_send writes: the number of parts, then the
// type and the value of each.
func (t Transform) recordBinary(dst, value []byte, parts []Type) ([]byte, bool) {
	if len(value) < 4 || uint64(binary.BigEndian.Uint32(value)) != uint64(len(parts)) {
		return dst, false
	}
	dst = append(dst, value[:4]...)
	rest := value[4:]
	for i := range parts {
		if len(rest) < 4 {
			return dst, false
		}
		dst = append(dst, rest[:4]...)
		v, more, null, ok := cutSized(rest[4:])
		if !ok {
			return dst, false
		}
		if null {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
		} else {
			dst, _ = t.appendSized(dst, v, &parts[i])
		}
		rest = more
	}
	return dst, len(rest) == 0
}

// recordText masks what record_out writes: (1,,"two words").
func (t Transform) recordText(dst, value []byte, parts []Type) ([]byte, bool) {
	if len(value) < 2 || value[0] != '(' {
		return dst, false
	}
	dst, value = append(dst, '('), value[1:]
	for i := range parts {
		n, ok := 0, false
		if dst, n, ok = t.recordPart(dst, value, &parts[i]); !ok {
			return dst, false
		}
		end := byte(',')
		if i == len(parts)-1 {
			end = ')'
		}
		if n >= len(value) || value[n] != end {
			return dst, false
		}
		dst, value = append(dst, end), value[n+1:]
	}
	return dst, len(value) == 0
}

// recordPart masks the part that b begins with and returns its length there. An
// empty one is NULL.
func (t Transform) recordPart(dst, b []byte, part *Type) (out []byte, n int, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		var room [scratchSize]byte
		v, n := unquote(room[:0], b, true)
		if n > 0 {
			dst, _ = t.quoted(dst, v, part, recordQuotes, true)
		}
		return dst, n, n > 0
	}
	for n < len(b) && b[n] != ',' && b[n] != ')' {
		if quoteOrBackslash(b[n]) || b[n] == '(' {
			return dst, 0, false
		}
		n++
	}
	if n > 0 {
		dst, _ = t.quoted(dst, b[:n], part, recordQuotes, true)
	}
	return dst, n, true
}

// recordQuotes reports whether record_out puts a value between quotes.
func recordQuotes(v []byte) bool {
	for _, c := range v {
		switch c {
		case '"', '\\', '(', ')', ',':
			return true
		}
		if space(c) {
			return true
		}
	}
	return len(v) == 0
}
