package api

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	v1 "sluice/api/v1"
)

func (a *API) requestRoutes() []route {
	return []route{
		{method: "GET", path: "/api/v1/requests", name: "listRequests", answer: []v1.Request{}, handle: a.listRequests,
			query: []param{{"state", "pending (default), approved, rejected, withdrawn, expired, used or all"},
				{"mine", "true: only the caller's own"}, {"resource", "name"}, {"requester", "name"},
				{"limit", "at most so many (default 200, at most 1000); the header Link then says where the next are"},
				{"after", "id of the last request of the page before"}},
			summary: "Approval requests: the caller's own and those put to them, newest first"},
		{method: "GET", path: "/api/v1/requests/events", name: "followRequests", media: eventStream, stream: true, handle: a.followRequests,
			summary: "Server-sent events: pending requests that the caller may see, each as it comes, changes or is answered (event: request)"},
		{method: "GET", path: "/api/v1/requests/{id}", name: "showRequest", answer: v1.Request{}, handle: a.showRequest,
			summary: "One approval request with what exactly will run"},
		{method: "GET", path: "/api/v1/requests/{id}/wait", name: "waitRequest", answer: v1.Request{}, stream: true, handle: a.waitRequest,
			query:   []param{{"timeout", "how long, at most and by default 50s; 0s: look once"}},
			summary: "Answers when the request is no longer pending, or when the time is over; with Accept: text/event-stream a stream of what becomes of it"},
		{method: "POST", path: "/api/v1/requests/{id}/approve", name: "approveRequest", body: v1.Answer{}, answer: v1.Request{}, handle: a.approveRequest,
			summary: "Agree; never to one's own request"},
		{method: "POST", path: "/api/v1/requests/{id}/reject", name: "rejectRequest", body: v1.Answer{}, answer: v1.Request{}, handle: a.rejectRequest,
			summary: "Refuse; one refusal is enough"},
		{method: "POST", path: "/api/v1/requests/{id}/withdraw", name: "withdrawRequest", answer: v1.Request{}, handle: a.withdrawRequest,
			summary: "Take back one's own request, what is left of a grant, or a broken glass"},
		{method: "POST", path: "/api/v1/break-glass", name: "breakGlass", body: v1.Breaking{}, answer: v1.Request{}, status: 201, handle: a.breakGlass,
			summary: "Act at a resource without approval for a while, where rules permit it; everybody named is alerted, and every action is reviewed"},
	}
}

// Limits of a listing.
const (
	requestsPage    = 200
	maxRequestsPage = 1000
)

// States lists the states of a request, in the order of its life.
func States() []string {
	return []string{"pending", "approved", "rejected", "withdrawn", "expired", "used"}
}

func (a *API) listRequests(c *call) error {
	f, err := requestFilter(c.URL.Query())
	if err != nil {
		return err
	}
	list, err := a.Approvals.List(c.Context(), &c.caller, f)
	if err != nil {
		return err
	}
	if len(list) == f.Limit {
		q := c.URL.Query()
		q.Set("after", list[len(list)-1].ID)
		c.w.Header().Set("Link", "<"+c.URL.Path+"?"+q.Encode()+`>; rel="next"`)
	}
	if err := c.overlooked("requests", map[string]any{"query": clip(c.URL.RawQuery, 1000)}, list...); err != nil {
		return err
	}
	return c.answer(filled(list))
}

// overlooked records that the caller reads open requests, with what exactly will
// run, only because administrators and auditors see all: they are not theirs and
// not put to them.
func (c *call) overlooked(what string, extra map[string]any, list ...v1.Request) error {
	if !slices.ContainsFunc(list, func(r v1.Request) bool { return c.overlooks(&r) && (what != "requests" || open(&r)) }) {
		return nil
	}
	return c.looked(what, extra)
}

func (c *call) overlooks(r *v1.Request) bool {
	return c.caller.SeesAll() && !r.MayVote && r.Requester != Name(&c.caller.Subject)
}

