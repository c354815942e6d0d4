package postgres

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/protocol"
)

// Request codes that stand where a StartupMessage has its protocol version
// (PostgreSQL documentation, "Message Formats").
const (
	startupCodeCancel = 1234<<16 | 5678
	startupCodeSSL    = 1234<<16 | 5679
	startupCodeGSS    = 1234<<16 | 5680
)

const (
	// startupMaxPacket is MAX_STARTUP_PACKET_LENGTH of the server (libpq/pqcomm.h).
	startupMaxPacket = 10000
	// startupNewestMinor is the newest minor version of protocol 3 that is spoken.
	startupNewestMinor = 2
	// startupTLSRecord is the first byte of a TLS handshake: a client that
	// does not ask first (sslnegotiation=direct).
	startupTLSRecord = 0x16
	// startupALPN is PostgreSQL's registered ALPN name.
	startupALPN = "postgresql"
)

// A greeter takes a client from its first byte to a proven identity. Safe for
// concurrent use; fields are not changed once in use.
type greeter struct {
	Directory protocol.Directory // required
	TLS       *tls.Config        // nil: SSLRequest is answered N
	// RequireTLS refuses clients that go on in clear.
	RequireTLS bool
}

// A startup is what is known of a client once it is greeted. Unless Cancel is
// set, Login is proven and AuthenticationOk has been sent; ParameterStatus,
// BackendKeyData and ReadyForQuery have not.
type startup struct {
	Conn     net.Conn // the client; a *tls.Conn if TLS
	Buffered []byte   // read from Conn beyond the start-up phase, to be used before Conn
	TLS      bool
	Minor    uint16 // minor version of protocol 3 that both speak: 0 to 2

	User     string
	Database string // inside the resource; empty: the resource's own
	Resource string // name as the client gave it; the user's name if it gave none

	// Params are all settings that the client asked for, by lower-case name:
	// those of "options" first, then overridden by the packet's own. sluice.*
	// are among them. See [startupForward].
	Params map[string]string

	// Replication is "" for a normal session, "true" for physical and
	// "database" for logical replication.
	Replication string

	Login  protocol.Login
	Cancel *cancelKey // set: this is no session but a request to cancel one
}

// Host returns the peer's IP address, or "" for a socket without one.
func (st *startup) Host() string { return startupHost(st.Conn) }

