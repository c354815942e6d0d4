package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/internal/eventloop"
	"sluice/protocol"
)

const (
	// dialTimeout bounds one attempt to open an upstream session, from the TCP
	// connection to ReadyForQuery.
	dialTimeout = 15 * time.Second
	// dialMaxMessage bounds one message of the upstream's start-up phase.
	// ParameterStatus and errors are small; 256 KiB leaves room for notices.
	dialMaxMessage = 256 << 10
	// dialPort is used where an address names none.
	dialPort = "5432"
)

// An upstream is a session that has been opened and authenticated, idle and
// owned by nobody: no goroutine reads it and no byte of it is lost.
type upstream struct {
	Conn     net.Conn // a *tls.Conn if encrypted
	Buffered []byte   // read from Conn already, to be used before Conn
	PID      uint32
	Secret   []byte
	Params   map[string]string // as reported by ParameterStatus
	TxStatus byte              // of the first ReadyForQuery: I

	network, address string      // where a cancel request must go: this very server
	tls              *tls.Config // nil: not encrypted
}

// dialUpstream opens a session at t with the settings in params. The error
// tells everything and is for the log; [dialRefusal] says what a client may hear.
// Nothing is taken from the environment or the home directory of the process.
func dialUpstream(ctx context.Context, t protocol.Target, params map[string]string) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d, err := newDialing(t, params)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.Resource.Name, err)
	}
	pc, err := d.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.Resource.Name, err)
	}
	u, err := d.hijack(pc)
	if err != nil {
		pc.Conn().Close()
		return nil, fmt.Errorf("dial %s: %w", t.Resource.Name, err)
	}
	return u, nil
}

// A dialing is one attempt to reach a target.
type dialing struct {
	cfg     *pgconn.Config
	try     bool         // TLS is preferred, not required
	exact   *exactReader // of the latest connection
	refused atomic.Bool  // the server answered N to SSLRequest
}

// dialSettings is a connection string that leaves nothing for pgconn to look
// up: every setting that it would take from PG* variables, a password file or
// default certificates is named. The values are replaced afterwards.
const dialSettings = "host=127.0.0.1 port=5432 user=x password=x database=x passfile='' sslmode=disable " +
	"sslcert='' sslkey='' sslrootcert='' sslpassword='' sslcertmode=allow sslnegotiation=postgres sslsni=1 " +
	"target_session_attrs=any connect_timeout=0 channel_binding=prefer require_auth='' application_name='' " +
	"min_protocol_version=3.0 max_protocol_version=3.0 options='' timezone=''"

// errDialService: PGSERVICE is the one variable that a connection string cannot
// overrule.
var errDialService = errors.New("the environment variable PGSERVICE is set for this process: unset it")

func newDialing(t protocol.Target, params map[string]string) (*dialing, error) {
	if os.Getenv("PGSERVICE") != "" {
		return nil, errDialService
	}
	cfg, err := pgconn.ParseConfig(dialSettings)
	if err != nil {
		return nil, err
	}
	host, port, err := dialAddress(t.Resource.Address)
	if err != nil {
		return nil, err
	}
	d := &dialing{cfg: cfg, try: t.TLSTry}
	cfg.Host, cfg.Port = host, port
	cfg.User, cfg.Password, cfg.Database = t.User, t.Password.Reveal(), t.Resource.Database
	cfg.TLSConfig = dialTLS(t.TLS, host)
	cfg.Fallbacks = nil
	cfg.RuntimeParams = maps.Clone(params)
	cfg.MaxProtocolMessageBodyLen = dialMaxMessage
	cfg.RequireAuth = dialMethods(cfg.TLSConfig != nil, host)
	cfg.DialFunc = d.dial
	cfg.BuildFrontend = d.frontend
	return d, nil
}

// dialAddress splits host:port, host, a socket's directory or directory:port.
func dialAddress(address string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		host, digits = strings.Trim(address, "[]"), dialPort
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if host == "" || err != nil {
		return "", 0, fmt.Errorf("address %q: want host:port", address)
	}
	return host, uint16(n), nil
}

