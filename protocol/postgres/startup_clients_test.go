package postgres

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/internal/pgserver"
)

// psql runs a query with libpq and returns its output, errors included.
func (p *startupPeer) psql(t *testing.T, query string, settings ...string) (string, error) {
	t.Helper()
	dsn := fmt.Sprintf("hostaddr=127.0.0.1 port=%d %s", p.port, strings.Join(settings, " "))
	cmd := exec.Command(pgserver.Program("psql"), "-XqAtw", dsn, "-c", query)
	cmd.Env = append(pgserver.CleanEnv(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestPsql(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	secure := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "gate.test")}})
	clear := newStartupPeer(t, nil)
	root := "sslrootcert=" + ca.file
	for name, test := range map[string]struct {
		peer     *startupPeer
		settings string
		want     string // the row, or part of the error
		fails    bool
	}{
		"disable":               {secure, "user=alice password=first dbname=shop sslmode=disable", "alice|c0|false|shop|", false},
		"prefer":                {secure, "user=alice password=first dbname=shop sslmode=prefer", "alice|c0|true|shop|", false},
		"allow":                 {secure, "user=alice password=first dbname=shop sslmode=allow", "alice|c0|false|shop|", false},
		"require":               {secure, "user=alice password=first dbname=shop sslmode=require", "alice|c0|true|shop|", false},
		"verify-ca":             {secure, "user=alice password=first dbname=shop sslmode=verify-ca " + root, "alice|c0|true|shop|", false},
		"verify-full":           {secure, "host=gate.test user=alice password=token-2 dbname=shop/orders sslmode=verify-full " + root, "alice|c1|true|shop|orders", false},
		"verify-full elsewhere": {secure, "host=other.test user=alice password=first sslmode=verify-full " + root, "does not match host name", true},
		"binding":               {secure, "user=alice password=first sslmode=require channel_binding=require", "alice|c0|true|alice|", false},
		"binding disabled":      {secure, "user=alice password=first sslmode=require channel_binding=disable", "alice|c0|true|alice|", false},
		"wrong password":        {secure, "user=alice password=x sslmode=require", `FATAL:  password authentication failed for user "alice"`, true},
		"wrong, in clear":       {secure, "user=alice password=x sslmode=disable", `FATAL:  password authentication failed for user "alice"`, true},
		"unknown user":          {secure, "user=nobody password=x sslmode=require", `FATAL:  password authentication failed for user "nobody"`, true},
		"blocked":               {secure, "user=mallory password=x sslmode=require", "FATAL:  sluice: too many failed logins", true},
		"no TLS, disable":       {clear, "user=alice password=first sslmode=disable", "alice|c0|false|alice|", false},
		"no TLS, prefer":        {clear, "user=alice password=first sslmode=prefer", "alice|c0|false|alice|", false},
		"no TLS, require":       {clear, "user=alice password=first sslmode=require", "does not support SSL", true},
		"no TLS, binding":       {clear, "user=alice password=first channel_binding=require", "channel binding", true},
		"no password":           {clear, "user=alice", "no password supplied", true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := test.peer.psql(t, "who", test.settings)
			if (err != nil) != test.fails || !strings.Contains(out, test.want) {
				t.Errorf("got %q, %v; want %q", out, err, test.want)
			}
		})
	}
	if n := secure.dir.failures(); n != 3 {
		t.Errorf("%d failed logins reported, want 3: %v", n, secure.dir.failed)
	}
	if n := clear.dir.failures(); n != 0 {
		t.Errorf("leaving without a guess counted as a failed login: %v", clear.dir.failed)
	}
}

func TestPsqlSettings(t *testing.T) {
	p := newStartupPeer(t, nil)
	if out, err := p.psql(t, "who", "user=alice password=first application_name=mine client_encoding=UTF8",
		`options='-c sluice.reason=fire\\ drill --DateStyle=SQL'`); err != nil {
		t.Fatal(out)
	}
	st := p.last(t)
	for name, want := range map[string]string{"application_name": "mine", "client_encoding": "UTF8", "sluice.reason": "fire drill", "datestyle": "SQL"} {
		if st.Params[name] != want {
			t.Errorf("%s = %q, want %q", name, st.Params[name], want)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	p := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "gate.test")},
		ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven})
	bob := ca.issue(t, "bob")
	dir := t.TempDir()
	startupPEM(t, dir+"/bob.crt", "CERTIFICATE", bob.Certificate[0])
	key, err := x509.MarshalPKCS8PrivateKey(bob.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	startupPEM(t, dir+"/bob.key", "PRIVATE KEY", key)
	cert := "sslmode=require sslcert=" + dir + "/bob.crt sslkey=" + dir + "/bob.key"
	for name, test := range map[string]struct{ settings, want string }{
		"own":                     {"user=bob " + cert, "bob|cert|true|bob|"},
		"of another":              {"user=alice " + cert, "no password supplied"},
		"of another and password": {"user=alice password=first " + cert, "alice|c0|true|alice|"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, _ := p.psql(t, "who", test.settings); !strings.Contains(out, test.want) {
				t.Errorf("got %q, want %q", out, test.want)
			}
		})
	}
}

