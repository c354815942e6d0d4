package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sluice/access"
	"sluice/audit"
)

// Options configure a journal. Only Dir is required.
type Options struct {
	Dir string // created with mode 0700

	// SegmentSize is the size of a segment in bytes, rounded up to whole pages; 0: 64 MiB.
	SegmentSize int64
	// Checkpoint is how often a checkpoint is signed if there is something new;
	// 0: every second. Negative: only when the journal closes.
	Checkpoint time.Duration
	// Lazy is how long an event that nobody waits for may stay in memory; 0: 50 ms.
	Lazy time.Duration
	// Now is the clock for checkpoints and segment headers; nil: time.Now.
	// Events bring their own time.
	Now func() time.Time
	// Wrote is told how long each write took that made records durable; nil:
	// nobody is. It must not block.
	Wrote func(time.Duration)
	// Signer signs checkpoints; nil: the key in Dir, made if there is none.
	Signer note.Signer

	// create opens a prepared segment for writing; tests make it fail.
	create func(path string) (file, error)
}

// maxPending bounds the records that wait in memory for the disk. Beyond it,
// Append waits.
const maxPending = 32 << 20

// urgentPending is how many bytes of unawaited records start a write of their own.
const urgentPending = 1 << 20

// ErrClosed is returned after Close.
var ErrClosed = errors.New("journal: closed")

// A Journal is an open journal folder. It is safe for concurrent use.
type Journal struct {
	opts   Options
	lock   *os.File
	enc    audit.Encoder
	log    *audit.Log
	seal   *sealer
	filler *filler
	writer sync.WaitGroup

	durable atomic.Uint64 // last sequence number on disk
	failed  atomic.Bool   // err is set, or the journal closes
	queued  atomic.Bool   // somebody is going to Kick

	hooks   atomic.Pointer[[]*func()] // called when something became durable
	hooking sync.Mutex                // held to change them

	// mu guards what follows; it is held for copies, never for a write.
	mu      sync.Mutex
	work    sync.Cond // the writer waits on it
	asleep  bool      // the writer does
	next    uint64    // sequence number of the next record
	pending *batch
	flight  *batch // being written; nil: none
	spare   []byte // for the batch behind the pending one
	urgent  bool   // somebody waits for pending
	armed   bool   // the timer for unawaited records runs
	lazy    *time.Timer
	closing bool
	err     error // what poisoned the journal
	chain   audit.Hash

	tail tail // belongs to whoever writes the batch in flight
}

// A batch is what one write makes durable.
type batch struct {
	data []byte
	last uint64        // sequence number of its last record
	done chan struct{} // closed when it is durable, or the journal failed
}

// Open opens or creates the journal in opts.Dir.
func Open(opts Options) (*Journal, error) {
	opts.defaults()
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	j, err := open(opts)
	if err != nil {
		lock.Close()
		return nil, err
	}
	j.lock = lock
	return j, nil
}

func (o *Options) defaults() {
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	o.SegmentSize = (o.SegmentSize + page - 1) / page * page
	if o.Checkpoint == 0 {
		o.Checkpoint = time.Second
	}
	if o.Lazy == 0 {
		o.Lazy = 50 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.create == nil {
		o.create = openSync
	}
}

func open(opts Options) (*Journal, error) {
	state, err := recoverDir(&opts)
	if err != nil {
		return nil, err
	}
	j := &Journal{opts: opts, pending: &batch{done: make(chan struct{})}, next: state.tail.seq + 1, chain: state.tail.chain, tail: state.tail}
	j.work.L = &j.mu
	j.durable.Store(state.tail.seq)
	j.log = audit.NewLog(os.DirFS(opts.Dir), patient{j})
	if j.seal, err = newSealer(&opts, state); err != nil {
		return nil, err
	}
	j.filler = newFiller(&opts)
	j.lazy = time.AfterFunc(time.Hour, j.flushLazy)
	j.lazy.Stop()
	j.writer.Add(1)
	go j.run()
	return j, nil
}

// Append queues events, in order and as one unit; see pipeline.Journal. The
// returned mark is for Wait.
func (j *Journal) Append(events ...*access.Event) (access.Mark, error) {
	b := scratch.Get().(*buffer)
	defer scratch.Put(b)
	if err := b.encode(&j.enc, events, j.opts.SegmentSize); err != nil {
		return 0, err
	}
	return j.append(b.data, eager(events), true)
}

// Queue is Append for whoever calls Kick soon: events that come in between go
// with the same write.
func (j *Journal) Queue(events ...*access.Event) (access.Mark, error) {
	b := scratch.Get().(*buffer)
	defer scratch.Put(b)
	if err := b.encode(&j.enc, events, j.opts.SegmentSize); err != nil {
		return 0, err
	}
	return j.append(b.data, eager(events), false)
}

// Kick writes what was queued, in the caller's own time: it blocks until that is
// durable. If a write is under way already it returns at once, and the writer
// goes on with what was queued.
func (j *Journal) Kick() {
	if !j.queued.Load() {
		return
	}
	j.mu.Lock()
	if !j.queued.Swap(false) || j.err != nil || j.closing || len(j.pending.data) == 0 {
		j.mu.Unlock()
		return
	}
	if j.flight != nil || j.urgent {
		j.hurry()
		j.mu.Unlock()
		return
	}
	b := j.launch()
	j.mu.Unlock()
	j.finish(b, j.put(b))
}

// eager reports whether somebody is about to wait for one of the events.
func eager(events []*access.Event) bool {
	for _, e := range events {
		switch e.Type {
		case access.ActionCompleted, access.SessionClosed, access.RecordingChunk, access.RecordingFailed, access.AuditRead:
		default:
			return true
		}
	}
	return false
}

func (j *Journal) append(frames []byte, eager, now bool) (access.Mark, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.pending.data) > maxPending && j.err == nil && !j.closing {
		j.drain()
	}
	switch {
	case j.err != nil:
		return 0, j.err
	case j.closing:
		return 0, ErrClosed
	}
	at := len(j.pending.data)
	j.pending.data = append(j.pending.data, frames...)
	for at < len(j.pending.data) {
		f := j.pending.data[at:]
		audit.Number(f, j.next)
		j.pending.last = j.next
		j.next++
		at += audit.Size(f)
	}
	if eager && !now {
		j.queued.Store(true)
	}
	j.schedule(eager && now || len(j.pending.data) > urgentPending)
	return access.Mark(j.pending.last), nil
}

