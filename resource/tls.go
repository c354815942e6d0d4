package resource

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// TLS says how a target is spoken to. The zero TLS verifies fully against the
// system's authorities.
type TLS struct {
	Mode       string // disable, prefer, require, verify-ca, verify-full; empty: verify-full
	CA         string // file of authorities, PEM; empty: the system's
	Cert, Key  string // files of a client certificate, PEM; empty: none
	ServerName string // name in the target's certificate; empty: the host of the address
}

// config builds the configuration; nil for disable. try is true if the target
// may also be spoken to in clear.
func (t TLS) config(address string) (c *tls.Config, try bool, err error) {
	if t.Mode == "disable" {
		return nil, false, nil
	}
	if c, err = t.base(address); err != nil {
		return nil, false, err
	}
	switch t.Mode {
	case "", "verify-full":
		return c, false, nil
	case "verify-ca":
		verifyChain(c)
		return c, false, nil
	case "require":
		// As libpq: with authorities at hand their signature is wanted.
		if c.InsecureSkipVerify = true; t.CA != "" {
			verifyChain(c)
		}
		return c, false, nil
	case "prefer":
		c.InsecureSkipVerify = true
		return c, true, nil
	}
	return nil, false, fmt.Errorf("unknown TLS mode %q", t.Mode)
}

func (t TLS) base(address string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("address: %w", err)
		}
		c.ServerName = host
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities: no certificate in %s", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// verifyChain checks who signed the target's certificate, whatever its name.
// crypto/tls knows no such mode: its own check is switched off and done here.
func verifyChain(c *tls.Config) {
	roots := c.RootCAs
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("resource: the target showed no certificate")
		}
		between := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}
