package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
	"sluice/audit"
)

// A faulty file fails its writes once told to.
type faulty struct {
	file
	fail *atomic.Bool
}

var errDisk = errors.New("the disk is on fire")

func (f faulty) WriteAt(p []byte, off int64) (int, error) {
	if f.fail.Load() {
		return 0, errDisk
	}
	return f.file.WriteAt(p, off)
}

func faultyOptions(t *testing.T) (Options, *atomic.Bool) {
	fail := new(atomic.Bool)
	o := small(t, t.TempDir())
	o.create = func(path string) (file, error) {
		f, err := openSync(path)
		return faulty{f, fail}, err
	}
	return o, fail
}

// After one failed write nothing is accepted any more, even if the disk
// recovers; what was durable before stays so.
func TestFailedWritePoisons(t *testing.T) {
	o, fail := faultyOptions(t)
	j := mustOpen(t, o)
	before := mustAppend(t, j, event(0))
	fail.Store(true)
	m, err := j.Append(event(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(t.Context(), m); !errors.Is(err, errDisk) {
		t.Errorf("Wait: %v", err)
	}
	fail.Store(false)
	if _, err := j.Append(event(2)); !errors.Is(err, errDisk) {
		t.Errorf("Append: %v", err)
	}
	if err := j.Wait(t.Context(), m+5); !errors.Is(err, errDisk) {
		t.Errorf("Wait for the future: %v", err)
	}
	if err := j.Wait(t.Context(), before); err != nil {
		t.Errorf("Wait for the past: %v", err)
	}
	if !errors.Is(j.Err(), errDisk) || j.Durable() != 1 {
		t.Errorf("Err %v, durable %d", j.Err(), j.Durable())
	}
	if err := j.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: %v", err)
	}
	o.create = nil
	j = mustOpen(t, o)
	defer j.Close()
	wantTexts(t, texts(t, j.Log()), 1)
}

// A new segment that cannot be made fails in the same way.
func TestNoRoomForASegmentPoisons(t *testing.T) {
	dir := t.TempDir()
	o := small(t, dir)
	real := openSync
	made := 0
	o.create = func(path string) (file, error) {
		if made++; made > 2 {
			return nil, errDisk
		}
		return real(path)
	}
	j := mustOpen(t, o)
	defer j.Close()
	for i := range 1000 {
		m, err := j.Append(event(i))
		if err == nil {
			err = j.Wait(t.Context(), m)
		}
		if err != nil {
			if !errors.Is(err, errDisk) || i < 20 {
				t.Errorf("record %d: %v", i, err)
			}
			return
		}
	}
	t.Error("no error")
}

func TestWaitersOfAFailedBatchAreAllTold(t *testing.T) {
	o, fail := faultyOptions(t)
	j := mustOpen(t, o)
	defer j.Close()
	mustAppend(t, j, event(0))
	fail.Store(true)
	var wg sync.WaitGroup
	var told atomic.Int32
	for i := range 32 {
		wg.Go(func() {
			m, err := j.Append(event(i))
			if err == nil {
				err = j.Wait(context.Background(), m)
			}
			if errors.Is(err, errDisk) {
				told.Add(1)
			}
		})
	}
	wg.Wait()
	if told.Load() != 32 {
		t.Errorf("%d of 32 were told", told.Load())
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, small(t, dir))
	if _, err := Open(small(t, dir)); err == nil {
		t.Error("two gateways share a folder")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, small(t, dir)).Close()
}

func TestFilesAreThePrivateOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, small(t, dir))
	mustAppend(t, j, event(0))
	j.Close()
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v", st.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if st, _ := e.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", e.Name(), st.Mode())
		}
	}
}

