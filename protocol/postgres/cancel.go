package postgres

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// cancelMaxSecret is MAX_CANCEL_KEY_LENGTH of the server, protocol 3.2.
	cancelMaxSecret = 256
	// cancelMisses is how many wrong keys an address may send in cancelWindow.
	// With 4-byte secrets (protocol 3.0) this puts a guess beyond reach.
	cancelMisses = 20
	cancelWindow = time.Minute
	// cancelAddresses bounds the memory for misses; beyond it strangers wait
	// for the next window.
	cancelAddresses = 10000
)

// A cancelKey is what a CancelRequest shows. Secrets are Sluice's own: the
// upstream's never reach a client.
type cancelKey struct {
	PID    uint32
	Secret []byte
}

// parseCancel reads a CancelRequest's body behind its code.
func parseCancel(body []byte) (cancelKey, error) {
	if len(body) < 8 || len(body) > 4+cancelMaxSecret {
		return cancelKey{}, fmt.Errorf("cancel request: invalid length %d", len(body))
	}
	return cancelKey{PID: binary.BigEndian.Uint32(body), Secret: body[4:]}, nil
}

// A cancelRegistry finds the session that a CancelRequest means. Create with
// newCancelRegistry; safe for concurrent use.
type cancelRegistry struct {
	now func() time.Time

	mu     sync.Mutex                // guards what follows; never held while a session is called
	live   map[uint32][]*cancelEntry // by process id: those of several servers may be equal
	misses map[string]int            // wrong keys by address since window
	window time.Time
}

type cancelEntry struct {
	secret []byte
	cancel func(context.Context)
	busy   bool // a request is being carried out; another adds nothing
}

func newCancelRegistry(now func() time.Time) *cancelRegistry {
	return &cancelRegistry{now: now, live: map[uint32][]*cancelEntry{}, misses: map[string]int{}}
}

// register gives a session a key: the process id of its upstream, which clients
// and tests compare with pg_backend_pid(), and a secret of its own, 4 bytes for
// protocol 3.0 and 3.1, 32 from 3.2 on. cancel is called when a client shows
// the key, from another goroutine and never twice at once. done forgets the
// session; a cancel under way may outlive it.
func (r *cancelRegistry) register(pid uint32, minor uint16, cancel func(context.Context)) (key cancelKey, done func()) {
	size := 4
	if minor >= 2 {
		size = 32
	}
	key = cancelKey{PID: pid, Secret: make([]byte, size)}
	rand.Read(key.Secret) // never fails: crypto/rand ends the process instead
	e := &cancelEntry{secret: key.Secret, cancel: cancel}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[pid] = append(r.live[pid], e)
	return key, func() { r.forget(pid, e) }
}

func (r *cancelRegistry) forget(pid uint32, e *cancelEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[pid] = slices.DeleteFunc(r.live[pid], func(o *cancelEntry) bool { return o == e })
	if len(r.live[pid]) == 0 {
		delete(r.live, pid)
	}
}

// find returns the session whose key is shown; nil: none. Every candidate is
// compared in constant time. Caller holds mu.
func (r *cancelRegistry) find(key cancelKey) (found *cancelEntry) {
	for _, e := range r.live[key.PID] {
		if subtle.ConstantTimeCompare(e.secret, key.Secret) == 1 {
			found = e
		}
	}
	return found
}

// request carries out a CancelRequest from address, and returns once the
// session has dealt with it: clients take the end of the connection as a sign
// that the signal was sent. Nothing is said about whether the key was right.
func (r *cancelRegistry) request(ctx context.Context, address string, key cancelKey) {
	e := r.claim(address, key)
	if e == nil {
		return
	}
	defer r.release(e)
	e.cancel(ctx)
}

func (r *cancelRegistry) claim(address string, key cancelKey) *cancelEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.may(address) {
		return nil
	}
	e := r.find(key)
	if e == nil {
		r.misses[address]++
		return nil
	}
	if e.busy {
		return nil
	}
	e.busy = true
	return e
}

// may reports whether address may show a key now. Caller holds mu.
func (r *cancelRegistry) may(address string) bool {
	if now := r.now(); now.Sub(r.window) >= cancelWindow {
		r.window = now
		clear(r.misses)
	}
	if _, known := r.misses[address]; !known && len(r.misses) >= cancelAddresses {
		return false
	}
	return r.misses[address] < cancelMisses
}

func (r *cancelRegistry) release(e *cancelEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.busy = false
}
