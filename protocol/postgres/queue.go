package postgres

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/pipeline"
)

type kind uint8

// What an entry waits for.
const (
	kindQuery kind = iota
	kindParse
	kindBind
	kindDescribe
	kindExecute
	kindClose
	kindSync
	kindFunction
)

// An entry is one forwarded message whose answer has not come yet. Fields are
// set before it is pushed; cover apart, only readUpstream changes them later.
type entry struct {
	kind    kind
	segment uint64
	permits []*pipeline.Permit // a Query's statements; one for Parse, Bind, Execute, FunctionCall
	run     *run               // Query: the results in progress
	portal  *portal            // Bind, Execute, and the gateway's own Describe
	deny    *refusal           // the message was replaced by one that fails; the error becomes this
	hidden  bool               // the gateway's own message: the answer is not for the client
	finding *finding           // hidden: where the answer goes
	last    *finding           // hidden: settled with this entry
	begun   chan struct{}      // closed once a COPY FROM STDIN has begun or cannot
	durable bool               // the permits' records are known to be on disk
	sent    time.Time

	// cover is the record of the Bind that was read together with this Parse.
	cover atomic.Pointer[pipeline.Permit]
}

// begin lets the client's reader go on behind an Execute of COPY FROM STDIN.
func (e *entry) begin() {
	if e.begun != nil {
		close(e.begun)
		e.begun = nil
	}
}

// release wakes whoever waits for the entry.
func (e *entry) release() {
	e.begin()
	if e.last != nil {
		close(e.last.done)
		e.last = nil
	}
}

// current is the result that rows belong to.
func (e *entry) current() *result {
	if e.run != nil {
		return &e.run.cur
	}
	return &e.portal.cur
}

// A queue holds the entries in the order in which they were forwarded. The
// goroutine that reads the client pushes, the one that reads the upstream pops.
type queue struct {
	mu     sync.Mutex
	room   sync.Cond
	ring   []*entry
	first  int
	n      int
	closed bool
	// skipping is true behind an error of the extended protocol while no Sync
	// has been pushed: the upstream ignores what comes.
	skipping bool
}

type pushed uint8

const (
	pushQueued  pushed = iota
	pushSkipped        // the upstream will ignore the message; no answer will come
	pushClosed         // the session has ended
)

// maxInFlight bounds a pipeline: beyond it the client is not read.
const maxInFlight = 1 << 16

func newQueue() *queue {
	q := &queue{ring: make([]*entry, 16)}
	q.room.L = &q.mu
	return q
}

// full reports whether push would wait.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n >= maxInFlight
}

// push adds an entry, waiting while too many are in flight.
func (q *queue) push(e *entry) pushed {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n >= maxInFlight && !q.closed {
		q.room.Wait()
	}
	if q.closed {
		return pushClosed
	}
	if q.skipping && e.kind != kindSync {
		return pushSkipped
	}
	q.skipping = false
	if q.n == len(q.ring) {
		bigger := make([]*entry, 2*len(q.ring))
		for i := range q.n {
			bigger[i] = q.ring[(q.first+i)%len(q.ring)]
		}
		q.ring, q.first = bigger, 0
	}
	q.ring[(q.first+q.n)%len(q.ring)] = e
	q.n++
	return pushQueued
}

// skip removes and returns what the upstream ignores behind an error: all up
// to the next Sync, those still to be pushed included.
func (q *queue) skip() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var skipped []*entry
	for q.n > 0 && q.ring[q.first].kind != kindSync {
		skipped = append(skipped, q.ring[q.first])
		q.ring[q.first] = nil
		q.first = (q.first + 1) % len(q.ring)
		q.n--
	}
	q.skipping = q.n == 0
	q.room.Broadcast()
	return skipped
}

// stop lets nobody wait any longer.
func (q *queue) stop() {
	q.mu.Lock()
	q.closed = true
	q.room.Broadcast()
	q.mu.Unlock()
}

// head returns the entry that the next answer belongs to; nil if none.
func (q *queue) head() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return nil
	}
	return q.ring[q.first]
}

// pop removes the head.
func (q *queue) pop() {
	q.mu.Lock()
	q.ring[q.first] = nil
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	if q.n == maxInFlight-1 || q.n == 0 {
		q.room.Broadcast()
	}
	q.mu.Unlock()
}

// drain waits until every answer has come, or the session has ended.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n > 0 && !q.closed {
		q.room.Wait()
	}
}

// idle reports whether nothing is in flight.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n == 0
}

// close returns what was never answered.
func (q *queue) close() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var left []*entry
	for i := range q.n {
		left = append(left, q.ring[(q.first+i)%len(q.ring)])
	}
	q.n = 0
	return left
}