func TestPgx(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P384()))
	p := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}})
	base := fmt.Sprintf("host=127.0.0.1 port=%d user=alice password=first dbname=shop sslmode=verify-full sslrootcert=%s ", p.port, ca.file)
	for name, test := range map[string]struct {
		settings string
		secret   int
	}{
		"plain":             {"", 4},
		"direct":            {"sslnegotiation=direct", 4},
		"binding":           {"channel_binding=require", 4},
		"direct, binding":   {"sslnegotiation=direct channel_binding=require", 4},
		"newest protocol":   {"max_protocol_version=latest", 32},
		"protocol 3.2 only": {"min_protocol_version=3.2", 32},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := pgconn.Connect(t.Context(), base+test.settings)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if got := len(conn.SecretKey()); got != test.secret {
				t.Errorf("secret of %d bytes, want %d", got, test.secret)
			}
			go conn.CancelRequest(context.Background())
			_, err = conn.Exec(t.Context(), "wait").ReadAll()
			var pe *pgconn.PgError
			if !errors.As(err, &pe) || pe.Code != "57014" {
				t.Errorf("after cancel: %v", err)
			}
		})
	}
}

// Channel binding hashes the certificate with its signature's own hash; libpq
// is the judge, except for signatures that it cannot bind to either.
func TestEndpointHash(t *testing.T) {
	for name, test := range map[string]struct {
		signer crypto.Signer
		size   int
		offer  bool
	}{
		"ECDSA SHA-256": {startupECKey(t, elliptic.P256()), sha256.Size, true},
		"ECDSA SHA-384": {startupECKey(t, elliptic.P384()), sha512.Size384, true},
		"ECDSA SHA-512": {startupECKey(t, elliptic.P521()), sha512.Size, true},
		"RSA SHA-256":   {startupRSAKey(t), sha256.Size, true},
		"Ed25519":       {startupEdKey(t), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			cert := newStartupCA(t, test.signer).issue(t, "localhost")
			hash, err := endpointHash(&cert)
			if err != nil || len(hash) != test.size {
				t.Fatalf("hash %s, %v", hex.EncodeToString(hash), err)
			}
			p := newStartupPeer(t, &tls.Config{Certificates: []tls.Certificate{cert}})
			out, err := p.psql(t, "who", "user=alice password=first sslmode=require channel_binding=require")
			if test.offer && !strings.HasPrefix(out, "alice|") || !test.offer && !strings.Contains(out, "channel binding is required") {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// The certificate that is bound is the one that was presented, also where it
// depends on the name asked for, or on a whole configuration per client.
func TestBindingFollowsTheCertificate(t *testing.T) {
	ca := newStartupCA(t, startupECKey(t, elliptic.P256()))
	certs := map[string]tls.Certificate{"a.test": ca.issue(t, "a.test"), "b.test": ca.issue(t, "b.test")}
	byName := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, ok := certs[hello.ServerName]
		if !ok {
			return nil, nil
		}
		return &c, nil
	}
	fallback := ca.issue(t, "fallback.test")
	for kind, cfg := range map[string]*tls.Config{
		"GetCertificate": {GetCertificate: byName, Certificates: []tls.Certificate{fallback}},
		"GetConfigForClient": {Certificates: []tls.Certificate{fallback}, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, ok := certs[hello.ServerName]
			if !ok {
				return nil, nil
			}
			return &tls.Config{Certificates: []tls.Certificate{c}}, nil
		}},
	} {
		p := newStartupPeer(t, cfg)
		for _, name := range []string{"a.test", "b.test", "fallback.test"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				out, err := p.psql(t, "who", "host="+name+" user=alice password=first sslmode=verify-full channel_binding=require sslrootcert="+ca.file)
				if err != nil || !strings.HasPrefix(out, "alice|") {
					t.Errorf("got %q, %v", out, err)
				}
			})
		}
	}
}
