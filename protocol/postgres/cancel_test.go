package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"testing"
	"time"
)

func TestCancelKeys(t *testing.T) {
	r := newCancelRegistry(time.Now)
	calls := map[string]int{}
	count := func(name string) func(context.Context) { return func(context.Context) { calls[name]++ } }
	short, _ := r.register(7, 0, count("short"))
	long, forget := r.register(7, 2, count("long"))
	if len(short.Secret) != 4 || len(long.Secret) != 32 || short.PID != 7 || long.PID != 7 {
		t.Fatalf("keys %+v %+v", short, long)
	}
	wrong := cancelKey{short.PID, []byte{short.Secret[0] ^ 1, short.Secret[1], short.Secret[2], short.Secret[3]}}
	for _, k := range []cancelKey{short, long, wrong, {8, long.Secret}, {long.PID, long.Secret[:4]}, {long.PID, nil}, {}} {
		r.request(t.Context(), "192.0.2.1", k)
	}
	if calls["short"] != 1 || calls["long"] != 1 {
		t.Errorf("calls = %v", calls)
	}
	forget()
	r.request(t.Context(), "192.0.2.1", long)
	if calls["long"] != 1 {
		t.Error("a session that is gone was cancelled")
	}
}

func TestCancelGuessingIsSlow(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newCancelRegistry(func() time.Time { return now })
	called := 0
	key, _ := r.register(7, 0, func(context.Context) { called++ })
	for range cancelMisses {
		r.request(t.Context(), "192.0.2.1", cancelKey{PID: key.PID, Secret: make([]byte, 5)})
	}
	r.request(t.Context(), "192.0.2.1", key)
	if called != 0 {
		t.Error("one more guess was allowed")
	}
	r.request(t.Context(), "192.0.2.2", key)
	if called != 1 {
		t.Error("another address pays for it")
	}
	now = now.Add(cancelWindow)
	r.request(t.Context(), "192.0.2.1", key)
	if called != 2 {
		t.Error("never forgiven")
	}
}

// Any number of strangers costs bounded memory.
func TestCancelMemory(t *testing.T) {
	r := newCancelRegistry(func() time.Time { return time.Unix(1000, 0) })
	for i := range cancelAddresses + 100 {
		r.request(t.Context(), strconv.Itoa(i), cancelKey{PID: 1, Secret: []byte("none")})
	}
	if len(r.misses) != cancelAddresses {
		t.Errorf("%d addresses remembered", len(r.misses))
	}
}

// While a session deals with a request, more of them add nothing.
func TestCancelOnceAtATime(t *testing.T) {
	r := newCancelRegistry(time.Now)
	inside, release := make(chan struct{}), make(chan struct{})
	key, _ := r.register(7, 2, func(context.Context) { inside <- struct{}{}; <-release })
	done := make(chan struct{})
	go func() { r.request(context.Background(), "a", key); close(done) }()
	<-inside
	r.request(t.Context(), "a", key) // returns at once: would block for ever otherwise
	close(release)
	<-done
	go r.request(context.Background(), "a", key)
	<-inside // and works again
}

func FuzzParseCancel(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01abcd"))
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, body []byte) {
		key, err := parseCancel(body)
		if err == nil && !bytes.Equal(append(binary.BigEndian.AppendUint32(nil, key.PID), key.Secret...), body) {
			t.Errorf("%x became %+v", body, key)
		}
	})
}
