package journal

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/access"
)

func mustQueue(t *testing.T, j *Journal, events ...*access.Event) access.Mark {
	t.Helper()
	m, err := j.Queue(events...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// counted is a listener that counts.
func counted(j *Journal) (*atomic.Int32, func()) {
	n := new(atomic.Int32)
	return n, j.Notify(func() { n.Add(1) })
}

// What is queued is written by the next Kick, in the caller's time, and told.
func TestKick(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	told, stop := counted(j)
	j.Kick() // nothing to do
	m := mustQueue(t, j, event(0), event(1))
	mustQueue(t, j, event(2))
	if j.Settled(m) || j.Durable() != 0 || told.Load() != 0 {
		t.Error("written without a Kick")
	}
	j.Kick()
	if !j.Settled(m) || j.Durable() != 3 || told.Load() != 1 {
		t.Errorf("behind a Kick: %d durable, told %d times", j.Durable(), told.Load())
	}
	if j.Settled(m + 2) {
		t.Error("the future is settled")
	}
	j.Kick()
	stop()
	mustQueue(t, j, event(3))
	j.Kick()
	if told.Load() != 1 {
		t.Errorf("told %d times", told.Load())
	}
	wantTexts(t, texts(t, j.Log()), 4)
}

// Outcomes, which nobody waits for, are no reason to write.
func TestKickLeavesOutcomes(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	completed := event(0)
	completed.Type = access.ActionCompleted
	mustQueue(t, j, completed)
	j.Kick()
	if j.Durable() != 0 {
		t.Error("an outcome started a write of its own")
	}
	mustQueue(t, j, event(1))
	j.Kick()
	if j.Durable() != 2 {
		t.Error("an outcome did not go with the next write")
	}
}

// Without a Kick there are still those who wait, and the timer.
func TestQueueWithoutKick(t *testing.T) {
	o := small(t, t.TempDir())
	j := mustOpen(t, o)
	if err := j.Wait(t.Context(), mustQueue(t, j, event(0))); err != nil {
		t.Fatal(err)
	}
	mustQueue(t, j, event(1))
	if err := j.Close(); err != nil || j.Durable() != 2 {
		t.Errorf("Close: %v, %d durable", err, j.Durable())
	}
	o.Lazy = time.Millisecond
	j = mustOpen(t, o)
	defer j.Close()
	if err := j.wait(t.Context(), uint64(mustQueue(t, j, event(2))), false); err != nil { // a patient waiter
		t.Fatal(err)
	}
	wantTexts(t, texts(t, j.Log()), 3)
}

// A gate is a file whose writes wait while it is shut.
type gate struct {
	file
	shut    *sync.Mutex
	waiting *atomic.Int32
}

func (g gate) WriteAt(p []byte, off int64) (int, error) {
	g.waiting.Add(1)
	g.shut.Lock()
	defer g.shut.Unlock()
	g.waiting.Add(-1)
	return g.file.WriteAt(p, off)
}

func gatedJournal(t *testing.T) (j *Journal, shut *sync.Mutex, writing func()) {
	shut, waiting := new(sync.Mutex), new(atomic.Int32)
	o := small(t, t.TempDir())
	o.create = func(path string) (file, error) {
		f, err := openSync(path)
		return gate{f, shut, waiting}, err
	}
	j = mustOpen(t, o)
	mustAppend(t, j, event(0))
	return j, shut, func() {
		for waiting.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// A Kick during a write does not wait for it; the writer goes on with what was
// queued.
func TestKickDuringAWrite(t *testing.T) {
	for name, write := range map[string]func(*Journal){"of a Kick": (*Journal).Kick, "of the writer": func(j *Journal) {
		j.mu.Lock()
		j.hurry()
		j.mu.Unlock()
	}} {
		t.Run(name, func(t *testing.T) {
			j, shut, writing := gatedJournal(t)
			defer j.Close()
			shut.Lock()
			first := mustQueue(t, j, event(1))
			done := make(chan struct{})
			go func() {
				write(j)
				close(done)
			}()
			writing()
			second := mustQueue(t, j, event(2))
			j.Kick()
			if j.Settled(first) || j.Settled(second) {
				t.Error("settled before it is written")
			}
			shut.Unlock()
			<-done
			if err := j.wait(t.Context(), uint64(second), false); err != nil {
				t.Fatal(err)
			}
			wantTexts(t, texts(t, j.Log()), 3)
		})
	}
}

// Close during a Kick's write waits for it, and writes what came behind.
func TestCloseDuringAKick(t *testing.T) {
	j, shut, writing := gatedJournal(t)
	told, _ := counted(j)
	shut.Lock()
	first := mustQueue(t, j, event(1))
	kicked, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		j.Kick()
		close(kicked)
	}()
	writing()
	second := mustQueue(t, j, event(2))
	go func() { closed <- j.Close() }()
	for {
		if _, err := j.Queue(event(3)); errors.Is(err, ErrClosed) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	j.Kick() // nobody's any more
	if j.Settled(first) {
		t.Error("settled before it is written")
	}
	shut.Unlock()
	<-kicked
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for _, m := range []access.Mark{first, second} {
		if err := j.Wait(t.Context(), m); err != nil || !j.Settled(m) {
			t.Errorf("%d: %v", m, err)
		}
	}
	if !j.Settled(1000) || told.Load() < 2 {
		t.Errorf("those who wait for what will not come are not told: %d", told.Load())
	}
	j.Kick()
}

// A Kick whose write fails poisons the journal as the writer's would, and tells
// everybody: those of its batch, those behind it and those who only listen.
func TestKickFails(t *testing.T) {
	o, fail := faultyOptions(t)
	j := mustOpen(t, o)
	before := mustAppend(t, j, event(0))
	settled := make(chan bool, 10)
	var m access.Mark
	j.Notify(func() { settled <- j.Settled(m) })
	m = mustQueue(t, j, event(1))
	waits := make(chan error, 1)
	go func() { waits <- j.wait(t.Context(), uint64(m)+1, false) }()
	fail.Store(true)
	j.Kick()
	if !<-settled {
		t.Error("those who listen are not told")
	}
	fail.Store(false)
	if err := j.Wait(t.Context(), m); !errors.Is(err, errDisk) {
		t.Errorf("Wait: %v", err)
	}
	if err := <-waits; !errors.Is(err, errDisk) {
		t.Errorf("behind it: %v", err)
	}
	if _, err := j.Queue(event(2)); !errors.Is(err, errDisk) {
		t.Errorf("Queue: %v", err)
	}
	j.Kick()
	if err := j.Wait(t.Context(), before); err != nil {
		t.Errorf("what was durable: %v", err)
	}
	if err := j.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: %v", err)
	}
	o.create = nil
	j = mustOpen(t, o)
	defer j.Close()
	wantTexts(t, texts(t, j.Log()), 1)
}

// A Kick that fails while the writer waits for its turn ends the writer, and
// what it was to write fails too.
func TestKickFailsBeforeTheWriter(t *testing.T) {
	shut, waiting, fail := new(sync.Mutex), new(atomic.Int32), new(atomic.Bool)
	o := small(t, t.TempDir())
	o.create = func(path string) (file, error) {
		f, err := openSync(path)
		return gate{faulty{f, fail}, shut, waiting}, err
	}
	j := mustOpen(t, o)
	mustAppend(t, j, event(0))
	shut.Lock()
	first := mustQueue(t, j, event(1))
	go j.Kick()
	for waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	second, err := j.Append(event(2))
	if err != nil {
		t.Fatal(err)
	}
	fail.Store(true)
	shut.Unlock()
	for _, m := range []access.Mark{first, second} {
		if err := j.Wait(t.Context(), m); !errors.Is(err, errDisk) {
			t.Errorf("%d: %v", m, err)
		}
	}
	if err := j.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: %v", err)
	}
}

// Sessions that run by turns do not wait: they ask, and are told. However Queue,
// Kick, Append and Wait fall together, everybody's record becomes durable, and
// whoever listens hears of it.
func TestKickersAndAppenders(t *testing.T) {
	dir := t.TempDir()
	o := small(t, dir)
	j := mustOpen(t, o)
	var wg sync.WaitGroup
	var records, next atomic.Int64
	note := func() *access.Event {
		records.Add(1)
		return event(int(next.Add(1)))
	}
	const rounds = 150
	for range 4 { // as goroutines do it
		wg.Go(func() {
			for range rounds {
				m, err := j.Append(note())
				if err == nil {
					err = j.Wait(t.Context(), m)
				}
				if err != nil || !j.Settled(m) {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	for w := range 3 { // as event loops do it
		wg.Go(func() { listen(t, j, rounds, rand.New(rand.NewPCG(uint64(w), 3)), note) })
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { // listeners come and go
		for {
			select {
			case <-stop:
				return
			default:
				j.Notify(func() {})()
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	wg.Wait()
	close(stop)
	others.Wait()
	if n := len(j.listeners()); n != 0 {
		t.Errorf("%d listeners are left", n)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir, uint64(records.Load()))
}

// listen is an event loop with a few sessions: it queues their records, kicks
// when it has nothing else to do, and sleeps until it is told.
func listen(t *testing.T, j *Journal, rounds int, r *rand.Rand, note func() *access.Event) {
	var held atomic.Bool
	resume := make(chan struct{}, 1)
	defer j.Notify(func() {
		if held.Swap(false) {
			select {
			case resume <- struct{}{}:
			default:
			}
		}
	})()
	marks := make([]access.Mark, 5) // 0: the session has nothing to wait for
	for left := rounds; left > 0; {
		waits := false
		for i := range marks {
			switch {
			case marks[i] == 0:
				m, err := j.Queue(note())
				if err != nil {
					t.Error(err)
					return
				}
				marks[i] = m
				left--
			case j.Settled(marks[i]):
				if err := j.Wait(t.Context(), marks[i]); err != nil {
					t.Error(err)
				}
				marks[i] = 0
				continue
			}
			held.Store(true)
			waits = waits || !j.Settled(marks[i])
		}
		if r.IntN(4) > 0 {
			j.Kick()
		} else {
			go j.Kick() // a leader that lost its loop
		}
		if waits {
			select {
			case <-resume:
			case <-time.After(30 * time.Second):
				t.Error("nobody was told")
				return
			}
		}
	}
}
