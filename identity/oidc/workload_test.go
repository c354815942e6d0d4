package oidc

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"sluice/access"
	"sluice/internal/oidctest"
)

func TestWorkloads(t *testing.T) {
	w := setUp(t, Claims{})
	trusts, err := NewWorkloads([]Trust{
		{Issuer: w.Issuer, Audience: "sluice", Claims: map[string][]string{"repository": {"acme/shop"}, "ref": {"refs/heads/main", "refs/tags/*"}}, User: "deploy"},
		{Issuer: w.Issuer, Audience: "sluice", Claims: map[string][]string{"repository": {"acme/*"}, "protected": {"true"}}, User: "build", TTL: time.Minute},
	}, w.options())
	if err != nil {
		t.Fatal(err)
	}
	token := func(alter map[string]any) string {
		now := w.clock.now()
		claims := map[string]any{"iss": w.Issuer, "aud": "sluice", "sub": "repo:acme/shop", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"repository": "acme/shop", "ref": "refs/heads/main"}
		for name, v := range alter {
			claims[name] = v
		}
		return w.Sign(claims)
	}
	for name, c := range map[string]struct {
		alter map[string]any
		user  string
	}{
		"main":              {nil, "deploy"},
		"a tag":             {map[string]any{"ref": "refs/tags/v1"}, "deploy"},
		"for another party": {map[string]any{"azp": "runner"}, "deploy"},
		"another rule":      {map[string]any{"ref": "refs/heads/x", "protected": true}, "build"},
		"a branch":          {map[string]any{"ref": "refs/heads/x"}, ""},
		"a longer name":     {map[string]any{"ref": "refs/heads/main2"}, ""},
		"a deeper tag":      {map[string]any{"ref": "refs/tags/a/b"}, ""},
		"another owner":     {map[string]any{"repository": "evil/shop"}, ""},
		"no repository":     {map[string]any{"repository": nil}, ""},
		"a number":          {map[string]any{"repository": 1}, ""},
		"another audience":  {map[string]any{"aud": "other"}, ""},
		"expired":           {map[string]any{"exp": w.clock.now().Add(-time.Minute).Unix()}, ""},
		"another issuer":    {map[string]any{"iss": "https://evil.test"}, ""},
	} {
		got, err := trusts.Verify(t.Context(), token(c.alter))
		if got.User != c.user || (err == nil) != (c.user != "") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := trusts.Verify(t.Context(), token(nil))
	if err != nil || got.Claims["repository"] != "acme/shop" || got.Claims["sub"] != "repo:acme/shop" || got.Claims["iss"] != w.Issuer {
		t.Errorf("claims %v, %v", got.Claims, err)
	}
	for _, raw := range []string{"", "x", "a.b.c", strings.Repeat("x", maxToken+1), "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":1}`)) + "."} {
		_, err := trusts.Verify(t.Context(), raw)
		wants(t, "not a token", err, ErrRejected)
	}
	none := oidctest.Unsigned(map[string]any{"alg": "none"}, map[string]any{"iss": w.Issuer, "aud": "sluice", "sub": "x", "repository": "acme/shop", "ref": "refs/heads/main", "exp": w.clock.now().Add(time.Hour).Unix()}) + "."
	_, err = trusts.Verify(t.Context(), none)
	wants(t, "alg none", err, ErrRejected)
	w.Down(true)
	if _, err := trusts.Verify(t.Context(), token(nil)); err != nil {
		t.Errorf("down, with keys known: %v", err)
	}
	w.clock.pass(2 * discoveryTime)
	_, err = trusts.Verify(t.Context(), token(nil))
	wants(t, "down", err, ErrUnavailable)
}

func TestTrustRefuses(t *testing.T) {
	good := Trust{Issuer: "https://ci.test", Audience: "sluice", Claims: map[string][]string{"a": {"b"}}, User: "deploy"}
	for name, alter := range map[string]func(*Trust){
		"everybody's tokens": func(x *Trust) { x.Claims = nil }, "any audience": func(x *Trust) { x.Audience = "" },
		"clear text": func(x *Trust) { x.Issuer = "http://ci.test" }, "nobody": func(x *Trust) { x.User = "" }, "keys in clear": func(x *Trust) { x.Keys = "http://ci.test/keys" },
	} {
		one := good
		alter(&one)
		if _, err := NewWorkloads([]Trust{one}, Options{Key: access.NewSecret("0123456789abcdef")}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzIssuer(f *testing.F) {
	f.Add("a.eyJpc3MiOiJ4In0.b")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		if issuer, err := issuerOf(raw); err == nil && issuer == "" {
			t.Error("nobody's token")
		}
	})
}

func FuzzClaimsMatch(f *testing.F) {
	f.Add("acme/*", "acme/shop")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if !strings.Contains(pattern, "*") && matches(pattern, value) != (pattern == value) {
			t.Errorf("%q matches %q", pattern, value)
		}
		if !matches(strings.ReplaceAll(value, "*", "x"), strings.ReplaceAll(value, "*", "x")) {
			t.Errorf("%q does not match itself", value)
		}
	})
}

func FuzzAttempt(f *testing.F) {
	p, err := New(Config{Name: "idp", Issuer: "https://idp.test", ClientID: "x"}, Options{Key: access.NewSecret("0123456789abcdef")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.seal(attempt{Kind: byCode}).Reveal())
	f.Fuzz(func(t *testing.T, sealed string) {
		if a, err := p.open(access.NewSecret(sealed), byCode); err == nil {
			t.Errorf("opened: %+v", a)
		}
	})
}
