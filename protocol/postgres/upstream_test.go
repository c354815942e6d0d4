package postgres

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/internal/pgtest"
	"sluice/protocol"
)

// upstreamTarget is the superuser at database of a real server.
func upstreamTarget(s *pgtest.Server, database string) protocol.Target {
	return protocol.Target{Resource: access.Resource{Name: "shop", Protocol: "postgres", Address: s.Addr, Database: database},
		User: s.User, Password: access.NewSecret(s.Password)}
}

func upstreamTLS(t *testing.T, s *pgtest.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no CA")
	}
	return &tls.Config{RootCAs: pool}
}

func dialTest(t *testing.T, target protocol.Target, params map[string]string) *upstream {
	t.Helper()
	u, err := dialUpstream(t.Context(), target, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Conn.Close() })
	if len(u.Buffered) != 0 {
		t.Errorf("buffered %q", u.Buffered)
	}
	u.Conn.SetDeadline(time.Now().Add(time.Minute)) // a hang is a failure
	return u
}

// ask sends one query and returns the first column of its rows, and its error.
func (u *upstream) ask(t *testing.T, sql string) (string, *pgproto3.ErrorResponse) {
	t.Helper()
	f := pgproto3.NewFrontend(&prefixedConn{Conn: u.Conn, prefix: u.Buffered}, u.Conn)
	f.Send(&pgproto3.Query{String: sql})
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	var out []string
	var failed *pgproto3.ErrorResponse
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			out = append(out, string(m.Values[0]))
		case *pgproto3.ErrorResponse:
			e := *m
			failed = &e
		case *pgproto3.ReadyForQuery:
			return strings.Join(out, "\n"), failed
		}
	}
}

func TestDialUpstream(t *testing.T) {
	s := pgtest.Shared(t)
	verified := upstreamTLS(t, s)
	for name, test := range map[string]struct {
		tls  *tls.Config
		try  bool
		want string
	}{
		"clear":         {nil, false, "false"},
		"verified":      {verified, false, "true"},
		"preferred":     {verified, true, "true"},
		"not verified":  {&tls.Config{InsecureSkipVerify: true}, false, "true"},
		"name is given": {&tls.Config{RootCAs: verified.RootCAs, ServerName: "localhost"}, false, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			target := upstreamTarget(s, "postgres")
			target.TLS, target.TLSTry = test.tls, test.try
			u := dialTest(t, target, map[string]string{"application_name": "told", "timezone": "Asia/Tokyo"})
			got, failed := u.ask(t, "SELECT ssl::text || ' ' || current_setting('application_name') FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
			if failed != nil || got != test.want+" told" {
				t.Errorf("got %q, %+v", got, failed)
			}
			if u.TxStatus != 'I' || u.PID == 0 || len(u.Secret) != 4 || u.Params["TimeZone"] != "Asia/Tokyo" || u.Params["server_version"] == "" {
				t.Errorf("upstream %+v", u)
			}
			if _, isTLS := u.Conn.(*tls.Conn); isTLS != (test.want == "true") {
				t.Errorf("Conn is a %T", u.Conn)
			}
		})
	}
}

func TestDialSocket(t *testing.T) {
	s := pgtest.Shared(t)
	target := upstreamTarget(s, "postgres")
	_, port, _ := net.SplitHostPort(s.Addr)
	target.Resource.Address, target.Password = s.Dir+":"+port, access.Secret{}
	u := dialTest(t, target, nil)
	if got, failed := u.ask(t, "SELECT 1"); got != "1" || failed != nil {
		t.Errorf("got %q, %+v", got, failed)
	}
	if err := u.cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDialMethods(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{TLS: true, Config: []string{"password_encryption = md5"},
		HBA: []string{"local all all trust", "host all hasher 127.0.0.1/32 md5", "host all plain 127.0.0.1/32 password", "hostssl all holder 127.0.0.1/32 cert"}})
	s.Exec(t, "postgres", "CREATE ROLE hasher LOGIN PASSWORD 'h'", "CREATE ROLE plain LOGIN PASSWORD 'p'", "CREATE ROLE holder LOGIN")
	cert, key, err := s.ClientCertificate(t.TempDir(), "holder")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	withCert := upstreamTLS(t, s)
	withCert.Certificates = []tls.Certificate{pair}
	for user, test := range map[string]struct {
		password string
		tls      *tls.Config
	}{"hasher": {"h", nil}, "plain": {"p", nil}, "holder": {"", withCert}} {
		t.Run(user, func(t *testing.T) {
			target := upstreamTarget(s, "postgres")
			target.User, target.Password, target.TLS = user, access.NewSecret(test.password), test.tls
			if got, _ := dialTest(t, target, nil).ask(t, "SELECT current_user"); got != user {
				t.Errorf("connected as %q", got)
			}
		})
	}
}

