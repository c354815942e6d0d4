package postgres

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
)

// answerSSL answers an SSLRequest: S and a TLS handshake, or N.
func (n *negotiation) answerSSL(ctx context.Context) error {
	n.sslDone = true
	answer := byte('N')
	if n.TLS != nil && !n.tls {
		answer = 'S'
	}
	if _, err := n.conn.Write([]byte{answer}); err != nil {
		return fmt.Errorf("answer SSLRequest: %w", err)
	}
	if err := n.unstuffed("SSL"); err != nil || answer == 'N' {
		return err
	}
	n.gssDone = true // as on the server: one kind of encryption
	return n.encrypt(ctx, n.conn)
}

// answerGSS answers a GSSENCRequest: always N, since there is no GSSAPI here.
func (n *negotiation) answerGSS() error {
	n.gssDone = true
	if _, err := n.conn.Write([]byte{'N'}); err != nil {
		return fmt.Errorf("answer GSSENCRequest: %w", err)
	}
	return n.unstuffed("GSSAPI encryption")
}

// unstuffed refuses bytes that came in clear behind a request for encryption:
// somebody in the middle could have put them there, to be taken for what the
// client said under encryption (CVE-2021-23222).
func (n *negotiation) unstuffed(what string) error {
	if n.r.Buffered() == 0 {
		return nil
	}
	return &startupError{Code: "08P01",
		Message: fmt.Sprintf("received unencrypted data after %s request", what),
		Detail:  "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."}
}

// direct starts TLS at once for a client that does not ask first. ALPN is
// required then, so that a TLS client of another protocol cannot be led here.
func (n *negotiation) direct(ctx context.Context) error {
	first, err := n.r.Peek(1)
	if err != nil {
		return fmt.Errorf("first byte: %w", err)
	}
	if first[0] != startupTLSRecord {
		return nil
	}
	if n.TLS == nil {
		return errors.New("direct TLS: not configured")
	}
	head, _ := n.r.Peek(n.r.Buffered())
	if err := n.encrypt(ctx, &prefixedConn{Conn: n.conn, prefix: slices.Clone(head)}); err != nil {
		return err
	}
	n.sslDone, n.gssDone = true, true
	if n.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != startupALPN {
		return errors.New("direct TLS: no ALPN")
	}
	return nil
}

// encrypt performs the TLS handshake and goes on inside it.
func (n *negotiation) encrypt(ctx context.Context, under net.Conn) error {
	var used *tls.Certificate
	conn := tls.Server(under, startupTLS(n.TLS, func(c *tls.Certificate) { used = c }))
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	n.conn, n.tls = conn, true
	n.r.Reset(conn)
	binding, err := endpointHash(used)
	if err != nil {
		return fmt.Errorf("channel binding: %w", err)
	}
	n.binding = binding
	return nil
}

// startupTLS derives the configuration of one connection. used learns which
// certificate was presented: channel binding hashes that one, and
// GetCertificate may answer differently for each connection. Session tickets
// are off, as on the server, because a resumed session presents none.
func startupTLS(base *tls.Config, used func(*tls.Certificate)) *tls.Config {
	c := base.Clone()
	c.SessionTicketsDisabled = true
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.NextProtos = []string{startupALPN}
	c.GetConfigForClient = nil
	if base.GetConfigForClient != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			other, err := base.GetConfigForClient(hello)
			if other == nil || err != nil {
				return nil, err
			}
			other = other.Clone()
			other.GetConfigForClient = nil
			return startupTLS(other, used), nil
		}
	}
	choose := base.Clone() // keep what c is about to lose
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := chooseCertificate(choose, hello)
		used(cert)
		return cert, err
	}
	c.Certificates = nil // else they come first for clients that send no name
	return c
}

// chooseCertificate picks as crypto/tls does.
func chooseCertificate(c *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.GetCertificate != nil && (len(c.Certificates) == 0 || hello.ServerName != "") {
		if cert, err := c.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(c.Certificates) == 0 {
		return nil, errors.New("no certificate configured")
	}
	for i := range c.Certificates {
		if hello.SupportsCertificate(&c.Certificates[i]) == nil {
			return &c.Certificates[i], nil
		}
	}
	return &c.Certificates[0], nil
}

// endpointHash is the tls-server-end-point channel binding of RFC 5929,
// section 4.1: the certificate under its own signature's hash, SHA-256 in the
// place of MD5 and SHA-1. Nil for signatures without a single hash (Ed25519):
// channel binding is then not offered.
func endpointHash(c *tls.Certificate) ([]byte, error) {
	if c == nil || len(c.Certificate) == 0 {
		return nil, errors.New("no certificate was presented")
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		sum := sha256.Sum256(leaf.Raw)
		return sum[:], nil
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(leaf.Raw)
		return sum[:], nil
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(leaf.Raw)
		return sum[:], nil
	default:
		return nil, nil
	}
}

// A prefixedConn gives back bytes that were read too early. Reads only; not
// safe for concurrent reads until the prefix is used up.
type prefixedConn struct {
	net.Conn
	prefix []byte
}

// NetConn returns the connection below.
func (c *prefixedConn) NetConn() net.Conn { return c.Conn }

// Read reads the prefix, then the connection.
func (c *prefixedConn) Read(b []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}
