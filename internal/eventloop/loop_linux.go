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
	resumes atomic.Uint64 // calls of Resume; changed under mu
	stop    chan struct{}

	mu      sync.Mutex // guards what follows; taken behind a Conn's mu
	conns   []*Conn    // by slot; slot 0 is the bell
	free    []int32
	due     line // for a turn
	held    []*Conn
	idling  bool // the leader is in idle and looks at what is due behind it
	rung    bool // the bell rings and has not been heard
	running int  // leaders, present and past, that have not returned
	ended   bool
	dead    bool // ep and bell are closed, and their numbers may be another's
}

// A leader is the goroutine that runs the loop.
type leader struct {
	lost  atomic.Bool   // another has taken over; set under the loop's mu
	turns atomic.Uint64 // odd during a turn
}

// New starts a loop. idle is called whenever nothing is left to do for the
// moment, and at least every half millisecond while there is; it may block as a
// turn may.
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

// Close ends the loop; it does not wait for that. Every connection that was
// attached must be closed before. Later calls do nothing.
func (l *Loop) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	close(l.stop)
	l.ring()
}

// Yield tells that the calling turn is about to block: another goroutine takes
// over. Called from elsewhere it does no harm.
func (l *Loop) Yield() {
	me := l.leader.Load()
	if me.turns.Load()%2 == 0 {
		return // it is not in a turn: somebody else calls
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || me.lost.Load() {
		return
	}
	me.lost.Store(true)
	l.idling = false
	l.ring() // what came while the old leader was idling, and what it leaves undone
	l.lead()
}

// lead starts the next leader. mu is held.
func (l *Loop) lead() {
	me := new(leader)
	l.leader.Store(me)
	l.running++
	go l.run(me)
}

// Resume gives a turn to every connection that is held.
func (l *Loop) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumes.Add(1)
	for i, c := range l.held {
		c.waits = false
		l.due.push(c)
		l.held[i] = nil
	}
	l.held = l.held[:0]
	l.announce()
}

// announce sees to it that those who are due get their turns. mu is held.
func (l *Loop) announce() {
	if l.due.len() > 0 && !l.idling {
		l.ring()
	}
}

// ring wakes the leader. mu is held: not only for rung, but because behind the
// end of the loop the bell's number may belong to another file.
func (l *Loop) ring() {
	if !l.rung && !l.dead {
		l.rung = true
		unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when the counter is full: it rings
	}
}

// run is a leader's life.
func (l *Loop) run(me *leader) {
	defer l.retire(me)
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
	defer me.turns.Add(1)
	l.idle()
	l.mu.Lock()
	if me.lost.Load() {
		l.mu.Unlock()
		return false // idling is another's now
	}
	l.idling = false
	l.mu.Unlock()
	return l.serve(me)
}

// serve gives turns to those who are due by now, and reports whether there were
// any. Whom it does not come to stays due: the bell rings for it.
func (l *Loop) serve(me *leader) bool {
	l.mu.Lock()
	n := l.due.len()
	l.mu.Unlock()
	for i := 0; i < n && !me.lost.Load(); i++ {
		l.mu.Lock()
		c := l.due.pop()
		l.mu.Unlock()
		if c == nil {
			break // a successor was faster
		}
		me.turns.Add(2) // for the watchdog: the last turn is over
		c.turn(false)
	}
	return n > 0
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

// event handles one event. It reports whether the leader must go.
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

// heard runs those who are due. It reports whether the loop has ended, for this
// leader at least: one that was replaced leaves the bell to its successor.
func (l *Loop) heard(me *leader) (ended bool) {
	l.mu.Lock()
	if l.ended || me.lost.Load() {
		l.mu.Unlock()
		return true // the bell goes on ringing, for every leader to hear
	}
	var count [8]byte
	unix.Read(l.bell, count[:])
	l.rung = false
	l.mu.Unlock()
	l.serve(me)
	return false
}

// post makes a connection due for a turn.
func (l *Loop) post(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due.push(c)
	l.announce()
}

// enter gives c a slot; c.mu is held.
func (l *Loop) enter(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
		l.conns[c.slot] = c
	} else {
		c.slot = int32(len(l.conns))
		l.conns = append(l.conns, c)
	}
	return true
}

// hold keeps c until the next Resume. It reports false if there was one since
// seen was read: that was perhaps what c waits for.
func (l *Loop) hold(c *Conn, seen uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resumes.Load() != seen {
		return false
	}
	if !c.waits { // or it was woken while it waited
		c.waits = true
		l.held = append(l.held, c)
	}
	return true
}

// retire ends a leader's life. The last one of a loop that has ended closes its
// descriptors; connections keep theirs.
func (l *Loop) retire(me *leader) {
	if me.lost.Load() {
		l.idle() // about what came of its last turn; the successor may be asleep
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.ended && l.running == 0 {
		l.dead = true
		unix.Close(l.ep)
		unix.Close(l.bell)
	}
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