// dialTLS makes verification name the host that was asked for.
func dialTLS(c *tls.Config, host string) *tls.Config {
	if c == nil || strings.HasPrefix(host, "/") {
		return nil
	}
	c = c.Clone()
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

// dialMethods are the ways to prove ourselves that an upstream may ask for. A
// password is given away in clear only inside TLS or on this machine.
func dialMethods(encrypted bool, host string) string {
	ip := net.ParseIP(host)
	if encrypted || strings.HasPrefix(host, "/") || host == "localhost" || ip.IsLoopback() {
		return "scram-sha-256,md5,password,none"
	}
	return "scram-sha-256,md5,none"
}

// connect opens the session. It falls back to clear text only where TLS is
// merely preferred and the server said itself that it has none.
func (d *dialing) connect(ctx context.Context) (*pgconn.PgConn, error) {
	pc, err := pgconn.ConnectConfig(ctx, d.cfg)
	if err == nil || !d.try || d.cfg.TLSConfig == nil || !d.refused.Load() {
		return pc, err
	}
	d.cfg.TLSConfig = nil
	d.cfg.RequireAuth = dialMethods(false, d.cfg.Host)
	return pgconn.ConnectConfig(ctx, d.cfg)
}

// dial opens the network connection. pgconn may call it from a goroutine of its
// own, to cancel what it gave up on.
func (d *dialing) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c = eventloop.Wrap(c)
	if d.try && d.cfg.TLSConfig != nil {
		return &firstByteConn{Conn: c, refused: &d.refused}, nil
	}
	return c, nil
}

func (d *dialing) frontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	d.exact = &exactReader{r: r}
	return pgproto3.NewFrontend(d.exact, w)
}

// hijack takes the connection out of pgconn's hands. exactReader saw to it that
// nothing was read beyond ReadyForQuery from pgconn's reader; but that reader
// itself may have read ahead, and a goroutine of it may still be reading, if
// one of pgconn's writes took long (its defence against mutual write blocks).
// A read under a deadline that has passed ends that goroutine and yields what
// it holds, without touching the socket.
func (d *dialing) hijack(pc *pgconn.PgConn) (*upstream, error) {
	hc, err := pc.Hijack()
	if err != nil {
		return nil, err
	}
	if err := hc.Conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, fmt.Errorf("hijack: %w", err)
	}
	buffered, err := drain(d.exact.r)
	if err != nil {
		return nil, fmt.Errorf("hijack: %w", err)
	}
	if err := hc.Conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("hijack: %w", err)
	}
	u := &upstream{
		Conn: hc.Conn, Buffered: buffered,
		PID: hc.PID, Secret: hc.SecretKey, Params: hc.ParameterStatuses, TxStatus: hc.TxStatus,
		tls: hc.TLSConfig,
	}
	u.network, u.address = d.peer(hc.Conn)
	return u, nil
}

// peer is where the connection leads. A name may stand for several servers, so
// it is the peer's address; but that of a unix socket is not one to dial.
func (d *dialing) peer(c net.Conn) (network, address string) {
	if a := c.RemoteAddr(); a.Network() != "unix" {
		return a.Network(), a.String()
	}
	return pgconn.NetworkAddress(d.cfg.Host, d.cfg.Port)
}

