package server

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const webRules = `
apiVersion: sluice/v1
kind: Policy
metadata: {name: access}
spec:
  rules:
  - {id: engineers, match: {groups: [engineering, dba], access: [read, write]}, effect: allow}
  - id: ask
    match: {verbs: [update, delete]}
    effect: require_approval
    message: "<b>somebody</b> else must look at it"
    approval: {from: [{group: dba}]}
  - id: sure
    match: {verbs: [insert]}
    effect: require_approval
    approval: {from: [{group: dba}], confirm: true}
`

// ask sends a statement that needs approval and does not wait for it.
func (g *gateway) ask(t *testing.T, user, sql string) (id string) {
	t.Helper()
	_, errs := g.psql(t, user, "pw", "SET sluice.wait = 0", `SET sluice.reason = '<img src=x onerror=alert(1)>'`, sql)
	found := regexp.MustCompile(`request (req-\w+)`).FindStringSubmatch(errs)
	if found == nil {
		t.Fatalf("no request: %s", errs)
	}
	return found[1]
}

func (g *gateway) signedIn(t *testing.T, user string) *browser {
	t.Helper()
	b := g.browser(t)
	if code, page := b.post("/signin", url.Values{"user": {user}, "password": {"pw"}, "next": {"/requests"}}); code != 200 || !strings.Contains(page, "<h1>Inbox</h1>") {
		t.Fatalf("sign-in of %s: %d %s", user, code, page)
	}
	return b
}

