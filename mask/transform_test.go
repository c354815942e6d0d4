package mask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"sluice/access"
)

var testKey = access.NewSecret("a key for all tests")

// testKeys has one key.
func testKeys(key access.Secret) *Keys {
	k, err := NewKeys(Key{"test", key})
	if err != nil {
		panic(err)
	}
	return k
}

func compile(t testing.TB, with string) Transform {
	t.Helper()
	tr, err := testKeys(testKey).Compile(with, "")
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestDecodable is the promise of the package: whatever comes out is a value
// of the type, in the format, or NULL.
func TestDecodable(t *testing.T) {
	m := pgtype.NewMap()
	for _, s := range samples {
		if got := FromPostgres(s.oid); got != s.kind {
			t.Errorf("FromPostgres(%d) = %v, want %v", s.oid, got, s.kind)
		}
		for _, f := range formats {
			in, err := m.Encode(s.oid, f.code, s.v, nil)
			if err != nil {
				t.Fatalf("%v %s: %v", s.kind, f.name, err)
			}
			for _, with := range Methods() {
				checkDecodable(t, m, s, with, f.code, in)
			}
		}
	}
}

func checkDecodable(t *testing.T, m *pgtype.Map, s sample, with string, format int16, in []byte) {
	t.Helper()
	out, null := compile(t, with).Apply([]byte("before"), in, s.kind, format == pgtype.BinaryFormatCode)
	out, ok := bytes.CutPrefix(out, []byte("before"))
	if !ok {
		t.Fatalf("%s of %v: dst was not appended to", with, s.kind)
	}
	if null {
		if len(out) > 0 {
			t.Errorf("%s of %v: NULL with bytes %q", with, s.kind, out)
		}
		return
	}
	var got any
	err := m.Scan(s.oid, format, out, &got)
	if s.kind == KindJSON || s.kind == KindJSONB {
		err = validJSON(s.kind, format, out)
	}
	if err != nil {
		t.Errorf("%s of %v %v (format %d): %q does not decode: %v", with, s.kind, s.v, format, out, err)
	}
	if with != "zero" && len(in) > 6 && bytes.Contains(out, in) {
		t.Errorf("%s of %v: %q shows %q", with, s.kind, out, in)
	}
}

func validJSON(kind Kind, format int16, b []byte) error {
	if kind == KindJSONB && format == pgtype.BinaryFormatCode {
		if len(b) == 0 || b[0] != 1 {
			return fmt.Errorf("no version byte")
		}
		b = b[1:]
	}
	var v any
	return json.Unmarshal(b, &v)
}

// TestSameInBothFormats: a client that asks for binary sees the value that a
// client that asks for text sees.
func TestSameInBothFormats(t *testing.T) {
	m := pgtype.NewMap()
	for _, s := range samples {
		if s.kind == KindJSON || s.kind == KindJSONB { // the codecs differ in spaces
			continue
		}
		for _, with := range Methods() {
			var seen [2]string
			for i, f := range formats {
				in, err := m.Encode(s.oid, f.code, s.v, nil)
				if err != nil {
					t.Fatal(err)
				}
				seen[i] = shown(t, m, s, f.code, in, compile(t, with))
			}
			if seen[0] != seen[1] {
				t.Errorf("%s of %v %v: text %s, binary %s", with, s.kind, s.v, seen[0], seen[1])
			}
		}
	}
}

func shown(t *testing.T, m *pgtype.Map, s sample, format int16, in []byte, tr Transform) string {
	t.Helper()
	out, null := tr.Apply(nil, in, s.kind, format == pgtype.BinaryFormatCode)
	if null {
		return "NULL"
	}
	var got any
	if err := m.Scan(s.oid, format, append([]byte{}, out...), &got); err != nil {
		t.Fatal(err)
	}
	if at, ok := got.(time.Time); ok {
		got = at.UTC()
	}
	if n, ok := got.(pgtype.Numeric); ok {
		v, _ := n.Value()
		got = v
	}
	return fmt.Sprint(got)
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		with  string
		kind  Kind
		value string
		want  string // "NULL": NULL
	}{
		{"null", KindText, "alice", "NULL"},
		{"redact", KindText, "alice", "[redacted]"},
		{"redact", KindInt4, "42", "NULL"},
		{"redact", KindJSON, `{"a":1}`, `"[redacted]"`},
		{"redact", KindBytea, `\x6162`, `\x`},
		{"redact", KindUnknown, "sad", "NULL"},
		{"zero", KindText, "alice", ""},
		{"zero", KindBool, "t", "f"},
		{"zero", KindArray, "{1,2}", "{}"},
		{"zero", KindUnknown, "sad", "NULL"},
		{"partial", KindText, "078-05-1120", "****1120"},
		{"partial", KindText, "123456", "****56"},
		{"partial", KindText, "12345", "****"},
		{"partial", KindText, "", "****"},
		{"partial", KindText, "abcdefäöüß", "****äöüß"},
		{"partial", KindText, "ab long \xff\xfe", "****"},
		{"partial", KindInt8, "4111111111111112", "1112"},
		{"partial", KindInt8, "-4111111111111112", "1112"},
		{"partial", KindInt8, "1234567", "NULL"},
		{"partial", KindInt8, "9223372036854775808", "NULL"},
		{"partial", KindInt4, "12345678", "5678"},
		{"partial", KindNumeric, "4111111111111112.00", "1112"},
		{"partial", KindNumeric, "4111111111111112.50", "NULL"},
		{"partial", KindNumeric, "NaN", "NULL"},
		{"partial", KindUUID, "deadbeef-0405-0607-0809-0a0b0c0d0e0f", "00000000-0000-0000-0000-000000000e0f"},
		{"partial", KindJSON, `"alice@example.com"`, `"****"`},
		{"card_last4", KindText, "4111-1111-1111-1111", "****1111"},
		{"card_last4", KindText, "4111 1111  1111 1111", "****"},
		{"card_last4", KindText, "411111111111-11-1", "****"},
		{"card_last4", KindText, "my card", "****"},
		{"card_last4", KindInt8, "4111111111111111", "1111"},
		{"card_last4", KindInt8, "41111111111", "NULL"},
		{"card_last4", KindDate, "2024-05-06", "NULL"},
		{"first_letter", KindText, "Ångström", "Å****"},
		{"first_letter", KindText, "Å", "****"},
		{"first_letter", KindText, "", "****"},
		{"email", KindText, "alice@example.com", "a***@example.com"},
		{"email", KindText, "a@example.com", "***@example.com"},
		{"email", KindText, "élodie@exämple.fr", "é***@exämple.fr"},
		{"email", KindText, "not an address", "****"},
		{"email", KindText, "alice@example.com, bob@example.com", "****"},
		{"email", KindText, "alice@localhost", "****"},
		{"email", KindText, "alice@bob@example.com", "****"},
		{"email", KindInt4, "42", "NULL"},
		{"year", KindDate, "2024-05-06", "2024-01-01"},
		{"year", KindDate, "0044-03-15 BC", "0044-01-01 BC"},
		{"year", KindDate, "infinity", "NULL"},
		{"year", KindDate, "05/06/2024", "NULL"},
		{"year", KindTimestamp, "12024-05-06 07:08:09.5", "12024-01-01 00:00:00"},
		{"year", KindTimestampTZ, "2024-05-06 07:08:09+02", "2024-01-01 00:00:00+00"},
		{"year", KindText, "2024-05-06T07:08", "2024"},
		{"year", KindText, "in May", "****"},
		{"year", KindText, "2024-05", "****"},
		{"year", KindText, "2024-05-06", "2024"},
		{"year", KindText, "2024-13-06", "****"},
		{"year", KindText, "4111-11-11-1111", "****"},
		{"year", KindText, "5551234-05-06", "****"},
		{"hash", KindBool, "t", "NULL"},
		{"hash", KindNumeric, "Infinity", "NULL"},
		{"hash", KindInt4, "12x", "NULL"},
		{"hash", KindInt4, "3000000000", "NULL"},
		{"hash", KindBytea, "abc", "NULL"},
		{"hash", KindUUID, "not a uuid", "NULL"},
	} {
		out, null := compile(t, c.with).Apply(nil, []byte(c.value), c.kind, false)
		got := string(out)
		if null {
			got = "NULL"
		}
		if got != c.want {
			t.Errorf("%s of %v %q = %q, want %q", c.with, c.kind, c.value, got, c.want)
		}
	}
}

