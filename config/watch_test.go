package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/strictyaml"
)

// certificate writes a self-signed certificate and its key.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb})))
	return cert, key
}

func watched(t *testing.T) (dir string, w *Watcher) {
	t.Helper()
	t.Setenv("CONFIG_TEST_PASSWORD", "secret")
	dir = whole(t)
	c, problems := Load(dir)
	if problems != nil {
		t.Fatal(messages(problems))
	}
	return dir, NewWatcher(dir, c)
}

func TestWatcher(t *testing.T) {
	dir, w := watched(t)
	file := filepath.Join(dir, "a.yaml")
	quiet := func(after string) {
		t.Helper()
		if _, _, changed := w.Check(); changed {
			t.Fatalf("nothing changed after %s, and it was reported", after)
		}
	}
	change := func(what, problem string) *Config {
		t.Helper()
		c, problems, changed := w.Check()
		if !changed || (problem == "") != (c != nil) || !strings.Contains(messages(problems), problem) {
			t.Fatalf("%s: changed %v, config %v, problems %s", what, changed, c != nil, messages(problems))
		}
		quiet(what)
		return c
	}
	quiet("the start")

	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	quiet("a touch")

	write(t, file, gateway+"---\n"+strings.ReplaceAll(shop, "env: prod", "env: test"))
	if c := change("another label", ""); c.Resources[0].Labels["env"] != "test" {
		t.Error("old content")
	}
	write(t, file, gateway+"---\n"+strings.ReplaceAll(shop, "postgres", "x"))
	change("a mistake", "no protocol")
	write(t, file, gateway+"---\n"+shop)
	change("the mistake undone", "")

	write(t, filepath.Join(dir, "new.yaml"), strings.ReplaceAll(alice, "{name: alice}", "{name: carol}"))
	change("a file added whose password file is missing", "missing or empty")
	write(t, filepath.Join(dir, "alice.pw"), "x")
	write(t, filepath.Join(dir, "new.yaml"), strings.ReplaceAll(alice, "{name: alice}", "{name: dora}"))
	change("and then not", "")
	write(t, filepath.Join(dir, "alice.pw"), "another password")
	change("a password file", "")
	if err := os.Remove(filepath.Join(dir, "new.yaml")); err != nil {
		t.Fatal(err)
	}
	change("a file removed", "")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	change("everything gone", "no such file")
}

// A file written while the configuration is loaded must be seen the next time.
func TestWatcherMissesNoChangeDuringLoad(t *testing.T) {
	dir, w := watched(t)
	files := w.all()
	before := hash(files)
	write(t, filepath.Join(dir, "a.yaml"), gateway) // after the hash, before adopt
	w.adopt(w.files, files, before)
	if c, _, changed := w.Check(); !changed || c == nil || len(c.Resources) != 0 {
		t.Error("missed")
	}
}

func TestWatchCallsBackUntilTheEnd(t *testing.T) {
	dir, w := watched(t)
	write(t, filepath.Join(dir, "a.yaml"), gateway)
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	w.Watch(ctx, time.Millisecond, func(c *Config, problems []strictyaml.Problem) {
		calls++
		cancel()
	})
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}
