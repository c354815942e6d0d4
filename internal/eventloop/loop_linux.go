package eventloop

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Loop waits for the connections attached to it. It is safe for concurrent use.
type Loop struct {
	ep, bell int // the epoll instance, and the eventfd that wakes it
	idle     func()

	leader  atomic.Pointer[leader]
	running atomic.Int32  // leaders, present and past, that have not returned
	resumes atomic.Uint64 // calls of Resume
	rung    atomic.Bool   // the bell rings and has not been heard
	stop    chan struct{}

	mu     sync.Mutex // guards what follows
	conns  []*Conn    // by slot; slot 0 is the bell
	free   []int32
	posted []*Conn // due for a turn
	held   []*Conn
	resume bool // those who are held are due
	idling bool // the leader is in idle and looks at what is due behind it
	ended  bool
}

// A leader is the goroutine that runs the loop.
type leader struct {
	lost  atomic.Bool   // another has taken over
	turns atomic.Uint64 // odd during a turn
}

// New starts a loop. idle is called whenever nothing is left to do for the
// moment, and at least every half millisecond while there is; it must not block.
func New(idle func()) (*Loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventloop: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(ep)
		return nil, fmt.Errorf("eventloop: %w", err)
	}
	l := &Loop{ep: ep, bell: bell, idle: idle, conns: []*Conn{nil}, stop: make(chan struct{})}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		unix.Close(ep)
		unix.Close(bell)
		return nil, fmt.Errorf("eventloop: %w", err)
	}
	l.lead()
	go l.watch()
	return l, nil
}

// Close ends the loop. Every connection that was attached must be closed before.
func (l *Loop) Close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	close(l.stop)
	l.ring()
}

// Yield tells that the calling turn is about to block: another goroutine takes
// over. Called from elsewhere it does no harm.
func (l *Loop) Yield() {
	if me := l.leader.Load(); me.lost.CompareAndSwap(false, true) {
		l.mu.Lock()
		l.idling = false
		l.mu.Unlock()
		l.ring() // what came while the old leader was idling
		l.lead()
	}
}

// Resume gives a turn to every connection that is held.
func (l *Loop) Resume() {
	l.resumes.Add(1)
	l.mu.Lock()
	l.resume = true
	silent := l.idling
	l.mu.Unlock()
	if !silent {
		l.ring()
	}
}

// ring wakes the leader.
func (l *Loop) ring() {
	if l.rung.CompareAndSwap(false, true) {
		unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when the counter is full: it rings
	}
}

func (l *Loop) lead() {
	me := new(leader)
	l.leader.Store(me)
	l.running.Add(1)
	go l.run(me)
}

// run is a leader's life.
func (l *Loop) run(me *leader) {
	defer l.retire()
	events := make([]unix.EpollEvent, 128)
	rested := time.Now()
	for !me.lost.Load() {
		n := pollNow(l.ep, events)
		if n == 0 || time.Since(rested) > maxBusy {
			if l.rest(me) && n == 0 {
				n = pollNow(l.ep, events)
			} else if n == 0 && !me.lost.Load() {
				n = wait(l.ep, events)
			}
			rested = time.Now()
		}
		for i := range events[:n] {
			me.turns.Add(1)
			ended := l.event(me, &events[i])
			me.turns.Add(1)
			if ended || me.lost.Load() {
				return // what is left of events comes again
			}
		}
	}
}

// maxBusy is how long a loop may be busy without a call of idle.
const maxBusy = 500 * time.Microsecond

// rest calls idle, then gives those their turns who became due in it. It reports
// whether there were any.
func (l *Loop) rest(me *leader) bool {
	l.mu.Lock()
	if me.lost.Load() {
		l.mu.Unlock()
		return false
	}
	l.idling = true
	l.mu.Unlock()
	me.turns.Add(1)
	l.idle()
	l.mu.Lock()
	if me.lost.Load() {
		l.mu.Unlock()
		me.turns.Add(1)
		return false // idling is another's now
	}
	l.idling = false
	due := l.due()
	l.mu.Unlock()
	l.serve(me, due)
	me.turns.Add(1)
	return len(due) > 0
}

