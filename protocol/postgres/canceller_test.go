package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
)

// loseCancels puts a network before the server on which the first n cancels go
// astray, and returns how many were sent.
func (w *relayWorld) loseCancels(n int64) (sent *atomic.Int64) {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ln.Close() })
	w.via = ln.Addr().String()
	sent = new(atomic.Int64)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go w.carry(c, func() bool { return sent.Add(1) <= n })
		}
	}()
	return sent
}

// carry relays one connection, but for a cancel that is to be lost.
func (w *relayWorld) carry(c net.Conn, lost func() bool) {
	defer c.Close()
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	const cancelRequest = 80877102
	if binary.BigEndian.Uint32(head[4:]) == cancelRequest && lost() {
		return
	}
	up, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.pg.Port))
	if err != nil {
		return
	}
	defer up.Close()
	up.Write(head[:])
	go func() {
		io.Copy(up, c)
		up.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, up)
}

// A result without end ends although the cancel was lost, and what comes behind
// it is not hit by those that were not.
func TestALostCancelIsRepeated(t *testing.T) {
	w := newRelayWorld(t, func(srv *Server) { srv.cancelAgain = time.Millisecond })
	sent := w.loseCancels(2)
	w.decide = limitAll(access.Limit{Rows: 3})
	k := w.talk()
	k.warnings = true
	const endless = "select generate_series(1, 1000000000000)"
	for i := range 5 {
		for sql, want := range map[string]string{endless: "T D(1) D(2) D(3) W C(SELECT 3) ZI", "select pg_sleep(0.02), 1": "T D(|1) C(SELECT 1) ZI"} {
			k.send(&pgproto3.Query{String: sql})
			if got := k.until(1); got != want {
				t.Errorf("round %d: %s", i, got)
			}
		}
	}
	if n := sent.Load(); n < 7 {
		t.Errorf("%d cancels", n)
	}
}

// Where no cancel arrives the session is given up, and with it the statement.
func TestCancelsInVain(t *testing.T) {
	w := newRelayWorld(t, func(srv *Server) { srv.cancelAgain = time.Microsecond })
	w.loseCancels(1 << 60)
	w.decide = limitAll(access.Limit{Rows: 3})
	c := w.connect()
	got := execSQL(c, "select generate_series(1, 1000000000000)")
	if !strings.Contains(got, "57014 sluice: a result that goes on behind its limit could not be stopped") {
		t.Error(got)
	}
	w.decide = limitAll(access.Limit{Timeout: time.Millisecond})
	got = execSQL(w.connect(), "select pg_sleep(600)")
	if !strings.Contains(got, "57014 sluice: a statement that ran too long could not be cancelled, by p/l") {
		t.Error(got)
	}
}
