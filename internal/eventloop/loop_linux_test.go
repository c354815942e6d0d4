package eventloop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it only ends a test
// that fails.
const patience = 30 * time.Second

func newLoop(t testing.TB, idle func()) *Loop {
	t.Helper()
	if idle == nil {
		idle = func() {}
	}
	l, err := New(idle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		eventually(t, "the loop is gone", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.dead
		})
	})
	return l
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// receive is what a channel must yield.
func receive[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
	}
	return v
}

// attached returns a connection in the loop, and its other end. What is closed
// last is the loop.
func attached(t testing.TB, l *Loop, network string) (*Conn, net.Conn) {
	t.Helper()
	here, there := tcpPair(t, network)
	c := Wrap(here)
	if !c.Attach(l) {
		t.Fatal("not attached")
	}
	t.Cleanup(func() { c.Close() })
	return c, there
}

// echo gives back what comes over c, which stands on the attached Conn.
func echo(c net.Conn, ended func()) func() Verdict {
	buf := make([]byte, 4<<10)
	return func() Verdict {
		for range 4 {
			n, err := c.Read(buf)
			if err == ErrAgain {
				return Again
			}
			if err == nil {
				_, err = c.Write(buf[:n])
			}
			if err != nil {
				c.Close()
				ended()
				return Done
			}
		}
		return More
	}
}

func startEcho(t testing.TB, l *Loop) net.Conn {
	c, there := attached(t, l, "tcp")
	c.Start(echo(c, func() {}))
	return there
}

// answers fails the test if there is no echo.
func answers(t testing.TB, there net.Conn) {
	t.Helper()
	if err := exchange(there, []byte("hello")); err != nil {
		t.Fatalf("%v", err)
	}
}

// exchange writes p and expects it back, while it is being written if need be.
func exchange(c net.Conn, p []byte) error {
	c.SetDeadline(time.Now().Add(patience))
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(p)
		written <- err
	}()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		return io.ErrUnexpectedEOF
	}
	return <-written
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// leakFree runs f and expects no goroutine and no descriptor of it to stay.
func leakFree(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	g, d := runtime.NumGoroutine(), descriptors(t)
	t.Run("run", f)
	eventually(t, "goroutines and descriptors are given back", func() bool {
		return runtime.NumGoroutine() <= g && descriptors(t) <= d
	})
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"x"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// A world is a way in which a connection can stand on an attached one.
type world struct {
	network      string
	here, there  func(net.Conn) net.Conn
	conns, turns int
}

func worlds() map[string]world {
	plain := func(c net.Conn) net.Conn { return c }
	server := func(c net.Conn) net.Conn {
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	}
	client := func(c net.Conn) net.Conn {
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return map[string]world{
		"tcp":        {"tcp", plain, plain, 300, 12},
		"unix":       {"unix", plain, plain, 100, 12},
		"tls server": {"tcp", server, client, 60, 8},
		"tls client": {"tcp", client, server, 60, 8},
	}
}

// open returns the far end of an echo in the loop.
func (w world) open(t testing.TB, l *Loop, ended func()) net.Conn {
	t.Helper()
	a, b := tcpPair(t, w.network)
	c := Wrap(a)
	here, there := w.here(c), w.there(b)
	if ht, ok := here.(*tls.Conn); ok {
		shaken := make(chan error, 1)
		go func() { shaken <- there.(*tls.Conn).Handshake() }()
		if err := ht.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
	}
	if Unwrap(here) != c || !c.Attach(l) {
		t.Fatal("not attached")
	}
	c.Start(echo(here, ended))
	return there
}

// Every byte comes back, in order, however they are cut.
func TestEcho(t *testing.T) {
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			leakFree(t, func(t *testing.T) {
				l := newLoop(t, nil)
				var open atomic.Int32
				var wg sync.WaitGroup
				for i := range w.conns {
					open.Add(1)
					there := w.open(t, l, func() { open.Add(-1) })
					wg.Go(func() {
						defer there.Close()
						r := mrand.New(mrand.NewPCG(uint64(i), 1))
						for range w.turns {
							p := make([]byte, 1+r.IntN(1<<r.IntN(16)))
							rand.Read(p)
							if err := exchange(there, p); err != nil {
								t.Errorf("connection %d: %v", i, err)
								return
							}
						}
					})
				}
				wg.Wait()
				eventually(t, "all have ended", func() bool { return open.Load() == 0 })
			})
		})
	}
}

// A step that blocks keeps nobody, whether it says so or not, and leaves one
// leader when it is over.
func TestBlockingSteps(t *testing.T) {
	for name, yield := range map[string]func(*Loop){"yielding": (*Loop).Yield, "silent": func(*Loop) {}} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, nil)
			release := make(chan struct{})
			var over atomic.Int32
			const blocked = 5
			for range blocked {
				c, there := attached(t, l, "tcp")
				first := true
				c.Start(func() Verdict {
					if first {
						first = false
						return Again
					}
					c.Read(make([]byte, 10))
					yield(l)
					<-release
					over.Add(1)
					return Again
				})
				there.Write([]byte("x"))
			}
			there := startEcho(t, l)
			for range 20 {
				answers(t, there)
			}
			close(release)
			eventually(t, "the blocked ones go on", func() bool { return over.Load() == blocked })
			eventually(t, "one leader is left", func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.running == 1
			})
			answers(t, there)
		})
	}
}