// A password goes out in clear only where nobody can listen.
func TestDialMethodsByPlace(t *testing.T) {
	for host, clear := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "/run/postgresql": true, "10.0.0.1": false, "db.example.test": false} {
		if got := strings.Contains(dialMethods(false, host), "password"); got != clear {
			t.Errorf("%s: clear-text password allowed = %v", host, got)
		}
	}
	if !strings.Contains(dialMethods(true, "db.example.test"), "password") {
		t.Error("not inside TLS")
	}
}

func TestDialRefusals(t *testing.T) {
	s := pgtest.Shared(t)
	s.Exec(t, "postgres", "CREATE ROLE only_one LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
	t.Cleanup(func() { s.Exec(t, "postgres", "DROP ROLE only_one") })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, test := range map[string]struct {
		change func(*protocol.Target)
		params map[string]string
		code   string
		says   string
	}{
		"wrong password":   {func(p *protocol.Target) { p.Password = access.NewSecret("wrong-secret") }, nil, "08004", "refused the gateway's own credential"},
		"no such role":     {func(p *protocol.Target) { p.User = "nobody_here" }, nil, "08004", "refused the gateway's own credential"},
		"no such database": {func(p *protocol.Target) { p.Resource.Database = "nowhere" }, nil, "3D000", `database "nowhere" does not exist`},
		"too many":         {func(p *protocol.Target) { p.User, p.Password = "only_one", access.NewSecret("x") }, nil, "53300", "too many connections"},
		"unknown setting":  {nil, map[string]string{"no_such_setting": "1"}, "42704", "unrecognized configuration parameter"},
		"bad value":        {nil, map[string]string{"timezone": "Mars"}, "22023", "invalid value for parameter"},
		"fixed setting":    {nil, map[string]string{"port": "1"}, "55P02", "cannot be changed"},
		"nobody listens":   {func(p *protocol.Target) { p.Resource.Address = closed.Addr().String() }, nil, "08001", "cannot reach resource"},
		"no such host":     {func(p *protocol.Target) { p.Resource.Address = "no.such.host.invalid:5432" }, nil, "08001", "cannot reach resource"},
		"bad address":      {func(p *protocol.Target) { p.Resource.Address = "host:port:5432" }, nil, "08001", "cannot reach resource"},
		"unknown issuer":   {func(p *protocol.Target) { p.TLS = &tls.Config{RootCAs: x509.NewCertPool()} }, nil, "08001", "cannot reach resource"},
		"unknown issuer, preferred": {func(p *protocol.Target) {
			p.TLS, p.TLSTry = &tls.Config{RootCAs: x509.NewCertPool()}, true
		}, nil, "08001", "cannot reach resource"},
		"wrong name": {func(p *protocol.Target) { p.TLS = upstreamTLS(t, s); p.TLS.ServerName = "other.test" }, nil, "08001", "cannot reach resource"},
	} {
		t.Run(name, func(t *testing.T) {
			target := upstreamTarget(s, "postgres")
			if test.change != nil {
				test.change(&target)
			}
			u, err := dialUpstream(t.Context(), target, test.params)
			if err == nil {
				u.Conn.Close()
				t.Fatal("connected")
			}
			got := dialRefusal("shop", err)
			if got.Code != test.code || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %v from %v", got, err)
			}
			for _, secret := range []string{target.Password.Reveal(), target.User, s.Addr, "127.0.0.1"} {
				if text := got.Message + got.Detail + got.Hint; strings.Contains(text, secret) {
					t.Errorf("%q is told to the client: %s", secret, text)
				}
			}
			if strings.Contains(err.Error(), target.Password.Reveal()) {
				t.Errorf("the password is logged: %v", err)
			}
		})
	}
}

