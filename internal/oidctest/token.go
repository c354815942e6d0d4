package oidctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

type key struct {
	id      string
	private *rsa.PrivateKey
}

func newKey(t testing.TB) key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key{"key-" + rand.Text()[:6], private}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k key) public() map[string]any {
	return map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": k.id,
		"n": b64(k.private.N.Bytes()), "e": b64(big.NewInt(int64(k.private.E)).Bytes())}
}

// Unsigned is the first two parts of a token.
func Unsigned(header, claims map[string]any) string {
	h, _ := json.Marshal(header) // maps of plain values
	c, _ := json.Marshal(claims)
	return b64(h) + "." + b64(c)
}

func (k key) sign(header, claims map[string]any) []byte {
	text := Unsigned(header, claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // a key that newKey made
	}
	return []byte(text + "." + b64(sig))
}

// PublicModulus is what an attacker knows of the signing key.
func (p *Provider) PublicModulus() (n []byte) {
	p.with(func() { n = p.key.private.N.Bytes() })
	return n
}

// idToken makes the ID token of a grant, honest or forged.
func (p *Provider) idToken(g grant) string {
	now := p.now()
	claims := map[string]any{"iss": p.Issuer, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": g.authTime}
	for name, v := range g.claims {
		if !p.short || name == "sub" {
			claims[name] = v
		}
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	header := map[string]any{"alg": "RS256", "kid": p.key.id}
	if p.forge != nil {
		if b := p.forge(header, claims); b != nil {
			return string(b)
		}
	}
	return string(p.key.sign(header, claims))
}

func (p *Provider) authentic(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	return ok && user == ClientID && strings.ReplaceAll(password, "+", " ") == ClientSecret
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if !p.authentic(r) {
		answer(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	g, problem := p.granted(r)
	if problem != "" {
		answer(w, 400, map[string]any{"error": problem})
		return
	}
	refresh := "refresh-" + rand.Text()
	p.refresh[refresh] = grant{claims: maps.Clone(g.claims), authTime: g.authTime}
	access := "access-" + rand.Text()
	p.codes[access] = g
	answer(w, 200, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh, "id_token": p.idToken(g)})
}

// granted takes what a grant is asked for with; it is used up.
func (p *Provider) granted(r *http.Request) (g grant, problem string) {
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		g, ok := p.codes[code]
		delete(p.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || g.redirect != r.PostFormValue("redirect_uri") || g.challenge != b64(sum[:]) {
			return g, "invalid_grant"
		}
		return g, ""
	case "refresh_token":
		old := r.PostFormValue("refresh_token")
		g, ok := p.refresh[old]
		delete(p.refresh, old)
		if !ok {
			return g, "invalid_grant"
		}
		if p.person != nil && p.person["sub"] == g.claims["sub"] {
			g.claims = p.person // as they are now
		}
		return g, ""
	case "urn:ietf:params:oauth:grant-type:device_code":
		return p.polled(r.PostFormValue("device_code"))
	}
	return g, "unsupported_grant_type"
}

func (p *Provider) polled(code string) (grant, string) {
	g := p.devices[code]
	switch {
	case g == nil:
		return grant{}, "expired_token"
	case !g.done:
		return grant{}, "authorization_pending"
	case g.denied:
		return grant{}, "access_denied"
	}
	delete(p.devices, code)
	return *g, ""
}

func (p *Provider) device(w http.ResponseWriter, r *http.Request) {
	if !p.authentic(r) || p.noDevice {
		answer(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	code := rand.Text()[:8]
	p.devices["device-"+code] = &grant{}
	answer(w, 200, map[string]any{"device_code": "device-" + code, "user_code": code, "verification_uri": p.Issuer + "/activate",
		"verification_uri_complete": p.Issuer + "/activate?user_code=" + code, "expires_in": 300, "interval": 1})
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	g, ok := p.codes[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	answer(w, 200, g.claims)
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	delete(p.refresh, token)
	p.revoked = append(p.revoked, token)
	w.WriteHeader(http.StatusOK)
}
