package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func person(id string) access.Subject {
	return access.Subject{Issuer: "local", ID: id, Kind: access.Human}
}

func serve(t *testing.T, f *fake) *API {
	t.Helper()
	a, err := New(f.config())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// req is one request of a test.
type req struct {
	method, path, who, body string
	header                  map[string]string
}

func (a *API) do(r req) *httptest.ResponseRecorder {
	h := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
	if r.who != "" {
		h.Header.Set("Authorization", "Bearer "+r.who)
	}
	if r.body != "" {
		h.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		h.Header.Set(k, v)
	}
	w := &deadlines{httptest.NewRecorder()}
	a.ServeHTTP(w, h)
	return w.ResponseRecorder
}

// deadlines lets a recorder take deadlines as a connection does.
type deadlines struct{ *httptest.ResponseRecorder }

func (*deadlines) SetReadDeadline(time.Time) error  { return nil }
func (*deadlines) SetWriteDeadline(time.Time) error { return nil }

func problemOf(t *testing.T, w *httptest.ResponseRecorder) v1.Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q: %s", got, w.Body)
	}
	var p v1.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != w.Code {
		t.Fatalf("problem says %d, answer %d", p.Status, w.Code)
	}
	return p
}

func TestEveryRouteNeedsACredential(t *testing.T) {
	a := serve(t, newFake())
	for _, r := range a.routes() {
		path := strings.NewReplacer("{id}", "x", "{$}", "").Replace(r.path)
		for _, who := range []string{"", "stranger", "nobody"} {
			w := a.do(req{method: r.method, path: path, who: who, body: bodyFor(r)})
			if (w.Code != http.StatusUnauthorized) != r.open {
				t.Errorf("%s %s as %q: %d, open %v", r.method, path, who, w.Code, r.open)
			}
			if !r.open && w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s: no challenge", r.method, path)
			}
		}
	}
}

func bodyFor(r route) string {
	if r.body == nil {
		return ""
	}
	return "{}"
}

