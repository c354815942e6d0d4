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
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Lives of the gateway's own certificates. The leaf is never stored, so that a
// copy of the data folder's backup holds one key less.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	leafRenew     = leafLife / 3     // left when a new one is made
	leafBackdate  = time.Hour        // for clients whose clocks are behind
	fileInterval  = 10 * time.Second // between looks at certificate files
)

// A certifier gives listeners their certificate.
type certifier interface {
	certificate() (*tls.Certificate, error)
}

// serverTLS makes a listener's configuration.
func serverTLS(c certifier) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.certificate() },
	}
}

// An authority is the gateway's own CA: tls: auto. It signs a certificate for
// this machine's loopback names and those configured.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	names []string
	now   func() time.Time

	mu   sync.Mutex // guards leaf
	leaf *tls.Certificate
}

// Names of the CA's files in the data folder. People copy the first to clients.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca.key"
)

// newAuthority loads the CA from folder, or makes it at the first start.
func newAuthority(folder string, names []string, now func() time.Time) (*authority, error) {
	a := &authority{names: names, now: now}
	err := a.load(folder)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.create(folder)
	}
	if err != nil {
		return nil, fmt.Errorf("server: own CA: %w", err)
	}
	if _, err := a.certificate(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *authority) load(folder string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, authorityFile), filepath.Join(folder, authorityKeyFile))
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("the key is not an ECDSA key")
	}
	a.cert, a.key = pair.Leaf, key
	if !a.cert.IsCA || a.now().After(a.cert.NotAfter) {
		return fmt.Errorf("%s is no CA certificate or has expired; remove it and %s for new ones", authorityFile, authorityKeyFile)
	}
	return nil
}

func (a *authority) create(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, authorityFile)); err == nil {
		return fmt.Errorf("%s is there without its key; remove it for new ones", authorityFile)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	draft := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sluice CA " + host},
		NotBefore: a.now().Add(-leafBackdate), NotAfter: a.now().Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, draft, draft, key.Public(), key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	return a.store(folder, der)
}

// store writes the certificate last: without it a half written pair is made anew.
func (a *authority) store(folder string, der []byte) error {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	files := []struct {
		name, kind string
		der        []byte
		mode       fs.FileMode
	}{{authorityKeyFile, "PRIVATE KEY", key, 0o600}, {authorityFile, "CERTIFICATE", der, 0o644}}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(folder, f.name), pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode); err != nil {
			return err
		}
	}
	return nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return n.Add(n, big.NewInt(1))
}

// certificate returns the leaf, a new one when the old has little time left.
func (a *authority) certificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaf != nil && a.now().Add(leafRenew).Before(a.leaf.Leaf.NotAfter) {
		return a.leaf, nil
	}
	leaf, err := a.sign()
	if err != nil {
		return nil, fmt.Errorf("server: own certificate: %w", err)
	}
	a.leaf = leaf
	return leaf, nil
}

func (a *authority) sign() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	draft := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "sluice"},
		NotBefore: a.now().Add(-leafBackdate), NotAfter: a.now().Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	draft.DNSNames, draft.IPAddresses = sans(a.names)
	der, err := x509.CreateCertificate(rand.Reader, draft, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: parsed}, nil
}

// sans splits names into DNS names and addresses, loopback's always among them.
func sans(names []string) (dns []string, ips []net.IP) {
	seen := map[string]bool{}
	for _, n := range append([]string{"localhost", "127.0.0.1", "::1"}, names...) {
		if seen[n] || n == "" {
			continue
		}
		seen[n] = true
		if ip := net.ParseIP(n); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, n)
		}
	}
	return dns, ips
}

// certificateFiles serves a pair of files and takes up new ones, as ACME
// clients write them. A bad new pair leaves the old one in force.
type certificateFiles struct {
	cert, key string
	now       func() time.Time
	failed    func(error)

	mu      sync.Mutex // guards what follows
	pair    *tls.Certificate
	looked  time.Time
	changed time.Time // the newer of the files' times
}

func newCertificateFiles(cert, key string, now func() time.Time, failed func(error)) (*certificateFiles, error) {
	f := &certificateFiles{cert: cert, key: key, now: now, failed: failed}
	if err := f.reload(); err != nil {
		return nil, fmt.Errorf("server: certificate: %w", err)
	}
	return f, nil
}

func (f *certificateFiles) certificate() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.looked) >= fileInterval {
		if err := f.reload(); err != nil {
			f.failed(err)
		}
	}
	return f.pair, nil
}

// reload reads the files if they changed.
func (f *certificateFiles) reload() error {
	f.looked = f.now()
	changed, err := newest(f.cert, f.key)
	if err != nil || f.pair != nil && changed.Equal(f.changed) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.pair, f.changed = &pair, changed
	return nil
}

func newest(files ...string) (t time.Time, err error) {
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return t, err
		}
		if info.ModTime().After(t) {
			t = info.ModTime()
		}
	}
	return t, nil
}
