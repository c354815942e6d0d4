package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/access"
	"sluice/audit"
)

// sample writes a journal of n records, one write each, into one segment, and
// returns its folder and where each record begins (and, last, where they end).
func sample(t *testing.T, n int) (dir string, starts []int) {
	dir = t.TempDir()
	j := mustOpen(t, small(t, dir))
	for i := range n {
		mustAppend(t, j, event(i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	data := segment(t, dir)
	off := audit.SegmentHead
	for range n {
		starts = append(starts, off)
		f, err := audit.DecodeFrame(data[off:])
		if err != nil {
			t.Fatal(err)
		}
		off += f.Size()
	}
	return dir, append(starts, off)
}

func segment(t *testing.T, dir string) []byte {
	b, err := os.ReadFile(filepath.Join(dir, audit.SegmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copyDir copies the files that a test damages; without checkpoints, a crash
// is all that a shorter journal shows.
func copyDir(t *testing.T, from string, withCheckpoint bool) string {
	dir := t.TempDir()
	names := []string{audit.SegmentName(1), audit.LeavesName(1), audit.KeyFile, audit.PublicKeyFile}
	if withCheckpoint {
		names = append(names, audit.CheckpointFile, audit.CheckpointsFile)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func damage(t *testing.T, dir string, change func(b []byte) []byte) {
	b := change(segment(t, dir))
	if err := os.WriteFile(filepath.Join(dir, audit.SegmentName(1)), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// whole counts the records that end at or before off.
func whole(starts []int, off int) int {
	n := 0
	for n+1 < len(starts) && starts[n+1] <= off {
		n++
	}
	return n
}

// A crash can leave any prefix of the last write. Wherever the journal is cut,
// what was whole stays, the rest goes, and it can be continued and verified.
func TestCutAtEveryByte(t *testing.T) {
	const n = 2
	from, starts := sample(t, n)
	dir := copyDir(t, from, false)
	original := segment(t, dir)
	for cut := audit.SegmentHead; cut <= starts[n]; cut++ {
		damage(t, dir, func([]byte) []byte {
			b := bytes.Clone(original)
			clear(b[cut:])
			return b
		})
		want := whole(starts, cut)
		if cut > starts[want] && isPadding(original[cut:starts[want+min(1, n-want)]]) {
			want++ // only padding is missing
		}
		j, err := Open(small(t, dir))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got := int(j.Durable()); got != want {
			t.Fatalf("cut at %d: %d records, want %d", cut, got, want)
		}
		for i := want; i < n+1 && cut%16 == 0; i++ {
			mustAppend(t, j, event(i))
			want++
		}
		wantTexts(t, texts(t, j.Log()), want)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, dir, uint64(want))
		removeBeside(t, dir)
	}
}

func isPadding(b []byte) bool { return len(b) < audit.FrameAlign && len(bytes.Trim(b, "\x00")) == 0 }

// removeBeside deletes what a run leaves beside the segment, key and lock.
func removeBeside(t *testing.T, dir string) {
	for _, pattern := range []string{"checkpoint*", "*.cut-*", "*.leaves"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			os.Remove(name)
		}
	}
}

func mustVerify(t *testing.T, dir string, records uint64) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, audit.PublicKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(t.Context(), os.DirFS(dir), strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() || r.Last != records || r.Signed != records {
		t.Fatalf("verification: %+v", r)
	}
}

// Wherever a byte is flipped: in the last record, that record is cut off, as a
// write that was torn; before it, the journal refuses to open and names the
// record; nothing whole is ever lost silently.
func TestFlipAtEveryByte(t *testing.T) {
	const n = 2
	from, starts := sample(t, n)
	dir := copyDir(t, from, false)
	original := segment(t, dir)
	for at := 0; at < starts[n]; at++ {
		if at >= audit.SegmentHead && isPad(original, starts, at) {
			continue
		}
		damage(t, dir, func([]byte) []byte {
			b := bytes.Clone(original)
			b[at] ^= 0x41
			return b
		})
		j, err := Open(small(t, dir))
		var bad *DamageError
		switch {
		case err == nil && at >= starts[n-1]:
			if j.Durable() != n-1 {
				t.Errorf("flip at %d: %d records", at, j.Durable())
			}
			wantTexts(t, texts(t, j.Log()), n-1)
			if cuts, _ := filepath.Glob(filepath.Join(dir, "*.cut-*")); len(cuts) != 1 {
				t.Errorf("flip at %d: the cut bytes are not kept", at)
			}
		case err == nil:
			t.Errorf("flip at %d goes unnoticed", at)
		case !errors.As(err, &bad):
			t.Errorf("flip at %d: %v", at, err)
		case at >= audit.SegmentHead && bad.Seq != uint64(whole(starts, at)+1):
			t.Errorf("flip at %d: names record %d, want %d", at, bad.Seq, whole(starts, at)+1)
		case !bytes.Equal(segment(t, dir)[:at], original[:at]):
			t.Errorf("flip at %d: the evidence was changed", at)
		}
		if err == nil {
			j.Close()
		}
		removeBeside(t, dir)
	}
}

// isPad reports whether at is in the padding behind a record's body.
func isPad(b []byte, starts []int, at int) bool {
	i := whole(starts, at)
	f, err := audit.DecodeFrame(b[starts[i]:])
	return err == nil && at >= starts[i]+80+int(uint32(b[starts[i]+8])|uint32(b[starts[i]+9])<<8) && f.Size() > 0
}

// A checkpoint outlives the records it covers: they were acknowledged, so this
// is no crash.
func TestShorterThanItsCheckpoint(t *testing.T) {
	from, starts := sample(t, 5)
	dir := copyDir(t, from, true)
	damage(t, dir, func(b []byte) []byte { clear(b[starts[3]:]); return b })
	var bad *DamageError
	if _, err := Open(small(t, dir)); !errors.As(err, &bad) || bad.Seq != 4 {
		t.Errorf("opens with %v", err)
	}
}

// Records of one write that were torn: the first is lost, the second whole.
func TestTornWriteIsCut(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, small(t, dir))
	mustAppend(t, j, event(0))
	mustAppend(t, j, event(1), event(2), event(3)) // one write
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	dir = copyDir(t, dir, false)
	damage(t, dir, func(b []byte) []byte {
		second := bytes.Index(b, []byte(`"select 1"`))
		b[second] = 0
		return b
	})
	j = mustOpen(t, small(t, dir))
	defer j.Close()
	wantTexts(t, texts(t, j.Log()), 1)
}

// An altered history that agrees with itself does not open: the checkpoint
// signed another.
func TestOpenComparesWithItsCheckpoint(t *testing.T) {
	from, _ := sample(t, 5)
	other, _ := sample(t, 4)
	dir := copyDir(t, from, true)
	j := mustOpen(t, small(t, copyDir(t, other, false)))
	mustAppend(t, j, event(77))
	j.Close()
	forged := segment(t, j.Dir())
	if err := os.WriteFile(filepath.Join(dir, audit.SegmentName(1)), forged, 0o600); err != nil {
		t.Fatal(err)
	}
	var bad *DamageError
	if _, err := Open(small(t, dir)); !errors.As(err, &bad) {
		t.Errorf("opens with %v", err)
	}
}

func TestUnusedSegmentIsDropped(t *testing.T) {
	dir, _ := sample(t, 3)
	// A crash between the new segment's name and its first byte.
	if err := os.WriteFile(filepath.Join(dir, audit.SegmentName(4)), make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, small(t, dir))
	mustAppend(t, j, event(3))
	wantTexts(t, texts(t, j.Log()), 4)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir, 4)
}

func TestLeavesAreRebuilt(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		j := mustOpen(t, small(t, dir))
		for i := range 60 {
			mustAppend(t, j, event(i))
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "*.leaves"))
		for _, name := range names {
			os.Remove(name)
		}
	}
	mustVerify(t, dir, 180)
}

func TestEraseSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, small(t, dir))
	for i := range 10 {
		mustAppend(t, j, event(i))
	}
	r, err := j.Log().ReadSeq(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	at := r.At()
	rec, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frame := rec.EraseFrame()
	r.Close()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// The crash: the plan is on disk, the frame half overwritten.
	plan := append(le64(at.Segment), append(le64(uint64(at.Offset)), frame...)...)
	if err := os.WriteFile(filepath.Join(dir, erasingName), plan, 0o600); err != nil {
		t.Fatal(err)
	}
	damage(t, dir, func(b []byte) []byte { copy(b[at.Offset:], frame[:len(frame)/2]); return b })

	j = mustOpen(t, small(t, dir))
	why := event(10)
	why.Type, why.Ref = audit.EventErased, event(3).ID
	mustAppend(t, j, why)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir, 11)
	if bytes.Contains(segment(t, dir), []byte("select 3")) {
		t.Error("the erased text is still there")
	}
}

func le64(v uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return b
}

func TestEraseWithinARun(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	for i := range 100 {
		mustAppend(t, j, event(i))
	}
	why := &access.Event{ID: "why", Type: audit.EventErased}
	for _, seq := range []uint64{1, 50, 100, 50} {
		if err := j.Erase(seq, why); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Erase(1000, why); err == nil {
		t.Error("a record that is not there was erased")
	}
	erased := 0
	r := j.Log().Read(audit.Position{})
	defer r.Close()
	for {
		rec, err := r.Next(t.Context())
		if err != nil {
			break
		}
		if rec.Erased {
			erased++
		}
	}
	if erased != 3 || j.Durable() != 103 {
		t.Errorf("%d erased of %d", erased, j.Durable())
	}
}