func TestDialWithoutTLSThere(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	target := upstreamTarget(s, "postgres")
	target.TLS = &tls.Config{InsecureSkipVerify: true}
	if u, err := dialUpstream(t.Context(), target, nil); err == nil {
		u.Conn.Close()
		t.Error("required TLS was not there, and still connected")
	}
	target.TLSTry = true
	if got, _ := dialTest(t, target, nil).ask(t, "SELECT 1"); got != "1" {
		t.Errorf("preferred TLS: got %q", got)
	}
}

// What a shell may hold for psql means nothing to the gateway.
func TestDialIgnoresEnvironment(t *testing.T) {
	s := pgtest.Shared(t)
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "PGHOST": "no.such.host.invalid", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGUSER": "stranger", "PGPASSWORD": "stolen",
		"PGDATABASE": "elsewhere", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": home + "/none.pem", "PGSSLCERT": home + "/none.crt",
		"PGSSLKEY": home + "/none.key", "PGSSLCERTMODE": "require", "PGSSLNEGOTIATION": "direct", "PGOPTIONS": "-c work_mem=64kB", "PGAPPNAME": "shell", "PGTZ": "Asia/Tokyo",
		"PGTARGETSESSIONATTRS": "standby", "PGCONNECT_TIMEOUT": "-1", "PGREQUIREAUTH": "none", "PGCHANNELBINDING": "require",
		"PGMINPROTOCOLVERSION": "latest", "PGMAXPROTOCOLVERSION": "latest", "PGSERVICEFILE": home + "/none.conf", "PGPASSFILE": home + "/none",
	} {
		t.Setenv(name, value)
	}
	u := dialTest(t, upstreamTarget(s, "postgres"), nil)
	got, failed := u.ask(t, "SELECT concat_ws(' ', current_user, current_database(), current_setting('work_mem'), current_setting('application_name'), current_setting('timezone') = 'Asia/Tokyo')")
	if failed != nil || got != "postgres postgres 4MB  f" {
		t.Errorf("got %q, %+v", got, failed)
	}
	t.Setenv("PGSERVICE", "shop")
	if _, err := dialUpstream(t.Context(), upstreamTarget(s, "postgres"), nil); !errors.Is(err, errDialService) {
		t.Errorf("PGSERVICE: %v", err)
	}
}

func TestCancelUpstream(t *testing.T) {
	s := pgtest.Shared(t)
	for name, cfg := range map[string]*tls.Config{"clear": nil, "TLS": upstreamTLS(t, s)} {
		t.Run(name, func(t *testing.T) {
			target := upstreamTarget(s, "postgres")
			target.TLS = cfg
			u := dialTest(t, target, nil)
			watcher := dialTest(t, target, nil)
			ended := make(chan *pgproto3.ErrorResponse, 1)
			go func() {
				_, failed := u.ask(t, "SELECT 'sleeper', pg_sleep(60)")
				ended <- failed
			}()
			for running := ""; running != "1"; { // until the server has begun with it
				running, _ = watcher.ask(t, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%''sleeper''%' AND pid <> pg_backend_pid()")
			}
			if err := u.cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			if failed := <-ended; failed == nil || failed.Code != "57014" {
				t.Errorf("got %+v", failed)
			}
		})
	}
}

// An upstreamScript is a server that plays fixed bytes once it has read the
// start-up message.
func upstreamScript(t *testing.T, play func(c net.Conn)) protocol.Target {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			play(c)
			defer c.Close()
		}
	}()
	return protocol.Target{Resource: access.Resource{Name: "script", Address: ln.Addr().String()}, User: "u"}
}

