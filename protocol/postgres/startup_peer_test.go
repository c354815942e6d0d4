package postgres

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/access"
	"sluice/protocol"
)

// A startupDirectory knows alice (two credentials) and bob, who has a
// certificate; it remembers what was reported to it.
type startupDirectory struct {
	passwords map[string][]string

	mu      sync.Mutex
	blocked string // user that may not try
	failed  []string
}

func newStartupDirectory() *startupDirectory {
	return &startupDirectory{passwords: map[string][]string{"alice": {"first", "token-2"}}, blocked: "mallory"}
}

const startupIterations = 1024

func (d *startupDirectory) SCRAM(user string) protocol.SCRAM {
	salt := sha256.Sum256([]byte("salt of " + user))
	s := protocol.SCRAM{Salt: salt[:16], Iterations: startupIterations}
	for i, p := range d.passwords[user] {
		s.Verifiers = append(s.Verifiers, startupVerifier(p, s, protocol.Login{
			Subject: access.Subject{Issuer: "local", ID: user}, Credential: "c" + strconv.Itoa(i)}))
	}
	return s
}

func startupVerifier(password string, s protocol.SCRAM, login protocol.Login) protocol.Verifier {
	salted, err := pbkdf2.Key(sha256.New, password, s.Salt, s.Iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	return protocol.Verifier{StoredKey: stored[:], ServerKey: mac("Server Key"), Login: login}
}

func (d *startupDirectory) Password(context.Context, string, access.Secret) (protocol.Login, error) {
	return protocol.Login{}, errors.New("not used")
}

func (d *startupDirectory) Certificate(_ context.Context, user string, chain []*x509.Certificate) (protocol.Login, error) {
	if chain[0].Subject.CommonName != user {
		return protocol.Login{}, errors.New("another user's certificate")
	}
	return protocol.Login{Subject: access.Subject{Issuer: "cert", ID: user}, Credential: "cert"}, nil
}

func (d *startupDirectory) Failed(user, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = append(d.failed, user+"@"+address)
}

func (d *startupDirectory) failures() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.failed)
}

func (d *startupDirectory) block(user string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blocked = user
}

func (d *startupDirectory) Allow(user, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if user == d.blocked {
		return errors.New("too many failed logins; try again in 30 s")
	}
	return nil
}

// A startupPeer is a listening greeter behind which every query is answered
// with one row: what the handshake found out.
type startupPeer struct {
	*greeter
	dir     *startupDirectory
	port    int
	cancels *cancelRegistry

	mu   sync.Mutex
	seen []*startup // handshakes that succeeded
	errs []error    // and those that did not
}

func newStartupPeer(t *testing.T, cfg *tls.Config) *startupPeer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &startupPeer{dir: newStartupDirectory(), port: ln.Addr().(*net.TCPAddr).Port, cancels: newCancelRegistry(time.Now)}
	p.greeter = &greeter{Directory: p.dir, TLS: cfg}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- protocol.Acceptor{Handle: p.serve, Grace: time.Millisecond}.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *startupPeer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *startupPeer) serve(ctx context.Context, c net.Conn, proven func()) {
	st, err := p.handshake(ctx, c)
	p.mu.Lock()
	if err != nil {
		p.errs = append(p.errs, err)
	} else {
		p.seen = append(p.seen, st)
	}
	p.mu.Unlock()
	if err != nil {
		return
	}
	proven()
	if st.Cancel != nil {
		p.cancels.request(ctx, st.Host(), *st.Cancel)
		return
	}
	p.session(st)
}

// last returns the newest successful handshake.
func (p *startupPeer) last(t *testing.T) *startup {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		t.Fatalf("no handshake succeeded; failures: %v", p.errs)
	}
	return p.seen[len(p.seen)-1]
}

func (p *startupPeer) session(st *startup) {
	cancelled := make(chan struct{}, 1)
	key, done := p.cancels.register(4711, st.Minor, func(context.Context) { cancelled <- struct{}{} })
	defer done()
	be := pgproto3.NewBackend(&prefixedConn{Conn: st.Conn, prefix: st.Buffered}, st.Conn)
	be.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
	be.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	be.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	be.Send(&pgproto3.BackendKeyData{ProcessID: key.PID, SecretKey: key.Secret})
	be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for be.Flush() == nil {
		m, err := be.Receive()
		if err != nil {
			return
		}
		q, ok := m.(*pgproto3.Query)
		if !ok {
			return
		}
		if q.String == "wait" {
			<-cancelled
			be.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014", Message: "canceled"})
			be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			continue
		}
		be.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("who"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}})
		row := st.Login.Subject.ID + "|" + st.Login.Credential + "|" + strconv.FormatBool(st.TLS) + "|" + st.Resource + "|" + st.Database
		be.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(row)}})
		be.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		be.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// A startupCA signs test certificates and keeps its own in a file.
type startupCA struct {
	cert *x509.Certificate
	key  crypto.Signer
	file string
	pool *x509.CertPool
}

func newStartupCA(t *testing.T, key crypto.Signer) *startupCA {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ca := &startupCA{cert: cert, key: key, file: filepath.Join(t.TempDir(), "ca.pem"), pool: x509.NewCertPool()}
	ca.pool.AddCert(cert)
	startupPEM(t, ca.file, "CERTIFICATE", der)
	return ca
}

func startupPEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue makes a certificate for name, which is also its host name.
func (ca *startupCA) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := startupECKey(t, elliptic.P256())
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func startupECKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func startupRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func startupEdKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A rawClient speaks the start-up phase by hand.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (p *startupPeer) raw(t *testing.T) *rawClient {
	t.Helper()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second)) // a hang is a failure, not a timeout of the suite
	return &rawClient{t, c, bufio.NewReader(c)}
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) encode(m interface{ Encode([]byte) ([]byte, error) }) []byte {
	c.t.Helper()
	b, err := m.Encode(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// tls asks for encryption and does the handshake.
func (c *rawClient) tls(cfg *tls.Config) {
	c.t.Helper()
	c.write(c.encode(&pgproto3.SSLRequest{}))
	if b, err := c.r.ReadByte(); err != nil || b != 'S' {
		c.t.Fatalf("answer to SSLRequest: %q, %v", b, err)
	}
	tc := tls.Client(c.conn, cfg)
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.r = tc, bufio.NewReader(tc)
}

// receive reads one message from the server.
func (c *rawClient) receive() (pgproto3.BackendMessage, error) {
	return pgproto3.NewFrontend(&exactReader{r: c.r}, c.conn).Receive()
}

// refusal reads up to the FATAL and returns it.
func (c *rawClient) refusal() *pgproto3.ErrorResponse {
	c.t.Helper()
	for {
		m, err := c.receive()
		if err != nil {
			c.t.Fatalf("no ErrorResponse: %v", err)
		}
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			return e
		}
	}
}

// startupMessage is a StartupMessage with pairs in the given order.
func startupMessage(version uint32, pairs ...string) []byte {
	body := []byte{byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version)}
	for _, s := range pairs {
		body = append(append(body, s...), 0)
	}
	return startupFrame(append(body, 0))
}

// startupFrame puts the length before a packet.
func startupFrame(body []byte) []byte {
	n := len(body) + 4
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}
