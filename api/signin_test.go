package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sluice/access"
)

// browse is one request of a browser: a form if there is one, and its cookies.
type browse struct {
	method, path string
	form         url.Values
	cookie       string // value of the session's cookie
	header       map[string]string
	tls          bool
}

func (a *API) browse(b browse) *httptest.ResponseRecorder {
	target := "http://gateway.test" + b.path
	if b.tls {
		target = "https://gateway.test" + b.path
	}
	r := httptest.NewRequest(b.method, target, strings.NewReader(b.form.Encode()))
	if b.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: a.cookieName(r), Value: b.cookie})
	}
	for k, v := range b.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(&deadlines{w}, r)
	return w
}

func signInAs(user string) url.Values { return url.Values{"user": {user}, "password": {user}} }

func cookieOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies: %v", len(cookies), cookies)
	}
	return cookies[0]
}

func TestSignInGivesACookieThatScriptsCannotRead(t *testing.T) {
	a := serve(t, newFake())
	for _, over := range []struct {
		tls    bool
		name   string
		secure bool
	}{{false, "sluice", false}, {true, "__Host-sluice", true}} {
		w := a.browse(browse{method: "POST", path: "/signin", form: signInAs("alice"), tls: over.tls})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
			t.Fatalf("%d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
		}
		c := cookieOf(t, w)
		if c.Name != over.name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != over.secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("tls %t: cookie %s", over.tls, c)
		}
	}
}

// A proxy that ends TLS before a loopback listener: the browser speaks TLS.
func TestCookieIsSecureBehindAProxy(t *testing.T) {
	f := newFake()
	f.url = "https://sluice.example.test"
	c := cookieOf(t, serve(t, f).browse(browse{method: "POST", path: "/signin", form: signInAs("alice")}))
	if c.Name != "__Host-sluice" || !c.Secure {
		t.Errorf("cookie %s", c)
	}
}

func TestSignInRefuses(t *testing.T) {
	a := serve(t, newFake())
	for name, b := range map[string]struct {
		b    browse
		code int
	}{
		"wrong password":   {browse{form: url.Values{"user": {"alice"}, "password": {"x"}}}, 401},
		"nobody":           {browse{form: signInAs("stranger")}, 401},
		"too often":        {browse{form: signInAs("slow")}, 429},
		"of another page":  {browse{form: signInAs("alice"), header: map[string]string{"Origin": "https://evil.test"}}, 403},
		"of another site":  {browse{form: signInAs("alice"), header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403},
		"a form too large": {browse{form: url.Values{"user": {strings.Repeat("x", maxForm)}}}, 413},
	} {
		b.b.method, b.b.path = "POST", "/signin"
		w := a.browse(b.b)
		if w.Code != b.code || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: %d, cookies %v: %s", name, w.Code, w.Result().Cookies(), w.Body)
		}
	}
}

func TestSignInLeadsOnlyHome(t *testing.T) {
	a := serve(t, newFake())
	for next, want := range map[string]string{
		"/requests/x?y=1": "/requests/x?y=1", "": "/", "https://evil.test/": "/", "//evil.test": "/", "/\\evil.test": "/",
		"/\t/evil.test": "/", "javascript:alert(1)": "/", "requests": "/", "/" + strings.Repeat("a", 3000): "/",
	} {
		form := signInAs("alice")
		form.Set("next", next)
		if got := a.browse(browse{method: "POST", path: "/signin", form: form}).Header().Get("Location"); got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
}

func TestSignInRotates(t *testing.T) {
	f := newFake()
	a := serve(t, f)
	w := a.browse(browse{method: "POST", path: "/signin", form: signInAs("bob"), cookie: "alice"})
	if cookieOf(t, w).Value != "bob" || len(f.closed) != 1 || f.closed[0] != "tok-alice" {
		t.Errorf("cookie %v, closed %v", w.Result().Cookies(), f.closed)
	}
}

func TestSignInPageEscapes(t *testing.T) {
	a := serve(t, newFake())
	form := url.Values{"user": {`"><script>alert(1)</script>`}, "password": {"x"}, "next": {`/"><script>`}}
	w := a.browse(browse{method: "POST", path: "/signin", form: form})
	if strings.Contains(w.Body.String(), "<script>") {
		t.Errorf("page: %s", w.Body)
	}
}

func TestSignOutNeedsTheToken(t *testing.T) {
	f := newFake()
	a := serve(t, f)
	if w := a.browse(browse{method: "POST", path: "/signout", form: url.Values{}, cookie: "alice"}); w.Code != 403 || len(f.closed) != 0 {
		t.Fatalf("without: %d, closed %v", w.Code, f.closed)
	}
	form := url.Values{CSRFField: {csrfToken(access.NewSecret("alice"))}}
	w := a.browse(browse{method: "POST", path: "/signout", form: form, cookie: "alice"})
	if c := cookieOf(t, w); w.Code != 303 || c.MaxAge >= 0 || c.Value != "" || len(f.closed) != 1 {
		t.Errorf("with: %d, cookie %s, closed %v", w.Code, c, f.closed)
	}
}

// pages is what a web front end looks like to the API.
func pages(v Visitors) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("/inbox", v.Page(func(w http.ResponseWriter, r *http.Request, who Visitor) {
		if r.ParseForm() != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		w.Write([]byte("hello " + who.Subject.ID + " " + who.CSRF))
	}))
	return mux, nil
}

