package api

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"sluice/access"
)

// The cookie of a sign-in that is under way: provider, where to go then, and
// the attempt. Whose browser lacks it did not begin, and cannot finish: nobody
// can be signed in as somebody else by a link.
const attemptCookie = "sluice-signin"

// maxNext bounds what the cookie keeps of where to go, in bytes.
const maxNext = 1000

// signInWith sends the browser to a provider.
func (a *API) signInWith(c *call) error {
	base, err := a.base(c.Request)
	if err != nil {
		return c.signInFailed(signInForm{}, err)
	}
	next := localPath(c.URL.Query().Get("next"))
	if len(next) > maxNext {
		next = "/"
	}
	if err := c.asksProvider(); err != nil {
		return c.signInFailed(signInForm{Next: next}, err)
	}
	name := c.PathValue("provider")
	s, err := a.SignIn.Start(c.Context(), LoginAsk{Provider: name, Redirect: base + "/signin/callback", Fresh: c.flag("fresh")})
	if err != nil {
		return c.signInFailed(signInForm{Next: next}, err)
	}
	value := name + "." + base64.RawURLEncoding.EncodeToString([]byte(next)) + "." + s.Attempt.Reveal()
	a.setAttempt(c, value, s.Expires)
	http.Redirect(c.w, c.Request, s.URL, http.StatusSeeOther)
	return nil
}

func (a *API) setAttempt(c *call, value string, expires time.Time) {
	k := &http.Cookie{Name: attemptCookie, Value: value, Path: "/signin", HttpOnly: true, Secure: a.secure(c.Request), SameSite: http.SameSiteLaxMode, Expires: expires}
	if value == "" {
		k.MaxAge = -1
	}
	http.SetCookie(c.w, k)
}

// base is this gateway's address as the browser knows it. Without spec.url only
// this machine's is known: a Host header says what its sender likes.
func (a *API) base(r *http.Request) (string, error) {
	if url := strings.TrimSuffix(a.URL(), "/"); url != "" {
		return url, nil
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "", WithHint(Errorf(ErrUnavailable, "this gateway does not know its own address"), "an administrator sets url in the Gateway's spec")
	}
	if r.TLS != nil {
		return "https://" + r.Host, nil
	}
	return "http://" + r.Host, nil
}

// signInCallback is where the provider sends the browser back to.
func (a *API) signInCallback(c *call) error {
	k, err := c.Cookie(attemptCookie)
	parts := []string{}
	if err == nil {
		parts = strings.SplitN(k.Value, ".", 3)
	}
	if len(parts) != 3 {
		return c.signInFailed(signInForm{}, WithHint(Errorf(ErrCredential, "this browser did not begin this sign-in, or it took too long"), "begin again"))
	}
	next, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return fmt.Errorf("%w: cookie", ErrInvalid)
	}
	if err := c.asksProvider(); err != nil {
		return c.signInFailed(signInForm{Next: localPath(string(next))}, err)
	}
	a.setAttempt(c, "", a.Now())
	q := c.URL.Query()
	opened, err := a.SignIn.Finish(c.Context(), LoginFinish{Provider: parts[0], Attempt: access.NewSecret(parts[2]), State: q.Get("state"), Code: q.Get("code"),
		Issuer: q.Get("iss"), Error: q.Get("error"), Note: "web session"})
	if err != nil {
		return c.signInFailed(signInForm{Next: localPath(string(next))}, err)
	}
	return c.welcome(opened, string(next))
}
