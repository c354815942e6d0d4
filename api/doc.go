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
// may not see is answered as if it did not exist. Looking at what others did
// (events, decisions, recordings, requests that are not put to one) is itself an
// audit event, durable before the answer's first byte.
//
// Owners read of the rules behind their decisions what a refusal says: names and
// messages. Where rules stand, what they looked at and what rules in monitor mode
// would have done is for administrators and auditors, in `why` (explain.go) as in
// the events themselves (audit.go).
//
// # Limits
//
// Bodies, headers, times and requests at once are bounded (api.go), and one caller
// has a part of the places only (places.go): nobody keeps an approver from
// answering. Strangers cannot make the gateway ask identity providers as often as
// they like (rate.go).
//
// # Browsers
//
// Who signed in on a page has a cookie; what changes something then needs the CSRF
// token of a page of ours (visitor.go). Writing requests must be application/json or
// a form of ours, and must not come from another origin
// (http.CrossOriginProtection), so that a browser that remembers a Basic password
// cannot be made to use it by another site.
//
// # Debugging
//
// An internal error is answered with a trace id and nothing else; the log line
// with the same id has the cause.
package api
