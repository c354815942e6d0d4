package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A clock is moved by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func roots(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		t.Fatal("no certificate in the CA's file")
	}
	return pool
}

func TestAuthority(t *testing.T) {
	folder, c := t.TempDir(), newClock()
	a, err := newAuthority(folder, []string{"db.example.test", "10.1.2.3"}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.certificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "db.example.test", "10.1.2.3"} {
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots(t, folder), CurrentTime: c.t}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "other.test", Roots: roots(t, folder), CurrentTime: c.t}); err == nil {
		t.Error("valid for a name that nobody configured")
	}
	info, err := os.Stat(filepath.Join(folder, authorityKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info.Mode(), err)
	}
}

func TestAuthorityRenewsLeafAndKeepsCA(t *testing.T) {
	folder, c := t.TempDir(), newClock()
	a, err := newAuthority(folder, nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := a.certificate()
	c.t = c.t.Add(leafLife - leafRenew - time.Hour)
	if two, _ := a.certificate(); two != one {
		t.Error("renewed too early")
	}
	c.t = c.t.Add(2 * time.Hour)
	three, err := a.certificate()
	if err != nil || three == one {
		t.Fatalf("not renewed: %v", err)
	}
	again, err := newAuthority(folder, nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if !again.cert.Equal(a.cert) {
		t.Error("a restart made another CA: clients would have to trust it anew")
	}
	if _, err := three.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots(t, folder), CurrentTime: c.t}); err != nil {
		t.Error(err)
	}
}

func TestAuthorityRefusesHalfOfAPair(t *testing.T) {
	folder := t.TempDir()
	if _, err := newAuthority(folder, nil, newClock().now); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(folder, authorityKeyFile))
	if _, err := newAuthority(folder, nil, newClock().now); err == nil {
		t.Error("a new key was made under an old certificate that clients trust")
	}
}

func writePair(t *testing.T, folder string, a *authority, at time.Time) (cert, key string) {
	t.Helper()
	leaf, err := a.sign()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "tls.pem"), filepath.Join(folder, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestCertificateFilesAreReloaded(t *testing.T) {
	folder, c := t.TempDir(), newClock()
	a, err := newAuthority(t.TempDir(), nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	cert, key := writePair(t, folder, a, c.t)
	f, err := newCertificateFiles(cert, key, c.now, func(error) { failures++ })
	if err != nil {
		t.Fatal(err)
	}
	one, _ := f.certificate()
	writePair(t, folder, a, c.t.Add(time.Minute))
	if same, _ := f.certificate(); same != one {
		t.Error("looked at the files before it was time")
	}
	c.t = c.t.Add(fileInterval)
	two, _ := f.certificate()
	if two == one {
		t.Error("a new certificate was not taken up")
	}
	os.WriteFile(cert, []byte("half a file"), 0o600)
	c.t = c.t.Add(fileInterval)
	if three, err := f.certificate(); three != two || err != nil || failures != 1 {
		t.Errorf("a bad file took the good certificate away: %v, %d failures", err, failures)
	}
}

// On loopback the web listener speaks both; the tests are a browser with and
// one without TLS.
func TestEither(t *testing.T) {
	folder, c := t.TempDir(), time.Now
	a, err := newAuthority(folder, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newEither(ln, serverTLS(a))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header().Set("X-TLS", "yes")
		}
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(e) }()
	silent, err := net.Dial("tcp", ln.Addr().String()) // says nothing and must hold up nobody
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, folder)}}}
	for scheme, want := range map[string]string{"http": "", "https": "yes"} {
		res, err := client.Get(scheme + "://" + ln.Addr().String())
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		res.Body.Close()
		if res.Header.Get("X-TLS") != want {
			t.Errorf("%s: TLS %q", scheme, res.Header.Get("X-TLS"))
		}
	}
	client.CloseIdleConnections()
	srv.Close()
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}

func TestFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	f, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(path); err == nil {
		t.Error("two gateways share a folder")
	}
	info, _ := os.Stat(path)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	one, err := f.key("mask")
	if err != nil {
		t.Fatal(err)
	}
	if two, err := f.key("mask"); err != nil || two != one {
		t.Errorf("another key at the second start: %v", err)
	}
	f.close()
	again, err := openFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
	os.Chmod(path, 0o755)
	if _, err := openFolder(path); err == nil {
		t.Error("others may enter the folder")
	}
}