func open(r *v1.Request) bool { return r.State == "pending" || r.State == "approved" }

// Looked implements [Visitors].
func (a *API) Looked(w http.ResponseWriter, r *http.Request, v Visitor, list ...v1.Request) error {
	c := &call{Request: r, w: w, api: a, caller: v.Caller}
	if len(list) == 1 && r.PathValue("id") != "" {
		return c.overlooked("request", map[string]any{"request": list[0].ID}, list...)
	}
	return c.overlooked("requests", map[string]any{"query": clip(r.URL.RequestURI(), 1000)}, list...)
}

func requestFilter(q url.Values) (RequestFilter, error) {
	f := RequestFilter{State: strings.ToLower(q.Get("state")), Mine: q.Get("mine") == "true" || q.Get("mine") == "1",
		Resource: q.Get("resource"), Requester: q.Get("requester"), After: q.Get("after"), Limit: requestsPage}
	switch f.State {
	case "":
		f.State = "pending"
	case "all":
		f.State = ""
	case "pending", "approved", "rejected", "withdrawn", "expired", "used":
	default:
		return f, WithHint(Errorf(ErrInvalid, "there is no state %q", clip(f.State, 40)), "one of "+strings.Join(States(), ", ")+", or all")
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRequestsPage {
			return f, Errorf(ErrInvalid, "limit %q is not a number from 1 to %d", clip(text, 40), maxRequestsPage)
		}
		f.Limit = n
	}
	return f, nil
}

func (a *API) showRequest(c *call) error {
	r, err := a.Approvals.Show(c.Context(), &c.caller, c.PathValue("id"))
	if err != nil {
		return err
	}
	if err := c.overlooked("request", map[string]any{"request": r.ID}, r); err != nil {
		return err
	}
	return c.answer(r)
}

func (a *API) approveRequest(c *call) error { return a.vote(c, true) }
func (a *API) rejectRequest(c *call) error  { return a.vote(c, false) }

func (a *API) vote(c *call, approve bool) error {
	var answer v1.Answer
	if err := c.decode(&answer); err != nil {
		return err
	}
	b := Ballot{Approve: approve, Reason: answer.Reason, Digest: answer.Digest, Channel: "api"}
	if err := b.Check(); err != nil {
		return err
	}
	r, err := a.Approvals.Vote(c.Context(), &c.caller, c.PathValue("id"), b)
	if err != nil {
		return err
	}
	return c.answer(r)
}

// MaxReason bounds in bytes what a person writes about an answer.
const MaxReason = 2000

// Check says what is wrong with an answer, whatever it is about.
func (b *Ballot) Check() error {
	if len(b.Reason) > MaxReason {
		return WithCode(Errorf(ErrInvalid, "the reason is longer than %d bytes", MaxReason), "reason_too_long")
	}
	if raw, err := hex.DecodeString(b.Digest); err != nil || len(raw) != 0 && len(raw) != 32 {
		return Errorf(ErrInvalid, "the digest is not 64 hexadecimal digits")
	}
	return nil
}

func (a *API) withdrawRequest(c *call) error {
	r, err := a.Approvals.Withdraw(c.Context(), &c.caller, c.PathValue("id"))
	if err != nil {
		return err
	}
	return c.answer(r)
}

func (a *API) breakGlass(c *call) error {
	var b v1.Breaking
	if err := c.decode(&b); err != nil {
		return err
	}
	r, err := a.Approvals.BreakGlass(c.Context(), &c.caller, b.Resource, b.Reason)
	if err != nil {
		return err
	}
	return c.answer(r)
}

// wantsStream reports whether the client asked for server-sent events.
func wantsStream(r *http.Request) bool {
	for _, accepted := range r.Header.Values("Accept") {
		if strings.Contains(accepted, eventStream) {
			return true
		}
	}
	return false
}
