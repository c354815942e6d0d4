package api

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"sluice/access"
)

// signInRoutes are the pages on which people sign in. They are no part of the
// API that scripts use and so not of its description.
func (a *API) signInRoutes() []route {
	return []route{
		{method: "GET", path: "/signin", open: true, handle: a.signInPage},
		{method: "POST", path: "/signin", open: true, handle: a.signInPassword},
		{method: "GET", path: "/signin/{provider}", open: true, handle: a.signInWith},
		{method: "GET", path: "/signin/callback", open: true, handle: a.signInCallback},
		{method: "POST", path: "/oauth2/token", open: true, handle: a.oauthToken},
		{method: "POST", path: "/signout", open: true, handle: a.signOut},
	}
}

// signInForm is what the page shows.
type signInForm struct {
	Next, Name, Problem, Hint string
	Who                       string // signed in already
	CSRF                      string
	Fresh                     bool
	Providers                 []providerLink
}

type providerLink struct{ Name, URL string }

// links lead to the providers' own sign-in.
func (c *call) links(f signInForm) (all []providerLink) {
	for _, name := range c.api.SignIn.Providers() {
		all = append(all, providerLink{name, strings.Replace(SignInURL(f.Next, f.Fresh), "/signin", "/signin/"+name, 1)})
	}
	return all
}

func (a *API) signInPage(c *call) error {
	f := signInForm{Next: localPath(c.URL.Query().Get("next")), Fresh: c.flag("fresh")}
	if v, err := a.Visitor(c.Request); err == nil {
		f.Who, f.CSRF = Name(&v.Subject), v.CSRF
	}
	return c.showSignIn(http.StatusOK, f)
}

// signInPassword takes a local user's password. That the form is ours is
// known by its origin: nobody is signed in yet who could have a token.
func (a *API) signInPassword(c *call) error {
	c.Body = http.MaxBytesReader(c.w, c.Body, maxForm)
	if err := c.ParseForm(); err != nil {
		return badBody(err)
	}
	f := signInForm{Next: localPath(c.PostForm.Get("next")), Name: clip(c.PostForm.Get("user"), 100)}
	opened, err := a.SignIn.Password(c.Context(), c.PostForm.Get("user"), access.NewSecret(c.PostForm.Get("password")), c.RemoteAddr)
	if err != nil {
		return c.signInFailed(f, err)
	}
	return c.welcome(opened, f.Next)
}

// signInFailed shows the form again with what was wrong, if that is for the
// person to know.
func (c *call) signInFailed(f signInForm, err error) error {
	for _, known := range []error{ErrCredential, ErrTooMany, ErrForbidden, ErrUnavailable, ErrInvalid, ErrNotFound} {
		if errors.Is(err, known) {
			p := c.problem(err)
			f.Problem, f.Hint = p.Detail, p.Hint
			return c.showSignIn(p.Status, f)
		}
	}
	return err
}

// welcome gives the browser its new session, ends the one it had, and goes on.
func (c *call) welcome(opened Opened, next string) error {
	if old, err := c.api.Visitor(c.Request); err == nil {
		if err := c.api.SignIn.Close(c.Context(), old.Caller); err != nil {
			return err
		}
	}
	c.api.setCookie(c.w, c.Request, opened.Secret, opened.Expires)
	http.Redirect(c.w, c.Request, localPath(next), http.StatusSeeOther)
	return nil
}

// signOut ends the session on the web.
func (a *API) signOut(c *call) error {
	v, err := a.Visitor(c.Request)
	if err == nil {
		if !v.confirms(formToken(c.w, c.Request)) {
			return errForged
		}
		if err := a.SignIn.Close(c.Context(), v.Caller); err != nil {
			return err
		}
	}
	a.setCookie(c.w, c.Request, access.Secret{}, a.Now())
	http.Redirect(c.w, c.Request, "/signin", http.StatusSeeOther)
	return nil
}

func (c *call) showSignIn(status int, f signInForm) error {
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	f.Providers = c.links(f)
	c.begun = true
	c.w.WriteHeader(status)
	return dropped(signInTemplate.Execute(c.w, f))
}

var signInTemplate = template.Must(template.New("signin").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in - Sluice</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/assets/sluice.css"><link rel="icon" type="image/svg+xml" href="/assets/mark.svg"><meta name="color-scheme" content="light dark"></head><body>
<main class="entry"><p class="brand"><img src="/assets/mark.svg" width="26" height="26" alt="">Sluice</p><div class="card">
<h1>Sign in</h1>
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}{{with .Hint}}<p>{{.}}</p>{{end}}
{{with .Who}}<form method="post" action="/signout"><p>You are signed in as <strong>{{.}}</strong>.</p>
<input type="hidden" name="csrf" value="{{$.CSRF}}"><button>Sign out</button></form>{{end}}
{{if or (not .Who) .Fresh}}{{range .Providers}}<a class="provider" href="{{.URL}}">Sign in with {{.Name}}</a>
{{end}}<form method="post" action="/signin">
<input type="hidden" name="next" value="{{.Next}}">
<label>Name <input name="user" value="{{.Name}}" autocomplete="username" autocapitalize="none" required></label>
<label>Password <input type="password" name="password" autocomplete="current-password" required></label>
<button class="primary">Sign in</button>
</form>{{end}}
</div></main></body></html>
`))
