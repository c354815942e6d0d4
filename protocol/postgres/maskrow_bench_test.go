package postgres

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/access"
	"sluice/mask"
	"sluice/protocol/postgres/wire"
)

// A rowSource is an upstream that sends one chunk of rows over and over.
type rowSource struct {
	net.Conn
	chunk, rest []byte
	chunks      int // still to send
}

func (r *rowSource) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.chunks == 0 {
			return 0, io.EOF
		}
		r.rest, r.chunks = r.chunk, r.chunks-1
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A rowSink is a client that reads all and keeps nothing.
type rowSink struct {
	net.Conn
	n int64
}

func (s *rowSink) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return len(p), nil
}

// benchRow is a person: eight columns as the demo's, in text.
var benchRow = []string{"48211", "Alice Liddell", "alice.liddell@example.com", "4111 1111 1111 1111", "+49 30 901820", "1987-06-05", "4512345678", "Oxford, Christ Church"}

var benchTypes = []uint32{23, 25, 25, 25, 25, 1082, 20, 25}

// benchMasks are the masks of one column, and of five.
var benchMasks = map[string]map[int]string{
	"none": {}, "one": {2: "email"}, "five": {2: "email", 3: "card_last4", 4: "partial", 5: "year", 6: "partial"},
	"five hashes": {1: "hash", 2: "hash", 3: "hash", 4: "hash", 6: "hash"},
}

func benchPlan(b testing.TB, masks map[int]string) *plan {
	p := &plan{columns: make([]columnPlan, len(benchRow))}
	for i, with := range masks {
		p.columns[i].typ, p.any = mask.Builtin(benchTypes[i], -1), true
		if err := p.columns[i].compile(testMaskKeys(b), access.Mask{With: with}); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

// benchRows are n rows, of which every so many are different people.
func benchRows(n, people int) []byte {
	var rows []byte
	for i := range n {
		var at int
		rows, at = wire.Begin(rows, 'D')
		rows = append(rows, 0, byte(len(benchRow)))
		for c, v := range benchRow {
			if person := i % people; person > 0 && (c < 5 || c == 6) {
				v = fmt.Sprintf("%s%04d%s", v[:1], person, v[5:])
			}
			rows = append(rows, 0, 0, 0, byte(len(v)))
			rows = append(rows, v...)
		}
		rows = wire.End(rows, at)
	}
	return rows
}

// BenchmarkMaskedRows is what a row costs on its way from the upstream's buffer
// into the client's: walked, masked, written.
func BenchmarkMaskedRows(b *testing.B) {
	const perChunk = 3500
	for _, name := range []string{"none", "one", "five", "five hashes", "five hashes of few"} {
		masks, people := benchMasks[name], perChunk
		if masks == nil {
			masks, people = benchMasks["five hashes"], 20
		}
		chunk := benchRows(perChunk, people)
		b.Run(name, func(b *testing.B) {
			src, sink := &rowSource{chunk: chunk, chunks: b.N/perChunk + 1}, &rowSink{}
			s := &session{srv: &Server{Now: time.Now}, queue: newQueue(), client: &clientWriter{conn: sink, now: time.Now}, up: &upstream{Conn: src}}
			e := &entry{kind: kindQuery, durable: true, run: &run{}}
			if e.run.cur.plan = benchPlan(b, masks); !e.run.cur.plan.any {
				e.run.cur.plan = nil
			}
			s.queue.push(e)
			s.replies.rd = wire.NewReader(src, upstreamBuffer, nil)
			b.ReportAllocs()
			b.SetBytes(int64(len(chunk) / perChunk))
			before := cpuTime(b)
			if err := s.readUpstream(); err != io.EOF {
				b.Fatal(err)
			}
			rows := float64(b.N/perChunk+1) * perChunk
			b.ReportMetric(rows/(cpuTime(b)-before).Seconds()/1e6, "Mrows/s/core")
		})
	}
}

// benchCopies is the same row in the formats of COPY.
var benchCopies = map[string]struct {
	format copyFormat
	row    []byte
}{
	"text":   {copyFormat{delimiter: '\t', null: `\N`, begun: true}, copyData([]byte(strings.Join(benchRow, "\t") + "\\n\n"))},
	"csv":    {copyFormat{csv: true, delimiter: ',', quote: '"', escape: '"', begun: true}, copyData([]byte(`"` + strings.Join(benchRow, `","`) + `"` + "\n"))},
	"binary": {copyFormat{binary: true, begun: true}, copyData(benchRows(1, 1)[wire.HeaderLen:])},
}

// cpuTime is what this process has used: others on the machine do not count.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestMaskedRowsDoNotAllocate: a row costs no garbage, whatever masks it.
func TestMaskedRowsDoNotAllocate(t *testing.T) {
	rows := benchRows(1, 1)
	for name, masks := range benchMasks {
		p, dst, hits := benchPlan(t, masks), make([]byte, 0, 4096), int64(0)
		if n := testing.AllocsPerRun(10, func() {
			if _, err := p.maskRow(dst, rows, &hits); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		for format, c := range benchCopies {
			p.copy = &c.format
			if n := testing.AllocsPerRun(10, func() {
				if _, err := p.maskCopy(dst, c.row, &hits); err != nil {
					t.Fatal(err)
				}
			}); n > 0 {
				t.Errorf("%s, COPY %s: %v allocations", name, format, n)
			}
			out, err := p.maskCopy(nil, c.row, &hits)
			for i := range masks {
				if bytes.Contains(out, []byte(benchRow[i])) || err != nil {
					t.Errorf("%s, COPY %s: column %d: %v %q", name, format, i, err, out)
				}
			}
		}
		out, err := p.maskRow(nil, rows, &hits)
		for i := range masks {
			if bytes.Contains(out, []byte(benchRow[i])) || err != nil {
				t.Errorf("%s: column %d: %v %q", name, i, err, out)
			}
		}
	}
}