func startupHost(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// handshake greets one client: encryption, StartupMessage, authentication. It
// blocks as long as nc's deadline lets it. On failure the client has been told
// what a real server would have told it, nc is left for the caller to close,
// and the error says what happened: io.EOF in its chain means that the client
// left by itself, as psql does to prompt for a password.
func (g *greeter) handshake(ctx context.Context, nc net.Conn) (*startup, error) {
	n := &negotiation{conn: nc, r: bufio.NewReader(nc), greeter: g}
	st, err := n.run(ctx)
	if err != nil {
		var f *startupError
		if errors.As(err, &f) {
			writeStartupError(n.conn, f) // best effort: the client is being refused anyway
		}
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return st, nil
}

// A negotiation is one client's start-up phase.
type negotiation struct {
	*greeter
	conn    net.Conn
	r       *bufio.Reader // over conn
	tls     bool
	sslDone bool // asked for SSL once
	gssDone bool // asked for GSS once

	// binding is the hash of our certificate for SCRAM-SHA-256-PLUS; nil if
	// the connection is not encrypted or the certificate's signature has none.
	binding []byte
}

func (n *negotiation) run(ctx context.Context) (*startup, error) {
	if err := n.direct(ctx); err != nil {
		return nil, err
	}
	st, err := n.packets(ctx)
	if err != nil || st.Cancel != nil {
		return st, err
	}
	if n.RequireTLS && !n.tls {
		return nil, &startupError{Code: "28000", Message: "sluice: this listener requires TLS", Hint: "Connect with sslmode=require or stronger."}
	}
	if err := n.authenticate(ctx, st); err != nil {
		return nil, err
	}
	n.settle(st)
	return st, nil
}

// settle hands the connection over with whatever was read too much.
func (n *negotiation) settle(st *startup) {
	st.Conn, st.TLS = n.conn, n.tls
	st.Buffered, _ = n.r.Peek(n.r.Buffered())
	st.Buffered = bytes.Clone(st.Buffered)
}

// packets reads start-up packets until one opens a session or cancels one.
func (n *negotiation) packets(ctx context.Context) (*startup, error) {
	for {
		code, body, err := n.packet()
		if err != nil {
			return nil, err
		}
		switch {
		case code == startupCodeSSL && !n.sslDone:
			err = n.answerSSL(ctx)
		case code == startupCodeGSS && !n.gssDone:
			err = n.answerGSS()
		case code == startupCodeCancel:
			return n.cancel(body)
		default:
			return n.open(code, body)
		}
		if err != nil {
			return nil, err
		}
	}
}

// packet reads one start-up packet: a length, a code and the rest. A length
// out of bounds ends the connection without a word, as the server does: what
// talks to us is not a PostgreSQL client.
func (n *negotiation) packet() (code uint32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(n.r, head[:4]); err != nil {
		return 0, nil, fmt.Errorf("startup packet: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size < 8 || size > startupMaxPacket+4 {
		return 0, nil, fmt.Errorf("startup packet: invalid length %d", size)
	}
	if _, err := io.ReadFull(n.r, head[4:]); err != nil {
		return 0, nil, fmt.Errorf("startup packet: %w", err)
	}
	body = make([]byte, size-8)
	if _, err := io.ReadFull(n.r, body); err != nil {
		return 0, nil, fmt.Errorf("startup packet: %w", err)
	}
	return binary.BigEndian.Uint32(head[4:]), body, nil
}

// open answers a StartupMessage, short of authentication.
func (n *negotiation) open(version uint32, body []byte) (*startup, error) {
	p, err := parseStartup(version, body)
	if err != nil {
		return nil, err
	}
	st, err := p.startup()
	if err != nil {
		return nil, err
	}
	st.Conn, st.TLS = n.conn, n.tls
	if p.minor <= startupNewestMinor && len(p.unknown) == 0 {
		return st, nil
	}
	// The server sends the whole version here, not the minor alone.
	return st, n.send(&pgproto3.NegotiateProtocolVersion{
		NewestMinorProtocol: 3<<16 | uint32(st.Minor),
		UnrecognizedOptions: p.unknown,
	})
}

func (n *negotiation) cancel(body []byte) (*startup, error) {
	key, err := parseCancel(body)
	if err != nil {
		return nil, err
	}
	return &startup{Conn: n.conn, TLS: n.tls, Cancel: &key}, nil
}

// send writes messages in one go.
func (n *negotiation) send(messages ...pgproto3.BackendMessage) error {
	var buf []byte
	for _, m := range messages {
		var err error
		if buf, err = m.Encode(buf); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	if _, err := n.conn.Write(buf); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// A startupPacket is a StartupMessage taken apart but not yet believed.
type startupPacket struct {
	minor   uint16 // as asked for
	names   []string
	values  []string
	unknown []string // _pq_. extensions: none is supported
}

// parseStartup reads the body of a StartupMessage, whose layout is pairs of
// NUL-terminated strings up to an empty name. Like the server it accepts a
// missing pair of terminators nowhere.
func parseStartup(version uint32, body []byte) (*startupPacket, error) {
	if major := version >> 16; major != 3 {
		return nil, &startupError{Code: "0A000", Message: fmt.Sprintf(
			"unsupported frontend protocol %d.%d: server supports 3.0 to 3.%d", major, version&0xffff, startupNewestMinor)}
	}
	p := &startupPacket{minor: uint16(version)}
	for {
		name, rest, ok := bytes.Cut(body, []byte{0})
		if !ok {
			return nil, errStartupLayout
		}
		if len(name) == 0 {
			if len(rest) != 0 {
				return nil, errStartupLayout
			}
			return p, nil
		}
		value, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, errStartupLayout
		}
		p.add(string(name), string(value))
		body = rest
	}
}

var errStartupLayout = &startupError{Code: "08P01", Message: "invalid startup packet layout: expected terminator as last byte"}

func (p *startupPacket) add(name, value string) {
	if strings.HasPrefix(name, "_pq_.") {
		p.unknown = append(p.unknown, name)
		return
	}
	p.names = append(p.names, name)
	p.values = append(p.values, value)
}

// startup gives the pairs their meaning. Where a name comes twice the last one
// counts, as on the server.
func (p *startupPacket) startup() (*startup, error) {
	st := &startup{Minor: min(p.minor, startupNewestMinor), Params: map[string]string{}}
	own := map[string]string{}
	var database, options string
	for i, name := range p.names {
		value := p.values[i]
		switch name {
		case "user":
			st.User = value
		case "database":
			database = value
		case "options":
			options = value
		case "replication":
			mode, err := startupReplication(value)
			if err != nil {
				return nil, err
			}
			st.Replication = mode
		default:
			own[strings.ToLower(name)] = value
		}
	}
	if st.User == "" {
		return nil, &startupError{Code: "28000", Message: "no PostgreSQL user name specified in startup packet"}
	}
	st.Resource, st.Database = startupResource(database, st.User)
	return st, st.settings(options, own)
}

// settings merges the settings of "options" with those of the packet, which win.
func (st *startup) settings(options string, own map[string]string) error {
	if err := startupOptions(options, st.Params); err != nil {
		return err
	}
	for name, value := range own {
		st.Params[name] = value
	}
	return nil
}

// startupResource splits "resource" or "resource/database"; without either the
// user's name is taken, as the server does.
func startupResource(database, user string) (resource, inside string) {
	if database == "" {
		database = user
	}
	resource, inside, _ = strings.Cut(database, "/")
	return resource, inside
}

// startupReplication reads the replication parameter: a boolean, or "database".
func startupReplication(value string) (string, error) {
	if value == "database" {
		return value, nil
	}
	on, ok := startupBool(value)
	switch {
	case !ok:
		return "", &startupError{Code: "22023",
			Message: fmt.Sprintf("invalid value for parameter %q: %q", "replication", value),
			Hint:    `Valid values are: "false", 0, "true", 1, "database".`}
	case on:
		return "true", nil
	default:
		return "", nil
	}
}

// startupBool reads a boolean as the server's parse_bool does: any unique
// prefix of true, false, yes, no, on, off; or 1, 0.
func startupBool(s string) (value, ok bool) {
	low := strings.ToLower(s)
	prefix := func(word string, least int) bool {
		return len(low) >= least && strings.HasPrefix(word, low)
	}
	switch {
	case prefix("true", 1), prefix("yes", 1), low == "on", low == "1":
		return true, true
	case prefix("false", 1), prefix("no", 1), prefix("off", 2), low == "0":
		return false, true
	}
	return false, false
}

// A startupError ends a connection attempt with a FATAL of the server's form.
// It is safe to show to the client.
type startupError struct {
	Code    string // SQLSTATE
	Message string
	Detail  string // may be empty
	Hint    string // may be empty
}

// Error returns the message and its SQLSTATE.
func (e *startupError) Error() string { return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code) }

// response is the error as it goes to the client.
func (e *startupError) response() *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL",
		Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint,
	}
}

// writeStartupError tells the client why it is refused.
func writeStartupError(c io.Writer, e *startupError) error {
	buf, err := e.response().Encode(nil)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = c.Write(buf)
	return err
}

// authenticate proves who the client is and says AuthenticationOk. Nothing
// about the resource is looked at before: an unknown one is told only to those
// who proved an identity.
func (n *negotiation) authenticate(ctx context.Context, st *startup) error {
	if err := n.allowed(st); err != nil {
		return err
	}
	login, ok := n.certificate(ctx, st.User)
	if ok {
		st.Login = login
		return n.send(&pgproto3.AuthenticationOk{})
	}
	return n.scram(st)
}

// allowed asks whether this user may try from this address now.
func (n *negotiation) allowed(st *startup) error {
	if err := n.Directory.Allow(st.User, st.Host()); err != nil {
		return &startupError{Code: "28000", Message: "sluice: " + err.Error()}
	}
	return nil
}

// certificate accepts a client certificate that the TLS handshake verified. A
// certificate that says nothing of this user is no failure: libpq sends one
// whenever it has one, and the password still decides.
func (n *negotiation) certificate(ctx context.Context, user string) (protocol.Login, bool) {
	tc, ok := n.conn.(*tls.Conn)
	if !ok {
		return protocol.Login{}, false
	}
	chains := tc.ConnectionState().VerifiedChains
	if len(chains) == 0 {
		return protocol.Login{}, false
	}
	login, err := n.Directory.Certificate(ctx, user, chains[0])
	return login, err == nil && login.Subject.ID != ""
}
