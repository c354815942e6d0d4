package api

import (
	"net"
	"sync"
	"time"
)

// Bounds on asking identity providers for strangers: each of these requests makes
// the gateway send one, and providers cut off who sends too many.
const (
	maxSignIns   = 600    // a minute, from one address; a login by device asks every few seconds
	maxSignInsOf = 10_000 // addresses remembered; more are refused for the rest of the minute
)

// A rate counts what comes from each address, minute by minute. Safe for concurrent
// use.
type rate struct {
	most, addresses int

	mu    sync.Mutex // guards what follows
	since time.Time
	count map[string]int
}

// allow counts one more from an IP:port.
func (r *rate) allow(now time.Time, from string) bool {
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil || now.Sub(r.since) >= time.Minute || now.Before(r.since) {
		r.since, r.count = now, map[string]int{}
	}
	if _, known := r.count[from]; !known && len(r.count) >= r.addresses {
		return false
	}
	r.count[from]++
	return r.count[from] <= r.most
}

// asksProvider refuses who makes the gateway ask providers too often.
func (c *call) asksProvider() error {
	if c.api.signIns.allow(c.api.Now(), c.RemoteAddr) {
		return nil
	}
	return WithHint(Errorf(ErrTooMany, "too many attempts to sign in from here"), "wait a minute before the next")
}
