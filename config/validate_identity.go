package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// maxSkew bounds how far clocks may be apart: within it, expired tokens are good.
const maxSkew = 5 * time.Minute

// providerName stands in addresses.
var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (k *checker) identity(c *Config) {
	id := &c.Gateway.Identity
	if id.ClockSkew < 0 || id.ClockSkew > maxSkew {
		k.bad(c.Gateway.Pos, "identity.clockSkew must be between 0s and %s", maxSkew)
	}
	names, issuers := map[string]bool{}, map[string]bool{}
	for i := range id.Providers {
		p := &id.Providers[i]
		k.provider(&c.Gateway, p)
		if names[p.Name.Value] {
			k.bad(p.Name.Pos, "identity.providers: there is a provider %q already", p.Name.Value)
		}
		if issuers[p.Issuer.Value] {
			k.bad(p.Issuer.Pos, "identity.providers: there is a provider with issuer %q already", p.Issuer.Value)
		}
		names[p.Name.Value], issuers[p.Issuer.Value] = true, true
	}
	for i := range id.Workloads {
		k.workload(c, &id.Workloads[i])
	}
}

func (k *checker) provider(g *Gateway, p *Provider) {
	what := "identity.providers: " + p.Name.Value
	if p.Name.Given() && (!providerName.MatchString(p.Name.Value) || p.Name.Value == "callback") {
		k.bad(p.Name.Pos, "identity.providers: name %q: use up to 32 of a-z 0-9 -, starting with a letter or digit", p.Name.Value)
	}
	k.issuer(what, p.Issuer)
	if p.ClientID == "" && p.Pos.Line > 0 && p.Name.Given() {
		k.bad(p.Pos, "%s: clientID is empty", what)
	}
	k.secret(g, what+": clientSecret", p.ClientSecret)
	if !p.ClientSecret.Given() {
		k.warn(p.Pos, "%s has no clientSecret: whoever can reach the provider can pretend to be this client", what)
	}
	k.authorities(p.Pos, "ca", p.CA)
	if slices.Contains(p.Scopes, "") {
		k.bad(p.Pos, "%s: a scope is empty", what)
	}
	k.values(p.Pos, what+": require", p.Require)
	for from, to := range p.Groups.Map {
		if from == "" || to == "" {
			k.bad(p.Pos, "%s: groups.map: a group's name is empty", what)
		}
	}
	if k.everybody(p) {
		k.bad(p.Pos, "%s gives accounts to everybody: say whose sign in here with require (hd: your-domain) or username.domain", what)
	}
}

// everybody reports whether strangers have accounts at a provider and nothing
// tells them from one's own people.
func (k *checker) everybody(p *Provider) bool {
	public := []string{"https://accounts.google.com", "https://gitlab.com", "https://login.microsoftonline.com/common/v2.0"}
	return slices.Contains(public, p.Issuer.Value) && len(p.Require) == 0 && p.Username.Domain == ""
}

func (k *checker) issuer(what string, issuer strictyaml.At[string]) {
	if issuer.Given() && !confidential(issuer.Value) {
		k.bad(issuer.Pos, "%s: issuer %q: want an https address without query (http only on this machine)", what, issuer.Value)
	}
}

// confidential reports whether an address is of TLS, or of this machine.
func confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	near := Loopback(net.JoinHostPort(u.Hostname(), "0"))
	return u.Scheme == "https" || u.Scheme == "http" && near
}

func (k *checker) values(at strictyaml.Pos, what string, all map[string]Values) {
	for name, values := range all {
		if name == "" || len(values) == 0 || slices.Contains(values, "") {
			k.bad(at, "%s: a claim has no name or no value", what)
		}
		if slices.Contains(values, "*") {
			k.warn(at, "%s: %s may be anything without a slash", what, name)
		}
	}
}

func (k *checker) workload(c *Config, w *Workload) {
	what := "identity.workloads"
	k.issuer(what, w.Issuer)
	k.values(w.Pos, what+": claims", w.Claims)
	if w.Issuer.Given() && len(w.Claims) == 0 {
		k.bad(w.Pos, "%s: claims: name at least one, such as {sub: ...}: the issuer signs tokens for others too", what)
	}
	if w.Issuer.Given() && w.Audience == "" {
		k.bad(w.Pos, "%s: audience is empty: a token made for another would do", what)
	}
	if w.Keys != "" && !confidential(w.Keys) {
		k.bad(w.Pos, "%s: keys: want an https address", what)
	}
	if w.TTL < 0 {
		k.bad(w.Pos, "%s: ttl is negative", what)
	}
	k.authorities(w.Pos, "ca", w.CA)
	switch i := slices.IndexFunc(c.Users, func(u User) bool { return u.Name == w.User.Value }); {
	case !w.User.Given():
	case i < 0:
		k.bad(w.User.Pos, "%s: there is no user %q", what, w.User.Value)
	case c.Users[i].Kind == access.Human:
		k.bad(w.User.Pos, "%s: %q is a person; programs are users of kind workload or agent", what, w.User.Value)
	}
}
