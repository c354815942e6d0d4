package resource

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/access"
)

var ctx = context.Background()

func literal(s string) func(context.Context) (access.Secret, error) {
	return func(context.Context) (access.Secret, error) { return access.NewSecret(s), nil }
}

func TestTarget(t *testing.T) {
	current := "one"
	c, err := New([]Spec{
		{Name: "shop", Protocol: "postgres", Address: "127.0.0.1:5432", Database: "shop", Labels: map[string]string{"env": "prod"},
			User: "app", TLS: TLS{Mode: "disable"}, Password: func(context.Context) (access.Secret, error) { return access.NewSecret(current), nil }},
		{Name: "bare", Protocol: "postgres", Address: "db.example.test:5432", User: "app"},
		{Name: "broken", Address: "h:1", Password: func(context.Context) (access.Secret, error) {
			return access.Secret{}, errors.New("environment variable TOP is not set")
		}},
		{Name: "empty", Address: "h:1", Password: literal("")},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Target(ctx, "shop", "")
	if err != nil || got.User != "app" || got.Password.Reveal() != "one" || got.TLS != nil || got.Resource.Database != "shop" || got.Resource.Labels["env"] != "prod" {
		t.Fatalf("%+v, %v", got, err)
	}
	current = "two"
	got, err = c.Target(ctx, "shop", "other")
	if err != nil || got.Password.Reveal() != "two" || got.Resource.Database != "other" {
		t.Errorf("neither rotation nor the client's database took effect: %+v, %v", got, err)
	}
	if r, _ := c.Resource("shop"); r.Database != "shop" {
		t.Error("a client's database leaked into the catalogue")
	}
	if got, err := c.Target(ctx, "bare", ""); err != nil || !got.Password.Empty() || got.TLS == nil || got.TLS.InsecureSkipVerify || got.TLS.ServerName != "db.example.test" || got.TLSTry {
		t.Errorf("the zero TLS must verify: %+v, %v", got, err)
	}
	for _, name := range []string{"broken", "empty"} {
		got, err := c.Target(ctx, name, "")
		var ce *CredentialError
		if !errors.As(err, &ce) || strings.Contains(err.Error(), "TOP") || ce.Unwrap() == nil || got.Resource.Name != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := c.Target(ctx, "Shop", ""); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if l := c.List(); len(l) != 4 || l[0].Name != "bare" || l[3].Name != "shop" {
		t.Error(l)
	}
}

func TestZeroCatalogueIsEmpty(t *testing.T) {
	var c Catalogue
	if _, err := c.Target(ctx, "shop", ""); !errors.Is(err, ErrUnknown) || len(c.List()) != 0 {
		t.Error(err)
	}
}

func TestSwapIsAllOrNothing(t *testing.T) {
	c, err := New([]Spec{{Name: "a", Address: "h:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, specs := range map[string][]Spec{
		"twice":     {{Name: "b", Address: "h:1"}, {Name: "b", Address: "h:1"}},
		"nameless":  {{Address: "h:1"}},
		"mode":      {{Name: "b", Address: "h:1", TLS: TLS{Mode: "verify"}}},
		"address":   {{Name: "b", Address: "h"}},
		"authority": {{Name: "b", Address: "h:1", TLS: TLS{CA: "/nonexistent"}}},
		"no PEM":    {{Name: "b", Address: "h:1", TLS: TLS{CA: "resource_test.go"}}},
		"pair":      {{Name: "b", Address: "h:1", TLS: TLS{Cert: "/nonexistent", Key: "/nonexistent"}}},
	} {
		if err := c.Swap(specs); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, ok := c.Resource("a"); !ok || len(c.List()) != 1 {
			t.Fatalf("%s: the old targets are gone", name)
		}
	}
	if err := c.Swap(nil); err != nil || len(c.List()) != 0 {
		t.Error(err)
	}
}

// authority makes certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "authority"}})
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

// serve listens with a certificate for name and returns the address.
func (a *authority) serve(name string) string {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{DNSNames: []string{name}})
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}})
	if err != nil {
		a.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	})
	a.t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// Each mode against servers that deserve trust to differing degrees.
func TestModesVerify(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	good := ours.serve("db.example.test")
	renamed := ours.serve("other.example.test")
	forged := theirs.serve("db.example.test")
	for _, c := range []struct {
		mode                  string
		ca                    bool
		good, renamed, forged bool
	}{
		{"", true, true, false, false},
		{"verify-full", true, true, false, false},
		{"verify-full", false, false, false, false}, // the system's authorities know none of them
		{"verify-ca", true, true, true, false},
		{"verify-ca", false, false, false, false},
		{"require", true, true, true, false},
		{"require", false, true, true, true},
		{"prefer", true, true, true, true},
	} {
		spec := TLS{Mode: c.mode, ServerName: "db.example.test"}
		if c.ca {
			spec.CA = ours.file
		}
		for address, want := range map[string]bool{good: c.good, renamed: c.renamed, forged: c.forged} {
			cat, err := New([]Spec{{Name: "r", Address: address, TLS: spec}})
			if err != nil {
				t.Fatal(err)
			}
			target, err := cat.Target(ctx, "r", "")
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			got := tls.Client(conn, target.TLS).Handshake()
			conn.Close()
			if want != (got == nil) {
				t.Errorf("mode %q, ca %v, at %s: %v, want success %v", c.mode, c.ca, address, got, want)
			}
			if target.TLSTry != (c.mode == "prefer") {
				t.Errorf("mode %q: may go on in clear: %v", c.mode, target.TLSTry)
			}
		}
	}
}
