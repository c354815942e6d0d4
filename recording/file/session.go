package file

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"sluice/recording"
)

// handoff is how many bytes of frames a session gathers before they go to the
// background.
const handoff = 64 << 10

// A Session records one session. It is safe for concurrent use; input and
// output usually come from two goroutines.
type Session struct {
	store *Store
	head  recording.Header
	path  string
	file  writing // the background's alone

	done chan struct{} // closed when the recording is on disk

	// mu is never held while something is waited for: the background takes it.
	mu     sync.Mutex
	frames []byte // encoded
	held   int64  // bytes of content that frames are about
	cur    frame  // being gathered
	missed int64  // bytes left out behind cur
	total  int64  // bytes kept of the session
	quota  [recording.Note + 1]quota
	closed bool
	err    error
}

// A frame is the recording.Frame being gathered: pieces of one kind about one
// decision go into one frame.
type frame struct {
	at   time.Duration
	kind recording.Kind
	ref  string
	data []byte
}

// A quota counts what was kept of one decision in one direction.
type quota struct {
	ref  string
	kept int64
}

// Input records bytes from the client that belong to the decision ref.
func (s *Session) Input(ref string, p []byte) { s.add(recording.Input, ref, p) }

// Output records bytes to the client, as it sees them.
func (s *Session) Output(ref string, p []byte) { s.add(recording.Output, ref, p) }

// Note records a text of the gateway's own.
func (s *Session) Note(ref, text string) { s.add(recording.Note, ref, []byte(text)) }

// Err returns why the recording was given up; nil: it was not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Session) add(kind recording.Kind, ref string, p []byte) {
	if len(ref) > maxRef {
		ref = ref[:maxRef]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil || len(p) == 0 {
		return
	}
	keep := s.allow(kind, ref, int64(len(p)))
	if s.cur.kind != kind || s.cur.ref != ref || s.missed > 0 && keep > 0 {
		s.begin(kind, ref)
	}
	for rest := p[:keep]; len(rest) > 0; {
		n := min(len(rest), recording.MaxFrame-len(s.cur.data))
		s.cur.data = append(s.cur.data, rest[:n]...)
		if rest = rest[n:]; len(rest) > 0 {
			s.begin(kind, ref)
		}
	}
	s.missed += int64(len(p)) - keep
	if len(s.frames)+len(s.cur.data) >= handoff {
		s.send()
	}
}

// maxRef is how long a reference may be: a UUID has 36 characters.
const maxRef = 64

// allow says how many of n bytes may be kept, and counts them.
func (s *Session) allow(kind recording.Kind, ref string, n int64) int64 {
	keep := min(n, s.store.opts.MaxSession-s.total)
	if ref != "" {
		q := &s.quota[kind]
		if q.ref != ref {
			*q = quota{ref: ref}
		}
		keep = min(keep, s.store.opts.MaxResult-q.kept)
		q.kept += max(keep, 0)
	}
	keep = max(keep, 0)
	s.total += keep
	return keep
}

// begin ends the frame in hand and begins the next. mu is held.
func (s *Session) begin(kind recording.Kind, ref string) {
	if len(s.cur.data) > 0 || s.missed > 0 {
		s.frames = recording.AppendFrame(s.frames, &recording.Frame{
			At: s.cur.at, Kind: s.cur.kind, Ref: s.cur.ref, Data: s.cur.data, Truncated: s.missed,
		})
		s.held += int64(len(s.cur.data)) + s.missed
	}
	s.missed = 0
	s.cur = frame{at: s.store.opts.Now().Sub(s.head.Start), kind: kind, ref: ref, data: s.cur.data[:0]}
}

// encoded ends the frame in hand and returns all frames. mu is held.
func (s *Session) encoded() []byte {
	s.begin(s.cur.kind, s.cur.ref)
	frames := s.frames
	s.frames = nil
	return frames
}

// send hands the frames over, if there is room. If too much waits already,
// they are dropped, and the next frame says how much is missing. mu is held.
func (s *Session) send() {
	st := s.store
	frames := s.encoded()
	held := s.held
	s.held = 0
	if st.pending.Add(int64(len(frames))) <= st.opts.MaxPending {
		select {
		case st.queue <- job{s: s, frames: frames}:
			return
		default:
		}
	}
	st.pending.Add(-int64(len(frames)))
	s.missed += held
}

// requestFlush asks the background, which calls it, to write what is there.
// It goes through the queue, behind what was handed over before.
func (s *Session) requestFlush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil || len(s.store.queue) == cap(s.store.queue) {
		return
	}
	s.send()
	select {
	case s.store.queue <- job{s: s, flush: true}:
	default:
	}
}

// Close ends the recording and waits until it is on disk.
func (s *Session) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	frames := s.encoded()
	s.mu.Unlock()
	if first {
		s.store.pending.Add(int64(len(frames)))
		s.store.queue <- job{s: s, frames: frames, end: true}
	}
	<-s.done
	s.store.mu.Lock()
	delete(s.store.open, s)
	s.store.mu.Unlock()
	return s.Err()
}

// A writing is a session's file. Only the background touches it.
type writing struct {
	s *Session
	f *os.File
	w *recording.Writer
}

// do carries out a job.
func (w *writing) do(j job) {
	if len(j.frames) > 0 && w.s.Err() == nil {
		if err := w.append(j.frames); err != nil {
			w.fail(err)
		}
	}
	if j.flush || j.end {
		w.flush()
	}
	if j.end {
		w.close()
		close(w.s.done)
	}
}

func (w *writing) append(frames []byte) error {
	if w.f == nil {
		if err := w.create(); err != nil {
			return err
		}
	}
	if w.w.Append(frames) {
		return w.seal()
	}
	return nil
}

func (w *writing) create() error {
	f, err := os.OpenFile(w.s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	w.f = f
	w.w, err = recording.NewWriter(f, w.s.head, w.s.store.zip)
	return err
}

func (w *writing) seal() error {
	c, ok, err := w.w.Seal()
	if err == nil && ok {
		w.s.store.opts.Sealed(w.s.head, w.s.path, c)
	}
	return err
}

// flush seals what is there.
func (w *writing) flush() {
	if w.w == nil || w.s.Err() != nil {
		return
	}
	if err := w.seal(); err != nil {
		w.fail(err)
	}
}

func (w *writing) close() {
	if w.f == nil {
		return
	}
	err := errors.Join(w.f.Sync(), w.f.Close())
	w.f, w.w = nil, nil
	if err != nil && w.s.Err() == nil {
		w.fail(fmt.Errorf("recording: %w", err))
	}
}

// fail gives the recording up.
func (w *writing) fail(err error) {
	w.s.mu.Lock()
	w.s.err = err
	w.s.mu.Unlock()
	w.s.store.opts.Failed(w.s.head, w.s.path, err)
}
