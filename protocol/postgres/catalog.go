package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/protocol"
	"sluice/query/catalog"
)

const (
	// catalogMaxRows bounds the memory of one load: 4 million columns are some
	// 80,000 wide tables.
	catalogMaxRows = 4 << 20
	// catalogMaxMessage bounds one row: a view's definition can be long.
	catalogMaxMessage = 16 << 20
	// catalogLoadTime bounds one load as a whole, connecting included.
	catalogLoadTime = time.Minute
)

// catalogSettings make a loader's session recognisable, harmless and quick to
// give up: view definitions wait for locks, and nobody shall wait for us.
func catalogSettings() map[string]string {
	return map[string]string{
		"application_name":              "sluice",
		"client_encoding":               "UTF8",
		"standard_conforming_strings":   "on",
		"default_transaction_read_only": "on",
		"statement_timeout":             "30s",
		"lock_timeout":                  "2s",
	}
}

// catalogs keeps one loader for each database in use, shared by its sessions.
// Safe for concurrent use.
type catalogs struct {
	// Build makes a snapshot of what was read; required.
	Build func(catalog.Rows) (*catalog.Snapshot, error)
	Poll  time.Duration // between looks without a cause; 0: 60 s
	Idle  time.Duration // how long a loader outlives its last session; 0: 5 m
	Log   *slog.Logger  // required
	Seen  func(Seen)    // called after every look, by the loader's goroutine; nil: nobody is told

	mu      sync.Mutex
	loaders map[catalogKey]*catalogLoader
	closed  bool
	running sync.WaitGroup
}

// A catalogKey says which catalog is meant, and as whom it is read.
type catalogKey struct{ address, user, database string }

// acquire returns the loader for t's database. The session gives it back with
// [catalogLoader.release]. It does not wait for the first load.
func (c *catalogs) acquire(t protocol.Target) *catalogLoader {
	key := catalogKey{t.Resource.Address, t.User, t.Resource.Database}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.loaders[key]
	if l == nil {
		l = c.start(key)
	}
	l.adopt(t)
	return l
}

// start makes a loader and its goroutine. Caller holds mu.
func (c *catalogs) start(key catalogKey) *catalogLoader {
	ctx, stop := context.WithCancel(context.Background())
	l := &catalogLoader{set: c, key: key, stop: stop, gone: ctx.Done(), wake: make(chan struct{}, 1), left: make(chan struct{}, 1), settled: make(chan struct{})}
	if c.loaders == nil {
		c.loaders = map[catalogKey]*catalogLoader{}
	}
	if c.closed {
		stop() // every wait fails at once
		return l
	}
	c.loaders[key] = l
	c.running.Go(func() { l.run(ctx) })
	return l
}

// retire ends a loader that nobody took up in the meantime.
func (c *catalogs) retire(l *catalogLoader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.unused() && c.loaders[l.key] == l {
		delete(c.loaders, l.key)
		l.stop()
	}
}

