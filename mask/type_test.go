package mask

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"
)

var (
	typeText  = Type{Kind: KindText}
	typeCar   = Type{Kind: KindComposite, Parts: []Type{typeText, {Kind: KindInt4}, {Kind: KindArray, Elem: &typeText}}}
	typeCars  = Type{Kind: KindArray, Elem: &typeCar}
	typeTexts = Type{Kind: KindArray, Elem: &typeText}
)

func TestApplyType(t *testing.T) {
	for _, c := range []struct {
		with  string
		typ   Type
		value string
		want  string // "NULL": NULL
	}{
		{"partial", typeTexts, `{alice@example.com,NULL,"two words"}`, "{****.com,NULL,****ds}"},
		{"partial", typeTexts, `{{a,b},{c,d}}`, "{{****,****},{****,****}}"},
		{"partial", typeTexts, `[0:1]={a,b}`, "[0:1]={****,****}"},
		{"partial", typeTexts, `{"ends in \\\"{},"}`, `{"****\"{},"}`},
		{"partial", typeTexts, `{}`, "{}"},
		{"partial", typeTexts, `{"null"}`, "{****}"},
		{"zero", typeTexts, `{a}`, "{}"},
		{"redact", typeTexts, `{a,b,c}`, "{[redacted]}"},
		{"redact", Type{Kind: KindArray, Elem: &Type{Kind: KindJSON}}, `{"{\"a\":1}",null}`, `{"\"[redacted]\""}`},
		{"redact", Type{Kind: KindArray, Elem: &Type{Kind: KindInt4}}, `{1}`, "NULL"},
		{"null", typeTexts, `{a}`, "NULL"},
		{"year", Type{Kind: KindArray, Elem: &Type{Kind: KindTimestamp}}, `{"2024-05-06 07:08:09"}`, `{"2024-01-01 00:00:00"}`},
		{"hash", Type{Kind: KindArray}, `{a}`, "NULL"},
		{"partial", typeTexts, `{alice`, "NULL"},
		{"partial", typeTexts, `alice`, "NULL"},
		{"partial", typeTexts, `{a}b`, "NULL"},
		{"partial", typeTexts, `{a}{b}`, "NULL"},
		{"partial", typeTexts, `{"a}`, "NULL"},
		{"partial", typeTexts, `{"a\`, "NULL"},
		{"partial", typeTexts, `{{{{{{{a}}}}}}}`, "NULL"},
		{"partial", typeTexts, `[alice]={a}`, "NULL"},
		{"partial", typeTexts, ``, "NULL"},
		{"partial", typeCar, `("alice ""x"" \\",12345678,"{alice@example.com,""b c""}")`, `("****x"" \\",5678,"{****.com,****}")`},
		{"partial", typeCar, `(,,)`, "(,,)"},
		{"redact", typeCar, `(a,1,{a})`, "([redacted],,{[redacted]})"},
		{"partial", typeCar, `(a,1)`, "NULL"},
		{"partial", typeCar, `(a,1,{a},b)`, "NULL"},
		{"partial", typeCar, `(a,1,{a})b`, "NULL"},
		{"partial", typeCar, `(a,1,"{a}`, "NULL"},
		{"partial", typeCar, `a`, "NULL"},
		{"null", typeCar, `(a,1,{a})`, "NULL"},
		{"partial", Type{Kind: KindComposite}, `()`, "NULL"},
		{"first_letter", typeCars, `{"(alice,1,)",NULL}`, `{"(a****,,)",NULL}`},
		{"zero", Type{Kind: KindEnum, Labels: []string{"so so", "sad"}}, "sad", "so so"},
		{"hash", Type{Kind: KindEnum, Labels: []string{"so so", "sad"}}, "sad", "NULL"},
		{"zero", Type{Kind: KindEnum}, "sad", "NULL"},
		{"zero", Type{Kind: KindBit, Size: 5}, "10110", "00000"},
		{"zero", Type{Kind: KindRange}, "[1,2)", "empty"},
		{"zero", Type{Kind: KindMultirange}, "{[1,2)}", "{}"},
		{"redact", Type{Kind: KindText, Size: 5}, "alice", "[reda"},
		{"partial", Type{Kind: KindText, Size: 3}, "abc", "***"},
		{"email", Type{Kind: KindText, Size: 8}, "bo@exä.de", "b***@exä"},
		{"redact", Type{Kind: KindText, Size: 12, Pad: true}, "alice       ", "[redacted]  "},
		{"card_last4", Type{Kind: KindText, Size: 20, Pad: true}, "4111111111111111    ", "****1111            "},
		{"partial", Type{Kind: KindNumeric, Digits: 18, Scale: 2}, "4111111111111112.00", "1112.00"},
		{"partial", Type{Kind: KindNumeric, Digits: 12, Scale: 9}, "123.000000000", "NULL"},
		{"zero", Type{Kind: KindNumeric, Digits: 3, Scale: 3}, "0.125", "0.000"},
		{"zero", Type{Kind: KindNumeric, Digits: 2, Scale: -3}, "42000", "0"},
		{"hash", Type{Kind: KindNumeric, Digits: 5, Scale: 2}, "1234.5", "NULL"},
		{"hash", Type{Kind: KindNumeric, Digits: 5, Scale: 2}, "1.2345", "NULL"},
		{"hash", Type{Kind: KindNumeric, Digits: 5, Scale: 2}, "NaN", "NULL"},
	} {
		out, null := compile(t, c.with).ApplyType(nil, []byte(c.value), &c.typ, false)
		got := string(out)
		if null {
			got = "NULL"
		}
		if got != c.want {
			t.Errorf("%s of %v %q = %q, want %q", c.with, c.typ.Kind, c.value, got, c.want)
		}
	}
}

// TestDetectedFits: what replaces finds keeps to its column's length.
func TestDetectedFits(t *testing.T) {
	d := detector(t, "all")
	for _, c := range []struct {
		typ         Type
		value, want string
	}{
		{Type{Kind: KindText, Size: 12}, "a@b.io c@d.io", "[redacted] ["},
		{Type{Kind: KindText, Size: 30, Pad: true}, "alice@example.com             ", "[redacted]                    "},
		{Type{Kind: KindText, Size: 12}, "nobody", ""},
		{Type{Kind: KindNumeric, Digits: 18, Scale: 2}, "4111111111111111.00", "NULL"},
	} {
		out, null, hits := d.ApplyType(nil, []byte(c.value), &c.typ, false, compile(t, "redact"))
		got := string(out)
		if null {
			got = "NULL"
		}
		if got != c.want || (hits == 0) != (c.want == "") {
			t.Errorf("%q became %q, want %q", c.value, got, c.want)
		}
	}
}

// TestPaddedHashJoins: a char(n) has the hash of the same text elsewhere.
func TestPaddedHashJoins(t *testing.T) {
	tr := compile(t, "hash")
	want, _ := tr.Apply(nil, []byte("alice"), KindText, false)
	got, _ := tr.ApplyType(nil, []byte("alice"+strings.Repeat(" ", 35)), &Type{Kind: KindText, Size: 40, Pad: true}, true)
	if string(bytes.TrimRight(got, " ")) != string(want) || len(got) != 40 {
		t.Errorf("char(40) %q, text %q", got, want)
	}
}

// TestScaledHash: hashes of a numeric(p, s) are of that type, the same in both
// formats, those of its whole numbers are the integers' where there is room, and
// different numbers have different ones.
func TestScaledHash(t *testing.T) {
	tr := compile(t, "hash")
	m := pgtype.NewMap()
	for _, p := range []int{1, 3, 5, 10, 18, 19, 25} {
		for s := 0; s <= p; s += max(1, p/3) {
			typ := Type{Kind: KindNumeric, Digits: p, Scale: s}
			seen := map[string]string{}
			for _, digits := range []string{"0", "1", "-1", "7", "12", "999", "-40000", "99999", "3000000000", "9999999999", "123456789012345678", "999999999999999999"} {
				if len(strings.Trim(digits, "-")) > p {
					continue
				}
				n := numeric(digits, int32(-s))
				var images [2]string
				for i, f := range formats {
					in, err := m.Encode(pgtype.NumericOID, f.code, n, nil)
					if err != nil {
						t.Fatal(err)
					}
					out, null := tr.ApplyType(nil, in, &typ, f.binary)
					var back pgtype.Numeric
					if err := m.Scan(pgtype.NumericOID, f.code, out, &back); err != nil || null {
						t.Fatalf("numeric(%d,%d) %s: %v, %q", p, s, digits, err, out)
					}
					v, _ := back.Value()
					var d decimal
					parseTextNumeric(&d, []byte(v.(string)))
					images[i] = string(d.bytes())
					if whole, frac, _ := strings.Cut(strings.TrimPrefix(string(d.bytes()), "-"), "."); len(strings.TrimPrefix(whole, "0")) > p-s || len(frac) > s {
						t.Errorf("numeric(%d,%d) %s has the hash %s", p, s, digits, images[i])
					}
				}
				if images[0] != images[1] || seen[images[0]] != "" {
					t.Errorf("numeric(%d,%d) %s: %v, also of %q", p, s, digits, images, seen[images[0]])
				}
				seen[images[0]] = digits
			}
		}
	}
	narrow, _ := tr.ApplyType(nil, []byte("70000.00"), &Type{Kind: KindNumeric, Digits: 12, Scale: 2}, false)
	whole, _ := tr.Apply(nil, []byte("70000"), KindInt4, false)
	if string(narrow) != string(whole)+".00" {
		t.Errorf("numeric(12,2) %s, int4 %s", narrow, whole)
	}
}

// TestScaledPermutation: on all of numeric(4,1), different numbers stay different.
func TestScaledPermutation(t *testing.T) {
	k, typ := newKeyed(testKey), &Type{Kind: KindNumeric, Digits: 4, Scale: 1}
	seen := map[int64]bool{}
	for u := int64(-9999); u <= 9999; u++ {
		image := k.permuteScaled(u, typ)
		if image < -9999 || image > 9999 || seen[image] {
			t.Fatalf("image %d of %d is taken or too large", image, u)
		}
		seen[image] = true
	}
}

// TestArrayText: what comes out of an array is what the server would have
// written of the masked elements.
func TestArrayText(t *testing.T) {
	m := pgtype.NewMap()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Ptr(rapid.StringOf(rapid.RuneFrom([]rune(`abc {}",\ NULnul漢`))), true), 0, 5).Draw(t, "elements")
		with := rapid.SampledFrom([]string{"hash", "partial", "first_letter", "email"}).Draw(t, "with")
		tr, _ := testKeys(testKey).Compile(with, "")
		for _, f := range formats {
			value, err := m.Encode(pgtype.TextArrayOID, f.code, in, nil)
			if err != nil {
				t.Fatal(err)
			}
			out, null := tr.ApplyType(nil, value, &typeTexts, f.binary)
			var got []*string
			if err := m.Scan(pgtype.TextArrayOID, f.code, out, &got); err != nil || null || len(got) != len(in) {
				t.Fatalf("%q became %q: %v", value, out, err)
			}
			for i, e := range in {
				if (e == nil) != (got[i] == nil) {
					t.Fatalf("element %d of %q became %q", i, value, out)
				}
				if e == nil {
					continue
				}
				if want, _ := tr.Apply(nil, []byte(*e), KindText, false); *got[i] != string(want) {
					t.Fatalf("element %d of %q is %q, want %q", i, value, *got[i], want)
				}
			}
		}
	})
}

