package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/api/client"
	v1 "sluice/api/v1"
	"sluice/config"
	"sluice/internal/oidctest"
)

const federated = `
  identity:
    loginTTL: 4s
    maxAge: 1h
    providers:
    - name: idp
      issuer: %ISSUER%
      clientID: sluice
      clientSecret: {value: "client secret"}
      groups: {map: {okta-eng: engineering, okta-dba: dba}}
    - {name: down, issuer: "http://127.0.0.1:1", clientID: sluice, clientSecret: {value: x}}
    workloads:
    - {issuer: %ISSUER%, audience: sluice-ci, claims: {repository: acme/shop}, user: ci, ttl: 5m}
---
apiVersion: sluice/v1
kind: User
metadata: {name: ci}
spec: {kind: workload, groups: [engineering], password: {value: "an api key"}}
---
apiVersion: sluice/v1
kind: User
metadata: {name: bot}
spec: {kind: agent, owner: alice, groups: [dba], password: {value: "a bot's key"}}
---
`

// withProvider starts a gateway that trusts a provider, at which Ann signs in.
func withProvider(t *testing.T) (*gateway, *oidctest.Provider) {
	t.Helper()
	idp := oidctest.Start(t)
	idp.Person(map[string]any{"sub": "1", "email": "ann@example.test", "email_verified": true, "groups": []string{"okta-eng", "secret-society"}})
	folder := writeHouse(t, rules)
	name := filepath.Join(folder, "house.yaml")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	spec := strings.ReplaceAll(federated, "%ISSUER%", idp.Issuer)
	text := strings.Replace(string(b), "---\n", spec[1:], 1)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, folder), idp
}

// device signs in by the device flow and returns the credential.
func (g *gateway) device(t *testing.T, idp *oidctest.Provider) string {
	t.Helper()
	c := g.bearer(t, "")
	l, err := c.StartLogin(t.Context(), v1.LoginRequest{Provider: "idp", Device: true})
	if err != nil {
		t.Fatal(err)
	}
	idp.Answer(l.UserCode, true)
	r, err := c.FinishLogin(t.Context(), v1.LoginAnswer{Provider: "idp", Device: true, Attempt: l.Attempt})
	if err != nil || r.State != "done" {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Secret
}

func (g *gateway) bearer(t *testing.T, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Gateway: "http://" + g.Addr("web").String(), Token: access.NewSecret(token)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (g *gateway) exchange(t *testing.T, form url.Values) (token string, status int) {
	t.Helper()
	res, err := http.PostForm("http://"+g.Addr("web").String()+"/oauth2/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || (res.StatusCode == 200) != (a.Token != "") || (a.Token == "") == (a.Error == "") {
		t.Fatalf("%d %+v, %v", res.StatusCode, a, err)
	}
	return a.Token, res.StatusCode
}

func TestDeviceLogin(t *testing.T) {
	g, idp := withProvider(t)
	secret := g.device(t, idp)
	me, err := g.bearer(t, secret).Whoami(t.Context())
	if err != nil || me.ID != "ann@example.test" || me.Issuer != idp.Issuer || strings.Join(me.Groups, ",") != "engineering" {
		t.Fatalf("%+v, %v", me, err)
	}
	if out, errs := g.psql(t, "ann@example.test", secret, "SELECT count(*) FROM customers"); out != "2\n" {
		t.Errorf("psql: %s%s", out, errs)
	}
}

func TestWebLogin(t *testing.T) {
	g, idp := withProvider(t)
	b := g.browser(t)
	if code, page := b.get("/signin/idp?next=/api/v1/whoami"); code != 200 || !strings.Contains(page, `"id":"ann@example.test"`) {
		t.Fatalf("%d %s", code, page)
	}
	if code, page := b.get("/signin"); code != 200 || !strings.Contains(page, "ann@example.test") {
		t.Errorf("%d %s", code, page)
	}
	// A link that would sign somebody in as its sender does nothing: their
	// browser has not begun.
	victim := g.browser(t)
	for _, link := range []string{"/signin/callback?code=x&state=y", "/signin/nowhere", "/signin/down"} {
		if code, page := victim.get(link); code < 400 || !strings.Contains(page, "role=\"alert\"") {
			t.Errorf("%s: %d %s", link, code, page)
		}
	}
	if code, _ := victim.get("/api/v1/whoami"); code != 401 {
		t.Errorf("the victim is signed in: %d", code)
	}
	_ = idp
}

func TestProviderIsDown(t *testing.T) {
	g, idp := withProvider(t)
	secret := g.device(t, idp)
	idp.Down(true)
	if _, err := g.bearer(t, secret).Whoami(t.Context()); err != nil {
		t.Errorf("a login that exists: %v", err)
	}
	_, err := g.bearer(t, "").StartLogin(t.Context(), v1.LoginRequest{Provider: "down", Device: true})
	if problem, ok := err.(*client.Error); !ok || problem.Status != 503 || !strings.Contains(problem.Detail, "the identity provider down cannot be asked now") {
		t.Errorf("a new one: %v", err)
	}
}

// until waits for what the gateway does in the background.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestLoginLivesAsLongAsTheProviderSaysSo(t *testing.T) {
	g, idp := withProvider(t)
	secret := g.device(t, idp)
	c := g.bearer(t, secret)
	me, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "renewed", func() bool {
		again, err := c.Whoami(t.Context())
		return err == nil && again.Expires.After(me.Expires)
	})
	child, err := c.IssueToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	idp.Fire()
	until(t, "ended", func() bool { _, err := c.Whoami(t.Context()); return err != nil })
	if _, err := g.bearer(t, child.Secret).Whoami(t.Context()); err == nil {
		t.Error("a token asked for with it lives on")
	}
}

