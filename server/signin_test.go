package server

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"sluice/identity"
)

// A browser keeps cookies and follows redirects.
type browser struct {
	*http.Client
	base string
	t    *testing.T
}

func (g *gateway) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar}, "http://" + g.Addr("web").String(), t}
}

func (b *browser) read(res *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (b *browser) get(path string) (int, string) {
	b.t.Helper()
	return b.read(b.Get(b.base + path))
}

func (b *browser) post(path string, form url.Values) (int, string) {
	b.t.Helper()
	return b.read(b.PostForm(b.base+path, form))
}

func TestWebSessions(t *testing.T) {
	g := start(t)
	b := g.browser(t)
	if code, _ := b.get("/api/v1/whoami"); code != 401 {
		t.Fatalf("whoami before: %d", code)
	}
	if code, page := b.post("/signin", url.Values{"user": {"alice"}, "password": {"wrong"}}); code != 401 || !strings.Contains(page, "not accepted") {
		t.Fatalf("wrong password: %d %s", code, page)
	}
	if code, page := b.post("/signin", url.Values{"user": {"alice"}, "password": {"pw"}, "next": {"/api/v1/whoami"}}); code != 200 || !strings.Contains(page, `"id":"alice"`) {
		t.Fatalf("whoami after: %d %s", code, page)
	}
	list, err := g.directory.Tokens(t.Context(), "alice")
	if err != nil || len(list) != 1 || list[0].Note != "web session" {
		t.Fatalf("tokens: %v, %v", list, err)
	}

	_, page := b.get("/signin")
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if csrf == nil {
		t.Fatalf("no token in %s", page)
	}
	if code, page := b.post("/signout", url.Values{"csrf": {csrf[1]}}); code != 200 || !strings.Contains(page, "Password") {
		t.Fatalf("sign-out: %d %s", code, page)
	}
	if code, _ := b.get("/api/v1/whoami"); code != 401 {
		t.Errorf("whoami after sign-out: %d", code)
	}
	if list, _ := g.directory.Tokens(t.Context(), "alice"); len(list) != 0 {
		t.Errorf("tokens after sign-out: %v", list)
	}
}

// A session that is revoked ends at the next request, and asking again and
// again with its cookie shuts nobody out.
func TestRevokedWebSession(t *testing.T) {
	g := start(t)
	b := g.browser(t)
	b.post("/signin", url.Values{"user": {"alice"}, "password": {"pw"}})
	alice, err := g.directory.Lookup(identity.Local, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := g.directory.Revoke(t.Context(), alice, identity.Revocation{User: "alice"}); n != 1 || err != nil {
		t.Fatalf("revoke: %d, %v", n, err)
	}
	for range 30 {
		if code, _ := b.get("/api/v1/whoami"); code != 401 {
			t.Fatalf("whoami: %d", code)
		}
	}
	if code, _ := b.post("/signin", url.Values{"user": {"alice"}, "password": {"pw"}, "next": {"/api/v1/whoami"}}); code != 200 {
		t.Errorf("signing in again: %d", code)
	}
}