// drain reads until the deadline, which must have passed already, stops it.
func drain(r io.Reader) ([]byte, error) {
	var all []byte
	buf := make([]byte, 8192)
	for len(all) <= dialMaxMessage {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too much unread data")
}

// An exactReader reads a stream of PostgreSQL messages and never returns bytes
// of two messages, or of a header and a body, in one Read; so a buffering
// reader above it holds nothing once it has got a whole message.
type exactReader struct {
	r    io.Reader
	head [5]byte
	got  int    // bytes of head seen
	body uint32 // bytes of the body still to come
}

// Read returns the rest of the header or body that is due, or part of it.
func (e *exactReader) Read(p []byte) (int, error) {
	if e.body > 0 {
		n, err := e.r.Read(p[:min(len(p), int(e.body))])
		e.body -= uint32(n)
		return n, err
	}
	n, err := e.r.Read(p[:min(len(p), len(e.head)-e.got)])
	e.got += copy(e.head[e.got:], p[:n])
	if e.got == len(e.head) {
		e.got = 0
		// A length below 4 is an error that the reader above reports.
		if size := binary.BigEndian.Uint32(e.head[1:]); size > 4 {
			e.body = size - 4
		}
	}
	return n, err
}

// A firstByteConn notices that the first byte ever read is N: the answer to an
// SSLRequest of a server without TLS.
type firstByteConn struct {
	net.Conn
	refused *atomic.Bool
	seen    bool
}

// NetConn returns the connection below.
func (c *firstByteConn) NetConn() net.Conn { return c.Conn }

// Read reads from the connection.
func (c *firstByteConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.seen {
		c.seen = true
		c.refused.Store(p[0] == 'N')
	}
	return n, err
}

// cancel asks the upstream to stop what the session is running. Like libpq it
// waits for the server to close the connection, which says that the signal was
// sent; it then may still arrive too late. The request is encrypted if the
// session is.
func (u *upstream) cancel(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	if err := u.sendCancel(ctx); err != nil {
		return fmt.Errorf("cancel upstream: %w", err)
	}
	return nil
}

func (u *upstream) sendCancel(ctx context.Context) error {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, u.network, u.address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if u.tls != nil {
		if c, err = dialCancelTLS(ctx, c, u.tls); err != nil {
			return err
		}
	}
	request, err := (&pgproto3.CancelRequest{ProcessID: u.PID, SecretKey: u.Secret}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := c.Write(request); err != nil {
		return err
	}
	// The server says nothing; any end of the connection will do.
	_, err = io.CopyN(io.Discard, c, 1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func dialCancelTLS(ctx context.Context, c net.Conn, cfg *tls.Config) (net.Conn, error) {
	request, err := (&pgproto3.SSLRequest{}).Encode(nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, errors.New("server refused TLS")
	}
	tc := tls.Client(c, cfg)
	return tc, tc.HandshakeContext(ctx)
}

// dialHarmless are the upstream's refusals whose own words may reach a client:
// they are about the database and the settings that the client itself named.
// Others speak of the upstream's account and addresses.
var dialHarmless = map[string]bool{
	"3D000": true, // database does not exist
	"22023": true, // invalid value for a setting
	"22021": true, // not in the encoding
	"42704": true, // no such setting
	"42501": true, // no permission to set, or to connect to the database
	"42602": true, // invalid name of a setting
	"55P02": true, // setting cannot be changed now
	"0A000": true, // no conversion for client_encoding
}

// dialRefusal says what a client may hear of a failed dialUpstream.
func dialRefusal(resource string, err error) *startupError {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return &startupError{Code: "08001", Message: fmt.Sprintf("sluice: cannot reach resource %q", resource),
			Hint: "The gateway's log says why."}
	}
	switch {
	case dialHarmless[pe.Code]:
		return &startupError{Code: pe.Code, Message: pe.Message, Hint: pe.Hint}
	case pe.Code == "53300":
		return &startupError{Code: pe.Code, Message: fmt.Sprintf("sluice: resource %q has too many connections", resource)}
	case strings.HasPrefix(pe.Code, "57P"):
		return &startupError{Code: pe.Code, Message: fmt.Sprintf("sluice: resource %q is not accepting connections now", resource)}
	case strings.HasPrefix(pe.Code, "28"):
		return &startupError{Code: "08004", Message: fmt.Sprintf("sluice: resource %q refused the gateway's own credential", resource),
			Hint: "Ask those who run the gateway; its log says why."}
	default:
		return &startupError{Code: "08006", Message: fmt.Sprintf("sluice: cannot open a session at resource %q", resource),
			Hint: "The gateway's log says why."}
	}
}