// close ends all loaders and waits for them.
func (c *catalogs) close() {
	c.mu.Lock()
	c.closed = true
	for key, l := range c.loaders {
		delete(c.loaders, key)
		l.stop()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// A catalogLoader keeps the snapshot of one database up to date, over a
// connection of its own. Safe for concurrent use.
//
// Requests for a reload are numbered. A load serves those made before it
// started; any number of requests made during one load are served by the next.
type catalogLoader struct {
	set  *catalogs
	key  catalogKey
	stop context.CancelFunc
	gone <-chan struct{} // closed: the loader is retired
	wake chan struct{}   // capacity 1: there is something to do
	left chan struct{}   // capacity 1: the last session went

	current atomic.Pointer[catalog.Snapshot]

	mu      sync.Mutex // guards what follows; taken inside catalogs.mu, never around it
	target  protocol.Target
	refs    int
	asked   uint64        // number of the latest request
	served  uint64        // the latest request that a finished load has served
	failed  error         // how that load ended
	settled chan struct{} // closed and replaced when a load ends
}

// Snapshot returns the latest snapshot; nil if none was loaded yet.
func (l *catalogLoader) Snapshot() *catalog.Snapshot { return l.current.Load() }

// Ready waits until there is a snapshot, which may be some time old.
func (l *catalogLoader) Ready(ctx context.Context) (*catalog.Snapshot, error) {
	if s := l.current.Load(); s != nil {
		return s, nil
	}
	if s, err := l.wait(ctx, 1); s != nil || err == nil || ctx.Err() != nil {
		return s, err
	}
	return l.Fresh(ctx) // the first load failed, perhaps long ago
}

// Fresh waits for a load that starts after the call: what is not in its
// snapshot was not there, as far as other sessions' commits go. On an error the
// earlier snapshot, if any, stays in place and is returned as well: the caller
// decides whether it will do.
func (l *catalogLoader) Fresh(ctx context.Context) (*catalog.Snapshot, error) {
	return l.wait(ctx, l.ask())
}

// wait returns once a load has served the request of that number.
func (l *catalogLoader) wait(ctx context.Context, number uint64) (*catalog.Snapshot, error) {
	for {
		settled, done, err := l.state(number)
		if done {
			return l.current.Load(), err
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return l.current.Load(), fmt.Errorf("catalog: %w", ctx.Err())
		case <-l.gone:
			return l.current.Load(), errors.New("catalog: loader closed")
		}
	}
}

// Invalidate says that the catalog may have changed, and does not wait.
func (l *catalogLoader) Invalidate() { l.ask() }

// ask requests a load and returns the request's number.
func (l *catalogLoader) ask() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	select {
	case l.wake <- struct{}{}:
	default: // already told
	}
	return l.asked
}

// state reports whether a request was served and how, or what to wait for.
func (l *catalogLoader) state(number uint64) (settled <-chan struct{}, done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.served >= number {
		return nil, true, l.failed
	}
	return l.settled, false, nil
}

// adopt counts one more session. The newest target counts: its password or TLS
// settings may have been renewed. A loader that nobody used may be behind.
func (l *catalogLoader) adopt(t protocol.Target) {
	l.mu.Lock()
	l.target = t
	l.refs++
	first := l.refs == 1
	l.mu.Unlock()
	if first {
		l.Invalidate()
	}
}

// release gives the loader back; the session does not use it any more.
func (l *catalogLoader) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs--; l.refs == 0 {
		select {
		case l.left <- struct{}{}:
		default: // already told
		}
		time.AfterFunc(orCatalog(l.set.Idle, 5*time.Minute), func() { l.set.retire(l) })
	}
}

func (l *catalogLoader) unused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refs == 0
}

func orCatalog(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// run looks for changes when asked and on every poll, until ctx ends. After each load it
// rests twice as long as the load took, so that a flood of unknown names, or of
// DDL, costs the upstream no more than a third of one connection's time.
func (l *catalogLoader) run(ctx context.Context) {
	var r catalogReader
	defer r.close()
	poll := time.NewTicker(orCatalog(l.set.Poll, time.Minute))
	defer poll.Stop()
	for {
		if !l.pause(ctx, &r, poll.C) {
			return
		}
		start := time.Now()
		l.load(ctx, &r)
		if len(l.wake) == 0 && (!r.listening || l.unused()) {
			r.close() // an open connection would stand in the way of DROP DATABASE
		}
		select {
		case <-time.After(min(2*time.Since(start), catalogLoadTime)):
		case <-ctx.Done():
			return
		}
	}
}

// pause waits until there is a reason to look; false: the loader ends. While
// sessions are connected anyway it listens for DDL from elsewhere, if the
// database tells.
func (l *catalogLoader) pause(ctx context.Context, r *catalogReader, poll <-chan time.Time) bool {
	for {
		heard, stop := r.hear(ctx)
		select {
		case <-heard:
		case <-l.wake:
		case <-poll:
		case <-l.left:
			if stop(); l.unused() {
				r.close()
			}
			continue
		case <-ctx.Done():
		}
		stop()
		return ctx.Err() == nil
	}
}

// load replaces the snapshot and serves everyone who asked before.
func (l *catalogLoader) load(ctx context.Context, r *catalogReader) {
	number, target := l.begin()
	next, err := r.snapshot(ctx, target, l.set.Build)
	if err != nil && ctx.Err() == nil {
		l.set.Log.Warn("catalog not read", "resource", target.Resource.Name, "database", target.Resource.Database, "error", err)
	}
	// An equal snapshot is thrown away: caches hang on the one in use.
	if old := l.current.Load(); next != nil && (old == nil || old.Version() != next.Version()) {
		l.current.Store(next)
	}
	if err == nil && l.set.Seen != nil {
		l.set.Seen(Seen{Resource: target.Resource, Snapshot: l.current.Load(), Account: r.account})
	}
	l.finish(number, err)
}

func (l *catalogLoader) begin() (uint64, protocol.Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked, l.target
}

func (l *catalogLoader) finish(number uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served, l.failed = number, err
	close(l.settled)
	l.settled = make(chan struct{})
}
