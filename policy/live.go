package policy

import (
	"sync"
	"sync/atomic"

	"sluice/access"
)

// Live holds the set in force. It is what the pipeline asks; a reload swaps the
// set as a whole, and each decision sees either the old one or the new one. The
// zero Live denies everything. Safe for concurrent use.
type Live struct {
	mu  sync.Mutex // serialises Swap
	now atomic.Pointer[version]
}

type version struct {
	set *Set
	n   uint64
}

// Swap puts a set in force and returns its version; versions grow. A nil set
// denies everything.
func (l *Live) Swap(s *Set) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &version{set: s, n: l.current().n + 1}
	l.now.Store(v)
	return v.n
}

func (l *Live) current() version {
	if v := l.now.Load(); v != nil {
		return *v
	}
	return version{}
}

// Set returns the set in force; nil if there is none.
func (l *Live) Set() *Set { return l.current().set }

// Version returns the version in force; 0 if there was never a set.
func (l *Live) Version() uint64 { return l.current().n }

// Digest returns the digest of the set in force.
func (l *Live) Digest() string { return l.current().set.Digest() }

// Decide is [Set.Decide] of the set in force.
func (l *Live) Decide(r access.Request) access.Decision { return l.current().set.Decide(r) }

// Result is [Set.Result] of the set in force.
func (l *Live) Result(r access.Request, d access.Decision, cols []access.Column) ([]access.Mask, error) {
	return l.current().set.Result(r, d, cols)
}

// Posture is [Set.Posture] of the set in force, with its version.
func (l *Live) Posture(s access.Subject, r access.Resource) access.Posture {
	v := l.current()
	p := v.set.Posture(s, r)
	p.Version = v.n
	return p
}
