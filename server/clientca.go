package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"sluice/config"
)

// clientTLS is the listener's side for native clients, with certificates as
// logins if there are authorities for them. Which they are is asked at each
// handshake: whom a reload has removed lets nobody in any more, nor does a
// session of theirs that TLS would resume.
func (s *Server) clientTLS(cfg *config.Config) (*tls.Config, error) {
	if s.tls == nil {
		return nil, nil
	}
	pool, err := authorities(cfg)
	if err != nil {
		return nil, err
	}
	s.clientCAs.Store(pool)
	c := serverTLS(s.tls)
	if pool == nil {
		return c, nil
	}
	c.SessionTicketsDisabled = true
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := serverTLS(s.tls)
		now.SessionTicketsDisabled = true
		now.ClientCAs, now.ClientAuth = s.clientCAs.Load(), tls.VerifyClientCertIfGiven
		return now, nil
	}
	return c, nil
}

// authorities reads those whose certificates log clients in; nil: none are
// configured.
func authorities(cfg *config.Config) (*x509.CertPool, error) {
	file := string(cfg.Gateway.TLS.ClientCA)
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("server: client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("server: client CA: no certificate in %s", file)
	}
	return pool, nil
}
