package postgres

import (
	"crypto/elliptic"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

const version30 = 3 << 16

func TestParseStartup(t *testing.T) {
	for name, test := range map[string]struct {
		pairs []string
		want  startup
	}{
		"name and resource": {
			[]string{"user", "alice", "database", "shop"},
			startup{User: "alice", Resource: "shop", Params: map[string]string{}}},
		"database inside": {
			[]string{"user", "alice", "database", "shop/orders/x"},
			startup{User: "alice", Resource: "shop", Database: "orders/x", Params: map[string]string{}}},
		"no database": {
			[]string{"user", "alice"},
			startup{User: "alice", Resource: "alice", Params: map[string]string{}}},
		"settings fold": {
			[]string{"user", "a", "DateStyle", "ISO", "application_name", "psql"},
			startup{User: "a", Resource: "a", Params: map[string]string{"datestyle": "ISO", "application_name": "psql"}}},
		"packet over options": {
			[]string{"user", "a", "TimeZone", "UTC", "options", "-c timezone=Asia/Tokyo --geqo=off"},
			startup{User: "a", Resource: "a", Params: map[string]string{"timezone": "UTC", "geqo": "off"}}},
		"sluice settings": {
			[]string{"user", "a", "options", `-c sluice.reason=because\ of\ 42 -csluice.wait=0`},
			startup{User: "a", Resource: "a", Params: map[string]string{"sluice.reason": "because of 42", "sluice.wait": "0"}}},
		"logical replication": {
			[]string{"user", "a", "replication", "database", "database", "r"},
			startup{User: "a", Resource: "r", Replication: "database", Params: map[string]string{}}},
		"physical replication": {
			[]string{"user", "a", "replication", "t"},
			startup{User: "a", Resource: "a", Replication: "true", Params: map[string]string{}}},
		"no replication": {
			[]string{"user", "a", "replication", "off"},
			startup{User: "a", Resource: "a", Params: map[string]string{}}},
		"the last one counts": {
			[]string{"user", "a", "user", "b", "x.y", "1", "x.y", "2"},
			startup{User: "b", Resource: "b", Params: map[string]string{"x.y": "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseStartup(version30, startupMessage(version30, test.pairs...)[8:])
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.startup()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, test.want) {
				t.Errorf("got  %+v\nwant %+v", *got, test.want)
			}
		})
	}
}

func TestParseStartupRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		version uint32
		body    string
		code    string
	}{
		"protocol 2":            {2 << 16, "", "0A000"},
		"protocol 4":            {4 << 16, "\x00", "0A000"},
		"SSL code again":        {startupCodeSSL, "", "0A000"},
		"empty":                 {version30, "", "08P01"},
		"no terminator":         {version30, "user\x00alice\x00", "08P01"},
		"name without value":    {version30, "user\x00", "08P01"},
		"bytes behind":          {version30, "user\x00alice\x00\x00x", "08P01"},
		"no user":               {version30, "database\x00shop\x00\x00", "28000"},
		"empty user":            {version30, "user\x00\x00database\x00shop\x00\x00", "28000"},
		"replication nonsense":  {version30, "user\x00a\x00replication\x00maybe\x00\x00", "22023"},
		"option without value":  {version30, "user\x00a\x00options\x00-c geqo\x00\x00", "42601"},
		"option not a setting":  {version30, "user\x00a\x00options\x00-d 5\x00\x00", "42601"},
		"option without dash":   {version30, "user\x00a\x00options\x00geqo=off\x00\x00", "42601"},
		"option lacks argument": {version30, "user\x00a\x00options\x00-c\x00\x00", "42601"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseStartup(test.version, []byte(test.body))
			if err == nil {
				_, err = p.startup()
			}
			var f *startupError
			if !errors.As(err, &f) || f.Code != test.code {
				t.Errorf("got %v, want SQLSTATE %s", err, test.code)
			}
		})
	}
}

func TestStartupForward(t *testing.T) {
	params := map[string]string{"application_name": "x", "role": "root", "sluice.wait": "3", "client_encoding": "utf-8"}
	got, err := startupForward(params, false)
	want := map[string]string{"application_name": "x", "role": "root", "client_encoding": "utf-8"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("unrestricted: %v, %v", got, err)
	}
	for name, value := range map[string]string{
		"role": "root", "standard_conforming_strings": "off", "client_encoding": "SJIS", "row_security": "off",
		"session_preload_libraries": "x", "default_transaction_read_only": "off", "log_statement": "none", "my.own": "1",
	} {
		if _, err := startupForward(map[string]string{name: value}, true); err == nil || err.Code != "42501" {
			t.Errorf("restricted: %s = %s: %v", name, value, err)
		}
	}
	if _, err := startupForward(map[string]string{"client_encoding": "LATIN1"}, true); err == nil || !strings.Contains(err.Hint, "UTF8") {
		t.Errorf("LATIN1: %+v does not say what would be allowed", err)
	}
	if _, err := startupForward(map[string]string{"client_encoding": "SQL_ASCII"}, true); err != nil {
		t.Errorf("SQL_ASCII: %v", err)
	}
	allowed := map[string]string{"timezone": "UTC", "client_encoding": "'UTF8'", "sluice.reason": "why", "search_path": "a"}
	if got, err := startupForward(allowed, true); err != nil || len(got) != 3 {
		t.Errorf("restricted, harmless: %v, %v", got, err)
	}
}

