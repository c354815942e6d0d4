package postgres

import (
	"sync"
	"time"
)

// A canceller cancels one statement upstream, again and again until it ends: the
// server says nothing about a cancel, which can be lost on its way, or caught by
// the statement. In the end it gives up the session.
type canceller struct {
	most time.Duration // between two cancels
	vain string        // what to say when all were in vain
	wait func()        // called before stop has to wait

	mu    sync.Mutex // held while a cancel is on its way
	timer *time.Timer
	over  bool // the statement has ended
	tries int
}

const (
	cancelAgain = 250 * time.Millisecond // until the second cancel, then twice as long each time
	maxCancels  = 12
)

// start calls do after some time, and again as long as it says after how long.
func (c *canceller) start(after time.Duration, do func() (again time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.over {
			return
		}
		if again := do(); again > 0 {
			c.timer.Reset(again)
		}
	})
}

// stop is called when the statement has ended. It waits for a cancel that is on its
// way, or that would hit what comes next.
func (c *canceller) stop() {
	if !c.mu.TryLock() {
		c.wait()
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// strike sends a cancel and returns how long to wait for its effect; 0: the session
// was given up.
func (s *session) strike(c *canceller) (again time.Duration) {
	if c.tries++; c.tries > maxCancels {
		go s.end(&fatal{code: codeWithdrawn, message: c.vain})
		return 0
	}
	if err := s.up.cancel(s.ctx); err != nil {
		s.srv.Log.Warn("cancel", "session", s.info.ID, "try", c.tries, "error", err)
	}
	return min(orDefault(s.srv.cancelAgain, cancelAgain)<<(c.tries-1), c.most)
}
