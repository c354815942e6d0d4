package transcript

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"sluice/protocol/postgres/wire"
)

// message frames a body as a server does.
func message(typ byte, body []byte) []byte {
	b := append([]byte{typ}, binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))...)
	return append(b, body...)
}

func description(fields ...wire.Field) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, f := range fields {
		b = append(append(b, f.Name...), 0)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint16(b, 0)
		b = binary.BigEndian.AppendUint32(b, f.Type)
		b = append(b, 0, 0, 0, 0, 0, 0)
		format := uint16(0)
		if f.Binary {
			format = 1
		}
		b = binary.BigEndian.AppendUint16(b, format)
	}
	return message('T', b)
}

func row(values ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return message('D', b)
}

func session() []byte {
	var b []byte
	b = append(b, description(wire.Field{Name: []byte("id"), Type: 23, Binary: true}, wire.Field{Name: []byte("email"), Type: 25})...)
	b = append(b, row([]byte{0, 0, 0, 7}, []byte("a\x1b[2J\u202e@x"))...)
	b = append(b, row([]byte{0xff, 0xff, 0xff, 0xff}, nil)...)
	b = wire.AppendCommandComplete(b, "SELECT 2")
	b = wire.AppendReport(b, 'E', wire.Report{Severity: "ERROR", Code: "42501", Message: "sluice: denied by p/r: no", Hint: "ask"})
	b = append(b, message('d', []byte("1\tone\n"))...)
	b = append(b, message('A', []byte("\x00\x00\x00\x01news\x00hello\x00"))...)
	return wire.AppendReady(b, 'I')
}

const want = `=> select id, email
-> from customers
 id | email
------------
 7 | a\x1b[2J\u202e@x
 -1 | NULL
SELECT 2
ERROR:  42501: sluice: denied by p/r: no
HINT:  ask
1    one
Asynchronous notification "news" with payload "hello"
`

func TestTranscript(t *testing.T) {
	for _, size := range []int{1, 2, 7, 64, 1 << 20} {
		var out bytes.Buffer
		w := New(&out)
		w.Input("select id, email\nfrom customers\n")
		for b := session(); len(b) > 0; b = b[min(size, len(b)):] {
			if err := w.Output(b[:min(size, len(b))]); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("in pieces of %d:\n%s", size, &out)
		}
	}
}

func TestGapsAndGiants(t *testing.T) {
	var out bytes.Buffer
	w := New(&out)
	w.Output(row([]byte("half"))[:8])
	w.Gap(12)
	w.Output(wire.AppendCommandComplete(nil, "SELECT 1"))
	w.Output([]byte("\x00garbage that is no message"))
	w.Output(wire.AppendCommandComplete(nil, "SELECT 2"))
	giant := row(bytes.Repeat([]byte("x"), MaxMessage))
	w.Output(giant[:100])
	w.Output(giant[100:])
	w.Output(wire.AppendCommandComplete(nil, "SELECT 3"))
	w.Output(row(bytes.Repeat([]byte("y"), 2000)))
	got := out.String()
	for _, part := range []string{"[12 bytes not recorded]\nSELECT 1\n[not recorded]\nSELECT 2\n", `[message "D" of`, "SELECT 3\n", "... (2000 bytes)\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in:\n%s", part, got)
		}
	}
	if strings.Contains(got, "half") {
		t.Errorf("half a row is shown:\n%s", got)
	}
}

func FuzzOutput(f *testing.F) {
	f.Add(session(), 3)
	f.Add(row(nil), 1)
	f.Add(message('E', []byte("SERROR\x00C42501\x00")), 2)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = min(max(size, 1), 4096)
		var out bytes.Buffer
		w := New(&out)
		for ; len(b) > 0; b = b[min(size, len(b)):] {
			w.Output(b[:min(size, len(b))])
		}
		if len(w.buf) > MaxMessage+wire.HeaderLen {
			t.Errorf("%d bytes kept", len(w.buf))
		}
		if strings.ContainsAny(out.String(), "\x1b\x07\u202e") {
			t.Errorf("control characters in %q", out.String())
		}
	})
}
