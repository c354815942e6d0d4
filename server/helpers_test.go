package server

import (
	"io"
	"sync"

	v1 "sluice/api/v1"
)

// A locked writer may be used by several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func question(subject, command string) v1.Question {
	return v1.Question{Subject: subject, Resource: "shop", Command: command}
}