func TestZeroTransformHides(t *testing.T) {
	out, null := Transform{}.Apply(nil, []byte("alice"), KindText, false)
	if !null || len(out) > 0 {
		t.Errorf("zero Transform gave %q", out)
	}
}

func TestCompile(t *testing.T) {
	for _, with := range []string{"", "Partial", "none", "partial "} {
		if _, err := testKeys(testKey).Compile(with, ""); err == nil {
			t.Errorf("Compile(%q) succeeded", with)
		}
	}
	if _, err := new(Keys).Compile("hash", ""); err == nil {
		t.Error("hash without a key was accepted")
	}
	for _, with := range Methods() {
		if got := compile(t, with).String(); got != with {
			t.Errorf("%q compiled to %q", with, got)
		}
	}
}

func TestStricter(t *testing.T) {
	for _, c := range [][3]string{
		{"null", "redact", "null"}, {"redact", "null", "null"}, {"redact", "hash", "redact"},
		{"hash", "partial", "hash"}, {"email", "partial", "partial"}, {"partial", "partial", "partial"},
		{"nonsense", "null", "nonsense"}, {"null", "nonsense", "nonsense"},
	} {
		if got := Stricter(c[0], c[1]); got != c[2] {
			t.Errorf("Stricter(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestHashJoins: equal values have equal images across types, formats and
// spellings; another key gives others.
func TestHashJoins(t *testing.T) {
	tr := compile(t, "hash")
	same := [][]struct {
		kind  Kind
		value string
	}{
		{{KindInt2, "42"}, {KindInt4, "42"}, {KindInt8, "42"}, {KindNumeric, "42"}, {KindNumeric, "42.00"}, {KindNumeric, "0042"}},
		{{KindNumeric, "12.5"}, {KindNumeric, "12.500"}},
		{{KindNumeric, "0"}, {KindNumeric, "-0.0"}, {KindInt8, "0"}},
		{{KindInt4, "-70000"}, {KindInt8, "-70000"}, {KindNumeric, "-70000.0"}},
		{{KindUUID, "deadbeef-0405-0607-0809-0a0b0c0d0e0f"}, {KindUUID, "DEADBEEF-0405-0607-0809-0A0B0C0D0E0F"}},
		{{KindBytea, `\x6162`}, {KindBytea, `\x6162`}},
	}
	images := map[string]bool{}
	for _, group := range same {
		want := ""
		for _, v := range group {
			out, null := tr.Apply(nil, []byte(v.value), v.kind, false)
			if want == "" {
				want = string(out)
			}
			if null || string(out) != want {
				t.Errorf("hash of %v %s = %q, want %q", v.kind, v.value, out, want)
			}
		}
		if images[want] {
			t.Errorf("two values have the image %q", want)
		}
		images[want] = true
	}
	other, _ := testKeys(access.NewSecret("another key for tests")).Compile("hash", "")
	a, _ := tr.Apply(nil, []byte("alice"), KindText, false)
	b, _ := other.Apply(nil, []byte("alice"), KindText, false)
	if bytes.Equal(a, b) {
		t.Error("the key does not matter")
	}
}

// TestPermutation: on all of int2, different numbers stay different and stay
// int2; larger ranges keep to themselves.
func TestPermutation(t *testing.T) {
	k := newKeyed(testKey)
	seen := make(map[int64]bool, 1<<16)
	fixed := 0
	for n := math.MinInt16; n <= math.MaxInt16; n++ {
		image := k.permuteInt(int64(n))
		if !fits(image, KindInt2) || seen[image] {
			t.Fatalf("image %d of %d is taken or too large", image, n)
		}
		seen[image] = true
		if image == int64(n) {
			fixed++
		}
	}
	if fixed > 10 { // one is expected; ten are a defect with certainty
		t.Errorf("%d numbers are their own image", fixed)
	}
	for range 200 {
		four := int64(int32(rand.Uint32()))
		if image := k.permuteInt(four); !fits(image, KindInt4) || fits(four, KindInt2) != fits(image, KindInt2) {
			t.Errorf("image %d of %d is of another range", image, four)
		}
		eight := int64(rand.Uint64())
		if image := k.permuteInt(eight); fits(eight, KindInt4) != fits(image, KindInt4) {
			t.Errorf("image %d of %d is of another range", image, eight)
		}
	}
}

// TestNumericFormats: parseNumeric agrees with itself over both formats.
func TestNumericFormats(t *testing.T) {
	m := pgtype.NewMap()
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`-?[0-9]{1,40}`).Draw(t, "digits")
		exp := rapid.Int32Range(-50, 30).Draw(t, "exp")
		n := numeric(digits, exp)
		var d [2]decimal
		for i, f := range formats {
			in, err := m.Encode(pgtype.NumericOID, f.code, n, nil)
			if err != nil {
				t.Fatal(err)
			}
			parseNumeric(&d[i], in, f.binary)
		}
		if d[0].ok != d[1].ok || !bytes.Equal(d[0].bytes(), d[1].bytes()) {
			t.Fatalf("%se%d: text %q, binary %q", digits, exp, d[0].bytes(), d[1].bytes())
		}
	})
}

// TestTextHides: no method shows more than four characters in a row of a text,
// but for the domain of an address and the year of a date.
func TestTextHides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ019 .-äß漢")), 6, 60, -1).Draw(t, "value")
		with := rapid.SampledFrom(Methods()).Draw(t, "with")
		tr, err := testKeys(testKey).Compile(with, "")
		if err != nil {
			t.Fatal(err)
		}
		out, _ := tr.Apply(nil, []byte(value), KindText, false)
		if !utf8.Valid(out) {
			t.Fatalf("%s of %q = %q: not UTF-8", with, value, out)
		}
		if strings.Contains(string(out), value) {
			t.Fatalf("%s of %q = %q", with, value, out)
		}
		if rest := strings.Trim(string(out), "*"); with == "partial" && utf8.RuneCountInString(rest) > 4 {
			t.Fatalf("%s of %q = %q", with, value, out)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	m := pgtype.NewMap()
	dst := make([]byte, 0, 4096)
	for _, s := range samples {
		for _, f := range formats {
			in, err := m.Encode(s.oid, f.code, s.v, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, with := range Methods() {
				tr := compile(t, with)
				if n := testing.AllocsPerRun(10, func() { tr.Apply(dst, in, s.kind, f.binary) }); n > 0 {
					t.Errorf("%s of %v (%s): %v allocations", with, s.kind, f.name, n)
				}
			}
		}
	}
}

// FuzzApply: no input makes a transform panic, lie about NULL or show itself.
func FuzzApply(f *testing.F) {
	m := pgtype.NewMap()
	for _, s := range samples {
		for _, format := range formats {
			in, err := m.Encode(s.oid, format.code, s.v, nil)
			if err != nil {
				f.Fatal(err)
			}
			for i := range Methods() {
				f.Add(in, uint8(s.kind), format.binary, uint8(i))
			}
		}
	}
	f.Fuzz(func(t *testing.T, value []byte, kind uint8, binary bool, with uint8) {
		name := Methods()[int(with)%len(methods)]
		out, null := compile(t, name).Apply([]byte("x"), value, Kind(kind), binary)
		if len(out) == 0 || out[0] != 'x' || null && len(out) != 1 {
			t.Fatalf("%s: null %v with %q", name, null, out)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		kind  Kind
		value string
	}{{KindText, "alice.liddell@example.com"}, {KindInt8, "4111111111111111"}} {
		for _, with := range Methods() {
			b.Run(c.kind.String()+"/"+with, func(b *testing.B) {
				tr := compile(b, with)
				value, dst := []byte(c.value), make([]byte, 0, 256)
				b.ReportAllocs()
				b.SetBytes(int64(len(value)))
				for b.Loop() {
					tr.Apply(dst, value, c.kind, false)
				}
			})
		}
	}
}
