package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/api"
	v1 "sluice/api/v1"
)

// freshFor is how long a sign-in counts as fresh, where a rule wants answers to
// be confirmed by one. It must also be younger than the request.
const freshFor = 5 * time.Minute

// A detail is the page of one request.
type detail struct {
	R                v1.Request
	Verb, Env        string
	Heading          string // what the requester does
	Text             []piece
	Args             []value
	Parts            []part
	Age, Left, Until string
	Expected         []string
	Needs            []string
	Grant            string
	Votes            []vote
	Before           []past
	Similar          []precedent
	CanWithdraw      bool
	SignIn           string // where to prove who one is; empty: no need
	Problem          *problem
	Reason           string // what was typed before something went wrong
	Outcome          string // how it ended; empty: it has not
}

// A part is one statement of a transaction that waits for its commit.
type part struct {
	Text []piece
	Args []value
	Rows string
}

type value struct {
	Name string
	Text []piece
}

type vote struct {
	v1.Vote
	Age string
}

type past struct {
	v1.Past
	Text []piece
	Age  string
}

type precedent struct {
	v1.Precedent
	Href string
	Text []piece
	Age  string
}

func (p *pages) request(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	p.showRequest(w, r, &v, http.StatusOK, nil, "")
}

// showRequest shows one request as it is now, with what went wrong, if anything did.
func (p *pages) showRequest(w http.ResponseWriter, r *http.Request, v *api.Visitor, status int, wrong *problem, reason string) {
	one, err := p.Approvals.Show(r.Context(), &v.Caller, r.PathValue("id"))
	if err == nil {
		err = p.visitors.Looked(w, r, *v, one)
	}
	if err != nil {
		p.fail(w, v, err)
		return
	}
	d := p.detail(&one)
	d.Problem, d.Reason = wrong, reason
	if one.Confirm && one.MayVote && !p.fresh(v, &one) {
		d.SignIn = api.SignInURL("/requests/"+url.PathEscape(one.ID), true)
	}
	f := p.frame(v, fmt.Sprintf("%s: %s on %s", one.ID, d.Verb, one.Resource), "")
	if one.State == "pending" {
		f.Events = "/api/v1/requests/" + url.PathEscape(one.ID) + "/wait"
	}
	f.Body = d
	p.show(w, status, "request", f)
}

// fresh reports whether the visitor proved who they are for this answer.
func (p *pages) fresh(v *api.Visitor, r *v1.Request) bool {
	at := v.Subject.AuthTime
	return !at.IsZero() && at.After(r.Created) && p.Now().Sub(at) < freshFor
}

func (p *pages) detail(r *v1.Request) detail {
	now := p.Now()
	d := detail{R: *r, Verb: strings.ToUpper(r.Verb), Env: r.Labels["env"], Text: statement(r.Action), Age: ago(now.Sub(r.Created)),
		Until: r.Expires.UTC().Format("15:04 UTC"), Expected: expected(r.Expected), Needs: needs(r), Grant: grant(r.Grant), Outcome: outcome(r),
		CanWithdraw: r.Mine && (r.State == "pending" || r.State == "approved")}
	if r.State == "pending" {
		d.Left = left(r.Expires.Sub(now))
	}
	d.Heading, d.Args = heading(r, d.Verb), values(r.Args)
	for _, p := range r.Parts {
		changed := "rows not counted"
		if p.Rows >= 0 {
			changed = "changed " + rows(p.Rows)
		}
		d.Parts = append(d.Parts, part{statement(p.Text), values(p.Args), changed})
	}
	for _, v := range r.Votes {
		d.Votes = append(d.Votes, vote{v, ago(now.Sub(v.Time))})
	}
	for _, b := range r.Before {
		d.Before = append(d.Before, past{b, statement(b.Action), ago(now.Sub(b.Time))})
	}
	for _, s := range r.Similar {
		d.Similar = append(d.Similar, precedent{s, "/requests/" + url.PathEscape(s.ID), statement(s.Action), ago(now.Sub(s.Created))})
	}
	return d
}

// heading says what the requester does, or did.
func heading(r *v1.Request, verb string) string {
	switch r.Kind {
	case "break_glass":
		return "broke the glass"
	case "review":
		return "ran " + verb + " without approval"
	}
	return "asks to run " + verb
}

