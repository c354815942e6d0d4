package oidctest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// What the provider knows its only client by.
const (
	ClientID     = "sluice"
	ClientSecret = "client secret"
)

// A Provider is a running OpenID provider. Its methods are safe for concurrent use.
type Provider struct {
	Issuer string

	mu       sync.Mutex // guards what follows
	now      func() time.Time
	key      key
	keys     []key // published
	person   map[string]any
	forge    func(header, claims map[string]any) []byte
	down     bool
	noDevice bool
	short    bool             // claims only at user info
	codes    map[string]grant // by code
	devices  map[string]*grant
	refresh  map[string]grant
	counts   map[string]int // requests by path
	revoked  []string
}

// A grant is what a code or token stands for.
type grant struct {
	claims    map[string]any
	nonce     string
	challenge string
	redirect  string
	done      bool // device: the person has answered
	denied    bool
	authTime  int64
	scope     string
}

// Start starts a provider that stops with the test. Nobody can sign in before
// Person was called.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{now: time.Now, codes: map[string]grant{}, devices: map[string]*grant{}, refresh: map[string]grant{}, counts: map[string]int{}}
	p.key = newKey(t)
	p.keys = []key{p.key}
	s := httptest.NewServer(p.handler())
	t.Cleanup(s.Close)
	p.Issuer = s.URL
	return p
}

func (p *Provider) with(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Person sets the claims of who signs in next; "sub" among them.
func (p *Provider) Person(claims map[string]any) { p.with(func() { p.person = claims }) }

// Clock sets what the provider takes for the time.
func (p *Provider) Clock(now func() time.Time) { p.with(func() { p.now = now }) }

// Down makes the provider answer 503 to everything, or work again.
func (p *Provider) Down(down bool) { p.with(func() { p.down = down }) }

// Forge makes ID tokens from then on: nil for honest ones. It gets the header
// and claims of an honest token and returns a token's bytes, or nil to have
// what it changed signed honestly.
func (p *Provider) Forge(f func(header, claims map[string]any) []byte) {
	p.with(func() { p.forge = f })
}

// Rotate signs with a new key. keep says whether the old ones stay published.
func (p *Provider) Rotate(t testing.TB, keep bool) {
	k := newKey(t)
	p.with(func() {
		p.key = k
		if !keep {
			p.keys = nil
		}
		p.keys = append(p.keys, k)
	})
}

// Short keeps all claims but sub out of ID tokens: they are at user info.
func (p *Provider) Short() { p.with(func() { p.short = true }) }

// NoDevice takes the device flow away.
func (p *Provider) NoDevice() { p.with(func() { p.noDevice = true }) }

// Answer lets the person behind a user code agree or not.
func (p *Provider) Answer(userCode string, agree bool) {
	p.with(func() {
		if g := p.devices["device-"+userCode]; g != nil {
			g.done, g.denied, g.claims, g.authTime = true, !agree, p.person, p.now().Unix()
		}
	})
}

// Fire makes every refresh token void, as for a person who has left.
func (p *Provider) Fire() { p.with(func() { clear(p.refresh) }) }

// Count says how often a path was asked for.
func (p *Provider) Count(path string) (n int) {
	p.with(func() { n = p.counts[path] })
	return n
}

// Revoked lists the refresh tokens that were handed back.
func (p *Provider) Revoked() (all []string) {
	p.with(func() { all = append(all, p.revoked...) })
	return all
}

// Sign returns an honest token with these claims, whatever they are.
func (p *Provider) Sign(claims map[string]any) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.key.sign(map[string]any{"alg": "RS256", "kid": p.key.id}, claims))
}

func (p *Provider) handler() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.discovery, "/keys": p.serveKeys, "/authorize": p.authorize, "/token": p.token,
		"/device": p.device, "/userinfo": p.userinfo, "/revoke": p.revoke,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.counts[path]++
			if p.down {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			h(w, r)
		})
	}
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	about := map[string]any{
		"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token", "jwks_uri": p.Issuer + "/keys",
		"userinfo_endpoint": p.Issuer + "/userinfo", "revocation_endpoint": p.Issuer + "/revoke",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "HS256", "none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	}
	if !p.noDevice {
		about["device_authorization_endpoint"] = p.Issuer + "/device"
	}
	answer(w, 200, about)
}

func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	var all []any
	for _, k := range p.keys {
		all = append(all, k.public())
	}
	answer(w, 200, map[string]any{"keys": all})
}

// authorize is a person who agrees at once.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || p.person == nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	g := grant{claims: p.person, nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), scope: q.Get("scope"), authTime: p.now().Unix()}
	code := rand.Text()
	p.codes[code] = g
	back := url.Values{"state": {q.Get("state")}, "code": {code}, "iss": {p.Issuer}}
	http.Redirect(w, r, g.redirect+"?"+back.Encode(), http.StatusFound)
}
