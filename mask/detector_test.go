package mask

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func detector(t testing.TB, names ...string) *Detector {
	t.Helper()
	d, err := NewDetector(names)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// finds are texts in which the part between « and » must be found, as what, by
// a detector of everything; without marks nothing may be found.
var finds = []struct {
	what Found
	text string
}{
	{FoundEmail, "«alice@example.com»"},
	{FoundEmail, "mail to <«alice.b+tag@mail.example.co.uk»>, please"},
	{FoundEmail, "('«o'brien@example.com»')"},
	{FoundEmail, "«élodie@exämple.fr»"},
	{FoundEmail, "email=«alice_99@example.com»."},
	{FoundNothing, "alice@localhost, @example.com, alice@, a @ b.com, alice@10.0.0"},
	{FoundNothing, "git@github:org/repo"},

	{FoundPhone, "call «+49 30 1234567» now"},
	{FoundPhone, "«+1 (555) 123-4567»"},
	{FoundPhone, "«+14155550100»,"},
	{FoundPhone, "«(212) 555-0100»"},
	{FoundPhone, "«212-555-0100»"},
	{FoundPhone, "«1-212-555-0100» ext"},
	{FoundPhone, "«030 1234567»"},
	{FoundPhone, "«01 23 45 67 89»"},
	{FoundNothing, "2024-05-06 07:08:09.123456"},
	{FoundNothing, "01.02.2003 04"},
	{FoundNothing, "a+12 b + 1234567"},
	{FoundNothing, "+12345678901234567"},
	{FoundNothing, "112-555-0100"},

	{FoundCard, "«4111 1111 1111 1111»"},
	{FoundCard, "«4111-1111-1111-1111»"},
	{FoundCard, "card:«4111111111111111» 12/27"},
	{FoundCard, "12 «4111111111111111»"},
	{FoundCard, "«378282246310005»"},
	{FoundCard, "«5555555555554444»;«6011111111111117»"},
	{FoundCard, "«30569309025904»"},
	{FoundCard, "«3530111333300000»"},
	{FoundNothing, "4111111111111112"},
	{FoundNothing, "1111111111111117"},
	{FoundNothing, "x4111111111111111x"},
	{FoundNothing, "41111111111111111111111111111111"},

	{FoundIBAN, "«DE89370400440532013000»"},
	{FoundIBAN, "to «DE89 3704 0044 0532 0130 00» today"},
	{FoundIBAN, "«GB29NWBK60161331926819»"},
	{FoundIBAN, "«NO9386011117947»"},
	{FoundIBAN, "«nl91abna0417164300»"},
	{FoundIBAN, "«MT84MALT011000012345MTLCAST001S»"},
	{FoundNothing, "DE88370400440532013000"},
	{FoundNothing, "XX89370400440532013000"},

	{FoundUSSSN, "ssn «078-05-1120»"},
	{FoundUSSSN, "«078 05 1120»"},
	{FoundNothing, "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000"},
	{FoundNothing, "12-078-05-1120-7"},

	{FoundUKNINO, "«AB123456C»"},
	{FoundUKNINO, "no «AB 12 34 56 C»"},
	{FoundNothing, "GB123456A DA123456A AO123456A AB123456E AB12345C"},

	{FoundDETaxID, "«86095742719»"},
	{FoundDETaxID, "IdNr «86 095 742 719»"},
	{FoundNothing, "86095742718 12345678901"},

	{FoundESDNI, "«12345678Z»"},
	{FoundESDNI, "«12345678-Z» "},
	{FoundESDNI, "«X1234567L»"},
	{FoundNothing, "12345678A X1234567A"},

	{FoundITCodiceFiscale, "«RSSMRA85T10A562S»"},
	{FoundITCodiceFiscale, "cf «rssmra85t10a562s»!"},
	{FoundNothing, "RSSMRA85T10A562T"},

	{FoundFRNIR, "«255081416802538»"},
	{FoundFRNIR, "«2 55 08 14 168 025 38»"},
	{FoundNothing, "255081416802539"},

	{FoundIPv4, "from «192.168.10.20»:5432"},
	{FoundIPv4, "«10.0.0.1»."},
	{FoundNothing, "256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4 v1.2.3.4"},
	{FoundIPv6, "«2001:db8::1»"},
	{FoundIPv6, "[«2001:0db8:85a3:0000:0000:8a2e:0370:7334»]:443"},
	{FoundIPv6, "«::ffff:a00:1:2»"},
	{FoundNothing, "2001:db8:: std::string 10:20:30 00:1b:63:84:45:e6 a::b ::1 1:2:3:4:5:6:7:8:9"},

	{FoundJWT, "Bearer «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U»"},
	{FoundJWT, "«eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.»"},
	{FoundCloudKey, "key=«AKIAIOSFODNN7EXAMPLE»"},
	{FoundCloudKey, "\"«ASIAIOSFODNN7EXAMPLE»\""},
	{FoundCloudKey, "«AIzaSyA1234567890abcdefghijklmnopqrstuv»"},
	{FoundNothing, "XAKIAIOSFODNN7EXAMPLE AKIAshort AKIAiosfodnn7example"},
	{FoundAPIToken, "«ghp_0123456789abcdefghijABCDEFGHIJ012345»"},
	{FoundAPIToken, "token «xoxb-123456789012-abcdefghijkl»"},
	{FoundAPIToken, "«sk_live_0123456789abcdef»"},
	{FoundAPIToken, "https://x/«glpat-abcdefghij0123456789»"},
	{FoundPrivateKey, "«-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----»\n"},
	{FoundPrivateKey, "key: «-----BEGIN PRIVATE KEY-----\nMIIBcut»"},
	{FoundPrivateKey, "{\"k\":\"«-----BEGIN EC PRIVATE KEY-----\\nMIIB\\n-----END EC PRIVATE KEY-----»\\n\"}"},
	{FoundNothing, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
	{FoundURLPassword, "postgres://app:«s3cr:et»@db/shop"},
	{FoundNothing, "http://host:8080/a@b https://user@host/ http://[::1]:80/"},
	{FoundHighEntropy, "secret «wJa9rXUtn3EMI/K7MDkNG/bPxRfiC2Yz8QmVp0Lt»"},
	{FoundHighEntropy, "«q8Zr3Vt0LmX7pWc2Yd5K»"},
	{FoundNothing, "de305d54-75b4-431b-adb2-eb6b9e546014 da39a3ee5e6b4b0d3255bfef95601890afd80709"},
	{FoundNothing, "/usr/local/lib/python3/site-packages/PackageName/__init__.py"},
	{FoundNothing, "ThisIsAVeryLongCamelCaseIdentifierName2 pneumonoultramicroscopicsilicovolcanoconiosis"},
	{FoundNothing, "The quick brown fox jumps over the lazy dog, 12 times in 2024."},
	{FoundNothing, ""},
}

func TestFind(t *testing.T) {
	d := detector(t, "all")
	for _, c := range finds {
		text, want := unmark(c.text, c.what)
		got := d.Find([]byte(text), nil)
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %v\nwant %v", text, got, want)
		}
	}
}

func unmark(marked string, what Found) (text string, want []Span) {
	for {
		before, rest, ok := strings.Cut(marked, "«")
		text += before
		if !ok {
			return text, want
		}
		inner, after, _ := strings.Cut(rest, "»")
		want = append(want, Span{len(text), len(text) + len(inner), what})
		text += inner
		marked = after
	}
}

// TestFindOnlyWanted: a detector of one thing finds that and nothing else.
func TestFindOnlyWanted(t *testing.T) {
	for f := FoundNothing + 1; f < foundEnd; f++ {
		d := detector(t, f.String())
		for _, c := range finds {
			text, want := unmark(c.text, c.what)
			if c.what != f {
				want = nil
			}
			if got := d.Find([]byte(text), nil); c.what == f && !slices.Equal(got, want) {
				t.Errorf("%v in %q: got %v, want %v", f, text, got, want)
			} else {
				for _, s := range got {
					if s.What != f {
						t.Errorf("%v in %q: got %v", f, text, s)
					}
				}
			}
		}
	}
}

// TestFindAnywhere: what is found alone is found inside text, and several
// times over.
func TestFindAnywhere(t *testing.T) {
	d := detector(t, "all")
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want []Span
		for range rapid.IntRange(1, 12).Draw(t, "parts") {
			c := rapid.SampledFrom(finds).Draw(t, "find")
			part, spans := unmark(c.text, c.what)
			if c.what == FoundNothing {
				spans, part = nil, "and so on"
			}
			for _, s := range spans {
				want = append(want, Span{s.Start + text.Len(), s.End + text.Len(), s.What})
			}
			text.WriteString(part + rapid.SampledFrom([]string{"\n\n", " ; ", "\t|\t", "\"\""}).Draw(t, "between"))
		}
		if strings.Count(text.String(), "BEGIN") > 0 { // a key that is cut off runs on
			return
		}
		if got := d.Find([]byte(text.String()), nil); !slices.Equal(got, want) {
			t.Fatalf("%q:\n got %v\nwant %v", text.String(), got, want)
		}
	})
}

