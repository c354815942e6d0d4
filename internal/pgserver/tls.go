package pgserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates writes ca.crt, server.crt and server.key into the folder. The CA
// signs client certificates too: [Server.ClientCertificate].
func (c *cluster) certificates() error {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "throw-away CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	caKey, err := c.issue("ca", ca, ca, nil)
	if err != nil {
		return err
	}
	server := leaf("localhost", x509.ExtKeyUsageServerAuth)
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	_, err = c.issue("server", server, ca, caKey)
	return err
}

func leaf(name string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
}

// issue makes a key and a certificate signed by parent (by itself if parentKey
// is nil) and writes NAME.crt, for all to read, and NAME.key, for the server.
func (c *cluster) issue(name string, cert, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(c.dir, name)
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(base+".crt", crt, 0o644); err != nil {
		return nil, err
	}
	return key, c.write(base+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

// ClientCertificate writes a certificate and key for user, signed by the
// server's CA, into folder and returns their paths. The server must have been
// launched with TLS and an HBA line that asks for "cert".
func (s *Server) ClientCertificate(folder, user string) (cert, key string, err error) {
	caCert, caKey, err := s.authority()
	if err != nil {
		return "", "", err
	}
	c := &cluster{dir: folder}
	if _, err := c.issue(user, leaf(user, x509.ExtKeyUsageClientAuth), caCert, caKey); err != nil {
		return "", "", err
	}
	return filepath.Join(folder, user+".crt"), filepath.Join(folder, user+".key"), nil
}

func (s *Server) authority() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	crt, err := readPEM(s.CAFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := readPEM(filepath.Join(s.Dir, "ca.key"))
	if err != nil {
		return nil, nil, err
	}
	caCert, err := x509.ParseCertificate(crt)
	if err != nil {
		return nil, nil, err
	}
	caKey, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return caCert, caKey.(*ecdsa.PrivateKey), nil
}

func readPEM(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, &os.PathError{Op: "pem", Path: path, Err: os.ErrInvalid}
	}
	return block.Bytes, nil
}
