package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgproto3"
)

func encode(t testing.TB, m pgproto3.Message) []byte {
	t.Helper()
	type encoder interface{ Encode([]byte) ([]byte, error) }
	b, err := m.(encoder).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNextHandsOutWholeMessages(t *testing.T) {
	var stream []byte
	want := []string{"select 1", "", string(bytes.Repeat([]byte("x"), 5000))}
	for _, q := range want {
		stream = append(stream, encode(t, &pgproto3.Query{String: q})...)
	}
	for name, src := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"7 bytes":      &cut{bytes.NewReader(stream), 7},
	} {
		r := NewReader(src, 64, nil)
		for _, q := range want {
			typ, msg, err := r.Next()
			if err != nil || typ != 'Q' {
				t.Fatalf("%s: Next = %q, %v", name, typ, err)
			}
			if got, err := ParseQuery(msg[HeaderLen:]); err != nil || string(got) != q {
				t.Errorf("%s: got %d bytes, %v", name, len(got), err)
			}
		}
		if _, _, err := r.Next(); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

type cut struct {
	r   io.Reader
	max int
}

func (c *cut) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.max)]) }

func TestReaderUsesWhatWasReadBefore(t *testing.T) {
	msg := encode(t, &pgproto3.Query{String: "select 1"})
	r := NewReader(bytes.NewReader(msg[6:]), 64, msg[:6])
	if typ, got, err := r.Next(); err != nil || typ != 'Q' || !bytes.Equal(got, msg) {
		t.Fatalf("Next = %q %q %v", typ, got, err)
	}
}

func TestReaderAppendKeepsOrder(t *testing.T) {
	a, b := encode(t, &pgproto3.Query{String: "a"}), encode(t, &pgproto3.Query{String: "b"})
	r := NewReader(bytes.NewReader(nil), 64, a)
	r.Append(bytes.Repeat(b, 20))
	for i := range 21 {
		_, msg, err := r.Next()
		want := b
		if i == 0 {
			want = a
		}
		if err != nil || !bytes.Equal(msg, want) {
			t.Fatalf("message %d = %q, %v", i, msg, err)
		}
	}
}

func TestLengthsAreRefusedBeforeAllocation(t *testing.T) {
	for name, head := range map[string][]byte{
		"too short":        {'Q', 0, 0, 0, 3},
		"zero":             {'Q', 0, 0, 0, 0},
		"negative":         {'Q', 0xff, 0xff, 0xff, 0xff},
		"over the large":   {'Q', 0x40, 0, 0, 3},
		"small over small": {'S', 0, 0, 0x27, 0x15},
	} {
		r := NewReader(bytes.NewReader(head), 64, nil)
		r.Limit = ClientLimit
		if _, _, err := r.Next(); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A large length that is allowed allocates only what arrives.
	r := NewReader(bytes.NewReader([]byte{'Q', 0x3f, 0xff, 0xff, 0xff, 'x'}), 64, nil)
	if _, _, err := r.Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("cut message: %v", err)
	}
	if r.Cap() > 256 {
		t.Errorf("buffer grew to %d for 6 bytes", r.Cap())
	}
}

func TestDecodersAgreeWithPgproto3(t *testing.T) {
	parse := encode(t, &pgproto3.Parse{Name: "s", Query: "select $1", ParameterOIDs: []uint32{23, 25}})
	p, err := ParseParse(parse[HeaderLen:])
	if err != nil || string(p.Name) != "s" || string(p.Query) != "select $1" || p.NumTypes() != 2 || p.Type(1) != 25 {
		t.Errorf("Parse = %+v, %v", p, err)
	}
	bind := encode(t, &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{0, 1, 0},
		Parameters: [][]byte{[]byte("a"), nil, {}}, ResultFormatCodes: []int16{1}})
	b, err := ParseBind(bind[HeaderLen:])
	if err != nil || string(b.Portal) != "p" || b.NumParams != 3 || !b.Binary(1) || b.Binary(2) {
		t.Errorf("Bind = %+v, %v", b, err)
	}
	var values []any
	b.Each(func(_ int, v []byte) {
		if v == nil {
			values = append(values, nil)
		} else {
			values = append(values, string(v))
		}
	})
	if !reflect.DeepEqual(values, []any{"a", nil, ""}) {
		t.Errorf("values = %v", values)
	}
	exec := encode(t, &pgproto3.Execute{Portal: "p", MaxRows: 7})
	if e, err := ParseExecute(exec[HeaderLen:]); err != nil || string(e.Portal) != "p" || e.MaxRows != 7 {
		t.Errorf("Execute = %+v, %v", e, err)
	}
	call := encode(t, &pgproto3.FunctionCall{Function: 1598, ArgFormatCodes: []uint16{1}, Arguments: [][]byte{{1}, nil}, ResultFormatCode: 1})
	if f, err := ParseFunctionCall(call[HeaderLen:]); err != nil || f.OID != 1598 || f.NumParams != 2 {
		t.Errorf("FunctionCall = %+v, %v", f, err)
	}
	row := encode(t, &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte("id"), TableOID: 16385, TableAttributeNumber: 1, DataTypeOID: 23, Format: 1}, {Name: []byte("?column?"), DataTypeOID: 25}}})
	fields, err := ParseRowDescription(row[HeaderLen:], nil)
	if err != nil || len(fields) != 2 || fields[0].Table != 16385 || fields[0].Attribute != 1 || !fields[0].Binary || fields[1].Type != 25 {
		t.Errorf("RowDescription = %+v, %v", fields, err)
	}
}

