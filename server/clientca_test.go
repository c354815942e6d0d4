package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// An issuer signs clients' certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, folder, file string) *issuer {
	a, err := newAuthority(t.TempDir(), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{a.cert, a.key}
	i.trusted(t, folder, file)
	return i
}

// trusted makes the issuer the one that a file names.
func (i *issuer) trusted(t *testing.T, folder, file string) {
	writeFile(t, folder, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})))
}

func (i *issuer) issue(t *testing.T, user string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	draft := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: user}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, draft, i.cert, key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Who may vouch for clients changes with the file, also for those who have been
// here before.
func TestClientCAIsReloaded(t *testing.T) {
	folder := writeHouse(t, rules)
	one := newIssuer(t, folder, "clients.pem")
	server, err := newAuthority(t.TempDir(), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := writePair(t, folder, server, time.Now())
	text, err := os.ReadFile(filepath.Join(folder, "house.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, folder, "house.yaml", strings.Replace(string(text), "tls: {auto: true}", "tls: {cert: "+cert+", key: "+key+", clientCA: clients.pem}", 1))
	g := open(t, folder)
	resumed := tls.NewLRUClientSessionCache(8)
	login := func(by *issuer) error {
		config, err := pgconn.ParseConfig("sslmode=disable dbname=shop user=alice")
		if err != nil {
			t.Fatal(err)
		}
		addr := g.Addr("postgres").String()
		config.Host = addr[:strings.LastIndexByte(addr, ':')]
		config.Port = uint16(atoi(addr[strings.LastIndexByte(addr, ':')+1:]))
		config.TLSConfig = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{by.issue(t, "alice")}, ClientSessionCache: resumed}
		config.Fallbacks = nil
		c, err := pgconn.ConnectConfig(t.Context(), config)
		if err == nil {
			err = errors.Join(c.Exec(t.Context(), "SELECT 1").Close(), c.Close(t.Context()))
		}
		return err
	}
	for range 2 {
		if err := login(one); err != nil {
			t.Fatal(err)
		}
	}
	two := newIssuer(t, folder, "clients.pem")
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := login(two); err != nil {
		t.Error(err)
	}
	if err := login(one); err == nil {
		t.Error("an authority that was removed still lets people in")
	}
	writeFile(t, folder, "clients.pem", "nothing")
	if err := g.Reload(t.Context()); err == nil {
		t.Error("no authority at all was taken up")
	}
	if err := login(two); err != nil {
		t.Errorf("what was in force is not: %v", err)
	}
}