// raw conversations with a server that has TLS
func TestHandshakeByHand(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	p := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}})
	ssl, gss := startupFrame(binary.BigEndian.AppendUint32(nil, startupCodeSSL)), startupFrame(binary.BigEndian.AppendUint32(nil, startupCodeGSS))
	hello := startupMessage(version30, "user", "alice")

	t.Run("bytes behind SSLRequest", func(t *testing.T) {
		c := p.raw(t)
		c.write(append(append([]byte{}, ssl...), hello...))
		expectByte(t, c, 'S')
		if e := c.refusal(); e.Code != "08P01" || !strings.Contains(e.Message, "received unencrypted data after SSL request") {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("bytes behind GSSENCRequest", func(t *testing.T) {
		c := p.raw(t)
		c.write(append(append([]byte{}, gss...), hello...))
		expectByte(t, c, 'N')
		if e := c.refusal(); e.Code != "08P01" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("GSSENCRequest then SSLRequest", func(t *testing.T) {
		c := p.raw(t)
		c.write(gss)
		expectByte(t, c, 'N')
		c.tls(&tls.Config{InsecureSkipVerify: true})
		c.write(hello)
		if m, err := c.receive(); err != nil || !reflect.DeepEqual(m, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{scramPlusName, scramName}}) {
			t.Errorf("got %#v, %v", m, err)
		}
	})
	t.Run("GSSENCRequest twice", func(t *testing.T) {
		c := p.raw(t)
		c.write(gss)
		expectByte(t, c, 'N')
		c.write(gss)
		if e := c.refusal(); e.Code != "0A000" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("SSLRequest inside TLS", func(t *testing.T) {
		c := p.raw(t)
		c.tls(&tls.Config{InsecureSkipVerify: true})
		c.write(ssl)
		if e := c.refusal(); e.Code != "0A000" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		c := p.raw(t)
		c.write(ssl)
		expectByte(t, c, 'S')
		tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if err := tc.Handshake(); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("foreign ALPN", func(t *testing.T) {
		c := p.raw(t)
		c.write(ssl)
		expectByte(t, c, 'S')
		tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := tc.Handshake(); err == nil {
			t.Error("accepted")
		}
	})
	for name, test := range map[string]struct {
		message []byte
		code    string
	}{
		"blocked":    {startupMessage(version30, "user", "mallory"), "28000"},
		"no user":    {startupMessage(version30, "database", "shop"), "28000"},
		"protocol 2": {startupMessage(2<<16, "user", "alice"), "0A000"},
		"layout":     {startupFrame([]byte("\x00\x03\x00\x00user\x00alice\x00")), "08P01"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.raw(t)
			c.write(test.message)
			if e := c.refusal(); e.Code != test.code || e.Severity != "FATAL" {
				t.Errorf("got %+v", e)
			}
			expectEOF(t, c)
		})
	}
	for name, message := range map[string][]byte{
		"too short":  {0, 0, 0, 7, 0, 3, 0},
		"too long":   {0, 0, 0x27, 0x15, 0, 3, 0, 0},
		"HTTP":       []byte("GET / HTTP/1.1\r\n\r\n"),
		"bad cancel": startupFrame([]byte{4, 210, 22, 46, 0, 0, 0, 1, 2, 3, 4}),
	} {
		t.Run(name, func(t *testing.T) {
			c := p.raw(t)
			c.write(message)
			expectEOF(t, c)
		})
	}
}

func TestDirectTLS(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	with := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}})
	without := newStartupPeer(t, nil)
	cfg := &tls.Config{RootCAs: ca.pool, ServerName: "localhost", NextProtos: []string{startupALPN}}

	c := with.raw(t)
	tc := tls.Client(c.conn, cfg)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if got := tc.ConnectionState().NegotiatedProtocol; got != startupALPN {
		t.Errorf("ALPN = %q", got)
	}
	if _, err := tc.Write(startupMessage(version30, "user", "alice")); err != nil {
		t.Fatal(err)
	}
	if m, err := pgproto3.NewFrontend(tc, tc).Receive(); err != nil || len(m.(*pgproto3.AuthenticationSASL).AuthMechanisms) != 2 {
		t.Errorf("got %v, %v", m, err)
	}

	c = with.raw(t)
	tc = tls.Client(c.conn, &tls.Config{RootCAs: ca.pool, ServerName: "localhost"})
	if err := tc.Handshake(); err == nil {
		tc.Write(startupMessage(version30, "user", "alice"))
		if b, err := tc.Read(make([]byte, 1)); err == nil {
			t.Errorf("without ALPN: read %d bytes", b)
		}
	}
	c = without.raw(t)
	if err := tls.Client(c.conn, cfg).Handshake(); err == nil {
		t.Error("without a certificate: accepted")
	}
}

func TestNegotiateProtocolVersion(t *testing.T) {
	p := newStartupPeer(t, nil)
	for name, test := range map[string]struct {
		message []byte
		want    *pgproto3.NegotiateProtocolVersion
	}{
		"3.0":              {startupMessage(version30, "user", "alice"), nil},
		"3.2":              {startupMessage(version30|2, "user", "alice"), nil},
		"3.9":              {startupMessage(version30|9, "user", "alice"), &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: version30 | 2, UnrecognizedOptions: []string{}}},
		"3.0 with options": {startupMessage(version30, "user", "alice", "_pq_.x", "1", "_pq_.y", ""), &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: version30, UnrecognizedOptions: []string{"_pq_.x", "_pq_.y"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.raw(t)
			c.write(test.message)
			m, err := c.receive()
			if err != nil {
				t.Fatal(err)
			}
			if _, plain := m.(*pgproto3.AuthenticationSASL); plain && test.want == nil {
				return
			}
			if !reflect.DeepEqual(m, test.want) {
				t.Errorf("got %#v", m)
			}
		})
	}
}

func TestRequireTLS(t *testing.T) {
	p := newStartupPeer(t, nil)
	p.RequireTLS = true
	c := p.raw(t)
	c.write(startupMessage(version30, "user", "alice"))
	if e := c.refusal(); e.Code != "28000" {
		t.Errorf("got %+v", e)
	}
}

func expectByte(t *testing.T, c *rawClient, want byte) {
	t.Helper()
	if b, err := c.r.ReadByte(); err != nil || b != want {
		t.Fatalf("got %q, %v; want %q", b, err, want)
	}
}

// expectEOF wants the connection closed without another byte.
func expectEOF(t *testing.T, c *rawClient) {
	t.Helper()
	b, err := c.r.ReadByte()
	var ne net.Error
	if err == nil || errors.As(err, &ne) && ne.Timeout() {
		t.Errorf("got %q, %v; want the end of the connection", b, err)
	}
}

func FuzzParseStartup(f *testing.F) {
	f.Add(uint32(version30), []byte("user\x00alice\x00options\x00-c a=b\x00\x00"))
	f.Add(uint32(version30|7), []byte("_pq_.x\x00\x00user\x00a\x00replication\x00true\x00\x00"))
	f.Add(uint32(startupCodeCancel), []byte("\x00\x00\x00\x01secret"))
	f.Fuzz(func(t *testing.T, version uint32, body []byte) {
		p, err := parseStartup(version, body)
		if err != nil {
			return
		}
		st, err := p.startup()
		if err != nil {
			return
		}
		if st.User == "" {
			t.Errorf("accepted without a user: %+v", st)
		}
		if st.Minor > startupNewestMinor {
			t.Errorf("minor %d", st.Minor)
		}
	})
}

// FuzzHandshake throws bytes at a whole handshake over a pipe: it must end by
// itself, and never with a proven identity.
func FuzzHandshake(f *testing.F) {
	f.Add(startupMessage(version30, "user", "alice"))
	f.Add(append(startupMessage(version30, "user", "alice"), "p\x00\x00\x00\x20SCRAM-SHA-256\x00\x00\x00\x00\x06n,,n=,r=x"...))
	f.Add([]byte("\x16\x03\x01"))
	f.Add(startupFrame(binary.BigEndian.AppendUint32(nil, startupCodeSSL)))
	g := &greeter{Directory: newStartupDirectory()}
	f.Fuzz(func(t *testing.T, in []byte) {
		st, err := g.handshake(t.Context(), &scriptConn{in: in})
		if err == nil && st.Cancel == nil {
			t.Errorf("proven: %+v", st)
		}
	})
}

// A scriptConn plays a client's bytes and swallows the answers.
type scriptConn struct {
	net.Conn
	in []byte
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error) { return len(p), nil }

func (c *scriptConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