func values(args []string) (all []value) {
	for i, a := range args {
		all = append(all, value{fmt.Sprintf("$%d", i+1), revealed(a)})
	}
	return all
}

// expected says what the target expects the action to do.
func expected(x *v1.Expected) (all []string) {
	if x == nil {
		return nil
	}
	if x.Count != nil {
		all = append(all, "Changes "+rows(*x.Count)+", counted just before asking.")
	}
	if x.Rows != nil {
		all = append(all, "The plan expects about "+rows(*x.Rows)+".")
	}
	if x.Why != "" {
		all = append(all, sentence(x.Why))
	}
	return all
}

func rows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// needs says whose agreement it takes.
func needs(r *v1.Request) (all []string) {
	for _, q := range r.From {
		all = append(all, fmt.Sprintf("%d of %s", q.Count, q.Group))
	}
	if e := r.Escalate; e != nil {
		verb := "will also be asked at " + e.At.UTC().Format("15:04 UTC")
		if e.Done {
			verb = "are asked as well now"
		}
		for _, q := range e.To {
			all = append(all, fmt.Sprintf("%d of %s %s", q.Count, q.Group, verb))
		}
	}
	return all
}

// grant says what agreeing permits beyond the one action.
func grant(g *v1.Grant) string {
	if g == nil {
		return ""
	}
	text := fmt.Sprintf("Agreeing permits the same statement with other constants, up to %d times within %s", g.Uses, g.For)
	if g.Rows > 0 {
		text += ", " + rows(g.Rows) + " each"
	}
	return text + "."
}

// outcomes say how a request ended.
var outcomes = map[string]string{
	"approved": "Approved. It runs as soon as the requester's session takes it up.", "used": "Approved, and used.",
	"rejected": "Rejected. It did not run.", "withdrawn": "Withdrawn by the requester. It did not run.",
	"expired": "Expired before enough people agreed. It did not run.",
}

func outcome(r *v1.Request) string { return outcomes[r.State] }

// answer counts the visitor's answer to what their page showed: the form carries
// the digest of that.
func (p *pages) answer(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	id, form := r.PathValue("id"), r.PostForm
	b := api.Ballot{Reason: strings.TrimSpace(form.Get("reason")), Digest: form.Get("digest"), Channel: "web"}
	switch form.Get("answer") {
	case "approve":
		b.Approve = true
	case "reject":
	default:
		p.refused(w, r, &v, api.Errorf(api.ErrInvalid, "choose whether to approve or to reject"), b.Reason)
		return
	}
	if b.Digest == "" {
		p.refused(w, r, &v, api.Errorf(api.ErrInvalid, "the form does not say which request it showed"), b.Reason)
		return
	}
	if err := b.Check(); err != nil {
		p.refused(w, r, &v, err, b.Reason)
		return
	}
	one, err := p.Approvals.Look(r.Context(), &v.Caller, id)
	if err == nil {
		b.Confirmed = p.fresh(&v, &one)
		_, err = p.Approvals.Vote(r.Context(), &v.Caller, id, b)
	}
	if err != nil {
		p.refused(w, r, &v, err, b.Reason)
		return
	}
	http.Redirect(w, r, "/requests/"+url.PathEscape(id), http.StatusSeeOther)
}

// refused shows the request as it is now and why the answer did not count.
func (p *pages) refused(w http.ResponseWriter, r *http.Request, v *api.Visitor, err error, reason string) {
	if errors.Is(err, api.ErrNotFound) {
		p.fail(w, v, err)
		return
	}
	wrong := p.problem(err)
	wrong.Detail = "Your answer was not counted. " + wrong.Detail
	if len(reason) > api.MaxReason {
		reason = strings.ToValidUTF8(reason[:api.MaxReason], "")
	}
	p.showRequest(w, r, v, wrong.Status, &wrong, reason)
}

func (p *pages) withdraw(w http.ResponseWriter, r *http.Request, v api.Visitor) {
	id := r.PathValue("id")
	if _, err := p.Approvals.Withdraw(r.Context(), &v.Caller, id); err != nil {
		wrong := p.problem(err)
		p.showRequest(w, r, &v, wrong.Status, &wrong, "")
		return
	}
	http.Redirect(w, r, "/requests/"+url.PathEscape(id), http.StatusSeeOther)
}
