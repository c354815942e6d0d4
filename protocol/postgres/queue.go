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
	kindCopyEnd // CopyDone or CopyFail: a mark, no answer comes
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
	piped   bool               // hidden: sent inside the client's pipeline
	guarded bool               // hidden: its error is taken back behind it
	finding *finding           // hidden: where the answer goes
	last    *finding           // hidden: settled with this entry
	begun   chan struct{}      // closed once a COPY FROM STDIN has begun or cannot
	durable bool               // the permits' records are known to be on disk
	sent    time.Time

	// verdicts tells readClient how it stands with a limited statement.
	verdicts chan verdict
	scripted bool // a Query sent as a script
	copying  bool // readUpstream's: of a script, the upstream reads COPY data

	// unwanted is set where what the entry did is taken back, as people did not agree.
	unwanted atomic.Pointer[refusal]

	timeout atomic.Pointer[timeout] // the clock of what runs under a limit

	// cover is the record of the Bind that was read together with this Parse.
	cover atomic.Pointer[pipeline.Permit]
}

// refusal is what the client is told in the place of the upstream's error; nil: that.
func (e *entry) refusal() *refusal {
	if e.deny != nil {
		return e.deny
	}
	return e.unwanted.Load()
}

// begin lets the client's reader go on behind an Execute of COPY FROM STDIN.
func (e *entry) begin() {
	if e.begun != nil {
		close(e.begun)
		e.begun = nil
	}
}

// decide tells readClient how it stands with a limited statement. It does not wait:
// an upstream that gives more answers than were asked for must not block itself.
func (e *entry) decide(v verdict) error {
	if e.verdicts == nil {
		return nil
	}
	select {
	case e.verdicts <- v:
		return nil
	default:
		return &fatal{code: "08P01", message: "sluice: the upstream answered more often than it was asked"}
	}
}

// release wakes whoever waits for the entry.
func (e *entry) release() {
	e.begin()
	e.disarm()
	if e.verdicts != nil {
		close(e.verdicts)
		e.verdicts = nil
	}
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
	// sealed is true while the head must stay alone.
	sealed bool
	// copying is true while the upstream reads COPY data: it ignores Sync.
	copying bool
}

type pushed uint8

const (
	pushQueued  pushed = iota
	pushSkipped        // the upstream will ignore the message; no answer will come
	pushIgnored        // a Sync inside COPY data: drop it
	pushClosed         // the session has ended
	pushSealed         // not now: what is running must be alone
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
	if q.sealed {
		return pushSealed
	}
	switch {
	case e.kind == kindCopyEnd:
		q.copying = false
		if q.pass(); q.n == 0 {
			return pushQueued // nothing is in flight that it could mark
		}
	case q.copying && e.kind == kindSync:
		return pushIgnored
	case q.skipping && e.kind != kindSync:
		return pushSkipped
	default:
		q.skipping = false
	}
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
		q.shift()
	}
	q.skipping = q.n == 0
	q.room.Broadcast()
	return skipped
}

// seal lets nothing be pushed any more, if e is all that is in flight, but for the
// Sync behind an Execute.
func (q *queue) seal(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass()
	alone := q.n == 1 && e.kind == kindQuery ||
		q.n == 2 && e.kind == kindExecute && q.ring[(q.first+1)%len(q.ring)].kind == kindSync
	if q.closed || !alone || q.ring[q.first] != e {
		return false
	}
	q.sealed = true
	return true
}

// unseal ends that.
func (q *queue) unseal() {
	q.mu.Lock()
	q.sealed = false
	q.room.Broadcast()
	q.mu.Unlock()
}

// open waits while the queue is sealed.
func (q *queue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.sealed && !q.closed {
		q.room.Wait()
	}
}

// place returns how many entries stand before e; -1: it is not there any more.
func (q *queue) place(e *entry) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass()
	for i := range q.n {
		if q.ring[(q.first+i)%len(q.ring)] == e {
			return i
		}
	}
	return -1
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
	q.pass()
	if q.n == 0 {
		return nil
	}
	return q.ring[q.first]
}

// pass removes marks that no answer comes for. mu is held.
func (q *queue) pass() {
	for q.n > 0 && q.ring[q.first].kind == kindCopyEnd {
		q.shift()
	}
}

// beginCopy is called when the upstream begins to read COPY data. It removes
// and returns the Syncs that it will ignore: those before the data's end.
func (q *queue) beginCopy() (ignored []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.copying = true
	kept := 1 // the head is the COPY itself
	for i := 1; i < q.n; i++ {
		e := q.ring[(q.first+i)%len(q.ring)]
		if e.kind == kindCopyEnd {
			q.copying = false
		}
		if e.kind == kindSync && q.copying {
			ignored = append(ignored, e)
			continue
		}
		q.ring[(q.first+kept)%len(q.ring)] = e
		kept++
	}
	for i := kept; i < q.n; i++ {
		q.ring[(q.first+i)%len(q.ring)] = nil
	}
	q.n = min(q.n, kept)
	return ignored
}

// endCopy is called when the upstream reads messages again.
func (q *queue) endCopy() {
	q.mu.Lock()
	q.copying = false
	q.mu.Unlock()
}

// inCopy reports whether the upstream reads COPY data.
func (q *queue) inCopy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.copying
}

// shift removes the head. mu is held.
func (q *queue) shift() {
	q.ring[q.first] = nil
	q.first = (q.first + 1) % len(q.ring)
	q.n--
}

// pop removes the head.
func (q *queue) pop() {
	q.mu.Lock()
	q.shift()
	q.pass()
	if q.n == maxInFlight-1 || q.n == 0 {
		q.room.Broadcast()
	}
	q.mu.Unlock()
}

// drain waits until every answer has come, or the session has ended.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.pass(); q.n > 0 && !q.closed; q.pass() {
		q.room.Wait()
	}
}

// skips reports whether the upstream ignores what comes until a Sync.
func (q *queue) skips() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.skipping
}

// idle reports whether nothing is in flight.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass()
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
