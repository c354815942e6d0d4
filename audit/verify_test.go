package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sluice/access"
	"sluice/audit"
	"sluice/audit/journal"
)

// A folder is a journal on disk, written by the real writer, to tamper with.
type folder struct {
	testing.TB
	dir, key string
	frames   []where // of every record, in order
}

type where struct {
	segment string
	off, n  int
}

// write makes a journal of n records in segments of about 20, with a
// checkpoint every step records.
func write(t testing.TB, n, step int) *folder {
	f := &folder{TB: t, dir: t.TempDir()}
	for i := 0; i < n; {
		j, err := journal.Open(journal.Options{Dir: f.dir, SegmentSize: 8 << 10, Checkpoint: -1})
		if err != nil {
			t.Fatal(err)
		}
		f.key = j.Key()
		for range min(step, n-i) {
			i++
			m, err := j.Append(numbered(i))
			if err == nil {
				err = j.Wait(context.Background(), m)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f.index()
	return f
}

func numbered(i int) *access.Event {
	return &access.Event{
		ID: eventID(i), Time: time.UnixMicro(1_790_000_000_000_000 + int64(i)).UTC(), Type: access.ActionDecided,
		Subject: &access.Subject{Issuer: "local", ID: "alice"},
		Action:  &access.Action{Verb: access.VerbSelect, Op: "SELECT", Text: fmt.Sprintf("select %04d", i)},
	}
}

func eventID(i int) string { return fmt.Sprintf("0199aaaa-0000-7000-8000-%012d", i) }

func (f *folder) index() {
	r := audit.NewLog(os.DirFS(f.dir), nil).Read(audit.Position{})
	defer r.Close()
	for {
		at := r.At()
		rec, err := r.Next(context.Background())
		if err != nil {
			return
		}
		at = rec.At
		f.frames = append(f.frames, where{audit.SegmentName(at.Segment), int(at.Offset), len(rec.EraseFrame())})
	}
}

func (f *folder) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func (f *folder) store(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o600); err != nil {
		f.Fatal(err)
	}
}

// edit changes a segment's bytes around record i.
func (f *folder) edit(i int, change func(segment []byte, w where) []byte) {
	w := f.frames[i-1]
	f.store(w.segment, change(f.read(w.segment), w))
}

func (f *folder) verify(anchors ...[]byte) audit.Report {
	f.Helper()
	r, err := audit.Verify(context.Background(), os.DirFS(f.dir), f.key, anchors...)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// names checks that the report holds exactly these findings.
func names(t *testing.T, r audit.Report, want ...string) {
	t.Helper()
	var got []string
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s %d", f.Kind, f.Seq)
		if f.Until > f.Seq {
			line += fmt.Sprintf("-%d", f.Until)
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
		for _, f := range r.Findings {
			t.Log(f)
		}
	}
	if r.Sound() != (len(want) == 0) {
		t.Errorf("Sound() = %v", r.Sound())
	}
}

// fix makes the frame's checksum right again, as a careful intruder would.
func fix(frame []byte) {
	n := binary.LittleEndian.Uint32(frame[8:])
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(frame[8:80+n], crc32.MakeTable(crc32.Castagnoli)))
}

// rewrite alters record i and makes everything after it in its segment agree,
// checksums and chain: what somebody can do who knows the format.
func (f *folder) rewrite(i int, alter func(frame []byte)) {
	f.edit(i, func(seg []byte, w where) []byte {
		chain := audit.Hash(seg[40:72])
		for off, k := 128, 0; ; k++ {
			fr, err := audit.DecodeFrame(seg[off:])
			if err != nil {
				return seg
			}
			b := seg[off : off+fr.Size()]
			if off == w.off {
				alter(b)
				fix(b)
			}
			fr, err = audit.DecodeFrame(b)
			if err != nil {
				f.Fatal(err)
			}
			chain = audit.Chain(chain, fr.Leaf())
			copy(b[32:], chain[:])
			fix(b)
			off += len(b)
		}
	})
}

func swapText(from, to string) func([]byte) {
	return func(frame []byte) {
		at := bytes.Index(frame, []byte(from))
		copy(frame[at:], to)
	}
}

func TestVerifySound(t *testing.T) {
	f := write(t, 100, 25)
	r := f.verify()
	names(t, r)
	if r.Records != 100 || r.Last != 100 || r.Signed != 100 || r.Unsigned != 0 || r.Checkpoints < 4 || r.Segments < 3 {
		t.Errorf("report %+v", r)
	}
}

func TestVerifyUnsignedTail(t *testing.T) {
	f := write(t, 60, 20)
	all := audit.SplitCheckpoints(f.read("checkpoints"))
	f.store("checkpoints", bytes.Join(all[:2], nil))
	f.store("checkpoint", all[1])
	r := f.verify()
	names(t, r)
	if r.Signed != 40 || r.Unsigned != 20 {
		t.Errorf("signed %d, unsigned %d; want 40, 20", r.Signed, r.Unsigned)
	}
}

func TestVerifyNamesWhatWasDone(t *testing.T) {
	flip := func(seg []byte, w where) []byte { seg[w.off+w.n-20] ^= 1; return seg }
	for _, c := range []struct {
		name   string
		tamper func(f *folder)
		want   []string
	}{
		{"a flipped byte", func(f *folder) { f.edit(37, flip) }, []string{"altered 37"}},
		{"a flipped byte in the first record", func(f *folder) { f.edit(1, flip) }, []string{"altered 1"}},
		{"a flipped byte in the last record", func(f *folder) { f.edit(100, flip) }, []string{"altered 100"}},
		{"two flipped bytes", func(f *folder) { f.edit(37, flip); f.edit(38, flip) }, []string{"altered 37-38"}},
		{"a new text with a right checksum", func(f *folder) {
			f.edit(42, func(seg []byte, w where) []byte {
				swapText("select 0042", "select 9999")(seg[w.off:])
				fix(seg[w.off:])
				return seg
			})
		}, []string{"altered 42"}},
		{"a new text with checksum and chain", func(f *folder) {
			f.rewrite(42, swapText("select 0042", "select 9999"))
		}, []string{"altered 42"}},
		{"an earlier time", func(f *folder) {
			f.rewrite(50, func(b []byte) { b[24]++ })
		}, []string{"altered 50"}},
		{"overwritten with zeros", func(f *folder) {
			f.edit(55, func(seg []byte, w where) []byte { clear(seg[w.off : w.off+w.n]); return seg })
		}, []string{"missing 55"}},
		{"cut out", func(f *folder) {
			f.edit(55, func(seg []byte, w where) []byte {
				return append(slices.Delete(seg, w.off, w.off+w.n), make([]byte, w.n)...)
			})
		}, []string{"missing 55"}},
		{"two swapped", func(f *folder) {
			f.edit(55, func(seg []byte, w where) []byte {
				a := slices.Clone(seg[w.off : w.off+w.n])
				copy(seg[w.off:], seg[w.off+w.n:w.off+2*w.n])
				copy(seg[w.off+w.n:], a)
				return seg
			})
		}, []string{"reordered 55"}},
		{"the end cut off", func(f *folder) {
			f.edit(98, func(seg []byte, w where) []byte { clear(seg[w.off:]); return seg })
		}, []string{"truncated 98-100"}},
		{"the file shortened", func(f *folder) {
			f.edit(98, func(seg []byte, w where) []byte { return seg[:w.off] })
		}, []string{"truncated 98-100"}},
		{"the last segment removed", func(f *folder) {
			last := f.frames[99].segment
			os.Remove(filepath.Join(f.dir, last))
		}, nil},
		{"a checkpoint changed", func(f *folder) {
			b := f.read("checkpoint")
			f.store("checkpoint", bytes.Replace(b, []byte("\n100\n"), []byte("\n101\n"), 1))
		}, []string{"forged 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := write(t, 100, 25)
			c.tamper(f)
			if c.want == nil {
				first := strings.TrimLeft(strings.TrimSuffix(f.frames[99].segment, ".seg"), "0")
				c.want = []string{"truncated " + first + "-100"}
			}
			names(t, f.verify(), c.want...)
		})
	}
}

func TestVerifyNamesTheEvent(t *testing.T) {
	f := write(t, 30, 10)
	f.edit(17, func(seg []byte, w where) []byte { seg[w.off+w.n-20] ^= 1; return seg })
	r := f.verify()
	if len(r.Findings) != 1 || r.Findings[0].ID != eventID(17) || r.Findings[0].Segment != f.frames[16].segment || r.Findings[0].Offset != int64(f.frames[16].off) {
		t.Errorf("findings %+v", r.Findings)
	}
}

func TestVerifyMissingSegment(t *testing.T) {
	f := write(t, 100, 25)
	gone := f.frames[50].segment
	os.Remove(filepath.Join(f.dir, gone))
	var first, last int
	for i, w := range f.frames {
		if w.segment == gone {
			last = i + 1
			if first == 0 {
				first = i + 1
			}
		}
	}
	names(t, f.verify(), fmt.Sprintf("missing %d-%d", first, last))
}

// Somebody with the signing key writes the journal anew without record 20.
// It agrees with itself; an earlier checkpoint kept elsewhere shows it.
func TestVerifyAnchorExposesRewrittenHistory(t *testing.T) {
	honest := write(t, 60, 30)
	anchor := audit.SplitCheckpoints(honest.read("checkpoints"))[0]
	forged := &folder{TB: t, dir: t.TempDir()}
	for _, name := range []string{"key", "key.pub"} {
		forged.store(name, honest.read(name))
	}
	// The same log id, so that the journal has the same name.
	signer, err := note.NewSigner(strings.TrimSpace(string(honest.read("key"))))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{Dir: forged.dir, SegmentSize: 8 << 10, Checkpoint: -1, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 60; i++ {
		if i != 20 {
			if _, err := j.Append(numbered(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	forged.key = honest.key
	forged.resign(signer)
	names(t, forged.verify())
	r := forged.verify(anchor)
	names(t, r, "rewritten 1-30")
	if got := honest.verify(anchor); !got.Sound() || got.Anchored != 30 || got.Anchors != 1 {
		t.Errorf("honest journal: %+v", got)
	}
}

// resign signs a folder's state under the name that its key has.
func (f *folder) resign(signer note.Signer) {
	sound, err := audit.Verify(context.Background(), os.DirFS(f.dir), f.key)
	if err != nil {
		f.Fatal(err)
	}
	c := audit.Checkpoint{Origin: signer.Name(), Size: sound.Last, Time: time.Now()}
	copy(c.Root[:], unhex(f, sound.Root))
	copy(c.Chain[:], unhex(f, sound.Head))
	signed, err := c.Sign(signer)
	if err != nil {
		f.Fatal(err)
	}
	f.store("checkpoints", signed)
	f.store("checkpoint", signed)
}

func unhex(t testing.TB, s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerifyRefusesForeignKeyAndAnchor(t *testing.T) {
	f := write(t, 10, 10)
	_, other, err := note.GenerateKey(rand.Reader, "sluice/audit/other")
	if err != nil {
		t.Fatal(err)
	}
	mine := f.key
	f.key = other
	if r := f.verify(); r.Sound() || r.Signed != 0 {
		t.Errorf("another key verifies: %+v", r)
	}
	f.key = mine
	stranger := write(t, 5, 5)
	if r := f.verify(stranger.read("checkpoint")); r.Sound() {
		t.Error("another journal's checkpoint is taken for an anchor")
	}
	if _, err := audit.Verify(context.Background(), os.DirFS(f.dir), "nonsense"); err == nil {
		t.Error("a malformed key is accepted")
	}
}

func TestVerifyWithoutLeavesFiles(t *testing.T) {
	f := write(t, 100, 25)
	old, _ := filepath.Glob(filepath.Join(f.dir, "*.leaves"))
	for _, name := range old {
		os.Remove(name)
	}
	names(t, f.verify())
	f.edit(37, func(seg []byte, w where) []byte { seg[w.off+w.n-20] ^= 1; return seg })
	names(t, f.verify(), "altered 37")
}

func TestVerifyLeavesFileIsOnlyDerived(t *testing.T) {
	f := write(t, 30, 30)
	name := strings.Replace(f.frames[2].segment, ".seg", ".leaves", 1)
	b := f.read(name)
	b[16+2*32] ^= 1
	f.store(name, b)
	r := f.verify()
	if !r.Sound() || len(r.Findings) != 1 || r.Findings[0].Kind != audit.Derived {
		t.Errorf("findings %v", r.Findings)
	}
}

func TestErasedRecordsVerify(t *testing.T) {
	f := write(t, 40, 40)
	j, err := journal.Open(journal.Options{Dir: f.dir, SegmentSize: 8 << 10, Checkpoint: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Erase(7, &access.Event{ID: eventID(41), Time: time.Now(), Type: audit.EventErased, Ref: eventID(7)}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r := f.verify()
	names(t, r)
	if r.Last != 41 || !slices.Equal(r.Erased, []uint64{7}) {
		t.Errorf("report %+v", r)
	}
	if bytes.Contains(f.read(f.frames[6].segment), []byte("select 0007")) {
		t.Error("the erased text is still there")
	}
}

// BenchmarkVerify reports the time for a record of a whole check.
func BenchmarkVerify(b *testing.B) {
	const n = 20_000
	dir := b.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		if _, err := j.Append(numbered(i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := audit.Verify(context.Background(), os.DirFS(dir), j.Key())
		if err != nil || !r.Sound() || r.Signed != n {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
