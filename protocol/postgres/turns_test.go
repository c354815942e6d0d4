package postgres

import (
	"context"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// byGoroutines gives each direction of a session a goroutine of its own, as
// where there is no epoll.
func byGoroutines(srv *Server) { srv.Loops = -1 }

// oneLoop lets all sessions share a loop: whoever blocks it blocks all.
func oneLoop(srv *Server) { srv.Loops = 1 }

// eitherWay runs a test with sessions that run by turns, and with goroutines.
func eitherWay(t *testing.T, f func(*testing.T, *relayWorld)) {
	t.Run("turns", func(t *testing.T) { f(t, newRelayWorld(t, oneLoop)) })
	t.Run("goroutines", func(t *testing.T) { f(t, newRelayWorld(t, byGoroutines)) })
}

// byTurns reports whether the sessions run by turns.
func (w *relayWorld) byTurns() (yes, no int) {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	for s := range w.srv.sessions {
		if s.turns.Load() != nil {
			yes++
		} else {
			no++
		}
	}
	return yes, no
}

// A shapeless connection has no descriptor to give.
type shapeless struct{ net.Conn }

type shapelessListener struct{ net.Listener }

func (l shapelessListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shapeless{c}, nil
}

// secured gives the gateway a certificate, and has it insist.
func secured(t *testing.T) func(*Server) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	return func(srv *Server) {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}}
		srv.RequireTLS = true
	}
}

// TLS has buffers of its own between the loop and the session.
func TestTurnsUnderTLS(t *testing.T) {
	for name, f := range map[string]func(*testing.T, *relayWorld){
		"pipelines": testPipelines, "copy": testCopy, "copy in extended": testCopyInExtended,
		"cancel": testCancelReachesTheUpstream, "approval": testWaitingForApproval, "record": testAnswersWaitForTheRecord,
	} {
		t.Run(name, func(t *testing.T) {
			w := newRelayWorld(t, oneLoop, secured(t))
			w.more = "sslmode=require"
			f(t, w)
		})
	}
}

