package mask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func paths(t testing.TB, with string, paths ...string) Transform {
	t.Helper()
	tr, err := compile(t, with).Paths(paths)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		with, paths, value, want string
	}{
		{"partial", "$.email", `{"name": "Ann", "email" : "alice@example.com"}`, `{"name": "Ann", "email" : "****.com"}`},
		{"partial", "$.email", `{"email": {"work": "alice@example.com"}, "n": 1}`, `{"email": null, "n": 1}`},
		{"partial", "$.email", `{"a": {"email": "alice@example.com"}}`, `{"a": {"email": "alice@example.com"}}`},
		{"partial", "$.email", `{"email":"alice@example.com","email":"bob@example.com"}`, `{"email":"****.com","email":"****.com"}`},
		{"partial", "$.email", `{"\u0065mail":"alice@example.com","x\"":[]}`, `{"\u0065mail":"****.com","x\"":[]}`},
		{"partial", "$.email", `[{"email":"alice@example.com"},[{"email":"alice@example.com"}]]`, `[{"email":"****.com"},[{"email":"****.com"}]]`},
		{"partial", "$.c[*].phone", `{"c":[{"phone":"0123456789"},{"phone":12345678},{"fax":"1"}]}`, `{"c":[{"phone":"****6789"},{"phone":5678},{"fax":"1"}]}`},
		{"partial", "$.c[*].phone", `{"c":{"phone":"0123456789"}}`, `{"c":{"phone":"****6789"}}`},
		{"partial", "$.c[0]", `{"c":["0123456789","x"]}`, `{"c":["****6789","x"]}`},
		{"partial", "$.c[0]", `{"c":"0123456789"}`, `{"c":"****6789"}`},
		{"partial", "$.c[1]", `{"c":"0123456789"}`, `{"c":"0123456789"}`},
		{"partial", "$[1]", `["a","0123456789"]`, `["a","****6789"]`},
		{"partial", "$.c[*]", `{"c":[["0123456789"],"0123456789",null]}`, `{"c":[null,"****6789",null]}`},
		{"redact", "$..ssn", `{"ssn":"1","a":[{"b":{"ssn":2}}],"x":{"ssn":{"ssn":3}}}`, `{"ssn":"[redacted]","a":[{"b":{"ssn":null}}],"x":{"ssn":null}}`},
		{"zero", "$.a.*", `{"a":{"s":"x","n":1.5,"t":true,"z":null,"o":{},"l":[1]},"b":1}`, `{"a":{"s":"","n":0,"t":false,"z":null,"o":null,"l":null},"b":1}`},
		{"null", `$."a b"|$.c`, `{"a b":1,"c":"x","d":2}`, `{"a b":null,"c":null,"d":2}`},
		{"partial", "$.a", `{"a":"tail is \"\\\u0007\n"}`, `{"a":"****\"\\\u0007\u000a"}`},
		{"first_letter", "$.a", `{"a":"\ud83d\ude00 smile"}`, "{\"a\":\"\U0001F600****\"}"},
		{"first_letter", "$.a", `{"a":"\ud83d smile"}`, `{"a":"****"}`},
		{"hash", "$.n", `{"n":1e400}`, `{"n":null}`},
		{"redact", "$.a", ` [ ] `, ` [ ] `},
		{"redact", "$.a", `"alice"`, `"alice"`},
		{"redact", "$.a", `{"a":}`, "NULL"},
		{"redact", "$.a", `{"a":"x"`, "NULL"},
		{"redact", "$.a", `{"a":"x"} {`, "NULL"},
		{"redact", "$.a", `{"b":"x`, "NULL"},
		{"redact", "$.a", `{"b":"\q"}`, "NULL"},
		{"redact", "$.a", `{"b":01}`, "NULL"},
		{"redact", "$.a", `{'b':1}`, "NULL"},
		{"redact", "$.a", ``, "NULL"},
		{"redact", "$.a", strings.Repeat("[", 600) + strings.Repeat("]", 600), "NULL"},
	} {
		tr := paths(t, c.with, strings.Split(c.paths, "|")...)
		out, null := tr.Apply(nil, []byte(c.value), KindJSON, false)
		if got := string(out); got != c.want && (c.want != "NULL" || !null) {
			t.Errorf("%s at %s of %s = %s, want %s", c.with, c.paths, c.value, got, c.want)
		}
	}
}

