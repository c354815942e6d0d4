// Package web is the pages on which people answer requests for approval.
//
// [New] returns the handler of all pages; package api serves it beside its own
// routes and says who is signed in ([api.Visitors]). The pages show and do what
// the HTTP API does, through the same [api.Approvals]: who sees and who may answer
// what is decided there, never here. Read inbox.go for the lists, request.go for
// one request, text.go for how a statement is shown.
//
// Everything works without JavaScript: pages are forms and links. live.js only
// fetches a page again when the API's stream of events says that it has changed.
// Templates and assets are embedded; there is no build step. Texts of others
// (statements, reasons, names) go through html/template; the Content-Security-Policy
// permits no inline script or style, no framing and no other host.
//
// To work on the look, run `make demo`, change a file and start again.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"sluice/api"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// policy is the Content-Security-Policy of every page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// A Config is everything the pages need; all fields are required.
type Config struct {
	Approvals api.Approvals
	Now       func() time.Time
	Log       *slog.Logger
	Version   string
}

// pages are the handlers. Safe for concurrent use.
type pages struct {
	Config
	visitors  api.Visitors
	templates map[string]*template.Template
	stamp     string // changes with the assets
}

// New returns the handler of all pages, whose visitors v knows.
func New(c Config, v api.Visitors) (http.Handler, error) {
	if c.Approvals == nil || c.Now == nil || c.Log == nil || v == nil {
		return nil, errors.New("web: incomplete configuration")
	}
	p := &pages{Config: c, visitors: v, templates: map[string]*template.Template{}}
	for _, name := range []string{"inbox", "request", "problem"} {
		t, err := template.ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.templates[name] = t
	}
	mux := http.NewServeMux()
	assets, err := p.assets()
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /assets/{name}", assets)
	for path, handle := range map[string]func(http.ResponseWriter, *http.Request, api.Visitor){
		"GET /requests": p.inbox, "GET /requests/mine": p.mine, "GET /requests/past": p.past,
		"GET /requests/{id}": p.request, "POST /requests/{id}": p.answer, "POST /requests/{id}/withdraw": p.withdraw,
		"GET /": p.nothing,
	} {
		mux.Handle(path, v.Page(handle))
	}
	return mux, nil
}

// kinds of the assets, by name: nothing else is served.
var kinds = map[string]string{"sluice.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"}

// assets serves the embedded files. Their addresses carry a stamp, so browsers
// may keep them.
func (p *pages) assets() (http.Handler, error) {
	files, all := map[string][]byte{}, sha256.New()
	for _, name := range []string{"live.js", "mark.svg", "sluice.css"} {
		b, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = b
		all.Write(b)
	}
	p.stamp = hex.EncodeToString(all.Sum(nil))[:12]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if files[name] == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kinds[name])
		if r.URL.RawQuery == p.stamp {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		_, _ = w.Write(files[name])
	}), nil
}

// A frame is what every page shows around its own.
type frame struct {
	Title, Tab  string
	Who, CSRF   string
	Stamp       string
	Events      string // where live.js listens; empty: nowhere
	Version     string
	Body        any
	Description string // of a problem, for those who cannot see the page
}

func (p *pages) frame(v *api.Visitor, title, tab string) frame {
	return frame{Title: title, Tab: tab, Who: api.Name(&v.Subject), CSRF: v.CSRF, Stamp: p.stamp, Version: p.Version}
}

// show sends a page whole or not at all.
func (p *pages) show(w http.ResponseWriter, status int, name string, f frame) {
	var b bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&b, "layout", f); err != nil {
		p.Log.Error("web: a page could not be made", "page", name, "error", err)
		http.Error(w, "the page could not be made; an administrator finds the cause in the log", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // nobody to tell
}

// A problem is what went wrong, for people.
type problem struct {
	Status       int
	Detail, Hint string
}

// fail shows an error as a page of its own.
func (p *pages) fail(w http.ResponseWriter, v *api.Visitor, err error) {
	e := p.problem(err)
	f := p.frame(v, http.StatusText(e.Status), "")
	f.Body = e
	p.show(w, e.Status, "problem", f)
}

// problem says an error in words for people; the text of one that is not known
// stays in the log.
func (p *pages) problem(err error) problem {
	for _, k := range []struct {
		err    error
		status int
	}{
		{api.ErrNotFound, http.StatusNotFound}, {api.ErrForbidden, http.StatusForbidden}, {api.ErrConflict, http.StatusConflict},
		{api.ErrInvalid, http.StatusBadRequest}, {api.ErrUnavailable, http.StatusServiceUnavailable}, {api.ErrTooMany, http.StatusTooManyRequests},
	} {
		if errors.Is(err, k.err) {
			return problem{Status: k.status, Detail: sentence(err.Error())}
		}
	}
	p.Log.Error("web: a page failed", "error", err)
	return problem{Status: http.StatusInternalServerError, Detail: "The gateway failed to do this.", Hint: "An administrator finds the cause in its log."}
}

func (p *pages) nothing(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	p.fail(w, &v, api.Errorf(api.ErrNotFound, "there is no such page"))
}
