package mask

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Numerics of limited precision: numeric(p, s).

// maxFixed is the most digits of numbers that are permuted among themselves;
// twice as many numbers must be countable in 64 bits.
const maxFixed = 18

// scaled masks a numeric(p, s). Images that do not fit become NULL, but for
// hashes, which are made to fit.
func (t Transform) scaled(dst, value []byte, typ *Type, bin bool) ([]byte, bool) {
	if t.method == methodHash {
		return t.keyed.hashScaled(dst, value, typ, bin)
	}
	start := len(dst)
	dst, null := t.Apply(dst, value, KindNumeric, bin)
	if null {
		return dst, true
	}
	n, ok := parseWhole(dst[start:], KindNumeric, bin) // every method gives whole numbers
	if !ok {
		return dst[:start], true
	}
	return appendScaled(dst[:start], n, typ, bin)
}

// appendScaled appends a whole number as a numeric(p, s).
func appendScaled(dst []byte, n int64, typ *Type, bin bool) ([]byte, bool) {
	var buf [20]byte
	whole := strconv.AppendUint(buf[:0], magnitude(n), 10)
	if n == 0 {
		whole = whole[:0]
	}
	if len(whole) > typ.Digits-typ.Scale || typ.Scale < 0 && n != 0 {
		return dst, true
	}
	return appendDecimal(dst, n < 0, whole, nil, max(typ.Scale, 0), bin), false
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// appendDecimal appends a numeric of the given digits; the fraction is filled
// with zeros up to scale. Without leading zeros in whole.
func appendDecimal(dst []byte, neg bool, whole, frac []byte, scale int, bin bool) []byte {
	if bin {
		return appendBinaryDecimal(dst, neg, whole, frac, scale)
	}
	if neg {
		dst = append(dst, '-')
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if scale > 0 {
		dst = append(append(dst, '.'), frac...)
		dst = appendRepeated(dst, '0', scale-len(frac))
	}
	return dst
}

func appendBinaryDecimal(dst []byte, neg bool, whole, frac []byte, scale int) []byte {
	sign := uint16(numericPositive)
	if neg {
		sign = numericNegative
	}
	groups := (len(whole) + 3) / 4
	at := len(dst)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(groups-1)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	digit := func(i int) uint16 { // i counts from the point to the right
		if i += len(whole); i < 0 || i >= len(whole)+len(frac) {
			return 0
		} else if i < len(whole) {
			return uint16(whole[i] - '0')
		}
		return uint16(frac[i-len(whole)] - '0')
	}
	last := len(dst)
	for g := -4 * groups; g < len(frac); g += 4 {
		d := digit(g)*1000 + digit(g+1)*100 + digit(g+2)*10 + digit(g+3)
		if dst = binary.BigEndian.AppendUint16(dst, d); d != 0 {
			last = len(dst)
		}
	}
	dst = dst[:last] // zeros at the end are not sent
	binary.BigEndian.PutUint16(dst[at:], uint16((last-at-8)/2))
	return dst
}

// hashScaled hashes a numeric(p, s) into its own range. Whole numbers have the
// image that they have in every other type wherever that is certain to fit; all
// others of up to 18 digits are permuted among themselves, so that different
// values stay different. Longer ones get a hash of 18 digits.
func (k *keyed) hashScaled(dst, value []byte, typ *Type, bin bool) ([]byte, bool) {
	var d decimal
	parseNumeric(&d, value, bin)
	if !d.ok || typ.Scale < 0 || typ.Scale > typ.Digits {
		return dst, true
	}
	if n, whole := parseDecimal(d.bytes()); whole && typ.holds(n) {
		return appendScaled(dst, k.permuteInt(n), typ, bin)
	}
	if typ.Digits > maxFixed {
		s := k.sum(d.bytes())
		return appendUnscaled(dst, int64(binary.BigEndian.Uint64(s[:])%pow10(maxFixed)), typ, bin)
	}
	u, ok := d.unscaled(typ)
	if !ok {
		return dst, true
	}
	return appendUnscaled(dst, k.permuteScaled(u, typ), typ, bin)
}

// holds reports whether the type holds the image of n, and of every number in
// its range, under [keyed.permuteInt].
func (typ *Type) holds(n int64) bool {
	switch room := typ.Digits - typ.Scale; {
	case fits(n, KindInt2):
		return room >= 5
	case fits(n, KindInt4):
		return room >= 10
	default:
		return room >= 19
	}
}

// permuteScaled maps the numbers of up to p digits that [Type.holds] leaves
// onto themselves, walking on from all others as permuteInt does.
func (k *keyed) permuteScaled(u int64, typ *Type) int64 {
	most := int64(pow10(typ.Digits)) - 1
	half := (bits.Len64(uint64(2*most)) + 1) / 2
	unit := int64(pow10(typ.Scale))
	for x := uint64(u + most); ; {
		x = k.feistel(x, half, byte(typ.Digits))
		if x > uint64(2*most) {
			continue
		}
		if u = int64(x) - most; u%unit != 0 || !typ.holds(u/unit) {
			return u
		}
	}
}

// unscaled returns the number times ten to the scale; not ok if it is none of
// the type's. The type has at most maxFixed digits.
func (d *decimal) unscaled(typ *Type) (u int64, ok bool) {
	b, frac := d.bytes(), -1
	neg := len(b) > 0 && b[0] == '-'
	for _, c := range b {
		switch {
		case c == '-':
			continue
		case c == '.':
			frac = 0
			continue
		case frac >= 0:
			frac++
		}
		if u = u*10 + int64(c-'0'); u >= int64(pow10(maxFixed)) {
			return 0, false
		}
	}
	for frac = max(frac, 0); frac < typ.Scale; frac++ {
		if u *= 10; u >= int64(pow10(maxFixed)) {
			return 0, false
		}
	}
	if frac > typ.Scale || u >= int64(pow10(typ.Digits)) {
		return 0, false
	}
	if neg {
		u = -u
	}
	return u, true
}

// appendUnscaled appends u divided by ten to the scale; u has at most maxFixed
// digits.
func appendUnscaled(dst []byte, u int64, typ *Type, bin bool) ([]byte, bool) {
	if typ.Scale > maxDigits {
		return dst, true
	}
	var spelt [20]byte
	digits := strconv.AppendUint(spelt[:0], magnitude(u), 10)
	var buf [maxDigits + 20]byte
	all := appendRepeated(buf[:0], '0', typ.Scale-len(digits))
	all = append(all, digits...)
	whole, frac := all[:len(all)-typ.Scale], all[len(all)-typ.Scale:]
	if u == 0 {
		whole = whole[:0]
	}
	return appendDecimal(dst, u < 0, whole, frac, typ.Scale, bin), false
}