// What nobody waits for does not start a write, and is written all the same.
func TestUnawaitedEvents(t *testing.T) {
	o := small(t, t.TempDir()) // Lazy is an hour
	j := mustOpen(t, o)
	mustAppend(t, j, event(0))
	completed := event(1)
	completed.Type = access.ActionCompleted
	m, err := j.Append(completed)
	if err != nil {
		t.Fatal(err)
	}
	if j.Durable() != 1 {
		t.Error("an outcome started a write of its own")
	}
	if err := j.Wait(t.Context(), m); err != nil { // but waiting for it does
		t.Fatal(err)
	}
	if _, err := j.Append(completed); err != nil {
		t.Fatal(err)
	}
	if got := mustAppend(t, j, event(3)); got != 4 || j.Durable() != 4 {
		t.Error("an outcome did not go with the next write")
	}
	if _, err := j.Append(completed); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j.Durable() != 5 {
		t.Error("Close left an outcome behind")
	}
	o.Lazy = time.Millisecond
	j = mustOpen(t, o)
	defer j.Close()
	if _, err = j.Append(completed); err != nil {
		t.Fatal(err)
	}
	if err := j.wait(t.Context(), 6, false); err != nil { // a patient waiter: only the timer writes
		t.Fatal(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Wait(ctx, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestCloseWakesEverybody(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	mustAppend(t, j, event(0))
	errs := make(chan error)
	for range 3 {
		go func() { errs <- j.Wait(context.Background(), 99) }()
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if _, err := j.Append(event(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if err := j.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// A follower sees every record once, in order, across segments, while they
// are written.
func TestFollow(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	const n = 300
	done := make(chan error, 1)
	go func() {
		r := j.Log().Read(audit.Position{})
		defer r.Close()
		i := 0
		err := r.Follow(context.Background(), func(rec audit.Record) bool {
			e, err := rec.Event()
			if want := fmt.Sprintf("select %d", i); err != nil || e.Action.Text != want {
				t.Errorf("record %d: %v %v, want %q", rec.At.Seq, e.Action, err, want)
				return false
			}
			i++
			return i < n
		})
		done <- err
	}()
	for i := range n {
		mustAppend(t, j, event(i))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFollowEndsWithTheJournal(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	mustAppend(t, j, event(0))
	done := make(chan error, 1)
	r, err := j.Log().ReadSeq(t.Context(), j.Durable()+1)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- r.Follow(context.Background(), func(audit.Record) bool { return true }) }()
	j.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// A record that no segment can hold is refused; the journal goes on.
func TestRecordLargerThanASegment(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	e := event(0)
	for _, size := range []int{32 << 10, 17 << 10, 16<<10 - 300, 15 << 10} {
		e.Action.Text = strings.Repeat("x", size)
		m, err := j.Append(event(1), e)
		if (err == nil) != (size == 15<<10) {
			t.Errorf("a text of %d bytes: %v", size, err)
		}
		if err := j.Wait(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, j, event(2))
	if j.Durable() != 3 {
		t.Errorf("%d records", j.Durable())
	}
}

// childEnv makes the test binary write to a journal until it is killed.
const childEnv = "SLUICE_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child appends and prints each mark once it is durable.
func child(dir string) {
	j, err := Open(Options{Dir: dir, SegmentSize: 64 << 10, Checkpoint: 3 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
	fmt.Println("durable", j.Durable())
	var mu sync.Mutex
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				write := j.Append
				if w%2 == 1 {
					write = j.Queue
				}
				m, err := write(event(i))
				j.Kick()
				if err == nil {
					err = j.Wait(context.Background(), m)
				}
				if err != nil {
					os.Exit(4)
				}
				mu.Lock()
				fmt.Println("durable", m)
				mu.Unlock()
			}
		}()
	}
	select {}
}

// kill -9 at any moment: what was acknowledged is there, nothing needs repair,
// and the journal verifies.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged uint64
	for round := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 10+round*23 && lines.Scan(); n++ {
			acknowledged = max(acknowledged, durableLine(t, lines.Text()))
		}
		cmd.Process.Kill()
		rest, _ := io.ReadAll(out)
		for _, line := range strings.Split(lines.Text()+"\n"+string(rest), "\n") {
			if strings.HasPrefix(line, "durable ") {
				acknowledged = max(acknowledged, durableLine(t, line))
			}
		}
		cmd.Wait()
		log := audit.NewLog(os.DirFS(dir), nil)
		if got := count(t, log); got < acknowledged {
			t.Fatalf("round %d: %d records, %d acknowledged", round, got, acknowledged)
		}
	}
	j := mustOpen(t, Options{Dir: dir, SegmentSize: 64 << 10})
	last := j.Durable()
	if last < acknowledged {
		t.Errorf("%d records, %d acknowledged", last, acknowledged)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir, last)
}

func durableLine(t *testing.T, line string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(line, "durable "), 10, 64)
	if err != nil {
		t.Fatalf("the child says %q", line)
	}
	return n
}

// count returns the number of the last whole record.
func count(t *testing.T, log *audit.Log) uint64 {
	r := log.Read(audit.Position{})
	defer r.Close()
	for {
		if _, err := r.Next(t.Context()); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, audit.ErrFrame) {
				return max(r.At().Seq, 1) - 1
			}
			t.Fatal(err)
		}
	}
}