func TestStatus(t *testing.T) {
	tests := []struct {
		name   string
		req    req
		status int
		reason string
	}{
		{"throttled", req{method: "GET", path: "/api/v1/whoami", who: "slow"}, 429, "too_many"},
		{"unknown path", req{method: "GET", path: "/api/v1/nothing", who: "alice"}, 404, "not_found"},
		{"wrong method", req{method: "DELETE", path: "/api/v1/whoami", who: "alice"}, 404, "not_found"},
		{"others' tokens", req{method: "GET", path: "/api/v1/tokens?all=true", who: "alice"}, 403, "forbidden"},
		{"auditors' view of tokens", req{method: "GET", path: "/api/v1/tokens?all=true", who: "audit"}, 403, "forbidden"},
		{"revoke of another's", req{method: "DELETE", path: "/api/v1/tokens/tok-b", who: "alice"}, 404, "not_found"},
		{"revoke of own", req{method: "DELETE", path: "/api/v1/tokens/tok-a", who: "alice"}, 200, ""},
		{"revoke by admin", req{method: "DELETE", path: "/api/v1/tokens/tok-b", who: "root"}, 200, ""},
		{"bad ttl", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{"ttl":"soon"}`}, 400, "invalid"},
		{"negative ttl", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{"ttl":"-1h"}`}, 400, "invalid"},
		{"unknown field", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{"user":"root"}`}, 400, "invalid"},
		{"two values", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{}{}`}, 400, "invalid"},
		{"not JSON", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{}`, header: map[string]string{"Content-Type": "text/plain"}}, 415, "media_type"},
		{"a form of another site", req{method: "POST", path: "/api/v1/tokens", who: "alice", body: `{}`, header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403, "forbidden"},
		{"kill from another site", req{method: "POST", path: "/api/v1/sessions/s-alice/kill", who: "alice", header: map[string]string{"Origin": "https://evil.test"}}, 403, "forbidden"},
		{"unknown state", req{method: "GET", path: "/api/v1/requests?state=lost", who: "alice"}, 400, "invalid"},
		{"own request", req{method: "POST", path: "/api/v1/requests/r1/approve", who: "alice", body: `{}`}, 403, "forbidden"},
		{"own request by an admin is refused by the engine", req{method: "POST", path: "/api/v1/requests/r-root/approve", who: "root", body: `{}`}, 403, "forbidden"},
		{"answered request", req{method: "POST", path: "/api/v1/requests/r2/reject", who: "bob", body: `{}`}, 409, "conflict"},
		{"another's session", req{method: "GET", path: "/api/v1/sessions/s-alice", who: "bob"}, 404, "not_found"},
		{"own session", req{method: "GET", path: "/api/v1/sessions/s-alice", who: "alice"}, 200, ""},
		{"an agent's session, by its owner", req{method: "GET", path: "/api/v1/sessions/s-agent", who: "alice"}, 200, ""},
		{"an agent's session, by another", req{method: "GET", path: "/api/v1/sessions/s-agent", who: "bob"}, 404, "not_found"},
		{"kill of another's", req{method: "POST", path: "/api/v1/sessions/s-alice/kill", who: "bob"}, 404, "not_found"},
		{"kill by an auditor", req{method: "POST", path: "/api/v1/sessions/s-alice/kill", who: "audit"}, 403, "forbidden"},
		{"kill by an admin", req{method: "POST", path: "/api/v1/sessions/s-alice/kill", who: "root"}, 200, ""},
		{"kill of own", req{method: "POST", path: "/api/v1/sessions/s-alice/kill", who: "alice"}, 200, ""},
		{"kill of what ended", req{method: "POST", path: "/api/v1/sessions/ended/kill", who: "root"}, 409, "conflict"},
		{"another's recording", req{method: "GET", path: "/api/v1/sessions/s-alice/recording", who: "bob"}, 404, "not_found"},
		{"no recording", req{method: "GET", path: "/api/v1/sessions/silent/recording", who: "root"}, 404, "not_found"},
		{"verify", req{method: "POST", path: "/api/v1/audit/verify", who: "alice"}, 403, "forbidden"},
		{"verify by an auditor", req{method: "POST", path: "/api/v1/audit/verify", who: "audit"}, 200, ""},
		{"can about another", req{method: "POST", path: "/api/v1/can", who: "alice", body: `{"subject":"bob","resource":"shop","command":"select 1"}`}, 403, "forbidden"},
		{"another's events", req{method: "GET", path: "/api/v1/audit?subject=bob", who: "alice"}, 403, "forbidden"},
		{"bad limit", req{method: "GET", path: "/api/v1/audit?limit=-1", who: "alice"}, 400, "invalid"},
		{"no such effect", req{method: "GET", path: "/api/v1/audit?effect=denied", who: "alice"}, 400, "invalid"},
		{"no such verb", req{method: "GET", path: "/api/v1/audit?verb=remove", who: "alice"}, 400, "invalid"},
		{"no such type", req{method: "GET", path: "/api/v1/audit/tail?type=action.denied", who: "alice"}, 400, "invalid"},
		{"no such group of types", req{method: "GET", path: "/api/v1/audit?type=actions.*", who: "alice"}, 400, "invalid"},
		{"a group of types", req{method: "GET", path: "/api/v1/audit?type=action.*&verb=delete&effect=deny", who: "alice"}, 200, ""},
		{"bad since", req{method: "GET", path: "/api/v1/audit?since=yesterday", who: "alice"}, 400, "invalid"},
		{"another's decision", req{method: "GET", path: "/api/v1/decisions/d-alice", who: "bob"}, 404, "not_found"},
		{"an event that is no decision", req{method: "GET", path: "/api/v1/decisions/o-alice", who: "alice"}, 404, "not_found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(t, populated()).do(tt.req)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if tt.reason != "" && problemOf(t, w).Reason != tt.reason {
				t.Errorf("problem %s, want reason %s", w.Body, tt.reason)
			}
		})
	}
}

func populated() *fake {
	f := newFake()
	f.tokens = []v1.Token{{ID: "tok-a", User: "alice"}, {ID: "tok-b", User: "bob"}}
	f.requests["r1"] = v1.Request{ID: "r1", State: "pending", Requester: "alice"}
	f.requests["r2"] = v1.Request{ID: "r2", State: "rejected", Requester: "alice"}
	f.requests["r-root"] = v1.Request{ID: "r-root", State: "pending", Requester: "root"}
	agent := person("bot")
	agent.Kind, agent.Owner = access.Agent, "alice"
	f.sessions["s-alice"], f.sessions["s-bob"], f.sessions["s-agent"] = person("alice"), person("bob"), agent
	f.sessions["ended"], f.sessions["silent"] = person("bob"), person("bob")
	f.events = story()
	return f
}

// story is a decision of alice's with its outcome, and one of bob's.
func story() []*access.Event {
	alice, bob := person("alice"), person("bob")
	decision := &access.Decision{ID: "d-alice", Effect: access.Allow, Policy: "abcd", Message: "for you", Reasons: []access.Reason{
		{Policy: "p", Rule: "engineers", Effect: "allow", File: "p.yaml", Line: 7, Because: "now = 12:00", Message: "go on"},
		{Policy: "p", Rule: "weaker", Effect: "allow", Lost: true}},
		Would: []access.Reason{{Policy: "p", Rule: "watch", Effect: "deny"}},
		Obligations: []access.Obligation{access.Mask{Column: access.ColumnID{Schema: "public", Table: "customers", Column: "email"}, With: "partial", Rule: "p/mask"},
			access.Limit{Rows: 10, AffectedRows: 5, Rule: "p/limit"}}}
	action := &access.Action{Verb: access.VerbUpdate, Op: "UPDATE", Text: "ALTER ROLE x PASSWORD 'hidden'", Shown: "ALTER ROLE x PASSWORD [redacted]", Confidence: access.Exact,
		Objects: []access.Object{{Kind: access.KindTable, Schema: "public", Name: "customers"}, {Kind: access.KindTable, Schema: "pg_catalog", Name: "pg_class", System: true}}}
	return []*access.Event{
		{ID: "d-alice", Time: noon, Type: access.ActionDecided, Subject: &alice, Resource: &access.Resource{Name: "shop", Database: "orders"},
			Client: &access.Client{Address: "127.0.0.1:9"}, Action: action, Decision: decision, Reason: "ticket 7"},
		{ID: "o-alice", Ref: "d-alice", Type: access.ActionCompleted, Subject: &alice, Outcome: &access.Outcome{Rows: 3, Masked: 2, Duration: 1500}},
		{ID: "d-bob", Time: noon, Type: access.ActionDecided, Subject: &bob, Decision: &access.Decision{}, Action: &access.Action{}},
	}
}

func TestExplainTellsOwnersLessThanAuditors(t *testing.T) {
	for _, tt := range []struct {
		who  string
		full bool
	}{{"alice", false}, {"root", true}, {"audit", true}} {
		f := populated()
		w := serve(t, f).do(req{method: "GET", path: "/api/v1/decisions/d-alice", who: tt.who})
		var d v1.Decision
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(w.Body.String(), "hidden") {
			t.Errorf("%s: a secret of the text is shown", tt.who)
		}
		if d.Rule != "p/engineers" || d.Effect != "allow" || d.Message != "for you" || d.Resource != "shop/orders" || d.Why != "ticket 7" {
			t.Errorf("%s: %+v", tt.who, d)
		}
		if d.Outcome == nil || d.Outcome.State != "done" || d.Outcome.Masked != 2 {
			t.Errorf("%s: outcome %+v", tt.who, d.Outcome)
		}
		if len(d.Objects) != 1 || d.Objects[0] != "public.customers" {
			t.Errorf("%s: objects %v", tt.who, d.Objects)
		}
		if got := strings.Join(d.Obligations, "; "); got != "mask public.customers.email with partial (p/mask); limit 10 rows, 5 affected rows (p/limit)" {
			t.Errorf("%s: obligations %s", tt.who, got)
		}
		if tt.full != (len(d.Would) == 1 && d.Policy != "" && len(d.Reasons) == 2 && d.Reasons[0].File == "p.yaml" && d.Reasons[0].Because != "") {
			t.Errorf("%s: reasons %+v, would %+v", tt.who, d.Reasons, d.Would)
		}
		if tt.full != (len(f.recorded) == 1 && f.recorded[0].Type == access.AuditRead) {
			t.Errorf("%s: %d events of reading", tt.who, len(f.recorded))
		}
	}
}

func TestReadingOthersIsRecordedFirst(t *testing.T) {
	paths := []string{"/api/v1/audit", "/api/v1/audit/tail", "/api/v1/sessions/s-bob/recording", "/api/v1/decisions/d-alice", "/api/v1/requests/r1", "/api/v1/requests"}
	for _, path := range paths {
		f := populated()
		w := serve(t, f).do(req{method: "GET", path: path, who: "audit"})
		if w.Code != 200 || len(f.recorded) != 1 {
			t.Errorf("%s: status %d, %d events", path, w.Code, len(f.recorded))
		}
		f = populated()
		f.journal = errors.New("disk gone")
		w = serve(t, f).do(req{method: "GET", path: path, who: "audit"})
		if w.Code != 500 || strings.Contains(w.Body.String(), "pending") || strings.Contains(w.Body.String(), "recording of") || strings.Contains(w.Body.String(), "d-alice") {
			t.Errorf("%s without a journal: %d %s", path, w.Code, w.Body)
		}
	}
}

// One's own requests, those put to one, and answered ones in a list are no news.
func TestOwnRequestsAreNotOverlooked(t *testing.T) {
	f := populated()
	delete(f.requests, "r1")
	f.requests["r3"] = v1.Request{ID: "r3", State: "pending", Requester: "alice", MayVote: true}
	a := serve(t, f)
	for _, path := range []string{"/api/v1/requests", "/api/v1/requests?state=all", "/api/v1/requests/r3", "/api/v1/requests/r-root"} {
		if w := a.do(req{method: "GET", path: path, who: "root"}); w.Code != 200 || len(f.recorded) != 0 {
			t.Errorf("%s: %d, %d events", path, w.Code, len(f.recorded))
		}
	}
}

func TestSearchShowsOwnEventsOnly(t *testing.T) {
	a := serve(t, populated())
	for query, want := range map[string]string{
		"":          "{\"id\":\"d-alice\"}\n{\"id\":\"o-alice\"}\n",
		"?id=d-bob": "",
	} {
		w := a.do(req{method: "GET", path: "/api/v1/audit" + query, who: "alice"})
		if w.Body.String() != want {
			t.Errorf("%q: %q", query, w.Body)
		}
	}
	if w := a.do(req{method: "GET", path: "/api/v1/audit", who: "audit"}); strings.Count(w.Body.String(), "\n") != 3 {
		t.Errorf("auditor: %q", w.Body)
	}
}

func TestSessionsListOwnOnly(t *testing.T) {
	for who, want := range map[string]int{"alice": 2, "bob": 3, "root": 5, "audit": 5} {
		w := serve(t, populated()).do(req{method: "GET", path: "/api/v1/sessions", who: who})
		var list []v1.Session
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list) != want {
			t.Errorf("%s: %v, %d sessions, want %d", who, err, len(list), want)
		}
	}
}

func TestInternalErrorsSayNothing(t *testing.T) {
	f := newFake()
	f.boom = true
	var log bytes.Buffer
	c := f.config()
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := a.do(req{method: "GET", path: "/api/v1/resources", who: "alice"})
	p := problemOf(t, w)
	if p.Status != 500 || strings.Contains(w.Body.String(), "inside") || p.Trace == "" {
		t.Errorf("answer %s", w.Body)
	}
	if !strings.Contains(log.String(), p.Trace) || !strings.Contains(log.String(), "inside") {
		t.Errorf("log %s", &log)
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	a := serve(t, newFake())
	h := a.serve(route{open: true, path: "/x", handle: func(*call) error { panic("oops") }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "oops") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(a.inFlight) != 0 {
		t.Error("the panic kept its place")
	}
}

func TestBusyIsRefused(t *testing.T) {
	a := serve(t, newFake())
	for range maxInFlight {
		a.inFlight <- struct{}{}
	}
	if w := a.do(req{method: "GET", path: "/api/v1/whoami", who: "alice"}); problemOf(t, w).Reason != "unavailable" {
		t.Errorf("%s", w.Body)
	}
}

func TestBodyLimit(t *testing.T) {
	a := serve(t, newFake())
	body := `{"ttl":"` + strings.Repeat("x", maxBody) + `"}`
	if w := a.do(req{method: "POST", path: "/api/v1/tokens", who: "alice", body: body}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReady(t *testing.T) {
	f := newFake()
	a := serve(t, f)
	if w := a.do(req{method: "GET", path: "/readyz"}); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.checks = map[string]string{"journal": "poisoned: write: no space"}
	if w := a.do(req{method: "GET", path: "/readyz"}); w.Code != 503 || !strings.Contains(w.Body.String(), "poisoned") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.checks, f.warnings = map[string]string{"journal": "ok"}, []string{"an older <configuration>"}
	if w := a.do(req{method: "GET", path: "/readyz"}); w.Code != 200 || !strings.Contains(w.Body.String(), "older") {
		t.Errorf("a warning is no failure: %d %s", w.Code, w.Body)
	}
	if w := a.do(req{method: "GET", path: "/"}); !strings.Contains(w.Body.String(), "an older &lt;configuration&gt;") {
		t.Errorf("the page: %s", w.Body)
	}
	if w := a.do(req{method: "GET", path: "/healthz"}); w.Code != 200 {
		t.Errorf("the process is alive: %d", w.Code)
	}
}

func TestIncompleteConfiguration(t *testing.T) {
	c := newFake().config()
	c.Identity = nil
	if _, err := New(c); err == nil {
		t.Error("an API without identity was built")
	}
}

func TestCanForSelf(t *testing.T) {
	f := newFake()
	f.verdicts = []v1.Verdict{{Effect: "deny", Reasons: []v1.Reason{{Rule: "p/r", File: "p.yaml", Line: 3}}, Would: []v1.Reason{{Rule: "p/w"}}}}
	a := serve(t, f)
	w := a.do(req{method: "POST", path: "/api/v1/can", who: "alice", body: `{"subject":"","resource":"shop","command":"select 1"}`})
	if w.Code != 200 || f.asked[0].Subject != "alice" || strings.Contains(w.Body.String(), "p.yaml") || strings.Contains(w.Body.String(), "p/w") {
		t.Errorf("%d %s %+v", w.Code, w.Body, f.asked)
	}
	f.verdicts[0].Reasons[0].File = "p.yaml"
	w = a.do(req{method: "POST", path: "/api/v1/can", who: "root", body: `{"subject":"alice","resource":"shop","command":"select 1"}`})
	if !strings.Contains(w.Body.String(), "p.yaml") {
		t.Errorf("an administrator is not told where the rule stands: %s", w.Body)
	}
}

// What an owner reads of an event says as little of the rules as Explain does.
func TestEventsTellOwnersLessThanAuditors(t *testing.T) {
	const raw = `{"id":"d","action":{"text":"SELECT 1"},"decision":{"effect":"allow","mode":"monitor","policy":"abcd","message":"for you",` +
		`"reasons":[{"policy":"p","rule":"r","effect":"allow","message":"go","file":"p.yaml","line":7,"because":"now = 12:00"},{"rule":"weaker","effect":"allow","lost":true}],` +
		`"would":[{"rule":"watch","effect":"deny"}],"obligations":[{"kind":"mask"}]}}`
	for who, full := range map[string]bool{"alice": false, "root": true, "audit": true} {
		f := populated()
		c := &call{caller: f.callers["Bearer "+who]}
		got, err := c.shown([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, inside := range []string{"p.yaml", "12:00", "weaker", "watch", "abcd", "monitor"} {
			if strings.Contains(string(got), inside) != full {
				t.Errorf("%s: %q in %s", who, inside, got)
			}
		}
		for _, all := range []string{`"id":"d"`, "SELECT 1", `"effect":"allow"`, "for you", `"rule":"r"`, `"message":"go"`, `{"kind":"mask"}`} {
			if !strings.Contains(string(got), all) {
				t.Errorf("%s: no %q in %s", who, all, got)
			}
		}
	}
	if w := serve(t, populated()).do(req{method: "GET", path: "/api/v1/audit?effect=monitor", who: "alice"}); w.Code != 403 {
		t.Errorf("rules in monitor mode: %d", w.Code)
	}
}

// One caller cannot take the places of all.
func TestBusyCallerIsRefused(t *testing.T) {
	a := serve(t, newFake())
	alice := Caller{Subject: person("alice")}
	for range maxCallerInFlight {
		if _, ok := a.callers.try(alice.key()); !ok {
			t.Fatal("refused too early")
		}
	}
	if w := a.do(req{method: "GET", path: "/api/v1/whoami", who: "alice"}); problemOf(t, w).Reason != "too_many" {
		t.Errorf("%s", w.Body)
	}
	if w := a.do(req{method: "GET", path: "/api/v1/whoami", who: "bob"}); w.Code != 200 {
		t.Errorf("%s", w.Body)
	}
	page := httptest.NewRequest("GET", "/inbox", nil)
	page.AddCookie(&http.Cookie{Name: a.cookieName(page), Value: "alice"})
	w := httptest.NewRecorder()
	all, err := pages(a)
	if err != nil {
		t.Fatal(err)
	}
	all.ServeHTTP(w, page)
	if problemOf(t, w).Reason != "too_many" {
		t.Errorf("%s", w.Body)
	}
}

func TestPlaces(t *testing.T) {
	p := newPlaces(1)
	leave, err := p.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.try("a"); ok {
		t.Error("a second place of one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.enter(ctx, "a"); err == nil {
		t.Error("waited for ever")
	}
	other, ok := p.try("b")
	if !ok {
		t.Fatal("another's places are taken")
	}
	leave()
	other()
	if len(p.held) != 0 {
		t.Errorf("%d callers are remembered", len(p.held))
	}
}

// Whom an agent acts for has tokens, and the agent none of them.
func TestActingAgentHasNoTokens(t *testing.T) {
	f := populated()
	acting := person("alice")
	bot := person("bot")
	bot.Kind, acting.Actor = access.Agent, &bot
	f.callers["Bearer acting"] = Caller{Subject: acting, Admin: true}
	a := serve(t, f)
	for _, r := range []req{{method: "GET", path: "/api/v1/tokens"}, {method: "GET", path: "/api/v1/tokens?all=true"},
		{method: "POST", path: "/api/v1/tokens", body: "{}"}, {method: "DELETE", path: "/api/v1/tokens/tok-a"}} {
		r.who = "acting"
		if w := a.do(r); w.Code != 403 || len(f.revoked) != 0 {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
	}
}