// What a session runs by is what the tests believe, and whatever it is, it works.
func TestSessionsRunByTurns(t *testing.T) {
	plain := func(*Server) {}
	for _, tt := range []struct {
		name  string
		set   func(*Server)
		more  string
		turns bool
	}{
		{"plain", plain, "", true},
		{"one loop", oneLoop, "", true},
		{"TLS", secured(t), "sslmode=require", true},
		{"none", byGoroutines, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newRelayWorld(t, tt.set)
			c := w.connect(tt.more)
			big := strings.Repeat("x", 100_000)
			for range 5 {
				if got := execSQL(c, "select '"+big+"' from generate_series(1,20)"); got != strings.TrimSuffix(strings.Repeat(big+"; ", 20), "; ") {
					t.Fatalf("%d bytes", len(got))
				}
			}
			if yes, no := w.byTurns(); (yes == 1) != tt.turns || yes+no != 1 {
				t.Errorf("%d by turns, %d not", yes, no)
			}
		})
	}
	t.Run("no descriptor", func(t *testing.T) {
		w := newRelayWorld(t)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.srv.Serve(ctx, shapelessListener{ln}) }()
		w.addr = ln.Addr().String()
		c := w.connect()
		if got := execSQL(c, "select 1; select 2"); got != "1; 2" {
			t.Error(got)
		}
		if yes, no := w.byTurns(); yes != 0 || no != 1 {
			t.Errorf("%d by turns, %d not", yes, no)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A client that does not read keeps nobody else from their answers, and neither
// does one that waits for people.
func TestOthersGoOn(t *testing.T) {
	for name, stall := range map[string]func(*testing.T, *relayWorld){
		"a client that does not read": func(_ *testing.T, w *relayWorld) {
			k := w.talk()
			k.send(&pgproto3.Query{String: "select repeat('x', 10000) from generate_series(1, 10000)"})
		},
		"a client that sends and does not read": func(t *testing.T, w *relayWorld) {
			k := w.talk()
			k.c.SetWriteDeadline(time.Now().Add(time.Second))
			q, err := (&pgproto3.Query{String: "select repeat('x', 100000)"}).Encode(nil)
			for err == nil {
				_, err = k.c.Write(q)
			}
			if !errors.Is(err, errTimeout) {
				t.Error(err)
			}
		},
		"an approval": func(t *testing.T, w *relayWorld) {
			w.mu.Lock()
			w.decide = func(r access.Request) access.Decision {
				if r.Action.Verb == access.VerbDelete {
					return access.Decision{Effect: access.RequireApproval, Reasons: []access.Reason{{Policy: "p", Rule: "ask"}}}
				}
				return access.Decision{Effect: access.Allow}
			}
			w.mu.Unlock()
			waits := make(chan bool)
			w.approve = func(ctx context.Context, r access.Request, tell func(access.Pending)) (access.Approval, error) {
				tell(access.Pending{ID: "req"})
				close(waits)
				<-ctx.Done()
				return access.Approval{}, ctx.Err()
			}
			w.talk().send(&pgproto3.Query{String: "delete from pg_class"})
			<-waits
		},
		"a COPY without data": func(t *testing.T, w *relayWorld) {
			execSQL(w.connect(), "create table t(id int)")
			k := w.talk()
			k.send(&pgproto3.Parse{Query: "copy t from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRelayWorld(t, oneLoop)
			c := w.connect()
			stall(t, w)
			for i := range 50 {
				if got, want := execSQL(c, fmt.Sprintf("select %d", i)), fmt.Sprint(i); got != want {
					t.Fatal(got)
				}
			}
		})
	}
}

// blockJournal lets no record become durable until the returned function is called.
func (w *relayWorld) blockJournal(err error) (release func()) {
	gate := make(chan struct{})
	w.mu.Lock()
	w.durable = func(access.Mark) error { <-gate; return err }
	w.mu.Unlock()
	return sync.OnceFunc(func() { close(gate) })
}

// A session whose record is not durable ends all the same, for every reason
// that ends sessions, and what was not recorded is not shown.
func TestHeldSessionsEnd(t *testing.T) {
	ends := map[string]func(w *relayWorld, k *talk, release func()){
		"killed": func(w *relayWorld, _ *talk, _ func()) {
			for _, s := range w.srv.Sessions() {
				w.srv.Kill(s.ID)
			}
		},
		// These two are noticed behind the record: what was asked for may have run.
		"upstream": func(w *relayWorld, _ *talk, release func()) {
			w.pg.Exec(t, w.db, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()")
			release()
		},
		"client": func(_ *relayWorld, k *talk, release func()) { k.c.Close(); release() },
	}
	for stmt, sql := range map[string]string{"read": "select 42", "write": "insert into t values (1)"} {
		for name, end := range ends {
			t.Run(stmt+" "+name, func(t *testing.T) {
				w := newRelayWorld(t, oneLoop)
				execSQL(w.connect(), "create table t(id int)")
				k := w.talk()
				release := w.blockJournal(nil)
				defer release()
				k.send(&pgproto3.Query{String: sql})
				eventually(t, w.holds)
				end(w, k, release)
				if name != "client" {
					k.c.SetReadDeadline(time.Now().Add(20 * time.Second))
					if rest, err := io.ReadAll(k.c); errors.Is(err, errTimeout) || name == "killed" && strings.Contains(string(rest), "SELECT 1") {
						t.Errorf("%q %v", rest, err)
					}
				}
				eventually(t, func() bool { return len(w.srv.Sessions()) <= 1 }) // the first may stay
			})
		}
	}
}

// holds reports whether some session waits for the journal.
func (w *relayWorld) holds() bool { return w.srv.loops[0].held.Load() }

// Sessions that are held when the journal fails are told, all of them.
func TestJournalFailsWhileHeld(t *testing.T) {
	w := newRelayWorld(t, oneLoop)
	execSQL(w.connect(), "create table t(id int)")
	const n = 10
	var talks []*talk
	for range n {
		talks = append(talks, w.talk())
	}
	release := w.blockJournal(errors.New("EIO"))
	defer release()
	for i, k := range talks {
		sql := "select 42"
		if i%2 == 0 {
			sql = "insert into t values (1)"
		}
		k.send(&pgproto3.Query{String: sql})
	}
	eventually(t, w.holds)
	release()
	for _, k := range talks {
		k.c.SetReadDeadline(time.Now().Add(20 * time.Second))
		rest, err := io.ReadAll(k.c)
		if err != nil || !strings.Contains(string(rest), "C58030") {
			t.Errorf("%q %v", rest, err)
		}
	}
	w.mu.Lock()
	w.durable = nil
	w.mu.Unlock()
	if got := execSQL(w.connect(), "select count(*) from t"); got != "0" {
		t.Errorf("%s rows", got)
	}
}

// A session may be ended at any moment, also while it moves to its loop.
func TestSessionsEndAtOnce(t *testing.T) {
	w := newRelayWorld(t, oneLoop)
	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			for _, s := range w.srv.Sessions() {
				w.srv.Kill(s.ID)
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Microsecond):
			}
		}
	})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 15 {
				c, err := pgconn.Connect(context.Background(), w.dsn())
				if err != nil {
					continue // it was ended before it was ready
				}
				conn := c.Conn()
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.ReadAll(conn); errors.Is(err, errTimeout) {
					t.Error("a session goes on that was ended")
				}
				conn.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	killer.Wait()
	eventually(t, func() bool { return len(w.srv.Sessions()) == 0 })
}
