package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"sluice/access"
)

// Limits of what is kept of a person.
const (
	maxName   = 63 // bytes, as a user's name in configuration
	maxGroups = 1000
	maxGroup  = 256     // bytes of one
	maxClaims = 4 << 10 // bytes of all claims kept, as JSON
)

// Claims say what of a token becomes what.
type Claims struct {
	Name   string            // the user's name; empty: email
	Domain string            // with a name that is an address: only those of this domain, which is cut off
	Groups string            // empty: groups. A path with dots goes into objects
	Map    map[string]string // a provider's group to ours; nil: as they are. With it, others are dropped
	Keep   []string          // beside acr and amr, for conditions (subject.claims)
	// Require names claims that must have one of the values given, as a text
	// or in a list. * in a value matches any text without a slash.
	Require map[string][]string
}

// A Person is somebody whom a provider vouches for, in the gateway's words.
type Person struct {
	Provider string // its name
	Issuer   string
	Subject  string // the issuer's own name for them
	Name     string
	Email    string // verified; empty: none is
	Groups   []string
	Claims   map[string]any
	AuthTime time.Time     // when they authenticated; zero: the provider does not say
	Refresh  access.Secret // empty: the provider gave none
}

// person verifies what the token endpoint answered.
func (p *Provider) person(ctx context.Context, a *about, t tokens, e expectation) (Person, error) {
	v, err := p.idToken(ctx, a, t, e)
	if err != nil {
		return Person{}, err
	}
	at, err := p.authenticated(v, e)
	if err != nil {
		return Person{}, err
	}
	claims, err := p.complete(ctx, a, t, v)
	if err != nil {
		return Person{}, err
	}
	out, err := p.c.Claims.person(claims)
	if err != nil {
		return Person{}, err
	}
	out.Provider, out.Issuer, out.Subject, out.AuthTime, out.Refresh = p.c.Name, p.c.Issuer, v.subject, at, access.NewSecret(t.Refresh.value)
	return out, nil
}

// idToken verifies the ID token. A renewal may come without one: then the
// access token says, at the user info endpoint, whom it is about.
func (p *Provider) idToken(ctx context.Context, a *about, t tokens, e expectation) (verified, error) {
	if t.ID.value == "" && e.subject != "" {
		return verified{subject: e.subject}, nil
	}
	if t.ID.value == "" {
		return verified{}, fmt.Errorf("%w: the identity provider %s gave no ID token (is the scope openid allowed?)", ErrRejected, p.c.Name)
	}
	v, err := verify(ctx, p.c.Issuer, a.keys, t.ID.value, p.c.ClientID, p.o)
	if err != nil {
		return verified{}, err
	}
	if err := v.party(p.c.ClientID); err != nil {
		return verified{}, err
	}
	return v, e.meets(v)
}

// complete adds the user info's claims if the ID token lacks one that is
// needed: many providers keep that short.
func (p *Provider) complete(ctx context.Context, a *about, t tokens, v verified) (map[string]any, error) {
	if p.c.Claims.sufficient(v.claims) || a.UserInfoEndpoint() == "" || t.Access.value == "" {
		return v.claims, nil
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.guard.client())
	info, err := a.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: t.Access.value, TokenType: "Bearer"}))
	if err != nil {
		return nil, unavailable(p.c.Name, err)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil || info.Subject != v.subject {
		return nil, fmt.Errorf("%w: the user info is about somebody else", ErrRejected)
	}
	all := maps.Clone(more)
	maps.Copy(all, v.claims) // what is signed counts more
	if all["email"] != more["email"] {
		all["email_verified"] = v.claims["email_verified"] // said of another address otherwise
	}
	return all, nil
}

// sufficient reports whether every claim that will be looked at is there.
func (c Claims) sufficient(claims map[string]any) bool {
	needed := append([]string{c.name(), c.groups(), "email"}, slices.Collect(maps.Keys(c.Require))...)
	return !slices.ContainsFunc(needed, func(name string) bool { return claim(claims, name) == nil })
}

func (c Claims) name() string {
	if c.Name == "" {
		return "email"
	}
	return c.Name
}

func (c Claims) groups() string {
	if c.Groups == "" {
		return "groups"
	}
	return c.Groups
}

