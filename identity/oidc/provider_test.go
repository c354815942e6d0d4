package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/oidctest"
)

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func alice() map[string]any {
	return map[string]any{"sub": "00u1", "email": "Alice@Example.test", "email_verified": true, "groups": []any{"okta-dba", "everyone"}, "acr": "mfa"}
}

type world struct {
	*oidctest.Provider
	clock *clock
	p     *Provider
}

func secret(context.Context) (access.Secret, error) {
	return access.NewSecret(oidctest.ClientSecret), nil
}

func setUp(t *testing.T, claims Claims) *world {
	t.Helper()
	w := &world{Provider: oidctest.Start(t), clock: &clock{at: time.Now().Truncate(time.Second)}}
	w.Clock(w.clock.now)
	w.Person(alice())
	p, err := New(Config{Name: "idp", Issuer: w.Issuer, ClientID: oidctest.ClientID, ClientSecret: secret, Claims: claims}, w.options())
	if err != nil {
		t.Fatal(err)
	}
	w.p = p
	return w
}

func (w *world) options() Options {
	return Options{Key: access.NewSecret("0123456789abcdef"), Now: w.clock.now, Skew: 30 * time.Second, MaxAge: 12 * time.Hour}
}

const redirect = "http://127.0.0.1:9/callback"

// browse goes where a browser would and says what it brings back.
func browse(t *testing.T, address string) Return {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	back, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), redirect) {
		t.Fatalf("sent to %q: %d, %v", back, res.StatusCode, err)
	}
	q := back.Query()
	return Return{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")}
}

func (w *world) signIn(t *testing.T) (Person, error) {
	t.Helper()
	s, err := w.p.StartCode(t.Context(), redirect, false)
	if err != nil {
		return Person{}, err
	}
	return w.p.FinishCode(t.Context(), s.Attempt, browse(t, s.URL))
}

func wants(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestCode(t *testing.T) {
	w := setUp(t, Claims{Map: map[string]string{"okta-dba": "dba"}})
	p, err := w.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if p.Provider != "idp" || p.Issuer != w.Issuer || p.Subject != "00u1" || p.Name != "alice@example.test" || p.Email != "Alice@Example.test" ||
		!slices.Equal(p.Groups, []string{"dba"}) || p.Claims["acr"] != "mfa" || !p.AuthTime.Equal(w.clock.now()) || p.Refresh.Empty() {
		t.Errorf("person %+v", p)
	}
}

func TestCodeAddress(t *testing.T) {
	w := setUp(t, Claims{})
	s, err := w.p.StartCode(t.Context(), redirect, true)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(s.URL)
	q := u.Query()
	for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "redirect_uri": redirect, "state": s.State,
		"scope": "openid profile email offline_access", "prompt": "login", "max_age": "0"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("nonce")) < 40 || len(q.Get("code_challenge")) != 43 || strings.Contains(s.URL, s.Attempt.Reveal()) {
		t.Errorf("address %s", s.URL)
	}
	for _, secret := range []string{q.Get("nonce"), s.State} {
		if b, _ := base64.RawURLEncoding.DecodeString(s.Attempt.Reveal()); strings.Contains(string(b), secret) {
			t.Error("the attempt can be read")
		}
	}
}

