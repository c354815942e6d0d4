package eventloop

import (
	"time"

	"golang.org/x/sys/unix"
)

// Attach moves c's descriptor to the loop. It reports false, and leaves c as it
// was, if c has none, there are too many or the loop has ended. From now on
// reads outside turns must be Patient. Deadlines stay.
func (c *Conn) Attach(l *Loop) bool {
	c.mu.Lock() // against Close and deadlines, which may come from anywhere
	defer c.mu.Unlock()
	if c.attached.Load() {
		return false
	}
	fd, err := duplicate(c.Conn)
	if err != nil || fd < 0 {
		return false
	}
	if !l.enter(c) {
		unix.Close(fd)
		return false
	}
	c.loop, c.fd = l, fd
	c.attached.Store(true)
	c.Conn.Close()
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
		if c.rest(v, resumes) {
			c.mu.Unlock()
			return
		}
		c.again, event = false, true
		c.mu.Unlock()
	}
}

// rest ends a turn, unless another is due at once. resumes is what the loop's
// count was before the turn. mu is held.
func (c *Conn) rest(v Verdict, resumes uint64) bool {
	switch {
	case v == Done:
		c.state = gone
		c.interest(c.interests &^ unix.EPOLLIN)
		return true
	case c.again:
		return false
	case v == Held:
		if !c.loop.hold(c, resumes) {
			return false
		}
		c.state = held
		return true
	}
	c.state = idle
	c.interest(c.interests | unix.EPOLLIN)
	if v == More {
		c.loop.post(c)
	}
	return true
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
	c.life.RLock()
	defer c.life.RUnlock()
	if c.closed || c.lame.Load() {
		return // it is off the list
	}
	op := unix.EPOLL_CTL_MOD
	switch {
	case events == 0:
		op = unix.EPOLL_CTL_DEL
	case !c.listed:
		op = unix.EPOLL_CTL_ADD
	}
	c.interests, c.listed = events, events != 0
	if err := unix.EpollCtl(c.loop.ep, op, c.fd, &unix.EpollEvent{Events: events, Fd: c.slot}); err != nil {
		c.fail()
	}
}

// fail makes c useless, because the kernel will not watch it: there is a limit
// to how many a user may have watched. Nobody may wait for what never comes. mu
// is held, and life for reading.
func (c *Conn) fail() {
	unix.EpollCtl(c.loop.ep, unix.EPOLL_CTL_DEL, c.fd, &unix.EpollEvent{})
	c.listed, c.interests = false, 0
	c.lame.Store(true)
	signal(c.in)
	signal(c.out)
	c.loop.post(c)
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

// wakeWriter lets the writer try again. It asks anew for what it still waits
// for: until it runs, the loop would hear of it again and again.
func (c *Conn) wakeWriter() {
	c.mu.Lock()
	c.interest(c.interests &^ unix.EPOLLOUT)
	signal(c.out)
	c.mu.Unlock()
}

// waitReady waits until the descriptor is ready for reading or writing, closed
// or out of time. It is level-triggered: a false alarm costs one more try.
func (c *Conn) waitReady(ready *chan struct{}, events uint32, by interface{ Load() int64 }) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	*ready = ch
	c.interest(c.interests | events)
	if c.shut.Load() || c.lame.Load() {
		signal(ch) // whoever did that looked for waiters before
	}
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