func TestPages(t *testing.T) {
	f := newFake()
	robot := person("robot")
	robot.Kind = access.Agent
	acted := person("alice")
	acted.Actor = &robot
	f.callers["Bearer robot"], f.callers["Bearer acted"] = Caller{Subject: robot}, Caller{Subject: acted}
	c := f.config()
	c.Pages = pages
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	csrf := csrfToken(access.NewSecret("alice"))
	for _, test := range []struct {
		name     string
		b        browse
		code     int
		contains string
	}{
		{"signed in", browse{method: "GET", cookie: "alice"}, 200, "hello alice " + csrf},
		{"not signed in", browse{method: "GET"}, 303, ""},
		{"session ended", browse{method: "GET", cookie: "gone"}, 303, ""},
		{"nobody's session", browse{method: "GET", cookie: "nobody"}, 303, ""},
		{"an agent", browse{method: "GET", cookie: "robot"}, 403, ""},
		{"an agent for a person", browse{method: "GET", cookie: "acted"}, 403, ""},
		{"a form of nobody", browse{method: "POST", form: url.Values{}}, 401, ""},
		{"a form without token", browse{method: "POST", form: url.Values{}, cookie: "alice"}, 403, ""},
		{"a form with another's token", browse{method: "POST", form: url.Values{CSRFField: {csrfToken(access.NewSecret("bob"))}}, cookie: "alice"}, 403, ""},
		{"token in the address", browse{method: "POST", form: url.Values{}, path: "/inbox?csrf=" + csrf, cookie: "alice"}, 403, ""},
		{"a form", browse{method: "POST", form: url.Values{CSRFField: {csrf}}, cookie: "alice"}, 200, "hello alice"},
		{"a script", browse{method: "POST", header: map[string]string{CSRFHeader: csrf}, cookie: "alice"}, 200, "hello alice"},
		{"more than a form", browse{method: "POST", form: url.Values{"more": {strings.Repeat("x", maxForm)}}, header: map[string]string{CSRFHeader: csrf}, cookie: "alice"}, 413, ""},
		{"a script of another origin", browse{method: "POST", header: map[string]string{CSRFHeader: csrf, "Origin": "https://evil.test"}, cookie: "alice"}, 403, ""},
	} {
		if test.b.path == "" {
			test.b.path = "/inbox"
		}
		w := a.browse(test.b)
		if w.Code != test.code || !strings.Contains(w.Body.String(), test.contains) {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		if w.Code == 303 && w.Header().Get("Location") != "/signin?next=%2Finbox" {
			t.Errorf("%s: sent to %s", test.name, w.Header().Get("Location"))
		}
	}
}

// The API takes the browser's session too, but changes nothing without the token.
func TestAPITakesTheCookie(t *testing.T) {
	a := serve(t, newFake())
	if w := a.browse(browse{method: "GET", path: "/api/v1/whoami", cookie: "alice"}); w.Code != 200 {
		t.Errorf("whoami: %d %s", w.Code, w.Body)
	}
	post := browse{method: "POST", path: "/api/v1/audit/verify", cookie: "root"}
	if w := a.browse(post); w.Code != 403 {
		t.Errorf("verify without token: %d %s", w.Code, w.Body)
	}
	post.header = map[string]string{CSRFHeader: csrfToken(access.NewSecret("root"))}
	if w := a.browse(post); w.Code != 200 {
		t.Errorf("verify with token: %d %s", w.Code, w.Body)
	}
}
