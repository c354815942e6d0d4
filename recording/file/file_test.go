package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/recording"
)

// A log collects what a store reports.
type log struct {
	mu     sync.Mutex
	chunks map[string][]recording.Chunk
	failed map[string]error
}

func open(t *testing.T, change func(*Options)) (*Store, *log) {
	l := &log{chunks: map[string][]recording.Chunk{}, failed: map[string]error{}}
	o := Options{Dir: t.TempDir(), Flush: time.Hour,
		Sealed: func(h recording.Header, _ string, c recording.Chunk) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.chunks[h.Session] = append(l.chunks[h.Session], c)
		},
		Failed: func(h recording.Header, _ string, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed[h.Session] = err
		},
	}
	if change != nil {
		change(&o)
	}
	st, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, l
}

func begin(t *testing.T, st *Store, id string) *Session {
	s, err := st.Session(recording.Header{Session: id, Content: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A stream is what one direction of a recording amounts to.
type stream struct {
	data    bytes.Buffer
	missing int64
}

// play reads a recording and checks it against the reported chunks.
func play(t *testing.T, st *Store, l *log, id string) map[recording.Kind]*stream {
	t.Helper()
	path, err := st.Path(id)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := recording.Verify(bytes.NewReader(content), l.chunks[id]); err != nil {
		t.Error(err)
	}
	r, err := recording.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := map[recording.Kind]*stream{recording.Input: {}, recording.Output: {}, recording.Note: {}}
	last := time.Duration(-1)
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.At < last {
			t.Errorf("a frame at %v behind one at %v", f.At, last)
		}
		last = f.At
		all[f.Kind].data.Write(f.Data)
		all[f.Kind].missing += f.Truncated
	}
}

func TestRecordsBothDirections(t *testing.T) {
	st, l := open(t, nil)
	s := begin(t, st, "s1")
	var in, out bytes.Buffer
	for i := range 2000 {
		ref := fmt.Sprintf("d-%d", i/10)
		q := fmt.Sprintf("select %d;", i)
		a := strings.Repeat(fmt.Sprintf("row %d;", i), 50)
		in.WriteString(q)
		out.WriteString(a)
		s.Input(ref, []byte(q))
		s.Output(ref, []byte(a[:10]))
		s.Output(ref, []byte(a[10:]))
	}
	s.Note("", "goodbye")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := play(t, st, l, "s1")
	if !bytes.Equal(got[recording.Input].data.Bytes(), in.Bytes()) || !bytes.Equal(got[recording.Output].data.Bytes(), out.Bytes()) {
		t.Errorf("%d bytes in, %d out; want %d, %d", got[recording.Input].data.Len(), got[recording.Output].data.Len(), in.Len(), out.Len())
	}
	if got[recording.Note].data.String() != "goodbye" || got[recording.Output].missing != 0 {
		t.Errorf("note %q, %d missing", &got[recording.Note].data, got[recording.Output].missing)
	}
	if len(l.chunks["s1"]) < 2 {
		t.Errorf("%d chunks", len(l.chunks["s1"]))
	}
}

// A cap is never silent: what is missing is counted to the byte.
func TestCapsAreCounted(t *testing.T) {
	st, l := open(t, func(o *Options) { o.MaxResult, o.MaxSession = 1000, 2500 })
	s := begin(t, st, "s1")
	for i := range 4 {
		for range 30 {
			s.Output(fmt.Sprintf("d-%d", i), bytes.Repeat([]byte("x"), 70))
		}
	}
	s.Input("d-5", []byte("more"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := play(t, st, l, "s1")
	if kept, missing := got[recording.Output].data.Len(), got[recording.Output].missing; kept != 2500 || kept+int(missing) != 4*30*70 {
		t.Errorf("kept %d, %d missing, of %d", kept, missing, 4*30*70)
	}
	if got[recording.Input].missing != 4 {
		t.Errorf("%d bytes of input missing", got[recording.Input].missing)
	}
}

// While the disk does not keep up, memory stays bounded and the session goes on.
func TestNoRoomInMemory(t *testing.T) {
	gate := make(chan struct{})
	stuck := make(chan struct{}, 100)
	st, l := open(t, func(o *Options) {
		o.MaxPending = 1 << 20
		sealed := o.Sealed
		o.Sealed = func(h recording.Header, f string, c recording.Chunk) {
			sealed(h, f, c)
			stuck <- struct{}{}
			<-gate
		}
	})
	s := begin(t, st, "s1")
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1024) // 16 KiB
	sent := 0
	for range 40 {
		s.Output("", piece)
		sent += len(piece)
	}
	<-stuck // the background is stuck now
	for range 640 {
		s.Output("", piece) // 10 MiB
		sent += len(piece)
	}
	if p := st.pending.Load(); p > 1<<20 {
		t.Errorf("%d bytes wait", p)
	}
	close(gate)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := play(t, st, l, "s1")[recording.Output]
	if got.missing == 0 || got.data.Len()+int(got.missing) != sent {
		t.Errorf("%d kept and %d missing of %d", got.data.Len(), got.missing, sent)
	}
}

// A session that is quiet is on disk soon, in the right order.
func TestFlush(t *testing.T) {
	st, l := open(t, func(o *Options) { o.Flush = time.Millisecond })
	s := begin(t, st, "s1")
	var want bytes.Buffer
	for i := range 300 {
		p := fmt.Sprintf("%d,", i)
		want.WriteString(p)
		s.Output("", []byte(p))
		if i%50 == 0 {
			for before := chunks(l, "s1"); chunks(l, "s1") == before; {
				time.Sleep(time.Millisecond) // until the flush has come
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := play(t, st, l, "s1")[recording.Output].data.String(); got != want.String() {
		t.Errorf("got %s", got)
	}
}

func chunks(l *log, id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.chunks[id])
}

func TestFailureIsReported(t *testing.T) {
	st, l := open(t, nil)
	path, err := st.Path("s1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	s := begin(t, st, "s1")
	s.Output("", []byte("x"))
	if err := s.Close(); !errors.Is(err, os.ErrExist) {
		t.Errorf("Close: %v", err)
	}
	if l.failed["s1"] == nil || s.Err() == nil {
		t.Error("nobody was told")
	}
	s.Output("", []byte("y")) // goes nowhere
}

func TestEmptySessionMakesNoFile(t *testing.T) {
	st, _ := open(t, nil)
	s := begin(t, st, "s1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(st.opts.Dir, "*")); len(names) > 0 {
		t.Errorf("%v", names)
	}
}

func TestSessionNames(t *testing.T) {
	st, _ := open(t, nil)
	for _, id := range []string{"", "../x", "a/b", "a.b", strings.Repeat("a", 65), "ü", "a\x00"} {
		if _, err := st.Session(recording.Header{Session: id}); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
}

func TestCloseWhileSessionsGoOn(t *testing.T) {
	st, l := open(t, func(o *Options) { o.Flush = time.Millisecond })
	var wg sync.WaitGroup
	for i := range 8 {
		s := begin(t, st, fmt.Sprintf("s%d", i))
		wg.Go(func() {
			for range 500 {
				s.Output("d", bytes.Repeat([]byte("z"), 500))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := st.Session(recording.Header{Session: "late"}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	for id := range l.chunks {
		play(t, st, l, id)
	}
	if entries, err := os.ReadDir(st.opts.Dir); err != nil || len(entries) != len(l.chunks) {
		t.Errorf("%d files, %d sessions, %v", len(entries), len(l.chunks), err)
	}
}

func BenchmarkOutput(b *testing.B) {
	st, err := Open(Options{Dir: b.TempDir(), MaxResult: 1 << 60, MaxSession: 1 << 60})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	s, err := st.Session(recording.Header{Session: "s"})
	if err != nil {
		b.Fatal(err)
	}
	p := bytes.Repeat([]byte("DataRow "), 16)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Output("01936c5e-8a3f-7b21-9c4d-1234567890ab", p)
	}
	b.StopTimer()
	s.Close()
}
