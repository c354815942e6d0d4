package api

import (
	"html/template"
	"net/http"

	v1 "sluice/api/v1"
)

func (a *API) healthz(c *call) error {
	return c.answer(v1.Health{Status: "ok", Version: a.Version})
}

// readyz turns red when a part reports anything but ok.
func (a *API) readyz(c *call) error {
	h := a.health()
	if h.Status != "ok" {
		return c.write(http.StatusServiceUnavailable, "application/json", h)
	}
	return c.answer(h)
}

func (a *API) health() v1.Health {
	h := v1.Health{Status: "ok", Version: a.Version, Checks: a.Health.Checks(), Warnings: a.Health.Warnings()}
	for _, state := range h.Checks {
		if state != "ok" {
			h.Status = "failing"
		}
	}
	return h
}

func (a *API) metrics(c *call) error {
	c.begun = true
	a.Metrics.ServeHTTP(c.w, c.Request)
	return nil
}

func (a *API) openapi(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.begun = true
	_, err := c.w.Write(a.document)
	return dropped(err)
}

func (a *API) page(c *call) error {
	if a.Pages != nil {
		if _, err := a.Visitor(c.Request); err == nil {
			http.Redirect(c.w, c.Request, "/requests", http.StatusSeeOther)
			return nil
		}
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.begun = true
	gateway := "http://" + c.Host
	if c.TLS != nil {
		gateway = "https://" + c.Host
	}
	return dropped(pageTemplate.Execute(c.w, struct {
		Health  v1.Health
		Gateway string
	}{a.health(), gateway}))
}

// pageTemplate shows nothing that needs a credential.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1b2430; background: #fff }
pre { background: #f2f5f8; padding: 1rem; border-radius: .4rem; overflow-x: auto }
.ok { color: #126b3a } .failing { color: #a01c1c } td { padding: .1rem 1rem .1rem 0 }
@media (prefers-color-scheme: dark) { body { background: #14191f; color: #dde4ec } pre { background: #1f2730 } .ok { color: #6fd39b } .failing { color: #ff8a8a } a { color: #8fb8ff } }
</style></head><body>
<h1>Sluice</h1>
<p>A gateway that decides about every command before it reaches its target.
Status: <strong class="{{.Health.Status}}">{{.Health.Status}}</strong>{{with .Health.Version}}, version {{.}}{{end}}.</p>
{{with .Health.Checks}}<table>{{range $part, $state := .}}<tr><td>{{$part}}</td><td>{{$state}}</td></tr>{{end}}</table>{{end}}
{{range .Health.Warnings}}<p class="failing">{{.}}</p>
{{end}}<p><a href="/requests">Requests for approval</a></p>
<p>From a terminal:</p>
<pre>export SLUICE_GATEWAY={{.Gateway}} SLUICE_USER=you SLUICE_PASSWORD=...
sluice whoami
sluice ls
sluice psql RESOURCE
sluice request ls
sluice audit search --since 1h</pre>
<p><a href="/api/v1/openapi.json">OpenAPI</a> · <a href="/metrics">metrics</a> · <a href="/healthz">health</a> · <a href="/readyz">readiness</a></p>
</body></html>
`))
