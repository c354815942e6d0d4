package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/audit"
	"sluice/internal/uuid7"
)

// small is a journal whose segments hold a few dozen records.
func small(tb testing.TB, dir string) Options {
	tb.Helper()
	return Options{Dir: dir, SegmentSize: 16 << 10, Checkpoint: -1, Lazy: time.Hour}
}

func mustOpen(tb testing.TB, o Options) *Journal {
	tb.Helper()
	j, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func event(i int) *access.Event {
	at := time.UnixMicro(1_790_000_000_000_000 + int64(i)).UTC()
	return &access.Event{
		ID: uuid7.New(at), Time: at, Type: access.ActionDecided, Session: "s",
		Subject: &access.Subject{Issuer: "local", ID: "alice"},
		Action:  &access.Action{Verb: access.VerbSelect, Op: "SELECT", Text: fmt.Sprintf("select %d", i)},
	}
}

func mustAppend(tb testing.TB, j *Journal, events ...*access.Event) access.Mark {
	tb.Helper()
	m, err := j.Append(events...)
	if err == nil {
		err = j.Wait(context.Background(), m)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// texts reads the texts of all records that log holds.
func texts(tb testing.TB, log *audit.Log) []string {
	tb.Helper()
	var all []string
	r := log.Read(audit.Position{})
	defer r.Close()
	for {
		rec, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, e.Action.Text)
	}
}

func wantTexts(tb testing.TB, got []string, n int) {
	tb.Helper()
	if len(got) != n {
		tb.Fatalf("%d records, want %d", len(got), n)
	}
	for i := range got {
		if want := fmt.Sprintf("select %d", i); got[i] != want {
			tb.Fatalf("record %d is %q, want %q", i+1, got[i], want)
		}
	}
}

func TestAppendSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	const n = 200
	for i := 0; i < n; {
		j := mustOpen(t, small(t, dir))
		for k := 0; k < 50; k++ {
			mustAppend(t, j, event(i))
			i++
		}
		wantTexts(t, texts(t, j.Log()), i)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j := mustOpen(t, small(t, dir))
	defer j.Close()
	wantTexts(t, texts(t, j.Log()), n)
	if seq, _ := j.Head(); seq != n {
		t.Errorf("head %d, want %d", seq, n)
	}
}

func TestConcurrentAppends(t *testing.T) {
	j := mustOpen(t, small(t, t.TempDir()))
	defer j.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[access.Mark]bool{}
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				m := mustAppend(t, j, event(w*1000+2*i), event(w*1000+2*i+1))
				mu.Lock()
				if seen[m] {
					t.Errorf("mark %d twice", m)
				}
				seen[m] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := len(texts(t, j.Log())); got != 640 {
		t.Errorf("%d records, want 640", got)
	}
}