func TestCodeRefusesWhatAnotherBroughtBack(t *testing.T) {
	w := setUp(t, Claims{})
	begin := func() Started {
		s, err := w.p.StartCode(t.Context(), redirect, false)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	mine, theirs := begin(), begin()
	for name, c := range map[string]struct {
		attempt access.Secret
		alter   func(*Return)
		want    error
	}{
		"another's answer": {theirs.Attempt, func(*Return) {}, ErrRejected},
		// The state fits, the code does not: PKCE and nonce hold it.
		"another's code":        {theirs.Attempt, func(r *Return) { r.State = theirs.State }, ErrGone},
		"no state":              {mine.Attempt, func(r *Return) { r.State = "" }, ErrRejected},
		"another issuer":        {mine.Attempt, func(r *Return) { r.Issuer = "https://evil.test" }, ErrRejected},
		"no issuer":             {mine.Attempt, func(r *Return) { r.Issuer = "" }, ErrRejected},
		"no code":               {mine.Attempt, func(r *Return) { r.Code = "" }, ErrRejected},
		"a made-up code":        {mine.Attempt, func(r *Return) { r.Code = "x" }, ErrGone},
		"refused":               {mine.Attempt, func(r *Return) { r.Code, r.Error = "", "access_denied" }, ErrDenied},
		"no attempt":            {access.Secret{}, func(*Return) {}, ErrRejected},
		"an altered attempt":    {access.NewSecret("A" + mine.Attempt.Reveal()[1:]), func(*Return) {}, ErrRejected},
		"an enormous attempt":   {access.NewSecret(strings.Repeat("A", maxAttempt+1)), func(*Return) {}, ErrRejected},
		"an attempt by device":  {w.p.seal(attempt{Kind: byDevice, Expires: w.clock.now().Add(time.Hour)}), func(*Return) {}, ErrRejected},
		"an attempt out of use": {w.p.seal(attempt{Kind: byCode, Expires: w.clock.now()}), func(*Return) {}, ErrExpired},
	} {
		r := browse(t, mine.URL)
		c.alter(&r)
		_, err := w.p.FinishCode(t.Context(), c.attempt, r)
		wants(t, name, err, c.want)
	}
	r := browse(t, mine.URL)
	if _, err := w.p.FinishCode(t.Context(), mine.Attempt, r); err != nil {
		t.Fatalf("honest: %v", err)
	}
	_, err := w.p.FinishCode(t.Context(), mine.Attempt, r)
	wants(t, "twice", err, ErrGone)
}

func TestForgedTokens(t *testing.T) {
	w := setUp(t, Claims{})
	other, modulus := oidctest.Start(t), w.PublicModulus()
	set := func(name string, v any) func(h, c map[string]any) []byte {
		return func(_, c map[string]any) []byte { c[name] = v; return nil }
	}
	at := func(name string, d time.Duration) func(h, c map[string]any) []byte {
		return func(_, c map[string]any) []byte { c[name] = w.clock.now().Add(d).Unix(); return nil }
	}
	for name, forge := range map[string]func(h, c map[string]any) []byte{
		"alg none": func(h, c map[string]any) []byte {
			h["alg"] = "none"
			return []byte(oidctest.Unsigned(h, c) + ".")
		},
		"alg None": func(h, c map[string]any) []byte {
			h["alg"] = "None"
			return []byte(oidctest.Unsigned(h, c) + ".")
		},
		"HS256 with the public key": func(h, c map[string]any) []byte {
			h["alg"] = "HS256"
			return hs256(modulus, h, c)
		},
		"HS256 with the client secret": func(h, c map[string]any) []byte {
			h["alg"] = "HS256"
			return hs256([]byte(oidctest.ClientSecret), h, c)
		},
		"no signature":                  func(h, c map[string]any) []byte { return []byte(oidctest.Unsigned(h, c) + ".") },
		"another provider's key":        func(_, c map[string]any) []byte { return []byte(other.Sign(c)) },
		"another issuer":                set("iss", "https://evil.test"),
		"another audience":              set("aud", "other"),
		"two audiences, no party":       set("aud", []string{oidctest.ClientID, "other"}),
		"made for another client":       set("azp", "other"),
		"no audience":                   set("aud", []string{}),
		"no subject":                    set("sub", ""),
		"another nonce":                 set("nonce", "x"),
		"no nonce":                      func(_, c map[string]any) []byte { delete(c, "nonce"); return nil },
		"expired":                       at("exp", -31*time.Second),
		"no expiry":                     func(_, c map[string]any) []byte { delete(c, "exp"); return nil },
		"issued in the future":          at("iat", 31*time.Second),
		"not yet valid":                 at("nbf", 31*time.Second),
		"not valid by a text":           set("nbf", "tomorrow"),
		"authenticated long ago":        at("auth_time", -13*time.Hour),
		"authenticated in the future":   at("auth_time", time.Minute),
		"unverified e-mail":             set("email_verified", false),
		"e-mail that nobody verified":   func(_, c map[string]any) []byte { delete(c, "email_verified"); return nil },
		"a name that is none":           set("email", "alice'; --@example.test"),
		"groups elsewhere":              set("_claim_names", map[string]any{"groups": "src1"}),
		"groups that are no texts":      set("groups", []any{map[string]any{"id": 1}}),
		"groups that are a number":      set("groups", 7),
		"a group that is not printable": set("groups", []any{"dba\n"}),
		"a token that is enormous":      set("x", strings.Repeat("x", maxToken)),
		"a token that is none":          func(_, _ map[string]any) []byte { return []byte("x.y.z") },
	} {
		w.Forge(forge)
		w.clock.pass(keyInterval) // a signature that does not fit makes us look for new keys
		p, err := w.signIn(t)
		if !errors.Is(err, ErrRejected) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for name, forge := range map[string]func(h, c map[string]any) []byte{
		"honest": nil, "expired within the skew": at("exp", -29*time.Second), "issued within the skew": at("iat", 29*time.Second),
		"valid within the skew": at("nbf", 29*time.Second), "verified as a text": set("email_verified", "true"),
		"made for us": func(_, c map[string]any) []byte {
			c["aud"], c["azp"] = []string{"other", oidctest.ClientID}, oidctest.ClientID
			return nil
		},
	} {
		w.Forge(forge)
		if _, err := w.signIn(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func hs256(key []byte, header, claims map[string]any) []byte {
	text := oidctest.Unsigned(header, claims)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return []byte(text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil)))
}

func TestFresh(t *testing.T) {
	w := setUp(t, Claims{})
	fresh := func() error {
		s, err := w.p.StartCode(t.Context(), redirect, true)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.p.FinishCode(t.Context(), s.Attempt, browse(t, s.URL))
		return err
	}
	if err := fresh(); err != nil {
		t.Fatal(err)
	}
	w.Forge(func(_, c map[string]any) []byte { c["auth_time"] = w.clock.now().Add(-time.Minute).Unix(); return nil })
	wants(t, "not asked again", fresh(), ErrRejected)
	w.Forge(func(_, c map[string]any) []byte { delete(c, "auth_time"); return nil })
	wants(t, "not said", fresh(), ErrRejected)
	if p, err := w.signIn(t); err != nil || !p.AuthTime.IsZero() {
		t.Errorf("not fresh, not said: %v, %v", p.AuthTime, err)
	}
}

func TestDevice(t *testing.T) {
	w := setUp(t, Claims{})
	s, err := w.p.StartDevice(t.Context(), false)
	if err != nil || s.UserCode == "" || s.Interval != time.Second || !strings.Contains(s.URL, s.UserCode) {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "nobody answered", err, ErrPending)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "at once again", err, ErrSlowDown)
	if n := w.Count("/token"); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	w.clock.pass(2 * time.Second)
	w.Answer(s.UserCode, true)
	p, err := w.p.Poll(t.Context(), s.Attempt)
	if err != nil || p.Name != "alice@example.test" {
		t.Fatalf("%+v, %v", p, err)
	}
	w.clock.pass(2 * time.Second)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "twice", err, ErrExpired)

	s, _ = w.p.StartDevice(t.Context(), false)
	w.Answer(s.UserCode, false)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "refused", err, ErrDenied)
	w.clock.pass(time.Hour)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "too late", err, ErrExpired)

	// No nonce binds a token to a device flow, so one of another flow must not do.
	w.Forge(func(_, c map[string]any) []byte { c["nonce"] = "x"; return nil })
	s, _ = w.p.StartDevice(t.Context(), false)
	w.Answer(s.UserCode, true)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "a token of another flow", err, ErrRejected)
}

