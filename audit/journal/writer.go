package journal

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"sluice/access"
	"sluice/audit"
)

// A tail is the end of the journal: where the next record goes.
type tail struct {
	seq    uint64 // of the last record
	chain  audit.Hash
	log    [16]byte
	file   file // nil: no segment yet
	first  uint64
	off    int64
	limit  int64        // size of the segment
	leaves []audit.Hash // of the batch in hand
}

// run is the writer: batch after batch until the journal closes or fails. A
// Kick may write a batch in its place; the tail belongs to whoever has a batch
// in flight.
func (j *Journal) run() {
	defer j.writer.Done()
	for {
		b := j.take()
		if b == nil {
			break
		}
		if j.finish(b, j.put(b)) != nil {
			break
		}
	}
	if j.tail.file != nil {
		j.tail.file.Close()
	}
}

// take waits for work and makes it the batch in flight; nil: the journal closes
// or has failed.
func (j *Journal) take() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.flight != nil || j.err == nil && (!j.urgent || len(j.pending.data) == 0 && !j.closing) {
		if len(j.pending.data) == 0 {
			j.urgent = j.closing
		}
		j.asleep = true
		j.work.Wait()
		j.asleep = false
	}
	if j.err != nil {
		return nil
	}
	if len(j.pending.data) == 0 {
		close(j.pending.done) // for those who wait for what will not come
		return nil
	}
	return j.launch()
}

// launch makes what is pending the batch in flight. mu is held.
func (j *Journal) launch() *batch {
	b := j.pending
	j.flight, j.urgent = b, j.closing
	j.queued.Store(false)
	j.pending = &batch{data: j.spare[:0], done: make(chan struct{})}
	j.spare = nil
	return b
}

// finish publishes the batch, or the failure to everybody.
func (j *Journal) finish(b *batch, err error) error {
	if err == nil {
		j.seal.add(j.tail.leaves, j.tail.chain)
	}
	j.mu.Lock()
	j.flight = nil
	if err != nil {
		j.err = err
		j.failed.Store(true)
		close(j.pending.done)
	} else {
		j.chain = j.tail.chain
		j.durable.Store(b.last)
	}
	if cap(b.data) <= 4*urgentPending { // a burst's buffer is not kept
		j.spare = b.data
	}
	if j.asleep && (j.urgent || err != nil) {
		j.work.Signal()
	}
	j.mu.Unlock()
	close(b.done)
	j.notify()
	return err
}

// put writes a batch and tells how long it took.
func (j *Journal) put(b *batch) error {
	begin := j.opts.Now()
	err := j.write(b)
	if err == nil && j.opts.Wrote != nil {
		j.opts.Wrote(j.opts.Now().Sub(begin))
	}
	return err
}

// write seals a batch and makes it durable, going on to new segments as they fill.
func (j *Journal) write(b *batch) error {
	j.tail.leaves = j.tail.leaves[:0]
	for rest := b.data; len(rest) > 0; {
		if err := j.room(audit.Size(rest)); err != nil {
			return err
		}
		n := 0
		for back := 0; n < len(rest) && back < audit.MaxBatch && j.tail.off+int64(n+audit.Size(rest[n:])) <= j.tail.limit; back++ {
			n += j.sealFrame(rest[n:], back)
		}
		out := rest[:n]
		if n == len(rest) {
			out = j.tail.pad(rest)
		}
		if _, err := j.tail.file.WriteAt(out, j.tail.off); err != nil {
			return fmt.Errorf("journal: write: %w", err)
		}
		j.tail.off += int64(n)
		rest = rest[n:]
		j.filler.used(j.tail.off)
	}
	return nil
}

// page is the size of a page in the kernel's cache, nearly everywhere.
const page = 4096

// pad adds zeros up to the end of the page. A page that is written in part
// must be read from the disk first if it is not in the cache, and the pages of
// a new segment are not.
func (t *tail) pad(b []byte) []byte {
	end := t.off + int64(len(b))
	var zeros [page]byte
	return append(b, zeros[:min((page-end%page)%page, t.limit-end)]...)
}

func (j *Journal) sealFrame(f []byte, back int) int {
	leaf, chain := audit.Seal(f, back, j.tail.chain)
	j.tail.chain = chain
	j.tail.seq++
	j.tail.leaves = append(j.tail.leaves, leaf)
	return audit.Size(f)
}

// room makes sure that a frame of n bytes fits behind the tail.
func (j *Journal) room(n int) error {
	if j.tail.file != nil && j.tail.off+int64(n) <= j.tail.limit {
		return nil
	}
	return j.roll()
}

// roll begins the next segment with the one that the filler prepared. The name
// is durable before the first byte is: a segment found empty was never used.
func (j *Journal) roll() error {
	if err := j.filler.take(); err != nil {
		return err
	}
	first := j.tail.seq + 1
	path := filepath.Join(j.opts.Dir, audit.SegmentName(first))
	if err := os.Rename(filepath.Join(j.opts.Dir, preparedName), path); err != nil {
		return fmt.Errorf("journal: new segment: %w", err)
	}
	if err := syncDir(j.opts.Dir); err != nil {
		return fmt.Errorf("journal: new segment: %w", err)
	}
	f, err := j.opts.create(path)
	if err != nil {
		return fmt.Errorf("journal: new segment: %w", err)
	}
	head := audit.SegmentHeader{First: first, Prev: j.tail.chain, Log: j.tail.log, Created: j.opts.Now()}
	if _, err := f.WriteAt(head.Append(make([]byte, 0, page))[:page], 0); err != nil {
		f.Close()
		return fmt.Errorf("journal: new segment: %w", err)
	}
	if j.tail.file != nil {
		j.tail.file.Close()
	}
	j.tail.file, j.tail.first, j.tail.off, j.tail.limit = f, first, audit.SegmentHead, j.opts.SegmentSize
	j.seal.segment(first)
	j.filler.next()
	return nil
}

// scratch holds the buffers that events are encoded in.
var scratch = sync.Pool{New: func() any { return new(buffer) }}

// A buffer is one caller's encoding space, with random bytes in store.
type buffer struct {
	data  []byte
	salt  [1024]byte
	spent int // of salt; 0: all
}

// maxScratch is the largest buffer that is kept for reuse.
const maxScratch = 256 << 10

// encode frames events. One that no segment could hold is refused here: found
// by the writer, it would poison the journal.
func (b *buffer) encode(enc *audit.Encoder, events []*access.Event, segment int64) (err error) {
	if cap(b.data) > maxScratch {
		b.data = nil
	}
	b.data = b.data[:0]
	for _, e := range events {
		start := len(b.data)
		b.data, err = audit.AppendFrame(b.data, e.Time, b.fresh(), func(dst []byte) []byte { return enc.AppendBody(dst, e) })
		if err != nil {
			return err
		}
		if n := len(b.data) - start; audit.SegmentHead+int64(n) > segment {
			return fmt.Errorf("journal: a record of %d bytes does not fit a segment of %d", n, segment)
		}
	}
	return nil
}

// fresh returns 16 random bytes that nobody else gets.
func (b *buffer) fresh() *[16]byte {
	if b.spent == 0 || b.spent == len(b.salt) {
		rand.Read(b.salt[:])
		b.spent = 0
	}
	s := (*[16]byte)(b.salt[b.spent:])
	b.spent += len(s)
	return s
}
