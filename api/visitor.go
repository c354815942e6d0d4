package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/access"
	v1 "sluice/api/v1"
)

// Visitors says whose browser a request comes from. [API] implements it; pages
// are given it by [Config.Pages].
//
// A page that needs somebody is a handler wrapped by Page:
//
//	mux.Handle("GET /requests", v.Page(func(w http.ResponseWriter, r *http.Request, who api.Visitor) { ... }))
//	mux.Handle("POST /requests/{id}", v.Page(...))
//
// Page sends who is not signed in to the sign-in page and back, and refuses a
// form without the visitor's CSRF token: put [Visitor.CSRF] into each form as
// a hidden field named [CSRFField], or send it as the header [CSRFHeader].
type Visitors interface {
	// Visitor returns who is signed in; ErrCredential if nobody is. It looks at
	// the session's cookie alone and does not check for forged requests.
	Visitor(r *http.Request) (Visitor, error)

	// Looked records that an administrator or auditor reads requests that are
	// neither theirs nor put to them. Call it before they are shown; a page that
	// cannot be recorded is not shown.
	Looked(w http.ResponseWriter, r *http.Request, v Visitor, list ...v1.Request) error

	// Page calls handle with the visitor. Without one, GET and HEAD are sent to
	// the sign-in page and all else is answered 401; an unsafe method without
	// the CSRF token is answered 403.
	Page(handle func(http.ResponseWriter, *http.Request, Visitor)) http.Handler
}

// A Visitor is a person signed in on the web. Subject.AuthTime says when they
// last proved who they are; [SignInURL] with fresh asks them to again.
type Visitor struct {
	Caller
	CSRF string // proves that a form comes from a page of ours
}

// Where pages find what belongs to a visitor.
const (
	CSRFField  = "csrf"         // of a form
	CSRFHeader = "X-CSRF-Token" // of a request made by a script
)

// SignInURL is where a browser goes to sign in and come back to next, a path of
// this host. fresh asks a person who is signed in to prove it again.
func SignInURL(next string, fresh bool) string {
	q := url.Values{}
	if next = localPath(next); next != "/" {
		q.Set("next", next)
	}
	if fresh {
		q.Set("fresh", "1")
	}
	if len(q) == 0 {
		return "/signin"
	}
	return "/signin?" + q.Encode()
}

// localPath is next if it leads to a page of this host, else "/". Browsers take
// a backslash for a slash and skip control characters, so neither may be there.
func localPath(next string) string {
	if len(next) > 2000 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return "/"
	}
	for _, r := range next {
		if r < ' ' || r == '\\' || r == 0x7f {
			return "/"
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return "/"
	}
	return next
}

// The session's cookie. Over TLS its name makes browsers refuse one that was
// set by another host or without TLS.
const (
	secureCookie = "__Host-sluice"
	clearCookie  = "sluice" // loopback
)

// secure reports whether the browser speaks TLS, to us or to a proxy before us.
func (a *API) secure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(a.URL(), "https://")
}

func (a *API) cookieName(r *http.Request) string {
	if a.secure(r) {
		return secureCookie
	}
	return clearCookie
}

// setCookie gives the browser a session until expires; an empty secret ends it.
func (a *API) setCookie(w http.ResponseWriter, r *http.Request, secret access.Secret, expires time.Time) {
	c := &http.Cookie{Name: a.cookieName(r), Value: secret.Reveal(), Path: "/", HttpOnly: true, Secure: a.secure(r),
		SameSite: http.SameSiteLaxMode, Expires: expires}
	if secret.Empty() {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (a *API) sessionSecret(r *http.Request) access.Secret {
	c, err := r.Cookie(a.cookieName(r))
	if err != nil {
		return access.Secret{}
	}
	return access.NewSecret(c.Value)
}

// Visitor implements [Visitors].
func (a *API) Visitor(r *http.Request) (Visitor, error) {
	secret := a.sessionSecret(r)
	if secret.Empty() {
		return Visitor{}, WithHint(Errorf(ErrCredential, "nobody is signed in"), "sign in at /signin")
	}
	c, err := a.Identity.Session(r.Context(), secret)
	if err != nil || c.Subject.Issuer == "" || c.Subject.ID == "" {
		return Visitor{}, WithHint(Errorf(ErrCredential, "the session has ended"), "sign in at /signin")
	}
	if c.Subject.Kind != access.Human || c.Subject.Actor != nil {
		return Visitor{}, Errorf(ErrForbidden, "these pages are for people; %s is not", Name(&c.Subject))
	}
	return Visitor{Caller: c, CSRF: csrfToken(secret)}, nil
}

// csrfToken follows from the session's secret, which a page of another origin
// cannot read, and does not tell it.
func csrfToken(secret access.Secret) string {
	h := hmac.New(sha256.New, []byte(secret.Reveal()))
	h.Write([]byte("sluice csrf v1"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// confirms reports whether a request carries the visitor's CSRF token.
func (v Visitor) confirms(given string) bool {
	return v.CSRF != "" && hmac.Equal([]byte(v.CSRF), []byte(given))
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// maxForm bounds a form in bytes.
const maxForm = 64 << 10

var errForged = WithHint(Errorf(ErrForbidden, "the form did not come from a page of this gateway, or is older than the session"), "load the page again")

// Page implements [Visitors].
func (a *API) Page(handle func(http.ResponseWriter, *http.Request, Visitor)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w, api: a}
		v, err := a.Visitor(r)
		if err != nil {
			a.sendToSignIn(c, err)
			return
		}
		leave, ok := a.callers.try(v.key())
		if !ok {
			c.fail(errBusyCaller)
			return
		}
		defer leave()
		if !safeMethod(r.Method) && !v.confirms(formToken(w, r)) {
			c.fail(errForged)
			return
		}
		handle(w, r, v)
	})
}

func (a *API) sendToSignIn(c *call, err error) {
	if safeMethod(c.Method) && errors.Is(err, ErrCredential) {
		http.Redirect(c.w, c.Request, SignInURL(c.URL.RequestURI(), false), http.StatusSeeOther)
		return
	}
	c.fail(err)
}

// formToken reads the CSRF token from where pages put it. From here on the body is
// bounded, wherever the token was.
func formToken(w http.ResponseWriter, r *http.Request) string {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if h := r.Header.Get(CSRFHeader); h != "" {
		return h
	}
	return r.PostFormValue(CSRFField)
}
