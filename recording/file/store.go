package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sluice/recording"
)

// Options configure a Store. Only Dir is required.
type Options struct {
	Dir string // created with mode 0700

	MaxResult  int64 // bytes kept of what belongs to one decision, in each direction; 0: 4 MiB
	MaxSession int64 // bytes kept of one session, before compression; 0: 1 GiB
	MaxPending int64 // bytes of all sessions that may wait for the disk; 0: 64 MiB

	Flush time.Duration // how long a quiet session's content may stay in memory; 0: 2 s
	Now   func() time.Time

	// Sealed is told of every chunk that was written; Failed of a session whose
	// recording was given up. Both are called from the background, one at a time.
	Sealed func(h recording.Header, file string, c recording.Chunk)
	Failed func(h recording.Header, file string, err error)
}

func (o *Options) defaults() {
	if o.MaxResult == 0 {
		o.MaxResult = 4 << 20
	}
	if o.MaxSession == 0 {
		o.MaxSession = 1 << 30
	}
	if o.MaxPending == 0 {
		o.MaxPending = 64 << 20
	}
	if o.Flush == 0 {
		o.Flush = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sealed == nil {
		o.Sealed = func(recording.Header, string, recording.Chunk) {}
	}
	if o.Failed == nil {
		o.Failed = func(recording.Header, string, error) {}
	}
}

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("recording: store closed")

// A Store writes the recordings of a folder. It is safe for concurrent use.
type Store struct {
	opts    Options
	zip     *recording.Compressor
	queue   chan job
	wg      sync.WaitGroup
	pending atomic.Int64 // bytes in the queue

	mu     sync.Mutex
	open   map[*Session]struct{}
	closed bool
}

// A job is what the background does next for a session.
type job struct {
	s      *Session
	frames []byte
	flush  bool // seal what is there
	end    bool // the session is over
}

// queueLength bounds the jobs that wait; each is a buffer of up to 64 KiB.
const queueLength = 4096

// Open opens or creates a folder of recordings.
func Open(opts Options) (*Store, error) {
	opts.defaults()
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	zip, err := recording.NewCompressor()
	if err != nil {
		return nil, err
	}
	st := &Store{opts: opts, zip: zip, queue: make(chan job, queueLength), open: map[*Session]struct{}{}}
	st.wg.Add(1)
	go st.run()
	return st, nil
}

// Path returns where a session's recording is, or would be.
func (st *Store) Path(session string) (string, error) {
	if !validID(session) {
		return "", errors.New("recording: malformed session id")
	}
	return filepath.Join(st.opts.Dir, session+".rec"), nil
}

// validID admits what cannot name another file.
func validID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// Session begins a recording. The file is made with the first content.
func (st *Store) Session(h recording.Header) (*Session, error) {
	path, err := st.Path(h.Session)
	if err != nil {
		return nil, err
	}
	if h.Start.IsZero() {
		h.Start = st.opts.Now()
	}
	s := &Session{store: st, head: h, path: path, done: make(chan struct{})}
	s.file.s = s
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, ErrClosed
	}
	st.open[s] = struct{}{}
	return s, nil
}

// Close ends all recordings and returns when they are on disk.
func (st *Store) Close() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return ErrClosed
	}
	st.closed = true
	sessions := st.sessions()
	st.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	close(st.queue)
	st.wg.Wait()
	return nil
}

// sessions lists the open sessions. mu is held.
func (st *Store) sessions() []*Session {
	var all []*Session
	for s := range st.open {
		all = append(all, s)
	}
	return all
}

// run is the background.
func (st *Store) run() {
	defer st.wg.Done()
	tick := time.NewTicker(st.opts.Flush)
	defer tick.Stop()
	for {
		select {
		case j, ok := <-st.queue:
			if !ok {
				return
			}
			st.do(j)
		case <-tick.C:
			st.flushQuiet()
		}
	}
}

func (st *Store) do(j job) {
	st.pending.Add(-int64(len(j.frames)))
	j.s.file.do(j)
}

// flushQuiet has everything written that has been in memory since the last time.
func (st *Store) flushQuiet() {
	st.mu.Lock()
	sessions := st.sessions()
	st.mu.Unlock()
	for _, s := range sessions {
		s.requestFlush()
	}
}