// drain waits, without the lock, until the pending batch is durable.
func (j *Journal) drain() {
	done := j.pending.done
	j.hurry()
	j.mu.Unlock()
	<-done
	j.mu.Lock()
}

// schedule sees to it that pending records are written, now or soon. mu is held.
func (j *Journal) schedule(now bool) {
	switch {
	case now:
		j.hurry()
	case !j.urgent && !j.armed:
		j.armed = true
		j.lazy.Reset(j.opts.Lazy)
	}
}

// hurry starts a write of what is pending. mu is held.
func (j *Journal) hurry() {
	j.urgent = true
	if j.asleep && j.flight == nil {
		j.work.Signal()
	}
}

func (j *Journal) flushLazy() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.armed = false
	if len(j.pending.data) > 0 {
		j.hurry()
	}
}

// Wait returns when everything up to mark is durable, with the error that
// poisoned the journal, or with ctx's. Waiting for what was not appended yet
// is allowed.
func (j *Journal) Wait(ctx context.Context, m access.Mark) error {
	return j.wait(ctx, uint64(m), true)
}

func (j *Journal) wait(ctx context.Context, seq uint64, urgent bool) error {
	for seq > j.durable.Load() {
		done, err := j.ticket(seq, urgent)
		if err != nil {
			return err
		}
		if done == nil {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// ticket returns what is closed when the batch that holds seq is durable; nil
// if it is by now.
func (j *Journal) ticket(seq uint64, urgent bool) (<-chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case seq <= j.durable.Load():
		return nil, nil
	case j.err != nil:
		return nil, j.err
	case j.closing && seq >= j.next:
		return nil, ErrClosed
	case j.flight != nil && seq <= j.flight.last:
		return j.flight.done, nil
	}
	if urgent && !j.urgent && seq < j.next {
		j.hurry()
	}
	return j.pending.done, nil
}

// Durable returns the sequence number of the last record that is on disk.
func (j *Journal) Durable() uint64 { return j.durable.Load() }

// Settled reports whether Wait would return at once.
func (j *Journal) Settled(m access.Mark) bool {
	return uint64(m) <= j.durable.Load() || j.failed.Load()
}

// Notify has f called whenever more is durable, and when the journal fails or
// closes, until stop. It is called on the writer's time and must not block.
func (j *Journal) Notify(f func()) (stop func()) {
	j.hooking.Lock()
	defer j.hooking.Unlock()
	hook := &f
	j.setHooks(append(slices.Clone(j.listeners()), hook))
	return func() {
		j.hooking.Lock()
		defer j.hooking.Unlock()
		j.setHooks(slices.DeleteFunc(slices.Clone(j.listeners()), func(h *func()) bool { return h == hook }))
	}
}

func (j *Journal) listeners() []*func() {
	if p := j.hooks.Load(); p != nil {
		return *p
	}
	return nil
}

func (j *Journal) setHooks(list []*func()) { j.hooks.Store(&list) }

func (j *Journal) notify() {
	for _, f := range j.listeners() {
		(*f)()
	}
}

// Err returns what poisoned the journal; nil: it is well.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Head returns the last durable record's sequence number and chain hash.
func (j *Journal) Head() (uint64, audit.Hash) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable.Load(), j.chain
}

// Log reads the journal. Its readers see durable records only and can follow.
func (j *Journal) Log() *audit.Log { return j.log }

// Dir returns the journal's folder.
func (j *Journal) Dir() string { return j.opts.Dir }

// Key returns the verifier key that checkpoints are signed for, as
// note.NewVerifier reads it; empty if Options.Signer was given.
func (j *Journal) Key() string { return j.seal.public }

// Checkpoint returns the newest signed checkpoint; nil: none yet.
func (j *Journal) Checkpoint() []byte { return j.seal.latest() }

// SealErr returns why the last checkpoint could not be signed or kept; nil: it
// could. The records are durable all the same.
func (j *Journal) SealErr() error { return j.seal.failure() }

// Close writes what is pending, signs a last checkpoint and releases the
// folder. It returns the error that poisoned the journal, if one did.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closing = true
	j.hurry()
	j.mu.Unlock()
	j.writer.Wait()
	j.failed.Store(true)
	j.notify()
	j.lazy.Stop()
	j.filler.stop()
	err := errors.Join(j.Err(), j.seal.stop())
	j.lock.Close()
	if err != nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return nil
}

// patient waits without hurrying the writer: a follower can wait for the
// record that nobody needs yet.
type patient struct{ j *Journal }

func (p patient) Durable() uint64 { return p.j.Durable() }

func (p patient) Wait(ctx context.Context, m access.Mark) error {
	return p.j.wait(ctx, uint64(m), false)
}