func TestLogout(t *testing.T) {
	g, idp := withProvider(t)
	secret := g.device(t, idp)
	if err := g.bearer(t, secret).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.bearer(t, secret).Whoami(t.Context()); err == nil {
		t.Error("the login lives on")
	}
	if len(idp.Revoked()) != 1 {
		t.Errorf("the provider was told of %v", idp.Revoked())
	}
}

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	jwtType       = "urn:ietf:params:oauth:token-type:jwt"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
)

func TestWorkloadExchange(t *testing.T) {
	g, idp := withProvider(t)
	claims := map[string]any{"iss": idp.Issuer, "aud": "sluice-ci", "sub": "repo:acme/shop", "repository": "acme/shop", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	form := func(raw string) url.Values {
		return url.Values{"grant_type": {exchangeGrant}, "subject_token": {raw}, "subject_token_type": {jwtType}}
	}
	token, _ := g.exchange(t, form(idp.Sign(claims)))
	me, err := g.bearer(t, token).Whoami(t.Context())
	if err != nil || me.ID != "ci" || me.Kind != "workload" {
		t.Errorf("%+v, %v", me, err)
	}
	claims["repository"] = "evil/shop"
	if _, status := g.exchange(t, form(idp.Sign(claims))); status != 400 {
		t.Errorf("another repository: %d", status)
	}
	if _, status := g.exchange(t, form("x.y.z")); status != 400 {
		t.Errorf("nonsense: %d", status)
	}
}

func TestClientCredentials(t *testing.T) {
	g, _ := withProvider(t)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"ci"}, "client_secret": {"an api key"}}
	token, _ := g.exchange(t, form)
	if me, err := g.bearer(t, token).Whoami(t.Context()); err != nil || me.ID != "ci" {
		t.Errorf("%+v, %v", me, err)
	}
	for name, alter := range map[string][2]string{"a wrong secret": {"client_secret", "x"}, "another grant": {"grant_type", "password"}} {
		bad := url.Values{}
		for k, v := range form {
			bad[k] = v
		}
		bad.Set(alter[0], alter[1])
		if _, status := g.exchange(t, bad); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	person := url.Values{"grant_type": {"client_credentials"}, "client_id": {"alice"}, "client_secret": {"pw"}}
	if _, status := g.exchange(t, person); status != 400 {
		t.Errorf("a person: %d", status)
	}
}

