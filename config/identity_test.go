package config

import (
	"strings"
	"testing"
)

const idp = `
  identity:
    clock_skew: 10s
    providers:
    - name: okta
      issuer: https://example.okta.com
      clientID: sluice
      clientSecret: {env: CONFIG_TEST_PASSWORD}
      scopes: [profile, email, groups]
      username: {claim: email, domain: example.com}
      groups: {claim: groups, map: {okta_dba: dba}}
      require: {hd: example.com, email_verified: "true"}
    - {name: dex, issuer: "http://127.0.0.1:5556/dex", clientID: sluice, groups: roles, username: preferred_username}
    workloads:
    - {issuer: "https://token.actions.githubusercontent.com", audience: sluice, claims: {job_workflow_ref: [a, b]}, user: ci}
`

const ci = `apiVersion: sluice/v1
kind: User
metadata: {name: ci}
spec: {kind: workload, owner: alice}
`

func identityFiles(spec string) map[string]string {
	return map[string]string{"gateway.yaml": gateway + spec, "shop.yaml": shop, "alice.yaml": alice, "ci.yaml": ci, "alice.pw": "secret"}
}

func TestIdentity(t *testing.T) {
	t.Setenv("CONFIG_TEST_PASSWORD", "x")
	c, problems := Load(folder(t, identityFiles(idp)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	id := c.Gateway.Identity
	if len(id.Providers) != 2 || len(id.Workloads) != 1 || id.ClockSkew.Seconds() != 10 || id.LoginTTL.Hours() != 1 {
		t.Fatalf("%+v", id)
	}
	okta, dex, w := id.Providers[0], id.Providers[1], id.Workloads[0]
	// Names of others keep their underscores.
	if okta.Groups.Map["okta_dba"] != "dba" || okta.Require["email_verified"][0] != "true" || len(w.Claims["job_workflow_ref"]) != 2 {
		t.Errorf("okta %+v, workload %+v", okta, w)
	}
	if okta.Username.Domain != "example.com" || dex.Username.Claim != "preferred_username" || dex.Groups.Claim != "roles" {
		t.Errorf("okta %+v, dex %+v", okta, dex)
	}
}

func TestIdentityProblemsHavePlaces(t *testing.T) {
	t.Setenv("CONFIG_TEST_PASSWORD", "x")
	for want, change := range map[string][2]string{
		`issuer "http://idp.test": want an https address`: {"https://example.okta.com", "http://idp.test"},
		`there is a provider "okta" already`:              {"name: dex", "name: okta"},
		`already`:                                         {"http://127.0.0.1:5556/dex", "https://example.okta.com"},
		`name "Okta!"`:                                    {"name: okta", "name: Okta!"},
		`unknown key "isuer"`:                             {"      issuer: https", "      isuer: https"},
		`environment variable NOT_SET_HERE is not set`:    {"env: CONFIG_TEST_PASSWORD", "env: NOT_SET_HERE"},
		`a secret must not stand in the YAML`:             {"{env: CONFIG_TEST_PASSWORD}", "hush"},
		`gives accounts to everybody`:                     {`"http://127.0.0.1:5556/dex"`, "https://accounts.google.com"},
		`there is no user "cd"`:                           {"user: ci", "user: cd"},
		`"alice" is a person`:                             {"user: ci", "user: alice"},
		`claims: name at least one`:                       {"{job_workflow_ref: [a, b]}", "{}"},
		`a claim has no name or no value`:                 {"[a, b]", "[]"},
		`audience is empty`:                               {"audience: sluice", `audience: ""`},
		`identity.clockSkew must be between`:              {"clock_skew: 10s", "clock_skew: 1h"},
		`identity.maxAge must be more than zero`:          {"clock_skew: 10s", "maxAge: 0s"},
		`key "audience" is missing`:                       {"audience: sluice, ", ""},
		`clientID is empty`:                               {"clientID: sluice, ", `clientID: "", `},
		`tls: ca: open`:                                   {"clientID: sluice, ", "clientID: sluice, ca: nowhere.pem, "},
	} {
		spec := strings.Replace(idp, change[0], change[1], 1)
		_, problems := Load(folder(t, identityFiles(spec)))
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Message, want) && strings.HasSuffix(p.File, "gateway.yaml") && p.Line >= 1
		}
		if !found {
			t.Errorf("%s: got %v", want, problems)
		}
	}
}