func TestNestedNoAllocation(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for _, c := range []struct {
		typ   *Type
		value string
	}{{&typeTexts, `{alice@example.com,NULL,"two \"words\""}`}, {&typeCars, `{"(\"alice \"\"x\"\"\",12345678,\"{b,\"\"c d\"\"}\")"}`},
		{&Type{Kind: KindNumeric, Digits: 12, Scale: 2}, "12345.67"}, {&Type{Kind: KindText, Size: 20, Pad: true}, "alice               "}} {
		for _, with := range Methods() {
			tr := compile(t, with)
			if n := testing.AllocsPerRun(10, func() { tr.ApplyType(dst, []byte(c.value), c.typ, false) }); n > 1 { // one for the conversion here
				t.Errorf("%s of %q: %v allocations", with, c.value, n)
			}
		}
	}
}

// fuzzTypes are the types that FuzzApplyType applies to.
var fuzzTypes = []Type{typeTexts, typeCar, typeCars, {Kind: KindArray, Elem: &Type{Kind: KindNumeric, Digits: 6, Scale: 2}},
	{Kind: KindText, Size: 7}, {Kind: KindText, Size: 7, Pad: true}, {Kind: KindNumeric, Digits: 9, Scale: 3}, {Kind: KindNumeric, Digits: 40, Scale: 30},
	{Kind: KindBit, Size: 9}, {Kind: KindEnum, Labels: []string{"a"}}}

