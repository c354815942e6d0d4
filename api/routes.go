package api

import (
	v1 "sluice/api/v1"
)

// A route is one thing served. The mux and the OpenAPI document are made from
// the same table.
type route struct {
	method  string
	path    string // as ServeMux takes it, without the method
	name    string // operationId
	summary string
	open    bool // answered without a credential
	query   []param
	body    any    // zero value of the JSON body; nil: none is read
	answer  any    // zero value of the JSON answer; nil with media set
	media   string // of an answer that is not JSON
	status  int    // of success; 0: 200
	stream  bool   // lasts as long as the client likes, and has places of its own
	handle  func(*call) error
}

// A param is a query parameter.
type param struct{ name, about string }

func (a *API) routes() []route {
	all := a.openRoutes()
	for _, more := range [][]route{a.selfRoutes(), a.loginRoutes(), a.requestRoutes(), a.sessionRoutes(), a.auditRoutes(), a.policyRoutes()} {
		all = append(all, more...)
	}
	return all
}

func (a *API) openRoutes() []route {
	return []route{
		{method: "GET", path: "/{$}", name: "page", open: true, media: "text/html", handle: a.page,
			summary: "A page for people: what this is and how to use it"},
		{method: "GET", path: "/healthz", name: "healthz", open: true, answer: v1.Health{}, handle: a.healthz,
			summary: "The process answers"},
		{method: "GET", path: "/readyz", name: "readyz", open: true, answer: v1.Health{}, handle: a.readyz,
			summary: "The gateway can do its work; 503 if not, for example because the journal cannot be written"},
		{method: "GET", path: "/metrics", name: "metrics", open: true, media: "text/plain", handle: a.metrics,
			summary: "Prometheus metrics"},
		{method: "GET", path: "/api/v1/openapi.json", name: "openapi", open: true, media: "application/json", handle: a.openapi,
			summary: "This document"},
		{method: "GET", path: "/api/v1/audit/key", name: "auditKey", open: true, media: "text/plain", handle: a.auditKey,
			summary: "The verifier key of the journal's checkpoints"},
	}
}

func (a *API) selfRoutes() []route {
	return []route{
		{method: "GET", path: "/api/v1/whoami", name: "whoami", answer: v1.Whoami{}, handle: a.whoami,
			summary: "Who the gateway takes the caller for"},
		{method: "GET", path: "/api/v1/resources", name: "listResources", answer: []v1.Resource{}, handle: a.listResources,
			summary: "The resources the caller may use, and how to connect to each"},
		{method: "GET", path: "/api/v1/tokens", name: "listTokens", answer: []v1.Token{}, handle: a.listTokens,
			query:   []param{{"all", "true: everybody's (administrators)"}},
			summary: "Live tokens, without their secrets"},
		{method: "POST", path: "/api/v1/tokens", name: "issueToken", body: v1.TokenRequest{}, answer: v1.Token{}, status: 201, handle: a.issueToken,
			summary: "A short-lived credential for native clients; one issued with a token does not outlive it"},
		{method: "DELETE", path: "/api/v1/tokens/{id}", name: "revokeToken", answer: v1.Token{}, handle: a.revokeToken,
			summary: "End a token at once; sessions opened with it end at their next statement"},
	}
}

func (a *API) sessionRoutes() []route {
	return []route{
		{method: "GET", path: "/api/v1/sessions", name: "listSessions", answer: []v1.Session{}, handle: a.listSessions,
			query:   []param{{"all", "true: past ones too"}},
			summary: "Sessions, newest first"},
		{method: "GET", path: "/api/v1/sessions/{id}", name: "showSession", answer: v1.Session{}, handle: a.showSession,
			summary: "One session"},
		{method: "POST", path: "/api/v1/sessions/{id}/kill", name: "killSession", answer: v1.Session{}, handle: a.killSession,
			summary: "End a live session: one's own, or anybody's for administrators"},
		{method: "GET", path: "/api/v1/sessions/{id}/recording", name: "sessionRecording", media: "application/octet-stream", handle: a.sessionRecording,
			summary: "What was typed and what came back, in the recording format"},
	}
}

func (a *API) auditRoutes() []route {
	filters := []param{
		{"since", "a time (RFC 3339) or how long ago (15m, 7d)"}, {"until", "the same"},
		{"subject", "user id"}, {"resource", "name"}, {"session", "id"}, {"type", "action.decided, approval.*, ..."}, {"verb", "delete, ..."},
		{"effect", "allow, deny, require_approval, mask or monitor"}, {"rule", "POLICY/RULE"}, {"object", "name or schema.name; * and ? match"}, {"text", "part of the text"},
		{"id", "event id"}, {"ref", "id of the event it is about"}, {"request", "approval request"},
	}
	return []route{
		{method: "GET", path: "/api/v1/audit", name: "searchAudit", media: ndjson, handle: a.searchAudit,
			query:   append([]param{{"limit", "at most so many (default 100; 0: all)"}, {"order", "newest (default) or oldest"}}, filters...),
			summary: "Audit events as JSON lines"},
		{method: "GET", path: "/api/v1/audit/tail", name: "tailAudit", media: ndjson, query: filters, handle: a.tailAudit,
			summary: "Audit events as they become durable, as JSON lines, until the client hangs up"},
		{method: "GET", path: "/api/v1/audit/checkpoint", name: "auditCheckpoint", answer: v1.Checkpoint{}, handle: a.auditCheckpoint,
			summary: "The journal's signed head; a copy kept elsewhere anchors what came before"},
		{method: "POST", path: "/api/v1/audit/verify", name: "verifyAudit", answer: v1.Report{}, handle: a.verifyAudit,
			summary: "Recompute the whole chain (administrators and auditors)"},
		{method: "GET", path: "/api/v1/decisions/{id}", name: "explainDecision", answer: v1.Decision{}, handle: a.explainDecision,
			summary: "Why something was decided, and what came of it"},
	}
}

func (a *API) policyRoutes() []route {
	return []route{
		{method: "POST", path: "/api/v1/can", name: "can", body: v1.Question{}, answer: []v1.Verdict{}, handle: a.can,
			summary: "What would be decided, and why; about others for administrators and auditors"},
	}
}

const ndjson = "application/x-ndjson"