func TestNewDetector(t *testing.T) {
	for _, names := range [][]string{nil, {"emial"}, {"email", ""}, {"nothing"}} {
		if _, err := NewDetector(names); err == nil {
			t.Errorf("NewDetector(%q) succeeded", names)
		}
	}
	for _, name := range Detectables() {
		if d := detector(t, name); d.want&^allSet != 0 || d.want == 0 {
			t.Errorf("%s is %b", name, d.want)
		}
	}
	if d := detector(t, "pii", "secrets", "ip"); d.want != allSet {
		t.Errorf("the groups leave out %b", allSet&^d.want)
	}
	if got := new(Detector).Find([]byte("alice@example.com"), nil); got != nil {
		t.Errorf("the zero Detector found %v", got)
	}
}

func TestDetectorApply(t *testing.T) {
	jsonb := func(s string) string { return "\x01" + s }
	for _, c := range []struct {
		with   string
		kind   Kind
		binary bool
		value  string
		want   string // "NULL": NULL; "SAME": no hit
	}{
		{"redact", KindText, false, "mail alice@example.com or bob@example.com.", "mail [redacted] or [redacted]."},
		{"partial", KindText, true, "card 4111 1111 1111 1111", "card ****1111"},
		{"null", KindText, false, "mail alice@example.com", "NULL"},
		{"redact", KindText, false, "nothing here", "SAME"},
		{"redact", KindJSON, false, `{"e":"alice@example.com","n":1}`, `{"e":"[redacted]","n":1}`},
		{"redact", KindJSON, false, `{"e":"a\nalice@example.com"}`, `{"e":"a\n[redacted]"}`},
		{"redact", KindJSON, false, `{"e":"a\\alice@example.com"}`, `{"e":"a\\[redacted]"}`},
		{"redact", KindJSON, false, `{"e":"\u00e9alice@example.com"}`, `{"e":"\u00e9[redacted]"}`},
		{"partial", KindJSON, false, `{"card":4111111111111111}`, `{"card":null}`},
		{"redact", KindJSON, false, `{"card":-4111111111111111}`, `"[redacted]"`},
		{"null", KindJSON, false, `{"e":"alice@example.com"}`, "NULL"},
		{"redact", KindJSONB, true, jsonb(`["alice@example.com", "x"]`), jsonb(`["[redacted]", "x"]`)},
		{"redact", KindJSONB, true, jsonb(`{"card": -4111111111111111}`), jsonb(`"[redacted]"`)},
		{"partial", KindInt8, false, "4111111111111111", "1111"},
		{"partial", KindInt8, true, "\x00\x0e\x9a\xf6\x1d\x8f\x81\xc7", "\x00\x00\x00\x00\x00\x00\x04\x57"},
		{"redact", KindInt8, false, "4111111111111111", "NULL"},
		{"redact", KindInt8, false, "4111111111111112", "SAME"},
		{"partial", KindNumeric, false, "4111111111111111.00", "1111"},
		{"redact", KindNumeric, false, "NaN", "SAME"},
		{"redact", KindInet, false, "10.0.0.1", "NULL"},
		{"zero", KindInet, false, "10.0.0.1", "0.0.0.0"},
		{"redact", KindArray, false, "{alice@example.com}", "NULL"},
		{"zero", KindArray, false, "{alice@example.com}", "NULL"},
		{"redact", KindArray, false, "{alice}", "SAME"},
		{"redact", KindUnknown, false, "(1,alice@example.com)", "NULL"},
		{"redact", KindComposite, false, "(1,alice@example.com)", "NULL"},
		{"zero", KindEnum, false, "alice@example.com", "NULL"},
		{"zero", KindRange, false, "[alice@example.com,)", "NULL"},
		{"redact", KindBytea, true, "alice@example.com", ""},
		{"redact", KindBytea, false, fmt.Sprintf(`\x%x`, "alice@example.com"), `\x`},
		{"redact", KindBytea, false, fmt.Sprintf(`\x%x`, "alice"), "SAME"},
		{"redact", KindUUID, false, "de305d54-75b4-431b-adb2-eb6b9e546014", "SAME"},
	} {
		d := detector(t, "all")
		value := []byte(c.value)
		if c.kind == KindInt8 && c.binary {
			value, _ = appendInt(nil, 4111111111111111, KindInt8, true)
		}
		out, null, hits := d.Apply([]byte(">"), value, c.kind, c.binary, compile(t, c.with))
		got := strings.TrimPrefix(string(out), ">")
		switch {
		case null:
			got = "NULL" + got
		case hits == 0:
			got = "SAME" + got
		}
		if got != c.want {
			t.Errorf("%s of %v %q = %q, want %q", c.with, c.kind, c.value, got, c.want)
		}
		if hits > 0 && !d.Wants(c.kind) {
			t.Errorf("Wants(%v) is false and yet there are finds", c.kind)
		}
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	d, tr := detector(t, "all"), compile(t, "hash")
	dst := make([]byte, 0, 4096)
	for _, c := range finds {
		text, _ := unmark(c.text, c.what)
		value := []byte(text)
		if n := testing.AllocsPerRun(10, func() { d.Mask(dst, value, tr) }); n > 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// TestLinear runs values that are made to be slow. A check that is quadratic
// in the value would take the whole test's time limit for any of them.
func TestLinear(t *testing.T) {
	d := detector(t, "all")
	const size = 1 << 20
	for _, part := range []string{
		"a@", "@", "a.", ":", "1:", "::", "1", "1 ", "1-", "0", "+1", "(", "1.1.1.", "eyJ", "eyJ.", "AKIA", "sk-", "SG.",
		"-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "://", "://a:", "aA1", "DE89 ", "4111 1111 ", "a'", "\x80", "\\u0000",
		"eyJ-", "eyJhbGciOi.", "ya29.", "-sk-", "://a:b@",
	} {
		value := []byte(strings.Repeat(part, size/len(part)))

		for _, s := range d.Find(value, nil) {
			if s.End > len(value) {
				t.Errorf("%q: %v", part, s)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, c := range finds {
		text, _ := unmark(c.text, c.what)
		f.Add([]byte(text))
	}
	d, err := NewDetector([]string{"all"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		end := 0
		for _, s := range d.Find(value, nil) {
			if s.Start < end || s.End <= s.Start || s.End > len(value) || s.What == FoundNothing || s.What >= foundEnd {
				t.Fatalf("%q: %v after %d", value, s, end)
			}
			end = s.End
		}
	})
}

// FuzzDetectorApply: masked JSON is JSON, and nothing is found in what was
// redacted but what the replacement itself brought together.
func FuzzDetectorApply(f *testing.F) {
	for _, c := range finds {
		text, _ := unmark(c.text, c.what)
		f.Add([]byte(text), uint8(KindText), false)
		f.Add([]byte(fmt.Sprintf("%q", text)), uint8(KindJSON), false)
		f.Add(append([]byte{1}, fmt.Sprintf("[%q]", text)...), uint8(KindJSONB), true)
	}
	d, err := NewDetector([]string{"all"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte, kind uint8, binary bool) {
		k := Kind(kind)
		out, null, hits := d.Apply([]byte("x"), value, k, binary, compile(t, "redact"))
		if !bytes.HasPrefix(out, []byte("x")) || (null || hits == 0) && len(out) != 1 {
			t.Fatalf("null %v, %d hits: %q", null, hits, out)
		}
		if null || hits == 0 || k != KindJSON && k != KindJSONB {
			return
		}
		format := int16(0)
		if binary {
			format = 1
		}
		if err := validJSON(k, format, out[1:]); err != nil {
			t.Fatalf("%q became %q: %v", value, out[1:], err)
		}
	})
}

var clean = []string{
	"Ergonomic Wooden Chair", "shipped", "The order left the warehouse on Monday and will arrive soon.",
	"2024-05-06 07:08:09.123456", "Springfield", "1742", "19.99", "DE", "blue / large", "Main Street 12b",
	"de305d54-75b4-431b-adb2-eb6b9e546014", "https://shop.example/catalog/items?page=2", "v1.2.3",
}

var mixed = []string{
	"alice.liddell@example.com", "Alice Liddell", "4111 1111 1111 1111", "+49 30 1234567", "078-05-1120",
	"Main Street 12b, 12345 Springfield", "DE89370400440532013000", "192.168.10.20", "customer since 2019",
	"wrote to bob@example.org about order 10023", "gold", "2024-05-06 07:08:09",
}

func BenchmarkFind(b *testing.B) {
	for name, values := range map[string][]string{"clean": clean, "mixed": mixed} {
		b.Run(name, func(b *testing.B) {
			d := detector(b, "all")
			var data [][]byte
			size := 0
			for _, v := range values {
				data = append(data, []byte(v))
				size += len(v)
			}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			spans := make([]Span, 0, 8)
			for b.Loop() {
				for _, v := range data {
					spans = d.Find(v, spans[:0])
				}
			}
		})
	}
}

func BenchmarkGate(b *testing.B) {
	value := []byte(strings.Repeat("Ergonomic Wooden Chair ", 2))
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		count(value)
	}
}