// form reads the hidden fields of a page.
func form(page string, more ...string) url.Values {
	f := url.Values{}
	for _, m := range regexp.MustCompile(`name="(csrf|digest)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		f.Set(m[1], m[2])
	}
	for i := 0; i+1 < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f
}

func TestWebInbox(t *testing.T) {
	g := open(t, writeHouse(t, webRules))
	bob, alice := g.signedIn(t, "bob"), g.signedIn(t, "alice")
	id := g.ask(t, "alice", "UPDATE customers SET email = '<script>alert(2)</script>' WHERE id = 1")
	path := "/requests/" + id

	_, list := bob.get("/requests")
	_, page := bob.get(path)
	for _, text := range []string{list, page} {
		if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x") || strings.Contains(text, "<b>somebody") {
			t.Errorf("not escaped: %s", text)
		}
		if !strings.Contains(text, id) || !strings.Contains(text, "alice") {
			t.Errorf("incomplete: %s", text)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(2)", "&lt;img src=x", "&lt;b&gt;somebody", "access/ask", "Approve", "Changes 1 row", "sluice.reason"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}

	// The requester has no form to answer, and an answer of theirs does not count.
	_, own := alice.get(path)
	if strings.Contains(own, `value="approve"`) || !strings.Contains(own, "Withdraw") {
		t.Errorf("the requester's page: %s", own)
	}
	good := form(page, "answer", "approve", "reason", "fine")
	refused := []struct {
		name string
		b    *browser
		path string
		form url.Values
		code int
	}{
		{"one's own", alice, path, form(own, "answer", "approve", "digest", good.Get("digest")), 403},
		{"without a token", bob, path, url.Values{"answer": {"approve"}, "digest": good["digest"]}, 403},
		{"with another's token", bob, path, form(own, "answer", "approve", "digest", good.Get("digest")), 403},
		{"for another digest", bob, path, form(page, "answer", "approve", "digest", strings.Repeat("00", 32)), 409},
		{"without a digest", bob, path, form(page, "answer", "approve", "digest", ""), 400},
		{"neither yes nor no", bob, path, form(page, "answer", "perhaps"), 400},
		{"of no request", bob, "/requests/req-none", good, 404},
		{"withdrawn by another", bob, path + "/withdraw", good, 403},
		{"not signed in", g.browser(t), path, good, 401},
	}
	for _, test := range refused {
		if code, text := test.b.post(test.path, test.form); code != test.code {
			t.Errorf("%s: %d, want %d: %s", test.name, code, test.code, text)
		}
	}
	if _, text := bob.get(path); !strings.Contains(text, "Nobody has answered yet") {
		t.Errorf("an answer counted: %s", text)
	}

	if code, text := bob.post(path, good); code != 200 || !strings.Contains(text, "state approved") || !strings.Contains(text, "fine") {
		t.Errorf("approved: %d %s", code, text)
	}
	if code, text := bob.post(path, good); code != 409 || !strings.Contains(text, "not counted") {
		t.Errorf("answered twice: %d %s", code, text)
	}
	if out, errs := g.psql(t, "alice", "pw", "UPDATE customers SET email = '<script>alert(2)</script>' WHERE id = 1"); !strings.Contains(out, "UPDATE 1") {
		t.Errorf("%s%s", out, errs)
	}
	if _, text := alice.get("/requests/mine"); !strings.Contains(text, "state used") {
		t.Errorf("my requests: %s", text)
	}
}

// What an approver asks for, another must answer, and the one who asked can take
// it back; the page that was open meanwhile answers nothing.
func TestWebWithdrawnMeanwhile(t *testing.T) {
	g := open(t, writeHouse(t, webRules))
	bob, alice := g.signedIn(t, "bob"), g.signedIn(t, "alice")
	path := "/requests/" + g.ask(t, "alice", "DELETE FROM customers WHERE id = 1")
	_, page := bob.get(path)
	_, own := alice.get(path)
	if code, text := alice.post(path+"/withdraw", form(own)); code != 200 || !strings.Contains(text, "state withdrawn") {
		t.Fatalf("%d %s", code, text)
	}
	if code, text := bob.post(path, form(page, "answer", "approve")); code != 409 || !strings.Contains(text, "withdrawn") {
		t.Errorf("an answer to what was withdrawn: %d %s", code, text)
	}
	path = "/requests/" + g.ask(t, "bob", "DELETE FROM customers WHERE id = 2")
	_, page = bob.get(path)
	if code, _ := bob.post(path, form(page, "answer", "approve", "digest", strings.Repeat("00", 32))); code != 403 && code != 409 {
		t.Errorf("an approver's own: %d", code)
	}
	digest := regexp.MustCompile(`[0-9a-f]{64}`).FindString(page)
	if r, err := g.client(t, "bob").Request(t.Context(), path[len("/requests/"):]); err == nil {
		digest = r.Digest
	}
	if code, text := bob.post(path, form(page, "answer", "approve", "digest", digest)); code != 403 || !strings.Contains(text, "Nobody approves") {
		t.Errorf("an approver's own: %d %s", code, text)
	}
}

// Where a rule wants answers confirmed, one who signed in before the request was
// made signs in again.
func TestWebConfirmation(t *testing.T) {
	g := open(t, writeHouse(t, webRules))
	bob := g.signedIn(t, "bob")
	id := g.ask(t, "alice", "INSERT INTO customers SELECT 77")
	path := "/requests/" + id
	_, page := bob.get(path)
	if strings.Contains(page, `value="approve"`) || !strings.Contains(page, "/signin?fresh=1&amp;next=%2Frequests%2F"+id) {
		t.Errorf("before: %s", page)
	}
	if code, text := bob.post(path, form(page, "answer", "approve")); code != 403 || !strings.Contains(text, "fresh sign-in") {
		t.Errorf("unconfirmed: %d %s", code, text)
	}
	_, page = bob.post("/signin", url.Values{"user": {"bob"}, "password": {"pw"}, "next": {path}})
	if code, text := bob.post(path, form(page, "answer", "approve")); code != 200 || !strings.Contains(text, "state approved") {
		t.Errorf("confirmed: %d %s", code, text)
	}
}

// Browsers are told to run nothing inline, to be framed by nobody, and to go
// nowhere else after signing in.
func TestWebHeaders(t *testing.T) {
	g := open(t, writeHouse(t, webRules))
	bob := g.signedIn(t, "bob")
	for _, path := range []string{"/requests", "/requests/mine", "/requests/past", "/requests/none", "/signin", "/elsewhere"} {
		res, err := bob.Get(bob.base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		policy := res.Header.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, res.Header)
		}
	}
	for _, next := range []string{"https://evil.test/", "//evil.test", "/\\evil.test", "/%09/evil.test/\t"} {
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := c.PostForm(bob.base+"/signin", url.Values{"user": {"bob"}, "password": {"pw"}, "next": {next}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if to := res.Header.Get("Location"); strings.Contains(to, "evil") && !strings.HasPrefix(to, "/%09") {
			t.Errorf("next %q goes to %q", next, to)
		}
	}
}