// due takes the list of those who are due for a turn. mu is held.
func (l *Loop) due() []*Conn {
	due := l.posted
	l.posted = nil
	if l.resume {
		l.resume = false
		due = append(due, l.held...)
		clear(l.held)
		l.held = l.held[:0]
	}
	return due
}

// serve gives turns to those who are due.
func (l *Loop) serve(me *leader, due []*Conn) {
	for i, c := range due {
		if me.lost.Load() {
			l.post(due[i:]...)
			return
		}
		c.turn(false)
	}
}

// wait sleeps until something is ready. Before it comes pollNow: a call that
// cannot block need not be announced to the scheduler.
func wait(ep int, events []unix.EpollEvent) int {
	n, err := unix.EpollWait(ep, events, -1)
	if err != nil {
		return 0 // EINTR
	}
	return n
}

// event handles one event. It reports whether the loop has ended.
func (l *Loop) event(me *leader, ev *unix.EpollEvent) bool {
	if ev.Fd == 0 {
		return l.heard(me)
	}
	l.mu.Lock()
	c := l.conns[ev.Fd]
	l.mu.Unlock()
	if c == nil {
		return false // it has left since
	}
	if ev.Events&^unix.EPOLLIN != 0 {
		c.wakeWriter()
	}
	if ev.Events&^unix.EPOLLOUT != 0 {
		c.turn(true)
	}
	return false
}

// heard runs those who were posted, and those who are held if they may go on.
func (l *Loop) heard(me *leader) (ended bool) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return true // the bell goes on ringing, for every leader to hear
	}
	var count [8]byte
	unix.Read(l.bell, count[:])
	l.rung.Store(false)
	due := l.due()
	l.mu.Unlock()
	l.serve(me, due)
	return false
}

// post makes connections due for a turn.
func (l *Loop) post(cs ...*Conn) {
	l.mu.Lock()
	l.posted = append(l.posted, cs...)
	silent := l.idling
	l.mu.Unlock()
	if !silent {
		l.ring()
	}
}

// hold keeps c until the next Resume.
func (l *Loop) hold(c *Conn) {
	l.mu.Lock()
	l.held = append(l.held, c)
	l.mu.Unlock()
}

// retire ends a leader's life. The last one of a loop that has ended closes its
// descriptors; connections keep theirs.
func (l *Loop) retire() {
	if l.running.Add(-1) > 0 {
		return
	}
	unix.Close(l.ep)
	unix.Close(l.bell)
}

// watch takes the loop away from a turn that blocks or computes for long.
func (l *Loop) watch() {
	const shortest, longest = 10 * time.Millisecond, 160 * time.Millisecond
	var last *leader
	var seen uint64
	pause := shortest
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(pause):
		}
		me := l.leader.Load()
		turns := me.turns.Load()
		switch {
		case me != last || turns != seen:
			pause = shortest
		case turns%2 == 1:
			l.Yield()
		default:
			pause = min(2*pause, longest)
		}
		last, seen = me, turns
	}
}

// Attach moves c's descriptor to the loop. It reports false, and leaves c as it
// was, if c has none or there are too many. From now on reads outside turns must
// be Patient.
func (c *Conn) Attach(l *Loop) bool {
	fd, err := duplicate(c.Conn)
	if err != nil || fd < 0 {
		return false
	}
	c.loop, c.fd = l, fd
	c.attached.Store(true)
	c.Conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
		l.conns[c.slot] = c
	} else {
		c.slot = int32(len(l.conns))
		l.conns = append(l.conns, c)
	}
	return true
}

