package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sluice/audit"
)

func checkpoints(t *testing.T, dir string) [][]byte {
	b, err := os.ReadFile(filepath.Join(dir, audit.CheckpointsFile))
	if err != nil {
		t.Fatal(err)
	}
	return audit.SplitCheckpoints(b)
}

// A crash may leave half a checkpoint behind; the next ones must not be
// swallowed by it.
func TestUnfinishedCheckpointIsTrimmed(t *testing.T) {
	dir := t.TempDir()
	for round, junk := range []string{"sluice/aud", "sluice/audit/x\n12\nabc\n", "sluice/audit/x\n12\n\n\u2014 sluice", "\x00\x00\x00\x00", ""} {
		j := mustOpen(t, small(t, dir))
		mustAppend(t, j, event(round))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, dir, uint64(round+1))
		if got := len(checkpoints(t, dir)); got != round+1 {
			t.Fatalf("round %d: %d checkpoints", round, got)
		}
		f, err := os.OpenFile(filepath.Join(dir, audit.CheckpointsFile), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(junk); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// The newest checkpoint is always at hand; only some are kept for good.
func TestCheckpointsWhileRunning(t *testing.T) {
	o := small(t, t.TempDir())
	o.Checkpoint = time.Millisecond
	j := mustOpen(t, o)
	v, err := note.NewVerifier(j.Key())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		m := mustAppend(t, j, event(i))
		for {
			c, err := audit.OpenCheckpoint(j.Checkpoint(), v)
			if err == nil && c.Size >= uint64(m) {
				break
			}
			time.Sleep(100 * time.Microsecond) // until it is signed
		}
	}
	if err := j.SealErr(); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(checkpoints(t, o.Dir)); got < 1 || got > 3 {
		t.Errorf("%d checkpoints are kept", got)
	}
	mustVerify(t, o.Dir, 50)
}

// While checkpoints cannot be written the records go on, the journal says so,
// and signing is taken up again.
func TestCheckpointFailureIsReportedAndRetried(t *testing.T) {
	o := small(t, t.TempDir())
	o.Checkpoint = time.Millisecond
	inTheWay := filepath.Join(o.Dir, audit.CheckpointFile+".new")
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, o)
	mustAppend(t, j, event(0))
	for j.SealErr() == nil {
		time.Sleep(time.Millisecond)
	}
	mustAppend(t, j, event(1))
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	for j.SealErr() != nil {
		time.Sleep(time.Millisecond)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o.Dir, 2)
}

// A segment that could not be prepared is prepared later, when there is room.
func TestSegmentIsPreparedAgain(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, preparingName)
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFiller(&Options{Dir: dir, SegmentSize: 8 << 10})
	defer f.stop()
	if err := f.take(); err == nil {
		t.Fatal("no error")
	}
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	if err := f.take(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, preparedName))
	if err != nil || !bytes.Equal(b, make([]byte, 8<<10)) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestKeyIsPrivateAndStable(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, small(t, dir))
	mustAppend(t, j, event(0))
	key := j.Key()
	j.Close()
	j = mustOpen(t, small(t, dir))
	defer j.Close()
	if j.Key() != key || !strings.HasPrefix(key, "sluice/audit/") {
		t.Errorf("key %q, then %q", key, j.Key())
	}
	private, err := os.ReadFile(filepath.Join(dir, audit.KeyFile))
	if err != nil || !strings.HasPrefix(string(private), "PRIVATE+KEY") {
		t.Errorf("%v", err)
	}
	if strings.Contains(key, "PRIVATE") {
		t.Error("the public key is the private one")
	}
}