func TestTagRows(t *testing.T) {
	for tag, want := range map[string]int64{"SELECT 5": 5, "INSERT 0 12": 12, "BEGIN": 0, "CREATE TABLE": 0, "COPY 1000000": 1000000, "": 0, "X ": 0} {
		if got := TagRows([]byte(tag)); got != want {
			t.Errorf("TagRows(%q) = %d, want %d", tag, got, want)
		}
	}
}

func TestEncodersAreReadByPgproto3(t *testing.T) {
	var out []byte
	out = AppendReport(out, 'E', Report{Severity: "ERROR", Code: "42501", Message: "no\x00pe", Detail: "d", Hint: "h"})
	out = AppendCommandComplete(out, "SELECT 1")
	out = AppendParameterStatus(out, "a", "b")
	out = AppendBackendKey(out, 7, []byte{1, 2, 3, 4})
	out = AppendReady(out, 'T')
	f := pgproto3.NewFrontend(bytes.NewReader(out), io.Discard)
	m, err := f.Receive()
	if e, ok := m.(*pgproto3.ErrorResponse); err != nil || !ok || e.Code != "42501" || e.Message != "no" || e.Hint != "h" {
		t.Fatalf("%#v, %v", m, err)
	}
	for _, want := range []string{"*pgproto3.CommandComplete", "*pgproto3.ParameterStatus", "*pgproto3.BackendKeyData", "*pgproto3.ReadyForQuery"} {
		m, err := f.Receive()
		if err != nil || reflect.TypeOf(m).String() != want {
			t.Fatalf("%T, %v; want %s", m, err, want)
		}
	}
	out = AppendParse(nil, "n", "q", []uint32{1})
	out = AppendBind(out, "p", "n")
	out = AppendTarget(out, 'D', 'P', "p")
	out = AppendTarget(out, 'C', 'S', "n")
	out = AppendExecute(out, "p")
	out = AppendBadFunctionCall(out)
	out = AppendQuery(out, "select 1")
	out = AppendEmpty(out, 'S')
	b := pgproto3.NewBackend(bytes.NewReader(out), io.Discard)
	for _, want := range []string{"*pgproto3.Parse", "*pgproto3.Bind", "*pgproto3.Describe", "*pgproto3.Close", "*pgproto3.Execute", "*pgproto3.FunctionCall", "*pgproto3.Query", "*pgproto3.Sync"} {
		m, err := b.Receive()
		if err != nil || reflect.TypeOf(m).String() != want {
			t.Fatalf("%T, %v; want %s", m, err, want)
		}
	}
}

// FuzzDecoders: no body makes a decoder panic, and what Bind announces is what
// Each hands out.
func FuzzDecoders(f *testing.F) {
	f.Add(encode(f, &pgproto3.Bind{Parameters: [][]byte{[]byte("a"), nil}})[HeaderLen:])
	f.Add(encode(f, &pgproto3.Parse{Name: "s", Query: "q", ParameterOIDs: []uint32{1}})[HeaderLen:])
	f.Add(encode(f, &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a")}}})[HeaderLen:])
	f.Add(encode(f, &pgproto3.ErrorResponse{Message: "m"})[HeaderLen:])
	f.Add(encode(f, &pgproto3.FunctionCall{Arguments: [][]byte{{1}}})[HeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := ParseBind(body); err == nil {
			n := 0
			b.Each(func(i int, _ []byte) { b.Binary(i); n++ })
			if n != b.NumParams {
				t.Errorf("%d of %d parameters", n, b.NumParams)
			}
		}
		if p, err := ParseParse(body); err == nil {
			for i := range p.NumTypes() {
				p.Type(i)
			}
		}
		if c, err := ParseFunctionCall(body); err == nil {
			c.Each(func(i int, _ []byte) { c.Binary(i) })
		}
		ParseTarget(body)
		ParseExecute(body)
		ParseQuery(body)
		ParseError(body)
		ParseParameterStatus(body)
		ParseRowDescription(body, nil)
		EachValue(body, func(int, []byte) {})
		TagRows(body)
	})
}

// FuzzReader: however a stream is cut, the same messages come out.
func FuzzReader(f *testing.F) {
	f.Add(encode(f, &pgproto3.Query{String: "select 1"}), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, max uint8) {
		whole, cutup := messages(NewReader(bytes.NewReader(stream), 64, nil)), messages(NewReader(&cut{bytes.NewReader(stream), int(max%16) + 1}, 64, nil))
		if !reflect.DeepEqual(whole, cutup) {
			t.Errorf("%q and %q", whole, cutup)
		}
	})
}

func messages(r *Reader) (all []string) {
	r.Limit = func(byte) int { return 1 << 16 }
	for {
		_, msg, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, string(msg))
	}
}