// TestPathsElsewhere: what is no JSON is masked whole, JSON inside other types
// by path.
func TestPathsElsewhere(t *testing.T) {
	json := Type{Kind: KindJSONB}
	for _, c := range []struct {
		with  string
		typ   Type
		value string
		bin   bool
		want  string
	}{
		{"partial", typeText, `{"a":"alice@example.com"}`, false, `****om"}`},
		{"partial", Type{Kind: KindJSONB}, "\x01" + `{"a":"alice@example.com"}`, true, "\x01" + `{"a":"****.com"}`},
		{"partial", Type{Kind: KindJSONB}, `{"a":"alice@example.com"}`, true, "NULL"},
		{"redact", Type{Kind: KindArray, Elem: &json}, `{"{\"a\": 1, \"b\": 2}","3"}`, false, `{"{\"a\": null, \"b\": 2}",3}`},
		{"null", Type{Kind: KindComposite, Parts: []Type{typeText, json}}, `(x,"{""a"":1,""b"":2}")`, false, `(,"{""a"":null,""b"":2}")`},
		{"redact", typeTexts, `{a,b}`, false, `{[redacted]}`},
	} {
		tr := paths(t, c.with, "$.a")
		out, null := tr.ApplyType(nil, []byte(c.value), &c.typ, c.bin)
		if got := string(out); got != c.want && (c.want != "NULL" || !null) {
			t.Errorf("%s of %q = %q, want %q", c.with, c.value, got, c.want)
		}
	}
	for _, bad := range [][]string{{"a"}, {"$"}, {"$" + strings.Repeat(".a", 40), "$" + strings.Repeat(".b", 40)}} {
		if _, err := compile(t, "redact").Paths(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestPathsNoAllocation(t *testing.T) {
	tr, dst := paths(t, "partial", "$.email", "$.contacts[*].phone", "$..ssn"), make([]byte, 0, 4096)
	value := []byte(`{"email":"al\u0069ce@example.com","contacts":[{"phone":"0123456789"},{"ssn":42}],"x":{"\u0065":[1,2,3]}}`)
	if n := testing.AllocsPerRun(10, func() { tr.Apply(dst, value, KindJSON, false) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// reference masks by the decoder of the standard library, one token after the
// other; fit says which paths ($.a, $.b[*].c, $..d) end at a value.
type reference struct {
	dec *json.Decoder
	tr  Transform
	out bytes.Buffer
}

// A place is where a value stands: names of members, "[]" for elements.
type place []string

func (p place) named() bool {
	last := ""
	var members []string
	for _, s := range p {
		if s != "[]" {
			members = append(members, s)
		}
		last = s
	}
	n := len(members)
	within := func(want string) bool { return strings.Join(members, ".") == want }
	switch {
	case n > 0 && members[n-1] == "d" && last != "[]": // $..d, and $..d of the elements of an array
		return true
	case within("a") && last != "[]":
		return true
	case within("b.c") && last != "[]":
		return true
	}
	return false
}

func (r *reference) value(at place, hidden bool) error {
	tok, err := r.dec.Token()
	if err != nil {
		return err
	}
	named := at.named() && !hidden
	mark := r.out.Len()
	switch v := tok.(type) {
	case json.Delim:
		if err := r.container(v, at, hidden || named); err != nil {
			return err
		}
		if named {
			r.out.Truncate(mark)
			r.out.WriteString("null")
		}
	case string:
		if named {
			out, null := r.tr.Apply(nil, []byte(v), KindText, false)
			return r.put(string(out), null)
		}
		return r.put(v, false)
	case json.Number:
		if named {
			out, null := r.tr.Apply(nil, []byte(v), KindNumeric, false)
			return r.put(json.Number(out), null)
		}
		return r.put(v, false)
	default:
		return r.put(v, named)
	}
	return nil
}

func (r *reference) put(v any, null bool) error {
	if null {
		v = nil
	}
	b, err := json.Marshal(v)
	r.out.Write(b)
	return err
}

func (r *reference) container(open json.Delim, at place, hidden bool) error {
	r.out.WriteString(open.String())
	for i := 0; r.dec.More(); i++ {
		if i > 0 {
			r.out.WriteByte(',')
		}
		step := "[]"
		if open == '{' {
			tok, err := r.dec.Token()
			if err != nil {
				return err
			}
			step = tok.(string)
			r.put(step, false)
			r.out.WriteByte(':')
			if step == "[]" {
				step = "?"
			}
		}
		if err := r.value(append(at[:len(at):len(at)], step), hidden); err != nil {
			return err
		}
	}
	end, err := r.dec.Token()
	if err == nil {
		r.out.WriteString(end.(json.Delim).String())
	}
	return err
}

// normal is a document without the liberties of spelling.
func normal(b []byte) (string, error) {
	r := reference{dec: json.NewDecoder(bytes.NewReader(b))}
	r.dec.UseNumber()
	err := r.value(place{"?"}, true)
	return r.out.String(), err
}

// FuzzPaths compares with the standard library's decoder: the same documents
// are JSON, and the same parts of them are masked.
func FuzzPaths(f *testing.F) {
	for _, s := range []string{`{"a":"alice@example.com","b":[{"c":12345678}],"x":{"d":{"a":1}}}`, `{"\u0061":"\ud83d\ude00\n","b":{"c":[1]},"d":[{"d":null}]}`,
		` [1e5, -0, true, {"a": ""}] `, `"x"`, `{"a":1,"a":"\u0000\"\\ tail"}`, `{"b":[[{"c":"0123456789"}]]}`} {
		f.Add([]byte(s))
	}
	tr := paths(f, "partial", "$.a", "$.b[*].c", "$..d")
	f.Fuzz(func(t *testing.T, value []byte) {
		out, null := tr.Apply([]byte("x"), value, KindJSON, false)
		if len(out) == 0 || out[0] != 'x' || null && len(out) != 1 {
			t.Fatalf("null %v with %q", null, out)
		}
		if deep := bytes.Count(value, []byte("[")) + bytes.Count(value, []byte("{")); deep > maxJSONDepth {
			return
		}
		if null == json.Valid(value) {
			t.Fatalf("%q: null %v, valid %v", value, null, !null)
		}
		if null || !utf8.Valid(value) { // the decoder repairs what is not UTF-8
			return
		}
		r := reference{dec: json.NewDecoder(bytes.NewReader(value)), tr: compile(t, "partial")}
		r.dec.UseNumber()
		if err := r.value(nil, false); err != nil && err != io.EOF {
			t.Fatalf("%q: %v", value, err)
		}
		got, err := normal(out[1:])
		if want := r.out.String(); err != nil || fmt.Sprint(got) != want {
			t.Fatalf("%q\ngot  %s %v\nwant %s", value, got, err, want)
		}
	})
}
