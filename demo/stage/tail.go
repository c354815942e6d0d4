package stage

import (
	"io"
	"sync"
)

// tailSize is how much of a log an error message shows at most.
const tailSize = 4 << 10

// A tail passes a log on and remembers its end. Safe for concurrent use.
type tail struct {
	to io.Writer // nil: nowhere

	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if over := len(t.last) - tailSize; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.last)
}
