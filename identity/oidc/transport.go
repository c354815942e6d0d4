package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Limits on what a provider may cost.
const (
	answerTime  = 10 * time.Second // for one answer, in all
	maxAnswer   = 1 << 20          // bytes of it
	keyInterval = 10 * time.Second // between fetches of keys: a token may name any key
)

// errKeysAsked is why keys were not fetched.
var errKeysAsked = errors.New("keys were fetched a moment ago")

// A guard is the way to one provider.
type guard struct {
	base     http.RoundTripper
	now      func() time.Time
	interval time.Duration

	mu    sync.Mutex // guards what follows
	keys  string     // address of the keys
	asked time.Time  // when they were last fetched
}

// newGuard trusts the system's authorities and those in the file ca, if any.
func newGuard(ca string, now func() time.Time) (*guard, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, MaxConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	g := &guard{base: t, now: now, interval: keyInterval}
	if ca == "" {
		return g, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", ca)
	}
	t.TLSClientConfig.RootCAs = roots
	return g, nil
}

func (g *guard) client() *http.Client {
	return &http.Client{Transport: g, Timeout: answerTime, CheckRedirect: sameHost}
}

// sameHost keeps a client's secret with who it is for.
func sameHost(next *http.Request, via []*http.Request) error {
	if len(via) > 3 || next.URL.Host != via[0].URL.Host || next.URL.Scheme != via[0].URL.Scheme {
		return errors.New("redirected elsewhere")
	}
	return nil
}

// RoundTrip implements [http.RoundTripper].
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.may(r.URL.String()); err != nil {
		return nil, err
	}
	res, err := g.base.RoundTrip(r)
	if err == nil {
		res.Body = bounded{res.Body, &io.LimitedReader{R: res.Body, N: maxAnswer + 1}}
	}
	return res, err
}

// may slows the fetching of keys down.
func (g *guard) may(address string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if address != g.keys {
		return nil
	}
	now := g.now()
	if now.Sub(g.asked) < g.interval {
		return errKeysAsked
	}
	g.asked = now
	return nil
}

// keysAt says where the keys are. The first fetch need not wait.
func (g *guard) keysAt(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys != address {
		g.keys, g.asked = address, time.Time{}
	}
}

// bounded fails where a longer answer goes on.
type bounded struct {
	io.Closer
	r *io.LimitedReader
}

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.r.N <= 0 {
		return n, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return n, err
}

// confidential reports whether an address may carry secrets: TLS, or this machine.
func confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	near := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && near
}