// Those who are due together with one that blocks do not wait for it.
func TestDueBehindABlockedOne(t *testing.T) {
	l := newLoop(t, nil)
	release := make(chan struct{})
	defer close(release)
	var mine atomic.Int32
	turns := make(chan int, 100)
	const n = 10
	for range n {
		c, _ := attached(t, l, "tcp")
		first := true
		c.Start(func() Verdict {
			if first {
				first = false
				turns <- 0
				return Held
			}
			if mine.Add(1) == 1 { // whoever is first
				l.Yield()
				<-release
				return Again
			}
			turns <- 1
			return Again
		})
	}
	for range n {
		receive(t, "all are held", turns)
	}
	eventually(t, "all are held", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.held) == n
	})
	l.Resume()
	for range n - 1 {
		receive(t, "a turn behind the blocked one", turns)
	}
}

// Whoever is held gets a turn after a Resume that follows, whatever else goes
// on: the property that a session's answer depends on.
func TestHeldAreResumed(t *testing.T) {
	var asked, settled atomic.Int64
	l := newLoop(t, nil)
	stop := make(chan struct{})
	var settler sync.WaitGroup
	settler.Go(func() { // as the journal does it
		for {
			select {
			case <-stop:
				return
			default:
			}
			if a := asked.Load(); a > settled.Load() {
				settled.Store(a)
				l.Resume()
			}
			runtime.Gosched()
		}
	})
	const conns, rounds = 50, 60
	var wg sync.WaitGroup
	for i := range conns {
		c, there := attached(t, l, "unix")
		r := mrand.New(mrand.NewPCG(uint64(i), 2))
		buf := make([]byte, 1)
		var waitsFor int64
		c.Start(func() Verdict {
			for {
				if waitsFor != 0 {
					if settled.Load() < waitsFor {
						return Held
					}
					waitsFor = 0
					c.Write(buf)
				}
				if _, err := c.Read(buf); err == ErrAgain {
					return Again
				} else if err != nil {
					return Done
				}
				switch r.IntN(20) {
				case 0:
					l.Yield()
					runtime.Gosched()
				case 1:
					c.Wake()
				}
				waitsFor = asked.Add(1)
			}
		})
		wg.Go(func() {
			for round := range rounds {
				if err := exchange(there, []byte{byte(round)}); err != nil {
					t.Errorf("connection %d, round %d: %v", i, round, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	settler.Wait()
}

// What a turn leaves for idle is looked at behind it also where the turn lost the
// loop and the successor sleeps.
func TestIdleBehindALostLeader(t *testing.T) {
	var queued, done atomic.Bool
	var l *Loop
	ready := make(chan struct{})
	l = newLoop(t, func() {
		<-ready
		if queued.Swap(false) {
			done.Store(true)
			l.Resume()
		}
	})
	close(ready)
	c, _ := attached(t, l, "tcp")
	over := make(chan struct{})
	asked := false
	c.Start(func() Verdict {
		if done.Load() {
			close(over)
			return Done
		}
		if !asked {
			asked = true
			l.Yield()
			time.Sleep(20 * time.Millisecond) // the successor goes to sleep
			queued.Store(true)
		}
		return Held
	})
	receive(t, "the turn behind idle", over)
}

// Yields of turns that have lost the loop long ago, and of others, leave a
// loop that sleeps alone, and one that works alive.
func TestForeignYields(t *testing.T) {
	l := newLoop(t, nil)
	there := startEcho(t, l)
	answers(t, there)
	eventually(t, "the loop sleeps", func() bool {
		me := l.leader.Load()
		before := me.turns.Load()
		time.Sleep(time.Millisecond)
		return before%2 == 0 && me.turns.Load() == before
	})
	me := l.leader.Load()
	for range 100 {
		l.Yield()
	}
	if l.leader.Load() != me {
		t.Error("a leader that waits was replaced")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.Yield()
					runtime.Gosched()
				}
			}
		})
	}
	for range 50 {
		answers(t, there)
	}
	close(stop)
	wg.Wait()
	answers(t, there)
}

// A Resume during the very turn that ends with Held counts, and so does a Wake:
// what they tell of may have come behind the step's last look.
func TestCallsDuringTheTurn(t *testing.T) {
	for name, call := range map[string]func(*Loop, *Conn){
		"Resume": func(l *Loop, _ *Conn) { l.Resume() },
		"Wake":   func(_ *Loop, c *Conn) { c.Wake() },
	} {
		for what, v := range map[string]Verdict{"Held": Held, "Again": Again} {
			if name == "Resume" && v == Again {
				continue // it waits for input
			}
			t.Run(name+" "+what, func(t *testing.T) {
				l := newLoop(t, nil)
				c, _ := attached(t, l, "tcp")
				turns := 0
				second := make(chan struct{})
				c.Start(func() Verdict {
					if turns++; turns == 2 {
						close(second)
						return Done
					}
					l.Yield()
					call(l, c)
					if name == "Wake" {
						for !c.dueAgain() { // the successor has heard of it
							time.Sleep(time.Millisecond)
						}
					}
					return v
				})
				receive(t, "a second turn", second)
			})
		}
	}
}

func (c *Conn) dueAgain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

// A leader that was replaced leaves the bell to its successor, who would sleep
// through it otherwise, and the descriptors to a loop that goes on.
func TestLostLeaderTakesNothing(t *testing.T) {
	l := newLoop(t, nil)
	hush := &Loop{ep: -1, bell: eventfd(t), conns: []*Conn{nil}, idle: func() {}, running: 1}
	c, _ := attached(t, l, "tcp")
	hush.post(c)
	me := new(leader)
	me.lost.Store(true)
	if !hush.heard(me) || !hush.rung || hush.due.len() != 1 {
		t.Error("it took the bell")
	}
	hush.retire(me) // between Yield's two steps, as it were
	if hush.dead {
		t.Error("it closed the loop")
	}
}
