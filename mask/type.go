package mask

import "encoding/binary"

// A Type is what a value is, as far as masking must know it to make another
// value of the same type. The zero Type is of no known kind, and every method
// makes its values NULL. It is not changed once in use, and then safe for
// concurrent use.
type Type struct {
	Kind Kind

	// Size is the most characters of a text, or the bits of a bit(n); 0: not limited.
	Size int
	// Pad says that texts are filled with blanks up to Size, as char(n) is.
	Pad bool
	// Digits and Scale are those of a numeric(p, s); 0 Digits: not limited.
	Digits, Scale int

	Elem   *Type    // of an array; nil: unknown
	Parts  []Type   // of a composite, in order
	Labels []string // of an enum, in order
}

// Lengths in type modifiers count these four bytes as well (VARHDRSZ).
const modHeader = 4

// nameSize is the longest name (NAMEDATALEN).
const nameSize = 63

// Builtin returns the built-in PostgreSQL type with this OID and modifier
// (pg_attribute.atttypmod; below 0: none); of other types the zero Type.
func Builtin(oid uint32, mod int32) Type {
	t := Type{Kind: FromPostgres(oid)}
	switch oid {
	case 19:
		t.Size = nameSize
	case 1042, 1043:
		if mod > modHeader {
			t.Size, t.Pad = int(mod-modHeader), oid == 1042
		}
	case 1560, 1562:
		t.Size = int(max(mod, 0))
	case 1700:
		if mod >= modHeader {
			t.Digits, t.Scale = numericMod(mod - modHeader)
		}
	}
	if e := elementOf(oid); e != 0 {
		elem := Builtin(e, mod)
		t.Elem = &elem
	}
	return t
}

// numericMod splits a modifier into precision and scale, which has eleven bits
// and may be negative (src/backend/utils/adt/numeric.c, make_numeric_typmod).
func numericMod(mod int32) (digits, scale int) {
	return int(mod >> 16 & 0xffff), int(mod&0x7ff^1024) - 1024
}

// ApplyType is [Transform.Apply] for values of any type: elements of arrays and
// parts of composites are masked each by its own kind, and the result keeps to
// the limits of its type (varchar(n), numeric(p, s)). NULL elements stay NULL.
func (t Transform) ApplyType(dst, value []byte, typ *Type, binary bool) (out []byte, null bool) {
	switch typ.Kind {
	case KindArray:
		return t.array(dst, value, typ, binary)
	case KindComposite:
		return t.record(dst, value, typ, binary)
	case KindText:
		if typ.Size > 0 {
			return t.sized(dst, value, typ, binary)
		}
	case KindNumeric:
		if typ.Digits > 0 {
			return t.scaled(dst, value, typ, binary)
		}
	case KindEnum, KindBit:
		if t.method == methodZero {
			return typ.zero(dst, binary)
		}
	}
	return t.Apply(dst, value, typ.Kind, binary)
}

// zero appends the zero of types whose zero depends on more than the kind: an
// enum's first label, a bit(n) of zeros.
func (typ *Type) zero(dst []byte, bin bool) ([]byte, bool) {
	switch {
	case typ.Kind == KindEnum && len(typ.Labels) > 0:
		return append(dst, typ.Labels[0]...), false
	case typ.Kind == KindBit && typ.Size > 0 && bin:
		dst = binary.BigEndian.AppendUint32(dst, uint32(typ.Size))
		return appendRepeated(dst, 0, (typ.Size+7)/8), false
	case typ.Kind == KindBit && typ.Size > 0:
		return appendRepeated(dst, '0', typ.Size), false
	}
	return dst, true
}

func appendRepeated(dst []byte, b byte, n int) []byte {
	for range n {
		dst = append(dst, b)
	}
	return dst
}

// sized masks a text of limited length. Blanks at the end of a char(n) are none
// of its value, or equal values of other types would have other hashes.
func (t Transform) sized(dst, value []byte, typ *Type, binary bool) ([]byte, bool) {
	if typ.Pad {
		for len(value) > 0 && value[len(value)-1] == ' ' {
			value = value[:len(value)-1]
		}
	}
	start := len(dst)
	dst, null := t.Apply(dst, value, KindText, binary)
	if null {
		return dst, true
	}
	return typ.fit(dst, start), false
}

// fit cuts or fills the text dst[start:] as its type demands.
func (typ *Type) fit(dst []byte, start int) []byte {
	n, end := 0, start
	for ; end < len(dst) && n < typ.Size; n++ {
		for end++; end < len(dst) && dst[end]&0xc0 == 0x80; end++ { // the rest of a character
		}
	}
	dst = dst[:end]
	if typ.Pad {
		dst = appendRepeated(dst, ' ', typ.Size-n)
	}
	return dst
}
