package mask

import "sluice/internal/jsonpath"

// A method is what a [Transform] does. The zero method hides everything.
//
// What each leaves, by kind; a dash is NULL:
//
//	method        text         integers      numeric     date, timestamp   uuid         json, jsonb    bytea
//	null          -            -             -           -                 -            -              -
//	redact        [redacted]   -             -           -                 -            "[redacted]"   empty
//	zero          empty        0             0           2000-01-01        all zeros    null           empty
//	hash          32 hex       permuted      permuted    -                 version 8    "32 hex"       16 bytes
//	partial       ****6789     last 4 digits the same    -                 last 4 hex   "****"         empty
//	card_last4    ****1111     last 4 digits the same    -                 -            "****"         empty
//	first_letter  a****        -             -           -                 -            "****"         empty
//	email         a***@b.com   -             -           -                 -            "****"         empty
//	year          2024         -             -           2024-01-01        -            "****"         empty
//
// partial shows four characters of ten or more, two of six or more, none of
// less; of integers four digits of eight or more. card_last4 shows four digits
// if there are 12 to 19. zero also knows bool, floats, time, interval, inet,
// macaddr, oid, ranges (empty), enums (the first label) and bit strings; xml
// goes the way of json, without the quotes. Arrays and composites are masked
// element by element (type.go). All other kinds are NULL under every method.
type method uint8

const (
	methodNull method = iota
	methodRedact
	methodZero
	methodHash
	methodPartial
	methodCard
	methodFirst
	methodEmail
	methodYear

	methodEnd
)

// methods are the names, strictest first: the order of [Stricter].
var methods = [methodEnd]string{
	"null", "redact", "zero", "hash", "partial", "card_last4", "first_letter", "email", "year",
}

// Methods returns the names that [Keys.Compile] knows, strictest first.
func Methods() []string { return append([]string(nil), methods[:]...) }

// A Transform replaces values. The zero Transform replaces them by NULL. Safe
// for concurrent use, but for what [Transform.Own] returns.
type Transform struct {
	method method
	keyed  *keyed        // not nil for methodHash
	paths  *jsonpath.Set // parts of JSON; nil: the whole value
}

// Own returns t for the use of one goroutine at a time, and in exchange faster: a
// result has one of its own for each column.
func (t Transform) Own() Transform {
	if t.keyed != nil {
		t.keyed = t.keyed.alone()
	}
	return t
}

// String returns the method's name.
func (t Transform) String() string { return methods[t.method] }

func parseMethod(name string) (method, bool) {
	for m, n := range methods {
		if n == name {
			return method(m), true
		}
	}
	return methodNull, false
}

// Stricter returns which of two methods hides more. A name that [Keys.Compile]
// does not know wins over every other, so that a mistake cannot loosen a mask.
func Stricter(a, b string) string {
	ma, ok := parseMethod(a)
	if !ok {
		return a
	}
	mb, ok := parseMethod(b)
	if !ok || mb < ma {
		return b
	}
	return a
}

// Apply appends the masked form of value to dst, in the same type and format,
// and reports whether the result is NULL instead (then nothing is appended).
// value is one field that is not NULL; binary says that it is in the kind's
// binary format. A value that is not what kind and format promise becomes NULL.
// dst and value must not overlap.
func (t Transform) Apply(dst, value []byte, kind Kind, binary bool) (out []byte, null bool) {
	if t.byPath(kind) {
		return t.applyPaths(dst, value, kind, binary)
	}
	switch t.method {
	case methodNull:
	case methodRedact:
		return constant(dst, "[redacted]", kind, binary)
	case methodZero:
		return zero(dst, value, kind, binary)
	case methodHash:
		return t.keyed.apply(dst, value, kind, binary)
	case methodPartial:
		return partial(dst, value, kind, binary)
	case methodCard:
		return cardLast4(dst, value, kind, binary)
	case methodFirst:
		return firstLetter(dst, value, kind, binary)
	case methodEmail:
		return email(dst, value, kind, binary)
	case methodYear:
		return year(dst, value, kind, binary)
	}
	return dst, true
}