// FuzzApplyType: no input makes nested types panic, lie about NULL, outgrow
// their size or stop being UTF-8.
func FuzzApplyType(f *testing.F) {
	for i := range fuzzTypes {
		for j := range Methods() {
			f.Add([]byte(`{"a b",NULL,c}`), uint8(i), false, uint8(j))
			f.Add([]byte(`{"(a,1,\"{x}\")"}`), uint8(i), false, uint8(j))
			f.Add([]byte("-123.45"), uint8(i), false, uint8(j))
		}
	}
	header, _ := hex.DecodeString("0000000100000001000000190000000200000001" + "00000003616263" + "ffffffff")
	f.Add(header, uint8(0), true, uint8(4))
	f.Fuzz(func(t *testing.T, value []byte, typ uint8, bin bool, with uint8) {
		name, to := Methods()[int(with)%len(methods)], &fuzzTypes[int(typ)%len(fuzzTypes)]
		out, null := compile(t, name).ApplyType([]byte("x"), value, to, bin)
		if len(out) == 0 || out[0] != 'x' || null && len(out) != 1 {
			t.Fatalf("%s: null %v with %q", name, null, out)
		}
		if out = out[1:]; null {
			return
		}
		if to.Kind == KindText && (utf8.RuneCount(out) > to.Size || utf8.Valid(value) && !utf8.Valid(out)) {
			t.Fatalf("%s: %q", name, out)
		}
		if to.Kind == KindArray && bin && uint64(binary.BigEndian.Uint32(out)) > maxDims {
			t.Fatalf("%s: %q", name, out)
		}
	})
}
