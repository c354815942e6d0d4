package mask

import (
	"encoding/binary"
	"strconv"
)

// maxDigits bounds the numerics that are looked at; longer ones become NULL.
const maxDigits = 64

// parseInt reads an integer of kind int2, int4 or int8.
func parseInt(value []byte, kind Kind, bin bool) (int64, bool) {
	if !bin {
		n, ok := parseDecimal(value)
		return n, ok && fits(n, kind)
	}
	switch {
	case kind == KindInt2 && len(value) == 2:
		return int64(int16(binary.BigEndian.Uint16(value))), true
	case kind == KindInt4 && len(value) == 4:
		return int64(int32(binary.BigEndian.Uint32(value))), true
	case kind == KindInt8 && len(value) == 8:
		return int64(binary.BigEndian.Uint64(value)), true
	}
	return 0, false
}

func fits(n int64, kind Kind) bool {
	switch kind {
	case KindInt2:
		return n == int64(int16(n))
	case KindInt4:
		return n == int64(int32(n))
	case KindInt8, KindNumeric:
		return true
	}
	return false
}

// parseDecimal reads an optional minus and digits, without allocating as
// strconv's errors do.
func parseDecimal(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 || !allDigits(b) {
		return 0, false
	}
	var u uint64
	for _, c := range b {
		u = u*10 + uint64(c-'0')
	}
	if neg {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// appendInt writes n as a value of kind; n fits.
func appendInt(dst []byte, n int64, kind Kind, bin bool) ([]byte, bool) {
	if !fits(n, kind) {
		return dst, true
	}
	switch {
	case !bin:
		return strconv.AppendInt(dst, n, 10), false
	case kind == KindInt2:
		return binary.BigEndian.AppendUint16(dst, uint16(n)), false
	case kind == KindInt4:
		return binary.BigEndian.AppendUint32(dst, uint32(n)), false
	case kind == KindInt8:
		return binary.BigEndian.AppendUint64(dst, uint64(n)), false
	}
	return appendNumeric(dst, n), false
}

// Signs of a binary numeric (src/backend/utils/adt/numeric.c); others are NaN
// and the infinities.
const (
	numericPositive = 0x0000
	numericNegative = 0x4000
)

// appendNumeric writes n as a binary numeric: count, weight, sign and scale,
// then digits to the base 10000, highest first.
func appendNumeric(dst []byte, n int64) []byte {
	sign, u := uint16(numericPositive), uint64(n)
	if n < 0 {
		sign, u = numericNegative, -u
	}
	var digits [5]uint16
	i := len(digits)
	for ; u > 0; u /= 10000 {
		i--
		digits[i] = uint16(u % 10000)
	}
	used := digits[i:]
	weight := max(len(used)-1, 0)
	for len(used) > 0 && used[len(used)-1] == 0 {
		used = used[:len(used)-1]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(used)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(weight))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	for _, d := range used {
		dst = binary.BigEndian.AppendUint16(dst, d)
	}
	return dst
}

// A decimal is a number in its one shortest spelling: no leading or trailing
// zeros, no minus zero. Equal numbers have equal decimals, whatever their
// format and scale.
type decimal struct {
	buf [maxDigits + 2]byte // sign, point
	n   int
	ok  bool
}

func (d *decimal) bytes() []byte { return d.buf[:d.n] }

// parseNumeric reads a numeric in either format. Not ok: NaN, an infinity,
// malformed or too long.
func parseNumeric(d *decimal, value []byte, bin bool) {
	if bin {
		parseBinaryNumeric(d, value)
	} else {
		parseTextNumeric(d, value)
	}
}

func parseTextNumeric(d *decimal, value []byte) {
	neg := len(value) > 0 && value[0] == '-'
	if neg {
		value = value[1:]
	}
	whole, frac := value, []byte(nil)
	for i, c := range value {
		if c == '.' {
			whole, frac = value[:i], value[i+1:]
			break
		}
	}
	if len(whole)+len(frac) == 0 || !allDigits(whole) || !allDigits(frac) {
		return
	}
	d.set(neg, whole, frac)
}

// set trims and stores; whole and frac are digits.
func (d *decimal) set(neg bool, whole, frac []byte) {
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(frac) > 0 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(whole)+len(frac) > maxDigits {
		return
	}
	out := d.buf[:0]
	if neg && len(whole)+len(frac) > 0 {
		out = append(out, '-')
	}
	out = append(out, whole...)
	if len(frac) > 0 {
		out = append(out, '.')
		out = append(out, frac...)
	}
	if len(out) == 0 {
		out = append(out, '0')
	}
	d.n, d.ok = len(out), true
}

// parseBinaryNumeric spells the digits out and leaves trimming to set. The
// bounds on weight and count keep the spelling inside its buffer: a number
// beyond them is longer than maxDigits in any case.
func parseBinaryNumeric(d *decimal, value []byte) {
	if len(value) < 8 {
		return
	}
	count := int(binary.BigEndian.Uint16(value))
	weight := int(int16(binary.BigEndian.Uint16(value[2:])))
	sign := binary.BigEndian.Uint16(value[4:])
	digits := value[8:]
	const groups = maxDigits/4 + 2
	if sign&^numericNegative != 0 || len(digits) != 2*count || count > groups || weight >= groups || weight < -groups {
		return
	}
	var buf [4 * 3 * groups]byte
	out := buf[:0]
	point := 4 * max(weight+1, 0)
	for w := weight + 1; w < 0; w++ { // between the point and the first digit
		out = append(out, "0000"...)
	}
	for ; len(digits) > 0; digits = digits[2:] {
		g := binary.BigEndian.Uint16(digits)
		if g > 9999 {
			return
		}
		out = append(out, byte('0'+g/1000), byte('0'+g/100%10), byte('0'+g/10%10), byte('0'+g%10))
	}
	for len(out) < point {
		out = append(out, '0')
	}
	d.set(sign == numericNegative, out[:point], out[point:])
}

// parseWhole reads a whole number of any of the four exact kinds.
func parseWhole(value []byte, kind Kind, bin bool) (int64, bool) {
	if kind != KindNumeric {
		return parseInt(value, kind, bin)
	}
	var d decimal
	parseNumeric(&d, value, bin)
	if !d.ok {
		return 0, false
	}
	return parseDecimal(d.bytes())
}

// lastDigits keeps the last four digits of a whole number of at least least
// digits, as a number; the sign goes.
func lastDigits(dst, value []byte, kind Kind, bin bool, least int) ([]byte, bool) {
	n, ok := parseWhole(value, kind, bin)
	if !ok {
		return dst, true
	}
	u := uint64(n)
	if n < 0 {
		u = -u
	}
	if u < pow10(least-1) {
		return dst, true
	}
	return appendInt(dst, int64(u%10000), kind, bin)
}

func pow10(n int) uint64 {
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}
