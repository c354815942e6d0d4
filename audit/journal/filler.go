package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Names of the segment to come, while it is being filled and when it is ready.
const (
	preparingName = "preparing"
	preparedName  = "prepared"
)

// fillStep is how many zeros are written at once.
const fillStep = 1 << 20

// A filler prepares the next segment: a file of real zeros. A hole or blocks
// that were only reserved would make every write change the file's metadata,
// at twice the cost. It works at the pace at which the current segment fills,
// so that it never competes with the records for the disk in a burst.
type filler struct {
	dir  string
	size int64
	wg   sync.WaitGroup

	mu     sync.Mutex
	cond   sync.Cond
	goal   int64 // how far to fill for now
	ready  bool  // the prepared segment is complete
	err    error
	closed bool
}

func newFiller(opts *Options) *filler {
	f := &filler{dir: opts.Dir, size: opts.SegmentSize}
	f.cond.L = &f.mu
	f.wg.Add(1)
	go f.run()
	return f
}

// used tells how much of the current segment is used: the next one should be
// twice as far.
func (f *filler) used(off int64) {
	if goal := 2 * off &^ (fillStep - 1); goal > 0 {
		f.raise(goal)
	}
}

func (f *filler) raise(goal int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if goal > f.goal {
		f.goal = goal
		f.cond.Broadcast()
	}
}

// take waits until a segment is prepared. If that failed before, it is tried
// again: somebody may have made room on the disk.
func (f *filler) take() error {
	f.raise(f.size)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		f.err = nil
		f.cond.Broadcast()
	}
	for !f.ready && f.err == nil {
		f.cond.Wait()
	}
	return f.err
}

// next says that the prepared segment was taken into use.
func (f *filler) next() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready, f.goal = false, 0
	f.cond.Broadcast()
}

func (f *filler) stop() {
	f.mu.Lock()
	f.closed = true
	f.cond.Broadcast()
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *filler) run() {
	defer f.wg.Done()
	for f.unprepared() {
		err := f.prepare()
		f.mu.Lock()
		f.ready, f.err = err == nil, err
		if f.closed {
			f.ready, f.err = false, ErrClosed
		}
		f.cond.Broadcast()
		f.mu.Unlock()
	}
}

// unprepared waits until a segment is needed; false: never again. After a
// failure none is, until take asks.
func (f *filler) unprepared() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for (f.ready || f.err != nil) && !f.closed {
		f.cond.Wait()
	}
	return !f.closed
}

// prepare fills one segment. One that a previous run completed is as good.
func (f *filler) prepare() error {
	done := filepath.Join(f.dir, preparedName)
	if st, err := os.Stat(done); err == nil && st.Size() == f.size {
		return nil
	}
	path := filepath.Join(f.dir, preparingName)
	w, err := openFill(path)
	if err != nil {
		return fmt.Errorf("journal: prepare segment: %w", err)
	}
	err = f.fill(w)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path, done)
	}
	if err != nil {
		return fmt.Errorf("journal: prepare segment: %w", err)
	}
	return nil
}

func (f *filler) fill(w *os.File) error {
	zeros, release, err := aligned(int(min(fillStep, f.size)))
	if err != nil {
		return err
	}
	defer release()
	for off := int64(0); off < f.size; off += int64(len(zeros)) {
		if !f.wanted(off) {
			return ErrClosed
		}
		n := min(int64(len(zeros)), f.size-off)
		if _, err := w.WriteAt(zeros[:n], off); err != nil {
			return err
		}
	}
	return nil
}

// wanted waits until the filler may go beyond off; false: the journal closes.
func (f *filler) wanted(off int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for off >= f.goal && !f.closed {
		f.cond.Wait()
	}
	return !f.closed
}