// Start gives c its first turn, and one whenever there is something to read.
// Reading during a turn returns ErrAgain where it would wait.
func (c *Conn) Start(step func() Verdict) {
	c.mu.Lock()
	c.step = step
	c.interest(c.interests | unix.EPOLLIN)
	c.mu.Unlock()
	c.Wake()
}

// Wake makes c due for a turn, whatever it waits for.
func (c *Conn) Wake() {
	if c.attached.Load() {
		c.loop.post(c)
	}
}

// turn runs the step, unless it runs already: then once more behind that.
func (c *Conn) turn(event bool) {
	c.mu.Lock()
	switch {
	case c.step == nil || c.state == gone: // somebody may read all the same
		c.interest(c.interests &^ unix.EPOLLIN)
		signal(c.in)
		c.mu.Unlock()
		return
	case c.state == running:
		c.again = c.again || !event || c.in == nil
		if event {
			c.interest(c.interests &^ unix.EPOLLIN) // or it would come at once again
		}
		signal(c.in)
		c.mu.Unlock()
		return
	case c.state == held && event:
		c.interest(c.interests &^ unix.EPOLLIN)
		c.mu.Unlock()
		return
	}
	c.state = running
	c.mu.Unlock()
	for {
		if event {
			c.drained = false // there is more
		}
		resumes := c.loop.resumes.Load()
		v := c.step()
		c.mu.Lock()
		if v == Done {
			c.state = gone
			c.interest(c.interests &^ unix.EPOLLIN)
			c.mu.Unlock()
			return
		}
		if !c.again && (v != Held || c.loop.resumes.Load() == resumes) {
			c.rest(v)
			c.mu.Unlock()
			return
		}
		c.again, event = false, true
		c.mu.Unlock()
	}
}

// rest ends a turn. mu is held.
func (c *Conn) rest(v Verdict) {
	if v == Held {
		c.state = held
		c.loop.hold(c)
		return
	}
	c.state = idle
	c.interest(c.interests | unix.EPOLLIN)
	if v == More {
		c.loop.post(c)
	}
}

// leave takes c off the loop's list, once it is closed. mu is held.
func (c *Conn) leave() {
	l := c.loop
	l.mu.Lock()
	l.conns[c.slot] = nil
	l.free = append(l.free, c.slot)
	l.mu.Unlock()
}

// interest tells the loop what to look for. Without any the descriptor is taken
// off its list: errors and hang-ups would be reported all the same. mu is held.
func (c *Conn) interest(events uint32) {
	if events == c.interests {
		return
	}
	c.interests = events
	c.life.RLock()
	defer c.life.RUnlock()
	if c.closed {
		return // closing has taken it off
	}
	op := unix.EPOLL_CTL_MOD
	switch {
	case events == 0:
		op = unix.EPOLL_CTL_DEL
	case !c.listed:
		op = unix.EPOLL_CTL_ADD
	}
	c.listed = events != 0
	unix.EpollCtl(c.loop.ep, op, c.fd, &unix.EpollEvent{Events: events, Fd: c.slot})
}

func signal(ch chan struct{}) {
	if ch == nil {
		return
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *Conn) wakeWriter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		c.interest(c.interests &^ unix.EPOLLOUT)
		return
	}
	signal(c.out)
}

// waitReady waits until the descriptor is ready for reading or writing, closed
// or out of time. It is level-triggered: a false alarm costs one more try.
func (c *Conn) waitReady(ready *chan struct{}, events uint32, by interface{ Load() int64 }) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	*ready = ch
	c.interest(c.interests | events)
	c.mu.Unlock()
	var timeout <-chan time.Time
	if d := by.Load(); d != 0 {
		t := time.NewTimer(time.Until(time.Unix(0, d)))
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-ch:
	case <-timeout:
	}
	c.mu.Lock()
	*ready = nil
	if events == unix.EPOLLOUT {
		c.interest(c.interests &^ unix.EPOLLOUT)
	}
	c.mu.Unlock()
}
