// Package api is the gateway's HTTP interface: the API under /api/v1, health,
// metrics and a page for people at /.
//
// The tour: routes.go is the table of everything served; the ServeMux and the
// OpenAPI document are both made from it, so that neither can forget a route.
// backend.go declares what the handlers need from the rest of the gateway.
// call.go is one request: who asks, what was sent, how errors are answered.
// auth.go finds out who asks. The other files are the handlers by subject.
//
// # Who may see what
//
// Everybody sees their own sessions, decisions, requests and tokens, and the
// requests that wait for their vote. Administrators and auditors see all of
// them; administrators may also end sessions and revoke tokens. What a caller
// may not see is answered as if it did not exist. Looking at what belongs to
// others is itself an audit event, durable before the answer's first byte.
//
// # Browsers
//
// There are no cookies. Writing requests must be application/json and must not
// come from another origin (http.CrossOriginProtection), so that a browser that
// remembers a Basic password cannot be made to use it by another site.
//
// # Debugging
//
// An internal error is answered with a trace id and nothing else; the log line
// with the same id has the cause.
package api