func TestNoDeviceFlow(t *testing.T) {
	w := setUp(t, Claims{})
	w.NoDevice()
	_, err := w.p.StartDevice(t.Context(), false)
	wants(t, "no device flow", err, ErrRejected)
}

func TestDeviceStartsAreBounded(t *testing.T) {
	w := setUp(t, Claims{})
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		_, err = w.p.StartDevice(t.Context(), false)
	}
	wants(t, "many", err, ErrSlowDown)
	w.clock.pass(time.Second)
	if _, err := w.p.StartDevice(t.Context(), false); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	w := setUp(t, Claims{})
	p, err := w.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	changed := alice()
	changed["groups"] = []any{"security"}
	w.Person(changed)
	w.clock.pass(20 * time.Hour) // a renewal is no authentication, so its age does not matter
	again, err := w.p.Refresh(t.Context(), p.Refresh, p.Subject)
	if err != nil || !slices.Equal(again.Groups, []string{"security"}) || again.Refresh.Empty() || again.Refresh == p.Refresh || !again.AuthTime.IsZero() {
		t.Fatalf("%+v, %v", again, err)
	}
	_, err = w.p.Refresh(t.Context(), p.Refresh, p.Subject)
	wants(t, "a used refresh token", err, ErrGone)
	_, err = w.p.Refresh(t.Context(), again.Refresh, "somebody")
	wants(t, "about somebody else", err, ErrRejected)

	p, _ = w.signIn(t)
	w.Down(true)
	_, err = w.p.Refresh(t.Context(), p.Refresh, p.Subject)
	wants(t, "down", err, ErrUnavailable)
	if errors.Is(err, ErrGone) {
		t.Error("a provider that is down has said no")
	}
	w.Down(false)
	if p, err = w.p.Refresh(t.Context(), p.Refresh, p.Subject); err != nil {
		t.Errorf("up again: %v", err)
	}
	if err := w.p.Revoke(t.Context(), p.Refresh); err != nil || !slices.Equal(w.Revoked(), []string{p.Refresh.Reveal()}) {
		t.Errorf("revoked %v, %v", w.Revoked(), err)
	}
	_, err = w.p.Refresh(t.Context(), p.Refresh, p.Subject)
	wants(t, "revoked", err, ErrGone)
}

