package mask

import (
	"bytes"
	"unicode/utf8"
)

// hidden stands for what is not shown. Its length says nothing about the value's.
const hidden = "****"

// constant appends a fixed text to the kinds that can hold one. s must need no
// escaping in JSON or XML.
func constant(dst []byte, s string, kind Kind, binary bool) ([]byte, bool) {
	switch kind {
	case KindText, KindXML:
		return append(dst, s...), false
	case KindJSON, KindJSONB:
		dst = jsonVersion(dst, kind, binary)
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"'), false
	case KindBytea:
		return emptyBytea(dst, binary), false
	}
	return dst, true
}

// jsonVersion appends what stands before the text of a binary jsonb.
func jsonVersion(dst []byte, kind Kind, binary bool) []byte {
	if kind == KindJSONB && binary {
		return append(dst, 1)
	}
	return dst
}

func emptyBytea(dst []byte, binary bool) []byte {
	if binary {
		return dst
	}
	return append(dst, `\x`...)
}

func partial(dst, value []byte, kind Kind, binary bool) ([]byte, bool) {
	switch kind {
	case KindText:
		return partialText(dst, value), false
	case KindInt2, KindInt4, KindInt8, KindNumeric:
		return lastDigits(dst, value, kind, binary, 8)
	case KindUUID:
		return partialUUID(dst, value, binary)
	}
	return constant(dst, hidden, kind, binary)
}

func partialText(dst, value []byte) []byte {
	dst = append(dst, hidden...)
	if n := len(value); n >= 10 && ascii(value[n-10:]) { // most values
		return append(dst, value[n-4:]...)
	}
	if !utf8.Valid(value) {
		return dst
	}
	n := 0
	for i := 0; i < len(value) && n < 10; n++ {
		_, size := utf8.DecodeRune(value[i:])
		i += size
	}
	switch {
	case n >= 10:
		return append(dst, lastRunes(value, 4)...)
	case n >= 6:
		return append(dst, lastRunes(value, 2)...)
	}
	return dst
}

func ascii(b []byte) bool {
	var all byte
	for _, c := range b {
		all |= c
	}
	return all < utf8.RuneSelf
}

// lastRunes returns the last n characters of valid UTF-8.
func lastRunes(value []byte, n int) []byte {
	i := len(value)
	for ; n > 0 && i > 0; n-- {
		_, size := utf8.DecodeLastRune(value[:i])
		i -= size
	}
	return value[i:]
}

const zeroUUID = "00000000-0000-0000-0000-000000000000"

// partialUUID keeps the last two bytes.
func partialUUID(dst, value []byte, binary bool) ([]byte, bool) {
	if binary {
		if len(value) != 16 {
			return dst, true
		}
		dst = append(dst, make([]byte, 14)...)
		return append(dst, value[14:]...), false
	}
	if len(value) != len(zeroUUID) {
		return dst, true
	}
	dst = append(dst, zeroUUID[:len(zeroUUID)-4]...)
	return append(dst, value[len(value)-4:]...), false
}

func firstLetter(dst, value []byte, kind Kind, binary bool) ([]byte, bool) {
	if kind != KindText {
		return constant(dst, hidden, kind, binary)
	}
	r, size := utf8.DecodeRune(value)
	if size < len(value) && r != utf8.RuneError {
		dst = append(dst, value[:size]...)
	}
	return append(dst, hidden...), false
}

// email shows the first letter and the domain of a value that is one e-mail
// address and nothing else; of other values nothing.
func email(dst, value []byte, kind Kind, binary bool) ([]byte, bool) {
	if kind != KindText {
		return constant(dst, hidden, kind, binary)
	}
	at := bytes.IndexByte(value, '@')
	if at < 0 || !plainAddress(value, at) {
		return append(dst, hidden...), false
	}
	r, size := utf8.DecodeRune(value)
	if r != utf8.RuneError && size < at {
		dst = append(dst, value[:size]...)
	}
	dst = append(dst, "***"...)
	return append(dst, value[at:]...), false
}

// plainAddress reports whether all of value is local@domain, split at at.
func plainAddress(value []byte, at int) bool {
	start, end, ok := addressAround(value, at, 0)
	return ok && start == 0 && end == len(value)
}

// cardLast4 shows the last four digits of what has as many digits as a card.
func cardLast4(dst, value []byte, kind Kind, binary bool) ([]byte, bool) {
	switch kind {
	case KindInt8, KindNumeric:
		return lastDigits(dst, value, kind, binary, minCard)
	case KindText:
		dst = append(dst, hidden...)
		return append(dst, cardTail(value)...), false
	}
	return constant(dst, hidden, kind, binary)
}

// cardTail returns the last four bytes of a number of 12 to 19 digits, single
// spaces and dashes allowed between them; nil if it is none.
func cardTail(value []byte) []byte {
	n := 0
	for i, c := range value {
		switch {
		case isDigit(c):
			n++
		case (c == ' ' || c == '-') && i > 0 && isDigit(value[i-1]):
		default:
			return nil
		}
	}
	if n < minCard || n > maxCard || !allDigits(value[len(value)-4:]) {
		return nil
	}
	return value[len(value)-4:]
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isHex(c byte) bool { return isDigit(c) || (c|0x20) >= 'a' && (c|0x20) <= 'f' }

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return true
}