// claim finds a claim by its name, or by a path with dots into objects.
func claim(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, dotted := strings.Cut(name, ".")
	if inner, ok := claims[first].(map[string]any); dotted && ok {
		return claim(inner, rest)
	}
	return nil
}

// person puts claims into the gateway's words.
func (c Claims) person(claims map[string]any) (Person, error) {
	var p Person
	if err := required(claims, c.Require); err != nil {
		return p, err
	}
	p.Email = verifiedEmail(claims)
	name, err := c.userName(claims, p.Email)
	if err != nil {
		return p, err
	}
	groups, err := c.groupsOf(claims)
	if err != nil {
		return p, err
	}
	p.Name, p.Groups, p.Claims = name, groups, c.kept(claims)
	return p, nil
}

// required checks claims that must have certain values.
func required(claims map[string]any, rules map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !slices.ContainsFunc(texts(claim(claims, name)), func(v string) bool { return matchesAny(rules[name], v) }) {
			return fmt.Errorf("%w: claim %s is not one that may sign in here", ErrRejected, name)
		}
	}
	return nil
}

func matchesAny(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, value) })
}

// matches compares byte by byte; only * is special.
func matches(pattern, value string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == value
	}
	ok, err := path.Match(escape.Replace(pattern), value)
	return err == nil && ok
}

var escape = strings.NewReplacer(`\`, `\\`, `?`, `\?`, `[`, `\[`)

// texts are the texts of a claim: one, a list's, or a boolean's spelling.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{fmt.Sprint(v)}
	case []any:
		var all []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// verifiedEmail is the e-mail address if the provider has verified it. Anybody
// could have typed another.
func verifiedEmail(claims map[string]any) string {
	email, _ := claims["email"].(string)
	switch claims["email_verified"] {
	case true, "true": // some providers spell it as a text
		return email
	}
	return ""
}

func (c Claims) userName(claims map[string]any, email string) (string, error) {
	name, _ := claim(claims, c.name()).(string)
	if c.name() == "email" {
		if name != "" && email == "" {
			return "", fmt.Errorf("%w: the identity provider has not verified your e-mail address", ErrRejected)
		}
		name = email
	}
	if name == "" {
		return "", fmt.Errorf("%w: the identity provider says no %s, which is your name here", ErrRejected, c.name())
	}
	if c.Domain != "" {
		local, domain, ok := cutLast(name, "@")
		if !ok || !strings.EqualFold(domain, c.Domain) {
			return "", fmt.Errorf("%w: only people of %s sign in here", ErrRejected, c.Domain)
		}
		name = local
	}
	if name = strings.ToLower(name); !validName(name) {
		return "", fmt.Errorf("%w: your %s, %q, cannot be a name here", ErrRejected, c.name(), printable(name))
	}
	return name, nil
}

// validName is what configuration takes for a user's name, too: it is typed as
// a database user and stands before the colon of HTTP Basic.
func validName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._@+-", r)) {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// groupsOf reads and maps the groups. Some of them are worse than none: a rule
// that denies to a group would not hold.
func (c Claims) groupsOf(claims map[string]any) ([]string, error) {
	if names, ok := claims["_claim_names"].(map[string]any); ok && names[c.groups()] != nil {
		return nil, fmt.Errorf("%w: you are in too many groups for the identity provider to list; have it send only those that matter here", ErrRejected)
	}
	given := claim(claims, c.groups())
	all := texts(given)
	if list, ok := given.([]any); given != nil && (all == nil && !ok || ok && len(list) != len(all)) {
		return nil, fmt.Errorf("%w: claim %s is no list of groups", ErrRejected, c.groups())
	}
	if len(all) > maxGroups {
		return nil, fmt.Errorf("%w: more than %d groups", ErrRejected, maxGroups)
	}
	groups := []string{}
	for _, g := range all {
		if c.Map != nil {
			g = c.Map[g]
		}
		if len(g) > maxGroup || strings.ContainsFunc(g, unicode.IsControl) {
			return nil, fmt.Errorf("%w: a group's name is too long or not printable", ErrRejected)
		}
		if g != "" && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return groups, nil
}

// kept are the claims that conditions can see.
func (c Claims) kept(claims map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range append([]string{"acr", "amr"}, c.Keep...) {
		if v := claim(claims, name); v != nil {
			out[name] = v
		}
	}
	if b, err := json.Marshal(out); err != nil || len(b) > maxClaims {
		return map[string]any{}
	}
	return out
}
