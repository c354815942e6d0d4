// Package transcript turns a recorded PostgreSQL session into text: what was
// typed and, from the server's messages as the client received them, what came
// back. It is pure; package recording finds the frames.
//
// A [Writer] is fed in the order of the recording. Messages may be cut anywhere
// between two calls of Output. Where a recording has a gap (a limit was reached)
// call Gap: the writer drops the half message before it and takes the next
// piece to begin with a message, which it checks.
//
// Values are shown on one line with control characters escaped: what a row
// holds must not steer the terminal of whoever plays it. A message larger than
// [MaxMessage] is named, not shown.
package transcript

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/protocol/postgres/wire"
)

// Limits of what is kept and shown, in bytes.
const (
	MaxMessage = 1 << 20 // larger messages are passed over
	maxCell    = 1000    // of one value; the rest is counted
)

// A Writer renders one session. The zero Writer is not usable; see [New].
type Writer struct {
	w      io.Writer
	err    error
	buf    []byte
	at     int // how much of buf is shown
	skip   int // bytes of a message that is passed over
	fields []wire.Field
}

// New returns a Writer that prints to w.
func New(w io.Writer) *Writer { return &Writer{w: w} }

// Input shows what was typed.
func (t *Writer) Input(text string) error {
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		prompt := "=> "
		if i > 0 {
			prompt = "-> "
		}
		t.line(prompt + escape(line))
	}
	return t.err
}

// Output shows the messages that p completes.
func (t *Writer) Output(p []byte) error {
	t.buf = append(t.buf, t.skipped(p)...)
	t.at = 0
	for t.err == nil && t.next() {
	}
	t.buf = t.buf[:copy(t.buf, t.buf[min(t.at, len(t.buf)):])]
	return t.err
}

// skipped drops the rest of a message that is passed over.
func (t *Writer) skipped(p []byte) []byte {
	n := min(t.skip, len(p))
	t.skip -= n
	return p[n:]
}

// Gap says that n bytes were not recorded; 0: unknown how many.
func (t *Writer) Gap(n int64) error {
	t.buf, t.at, t.skip = t.buf[:0], 0, 0
	if n > 0 {
		t.line(fmt.Sprintf("[%d bytes not recorded]", n))
	} else {
		t.line("[not recorded]")
	}
	return t.err
}

// Note shows a remark of the recorder's.
func (t *Writer) Note(text string) error {
	t.line("[" + escape(text) + "]")
	return t.err
}

// next shows one whole message of the buffer.
func (t *Writer) next() bool {
	b := t.buf[t.at:]
	if len(b) < wire.HeaderLen {
		return false
	}
	typ, size := b[0], 1+int(binary.BigEndian.Uint32(b[1:]))
	switch {
	case !known(typ) || size < wire.HeaderLen || size > wire.LargeLimit:
		t.Gap(0)
		return false
	case size > MaxMessage:
		t.line(fmt.Sprintf("[message %q of %d bytes]", string(typ), size))
		t.skip = size
		t.at += len(b) - len(t.skipped(b))
		return t.skip == 0
	case len(b) < size:
		return false
	}
	t.message(typ, b[wire.HeaderLen:size])
	t.at += size
	return true
}

// known are the messages that a server sends after start-up.
func known(typ byte) bool { return strings.IndexByte("123AcCdDEGHIKnNRsStTVvWZ", typ) >= 0 }

func (t *Writer) message(typ byte, body []byte) {
	switch typ {
	case 'T':
		t.header(body)
	case 'D':
		t.row(body)
	case 'C':
		t.line(escape(text(body)))
	case 'E', 'N':
		t.report(body)
	case 'd':
		t.copied(body)
	case 'A':
		t.notification(body)
	}
}

// text is a body of one zero-terminated string.
func text(body []byte) string {
	s, _, _ := strings.Cut(string(body), "\x00")
	return s
}

func (t *Writer) header(body []byte) {
	fields, err := wire.ParseRowDescription(body, nil)
	if err != nil {
		t.line("[malformed row description]")
		return
	}
	t.fields = fields
	var names []string
	for _, f := range fields {
		names = append(names, escape(string(f.Name)))
	}
	head := strings.Join(names, " | ")
	t.line(" " + head)
	t.line(strings.Repeat("-", utf8.RuneCountInString(head)+2))
}

// row shows a DataRow: a count, then each value with its length.
func (t *Writer) row(body []byte) {
	var cells []string
	if len(body) < 2 {
		t.line("[malformed row]")
		return
	}
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range n {
		if len(body) < 4 {
			t.line("[malformed row]")
			return
		}
		size := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if size < 0 {
			cells = append(cells, "NULL")
			continue
		}
		if int(size) > len(body) {
			t.line("[malformed row]")
			return
		}
		cells = append(cells, t.cell(i, body[:size]))
		body = body[size:]
	}
	t.line(" " + strings.Join(cells, " | "))
}

func (t *Writer) cell(i int, v []byte) string {
	if i < len(t.fields) && t.fields[i].Binary {
		return clip(binaryValue(t.fields[i].Type, v))
	}
	return clip(string(v))
}

// clip escapes a value and cuts it.
func clip(s string) string {
	if len(s) <= maxCell {
		return escape(s)
	}
	return fmt.Sprintf("%s... (%d bytes)", escape(strings.ToValidUTF8(s[:maxCell], "")), len(s))
}

// binaryValue reads the common types of fixed form; others are shown as bytes.
func binaryValue(oid uint32, v []byte) string {
	switch {
	case oid == 16 && len(v) == 1:
		return map[bool]string{true: "t", false: "f"}[v[0] != 0]
	case oid == 21 && len(v) == 2:
		return strconv.Itoa(int(int16(binary.BigEndian.Uint16(v))))
	case oid == 23 && len(v) == 4:
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(v))))
	case oid == 26 && len(v) == 4:
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(v)), 10)
	case oid == 20 && len(v) == 8:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10)
	case oid == 700 && len(v) == 4:
		return strconv.FormatFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(v))), 'g', -1, 32)
	case oid == 701 && len(v) == 8:
		return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(v)), 'g', -1, 64)
	case oid == 25 || oid == 1043 || oid == 1042 || oid == 19 || oid == 114:
		return string(v)
	}
	return fmt.Sprintf("\\x%x", v[:min(len(v), maxCell/2)])
}

// report shows an error or a notice as psql does.
func (t *Writer) report(body []byte) {
	parts := map[byte]string{}
	if err := wire.EachField(body, func(typ byte, v []byte) { parts[typ] = clip(string(v)) }); err != nil {
		t.line("[malformed report]")
		return
	}
	t.line(fmt.Sprintf("%s:  %s: %s", parts['S'], parts['C'], parts['M']))
	for _, p := range []struct {
		typ  byte
		name string
	}{{'D', "DETAIL"}, {'H', "HINT"}, {'W', "CONTEXT"}} {
		if parts[p.typ] != "" {
			t.line(p.name + ":  " + parts[p.typ])
		}
	}
}

func (t *Writer) copied(body []byte) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n"), "\n") {
		t.line(clip(line))
	}
}

func (t *Writer) notification(body []byte) {
	if len(body) < 4 {
		return
	}
	parts := strings.SplitN(string(body[4:]), "\x00", 3)
	if len(parts) == 3 {
		t.line(fmt.Sprintf("Asynchronous notification %q with payload %q", clip(parts[0]), clip(parts[1])))
	}
}

func (t *Writer) line(s string) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, s)
	}
}

// escape makes everything that is not printable visible.
func escape(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r == '\t' {
			b.WriteString("    ")
		} else if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
