package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A code must come back to the machine that asked for it.
func TestOwnMachine(t *testing.T) {
	for redirect, want := range map[string]bool{
		"http://127.0.0.1:1234/callback": true, "http://[::1]:1234/callback": true,
		"http://localhost:1234/callback": false, "http://evil.test:1/callback": false, "https://127.0.0.1:1234/callback": false,
		"http://127.0.0.1/callback": false, "http://127.0.0.1:1234/": false, "http://127.0.0.1:1234/callback?x=1": false,
		"http://u@127.0.0.1:1234/callback": false, "http://127.0.0.1:1234@evil.test:1/callback": false, "": false, "http://127.0.0.1:1234/callback#x": false,
	} {
		if got := ownMachine(redirect); got != want {
			t.Errorf("%q: %t", redirect, got)
		}
	}
}

func FuzzOwnMachine(f *testing.F) {
	f.Add("http://127.0.0.1:1234/callback")
	f.Fuzz(func(t *testing.T, redirect string) {
		if ownMachine(redirect) && !strings.HasPrefix(redirect, "http://127.") && !strings.HasPrefix(redirect, "http://[::") {
			t.Errorf("%q is taken", redirect)
		}
	})
}

func TestLoginByAPI(t *testing.T) {
	f := newFake()
	a := serve(t, f)
	if w := a.do(req{method: "POST", path: "/api/v1/login", body: `{"provider":"idp","redirect":"http://evil.test:1/callback"}`}); w.Code != 400 || len(f.started) != 0 {
		t.Errorf("another's redirect: %d, %v", w.Code, f.started)
	}
	if w := a.do(req{method: "POST", path: "/api/v1/login", body: `{"provider":"idp","device":true,"fresh":true}`}); w.Code != 200 || !f.started[0].Fresh {
		t.Errorf("device: %d %s", w.Code, w.Body)
	}
	if w := a.do(req{method: "POST", path: "/api/v1/login/finish", body: `{"provider":"idp","device":true,"attempt":"attempt"}`}); w.Code != 200 || !strings.Contains(w.Body.String(), "pending") {
		t.Errorf("pending: %d %s", w.Code, w.Body)
	}
	w := a.do(req{method: "POST", path: "/api/v1/login/finish", who: "alice", body: `{"provider":"idp","device":false,"attempt":"attempt","state":"state","code":"alice"}`})
	if w.Code != 200 || f.finished[1].Credential != "tok-alice" {
		t.Errorf("with a credential: %d %s, %+v", w.Code, w.Body, f.finished[1])
	}
}

// attemptOf is the cookie of a sign-in that has begun.
func attemptOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == attemptCookie {
			return c
		}
	}
	t.Fatalf("no %s among %v", attemptCookie, w.Result().Cookies())
	return nil
}

func TestSignInWithAProvider(t *testing.T) {
	f := newFake()
	f.url = "https://sluice.example.test"
	a := serve(t, f)
	w := a.browse(browse{method: "GET", path: "/signin/idp?next=/requests&fresh=1"})
	c := attemptOf(t, w)
	if w.Code != 303 || w.Header().Get("Location") != "https://idp.test/authorize" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/signin" {
		t.Fatalf("%d %v, cookie %v", w.Code, w.Header(), c)
	}
	if f.started[0].Redirect != "https://sluice.example.test/signin/callback" || !f.started[0].Fresh {
		t.Errorf("asked %+v", f.started[0])
	}
	back := func(query, cookie string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "https://gateway.test/signin/callback?"+query, nil)
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: attemptCookie, Value: cookie})
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	if w := back("state=state&code=alice", c.Value); w.Code != 303 || w.Header().Get("Location") != "/requests" {
		t.Errorf("honest: %d to %q", w.Code, w.Header().Get("Location"))
	}
	evil := "idp." + "Ly9ldmlsLnRlc3Q" + ".attempt" // next: //evil.test
	if w := back("state=state&code=alice", evil); w.Header().Get("Location") != "/" {
		t.Errorf("sent to %q", w.Header().Get("Location"))
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no cookie": back("state=state&code=alice", ""), "half a cookie": back("state=state&code=alice", "idp.x"), "another state": back("state=x&code=alice", c.Value),
		"no provider": a.browse(browse{method: "GET", path: "/signin/other"}),
	} {
		for _, k := range w.Result().Cookies() {
			if k.Name == secureCookie && k.Value != "" {
				t.Errorf("%s: signed in", name)
			}
		}
		if w.Code < 400 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// Without a configured address, a Host header leads nobody elsewhere.
func TestBaseIsNotTheHostHeader(t *testing.T) {
	a := serve(t, newFake())
	for host, code := range map[string]int{"evil.test": 503, "127.0.0.1:8080": 303, "localhost": 303, "[::1]:80": 303} {
		r := httptest.NewRequest("GET", "/signin/idp", nil)
		r.Host = host
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}

func TestOAuthToken(t *testing.T) {
	f := newFake()
	a := serve(t, f)
	good := url.Values{"grant_type": {grantExchange}, "subject_token": {"x.y.z"}, "subject_token_type": {typeJWT}}
	w := a.browse(browse{method: "POST", path: "/oauth2/token", form: good})
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"access_token":"slc_x"`) || !strings.Contains(w.Body.String(), `"expires_in":60`) || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, c := range map[string]struct{ key, value, want string }{
		"another grant": {"grant_type", "password", "invalid_request"}, "no token": {"subject_token", "", "invalid_request"},
		"a strange type": {"subject_token_type", "saml", "invalid_request"}, "a refused token": {"subject_token", "bad", "invalid_grant"},
		"an actor without type": {"actor_token", "x", "invalid_request"}, "a ttl that is none": {"requested_ttl", "-1s", "invalid_request"},
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(c.key, c.value)
		if w := a.browse(browse{method: "POST", path: "/oauth2/token", form: form}); w.Code != 400 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	good["subject_token"] = []string{"a", "b"}
	if w := a.browse(browse{method: "POST", path: "/oauth2/token", form: good}); w.Code != 400 {
		t.Errorf("twice: %d %s", w.Code, w.Body)
	}
}