// An agent that acts for a person may do what both may: Ann may delete only
// with approval and the bot is a DBA, so that the bot alone could delete freely.
func TestDelegation(t *testing.T) {
	g, idp := withProvider(t)
	ann := g.device(t, idp)
	bot, _ := g.exchange(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"bot"}, "client_secret": {"a bot's key"}})
	delegate := func(subject, actor string) (string, int) {
		return g.exchange(t, url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessType},
			"actor_token": {actor}, "actor_token_type": {accessType}})
	}
	token, _ := delegate(ann, bot)
	c := g.bearer(t, token)
	me, err := c.Whoami(t.Context())
	if err != nil || me.ID != "ann@example.test" || me.Actor != "local/bot" || len(me.Roles) != 0 {
		t.Fatalf("%+v, %v", me, err)
	}
	if out, errs := g.psql(t, "ann@example.test", token, "SELECT email, id FROM customers ORDER BY id"); out != "|1\n|2\n" {
		t.Errorf("what is masked for Ann is not for her agent: %s%s", out, errs)
	}
	if _, errs := g.psql(t, "ann@example.test", token, "DROP TABLE customers"); !strings.Contains(errs, "denied") {
		t.Errorf("the agent dropped what Ann may not: %s", errs)
	}
	// It gets no tokens of hers, is no visitor, and goes with her login.
	if _, err := c.IssueToken(t.Context(), 0); err == nil {
		t.Error("the agent has a token of hers")
	}
	for name, pair := range map[string][2]string{"a person as actor": {ann, ann}, "a program as subject": {bot, bot}, "an agent in the middle": {ann, token}, "nobody": {ann, "slc_x"}} {
		if _, status := delegate(pair[0], pair[1]); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	ci, _ := g.exchange(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"ci"}, "client_secret": {"an api key"}})
	nested, _ := delegate(token, ci)
	s, err := g.directory.Token(t.Context(), access.NewSecret(nested))
	if err != nil || len(s.Subject.Chain()) != 3 || s.Subject.Chain()[1].ID != "bot" || s.Subject.Chain()[2].ID != "ci" {
		t.Errorf("nested: %+v, %v", s.Subject, err)
	}
	if err := g.bearer(t, ann).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{token, nested} {
		if _, err := g.bearer(t, gone).Whoami(t.Context()); err == nil {
			t.Error("the agent goes on after she left")
		}
	}
}

// Groups that a provider names are known to the linter, and nobody can count them.
func TestGroupsOfProvidersAreKnown(t *testing.T) {
	local := map[string]int{"dba": 1}
	mapped := config.Provider{Groups: config.GroupClaim{Map: map[string]string{"x": "security"}}}
	if got := provided(maps.Clone(local), []config.Provider{mapped}); got["security"] != -1 || got["dba"] != 1 {
		t.Errorf("mapped: %v", got)
	}
	if got := provided(local, []config.Provider{mapped, {}}); got != nil {
		t.Errorf("as they are: %v", got)
	}
}

// Somebody whose login has ended signs in again: that they still have it counts
// as no failure, however often they ask.
func TestLoginWithAnEndedLogin(t *testing.T) {
	g, idp := withProvider(t)
	secret := g.device(t, idp)
	if err := g.bearer(t, secret).Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := g.bearer(t, secret)
	for range 30 {
		_, _ = c.FinishLogin(t.Context(), v1.LoginAnswer{Provider: "idp", Device: true, Attempt: "x"}) // refused
	}
	if err := g.directory.Allow("", "127.0.0.1:1"); err != nil {
		t.Errorf("slowed down: %v", err)
	}
}

// A rule that wants a fresh sign-in refuses an old one, and takes the same
// credential once its holder has proven who they are again.
func TestFreshSignIn(t *testing.T) {
	g, idp := withProvider(t)
	policy := strings.Replace(rules, "  - id: no-unscoped", "  - {id: fresh, match: {access: [write]}, effect: deny, identity: {max_age: 5m}}\n  - id: no-unscoped", 1)
	if err := os.WriteFile(filepath.Join(g.folder, "rules.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	idp.Forge(func(_, c map[string]any) []byte {
		c["auth_time"] = time.Now().Add(-10 * time.Minute).Unix()
		return nil
	})
	secret := g.device(t, idp)
	insert := "INSERT INTO customers VALUES (3, 'x')"
	if _, errs := g.psql(t, "ann@example.test", secret, insert); !strings.Contains(errs, "denied by access/fresh") || !strings.Contains(errs, "sluice login --fresh") {
		t.Fatalf("an old sign-in: %s", errs)
	}
	if out, errs := g.psql(t, "ann@example.test", secret, "SELECT count(*) FROM customers"); out != "2\n" {
		t.Errorf("what needs none: %s%s", out, errs)
	}
	idp.Forge(nil)
	c := g.bearer(t, secret)
	l, err := c.StartLogin(t.Context(), v1.LoginRequest{Provider: "idp", Device: true, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	idp.Answer(l.UserCode, true)
	r, err := c.FinishLogin(t.Context(), v1.LoginAnswer{Provider: "idp", Device: true, Attempt: l.Attempt})
	if err != nil || r.Secret != "" || r.State != "done" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, errs := g.psql(t, "ann@example.test", secret, insert); errs != "" {
		t.Errorf("the same credential, fresh: %s", errs)
	}
}