func upstreamGreeting(t *testing.T, more ...pgproto3.BackendMessage) []byte {
	t.Helper()
	var b []byte
	for _, m := range append([]pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "server_version", Value: "15"},
		&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte("a much longer secret key of 32 b")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}}, more...) {
		var err error
		if b, err = m.Encode(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// What the server says right behind ReadyForQuery belongs to the session, all
// of it, however it is cut into packets and whatever pgconn's own reader does.
func TestHijackLosesNothing(t *testing.T) {
	extra := &pgproto3.NotificationResponse{PID: 1, Channel: "c", Payload: strings.Repeat("x", 20000)}
	all := upstreamGreeting(t, extra)
	want, err := extra.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	readStartup := func(c net.Conn) {
		if _, err := pgproto3.NewBackend(c, c).ReceiveStartupMessage(); err != nil {
			t.Error(err)
		}
	}
	for name, test := range map[string]struct {
		play   func(c net.Conn)
		params map[string]string
	}{
		"in one piece": {func(c net.Conn) { readStartup(c); c.Write(all) }, nil},
		"byte by byte": {func(c net.Conn) {
			readStartup(c)
			for i := range all {
				c.Write(all[i : i+1])
			}
		}, nil},
		// The client's start-up message fills every buffer on the way: its write
		// takes long, and pgconn starts to read in the background meanwhile.
		"while pgconn still writes": {func(c net.Conn) {
			c.Write(all)
			for range 3 { // let it find that out
				time.Sleep(20 * time.Millisecond)
			}
			io.CopyN(io.Discard, c, 16<<20)
		}, map[string]string{"application_name": strings.Repeat("a", 16<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := dialUpstream(t.Context(), upstreamScript(t, test.play), test.params)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Conn.Close()
			expectNoReader(t)
			got := make([]byte, len(want))
			u.Conn.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.ReadFull(io.MultiReader(bytes.NewReader(u.Buffered), u.Conn), got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d buffered, %v; the message is damaged", len(u.Buffered), err)
			}
			if u.PID != 7 || len(u.Secret) != 32 || u.Params["server_version"] != "15" {
				t.Errorf("upstream %d, %q, %v", u.PID, u.Secret, u.Params)
			}
		})
	}
}

// expectNoReader fails if a goroutine of pgconn's is left reading. One that has
// been told to stop may take a moment to be gone.
func expectNoReader(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stacks := buf[:runtime.Stack(buf, true)]
		if !bytes.Contains(stacks, []byte("bgreader")) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a background reader is left:\n%s", stacks)
		}
	}
}

func TestDialGivesUp(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	target := upstreamScript(t, func(c net.Conn) { go func() { <-hang; c.Close() }() })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := dialUpstream(ctx, target, nil); err == nil {
		t.Error("connected to nobody")
	}
	huge := upstreamScript(t, func(c net.Conn) { c.Write([]byte("S\x7f\xff\xff\xff")) })
	if _, err := dialUpstream(t.Context(), huge, nil); err == nil || !strings.Contains(err.Error(), "invalid body length") {
		t.Errorf("a message of 2 GB: %v", err)
	}
}

// exactReader never hands out bytes of two messages at once.
func FuzzExactReader(f *testing.F) {
	f.Add([]byte("Z\x00\x00\x00\x05IZ\x00\x00\x00\x05I"), uint8(3))
	f.Add([]byte("Z\x00\x00\x00\x00Z\x00\x00\x00\x04"), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		r := &exactReader{r: iotest.OneByteReader(bytes.NewReader(stream))}
		if size%2 == 0 {
			r.r = bytes.NewReader(stream)
		}
		var all []byte
		for p := make([]byte, int(size)+1); ; {
			before := len(all)
			n, err := r.Read(p)
			all = append(all, p[:n]...)
			if n > 0 && upstreamMessages(stream, before) != upstreamMessages(stream, before+n-1) {
				t.Fatalf("bytes %d to %d in one read", before, len(all))
			}
			if err != nil {
				break
			}
		}
		if !bytes.Equal(all, stream) {
			t.Errorf("%x became %x", stream, all)
		}
	})
}

// upstreamMessages says which message of the stream byte at belongs to.
func upstreamMessages(stream []byte, at int) int {
	for n, start := 0, 0; ; n++ {
		end := start + 5
		if end <= len(stream) {
			size := int(uint32(stream[start+1])<<24 | uint32(stream[start+2])<<16 | uint32(stream[start+3])<<8 | uint32(stream[start+4]))
			end += max(size-4, 0)
		}
		if at < end || end > len(stream) {
			return n
		}
		start = end
	}
}
