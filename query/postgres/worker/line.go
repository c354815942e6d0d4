package worker

import (
	"context"
	"sync"
)

// A job is one request; result and err are set before done is closed.
type job struct {
	ctx    context.Context
	kind   byte
	body   []byte
	done   chan struct{}
	result []byte
	err    error
}

// A line is where jobs wait: one queue a subject, served in turn.
type line struct {
	mu     sync.Mutex
	more   sync.Cond
	queues map[string][]*job
	turn   []string // subjects with jobs, next first
	closed bool
}

func (l *line) init() {
	l.more.L = &l.mu
	l.queues = map[string][]*job{}
}

// put adds a job; false if the line is closed.
func (l *line) put(subject string, j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if len(l.queues[subject]) == 0 {
		l.turn = append(l.turn, subject)
	}
	l.queues[subject] = append(l.queues[subject], j)
	l.more.Signal()
	return true
}

// take waits for the next job; nil once the line is closed.
func (l *line) take() *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.turn) == 0 && !l.closed {
		l.more.Wait()
	}
	if l.closed {
		return nil
	}
	subject := l.turn[0]
	l.turn = l.turn[1:]
	q := l.queues[subject]
	j := q[0]
	if len(q) == 1 {
		delete(l.queues, subject)
	} else {
		l.queues[subject] = q[1:]
		l.turn = append(l.turn, subject)
	}
	return j
}

// close fails what waits and lets takers go.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, q := range l.queues {
		for _, j := range q {
			j.err = ErrClosed
			close(j.done)
		}
	}
	l.queues, l.turn = map[string][]*job{}, nil
	l.more.Broadcast()
}