func TestUserInfo(t *testing.T) {
	w := setUp(t, Claims{})
	w.Short()
	p, err := w.signIn(t)
	if err != nil || p.Name != "alice@example.test" || !slices.Contains(p.Groups, "okta-dba") {
		t.Errorf("%+v, %v", p, err)
	}
	w.Forge(func(_, c map[string]any) []byte { c["sub"] = "somebody"; return nil })
	_, err = w.signIn(t)
	wants(t, "user info of somebody else", err, ErrRejected)
}

func TestRotation(t *testing.T) {
	w := setUp(t, Claims{})
	if _, err := w.signIn(t); err != nil {
		t.Fatal(err)
	}
	old := maps.Clone(alice())
	w.clock.pass(time.Minute)
	w.Rotate(t, true)
	if _, err := w.signIn(t); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	if n := w.Count("/keys"); n != 2 {
		t.Errorf("keys were fetched %d times", n)
	}
	// Once more at once: a good token whose key is not known yet is no forgery.
	w.Rotate(t, true)
	_, err := w.signIn(t)
	wants(t, "a second rotation at once", err, ErrUnavailable)
	w.clock.pass(keyInterval)
	if _, err := w.signIn(t); err != nil {
		t.Errorf("after a second rotation: %v", err)
	}
	w.clock.pass(keyInterval)
	// Tokens that name unknown keys do not make us fetch again and again.
	w.Forge(func(h, c map[string]any) []byte {
		h["kid"] = "unknown"
		return []byte(oidctest.Unsigned(h, c) + ".AAAA")
	})
	for range 20 {
		if p, err := w.signIn(t); !errors.Is(err, ErrRejected) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("an unknown key: %+v, %v", p, err)
		}
	}
	if n := w.Count("/keys"); n > 4 {
		t.Errorf("keys were fetched %d times", n)
	}
	w.Forge(nil)
	w.Person(old)
	if _, err := w.signIn(t); err != nil {
		t.Errorf("honest, after the attack: %v", err)
	}
}

// A key that the provider does not publish any more is not believed for longer
// than discovery is kept.
func TestWithdrawnKey(t *testing.T) {
	w := setUp(t, Claims{})
	if _, err := w.signIn(t); err != nil {
		t.Fatal(err)
	}
	stolen := w.Sign
	token := func() string {
		now := w.clock.now()
		return stolen(map[string]any{"iss": w.Issuer, "aud": oidctest.ClientID, "sub": "00u1", "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
			"email": "root@example.test", "email_verified": true, "groups": []string{}, "nonce": ""})
	}
	forged := token()
	w.Rotate(t, false)
	w.clock.pass(discoveryTime)
	w.Forge(func(_, _ map[string]any) []byte { return []byte(forged) })
	s, err := w.p.StartDevice(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	w.Answer(s.UserCode, true)
	_, err = w.p.Poll(t.Context(), s.Attempt)
	wants(t, "a withdrawn key", err, ErrRejected)
}

func TestDown(t *testing.T) {
	w := setUp(t, Claims{})
	w.Down(true)
	for range 5 {
		_, err := w.signIn(t)
		wants(t, "down at first", err, ErrUnavailable)
	}
	if n := w.Count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.Down(false)
	w.clock.pass(failureTime)
	if _, err := w.signIn(t); err != nil {
		t.Errorf("up: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Name: "idp", Issuer: "https://idp.test", ClientID: "x"}
	for name, alter := range map[string]func(*Config, *Options){
		"no name": func(c *Config, _ *Options) { c.Name = "" }, "no client": func(c *Config, _ *Options) { c.ClientID = "" },
		"clear text": func(c *Config, _ *Options) { c.Issuer = "http://idp.test" }, "no issuer": func(c *Config, _ *Options) { c.Issuer = "" },
		"no CA": func(c *Config, _ *Options) { c.CA = "/nonexistent" }, "no key": func(_ *Config, o *Options) { o.Key = access.Secret{} },
	} {
		c, o := good, Options{Key: access.NewSecret("0123456789abcdef")}
		alter(&c, &o)
		if _, err := New(c, o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
