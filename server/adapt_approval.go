package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"sluice/access"
	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/approval"
	"sluice/policy"
	"sluice/protocol"
	"sluice/store"
)

// approvals gives the API its view of the engine, which itself decides who sees
// and who may answer what.
type approvals struct {
	engine  *approval.Engine
	set     func() *policy.Set
	targets protocol.Targets
}

func (a approvals) BreakGlass(ctx context.Context, c *api.Caller, name, reason string) (v1.Request, error) {
	target, err := a.targets.Target(ctx, name, "")
	if err != nil {
		return v1.Request{}, api.Errorf(api.ErrForbidden, "%s", approval.ErrNoGlass)
	}
	v, err := a.engine.BreakGlass(ctx, c.Subject, target.Resource, a.set().Glass(c.Subject, target.Resource), reason)
	switch {
	case errors.Is(err, approval.ErrNoGlass), errors.Is(err, approval.ErrOverdue):
		return v1.Request{}, api.Errorf(api.ErrForbidden, "%s", strings.TrimPrefix(err.Error(), "approval: break glass: "))
	case errors.Is(err, approval.ErrReason):
		return v1.Request{}, api.Errorf(api.ErrInvalid, "%s", approval.ErrReason)
	case err != nil:
		return v1.Request{}, err
	}
	return request(&v), nil
}

func (a approvals) List(ctx context.Context, c *api.Caller, f api.RequestFilter) ([]v1.Request, error) {
	if f.State == "" {
		f.State = "all"
	}
	views, err := a.engine.List(ctx, c.Subject, approval.Filter{States: []string{f.State}, Mine: f.Mine, Resource: f.Resource,
		Requester: f.Requester, After: f.After, Limit: f.Limit})
	if err != nil {
		return nil, votingError(err, f.After)
	}
	var out []v1.Request
	for i := range views {
		out = append(out, request(&views[i]))
	}
	return out, nil
}

func (a approvals) Show(ctx context.Context, c *api.Caller, id string) (v1.Request, error) {
	return shown(id)(a.engine.Show(ctx, c.Subject, id))
}

func (a approvals) Look(ctx context.Context, c *api.Caller, id string) (v1.Request, error) {
	return shown(id)(a.engine.Look(ctx, c.Subject, id))
}

func (a approvals) Withdraw(ctx context.Context, c *api.Caller, id string) (v1.Request, error) {
	v, err := a.engine.Withdraw(ctx, id, c.Subject)
	if err == nil && v.State != store.Withdrawn {
		err = fmt.Errorf("%w: it is %s", approval.ErrClosed, v.State)
	}
	return shown(id)(v, err)
}

func (a approvals) News() <-chan struct{} { return a.engine.News() }

func (a approvals) Vote(ctx context.Context, c *api.Caller, id string, b api.Ballot) (v1.Request, error) {
	ballot := approval.Ballot{Voter: c.Subject, Approve: b.Approve, Reason: b.Reason, Confirmed: b.Confirmed,
		Evidence: approval.Evidence{Channel: b.Channel, Proof: "credential " + c.Credential}}
	if b.Digest != "" {
		var seen access.Digest
		if n, err := hex.Decode(seen[:], []byte(b.Digest)); err != nil || n != len(seen) {
			return v1.Request{}, votingError(approval.ErrUnseen, id)
		}
		ballot.Seen = &seen
	}
	return shown(id)(a.engine.Cast(ctx, id, ballot))
}

// shown says what the engine answered about a request in the API's words.
func shown(id string) func(approval.View, error) (v1.Request, error) {
	return func(v approval.View, err error) (v1.Request, error) {
		if err != nil {
			return v1.Request{}, votingError(err, id)
		}
		return request(&v), nil
	}
}

// refusals are the engine's reasons in the API's words. The codes are for programs
// and never change.
var refusals = []struct {
	err, kind  error
	code, hint string
}{
	{approval.ErrSelf, api.ErrForbidden, "self_approval", "sluice request show ID says who may answer"},
	{approval.ErrNotHuman, api.ErrForbidden, "not_human", "sluice request show ID says who may answer"},
	{approval.ErrNotAsked, api.ErrForbidden, "not_asked", "sluice request show ID says who may answer"},
	{approval.ErrConfirm, api.ErrForbidden, "confirmation_needed", "answer on the gateway's page, which asks for the sign-in"},
	{approval.ErrNotYours, api.ErrForbidden, "not_yours", "who may answer it can reject it"},
	{approval.ErrVoted, api.ErrConflict, "already_answered", ""},
	{approval.ErrClosed, api.ErrConflict, "closed", ""},
	{approval.ErrUnseen, api.ErrConflict, "other_digest", "read the request again"},
	{approval.ErrComment, api.ErrInvalid, "reason_needed", "say why you agree"},
}

// votingError says an engine's refusal in the API's words.
func votingError(err error, id string) error {
	if errors.Is(err, approval.ErrNotFound) {
		return api.WithHint(api.Errorf(api.ErrNotFound, "no request %s", id), "sluice request ls --state all lists those you may see")
	}
	for _, r := range refusals {
		if !errors.Is(err, r.err) {
			continue
		}
		told := api.Errorf(r.kind, "%s", cause(err, id))
		if r.hint != "" {
			told = api.WithHint(told, strings.ReplaceAll(r.hint, "ID", id))
		}
		return api.WithCode(told, r.code)
	}
	return err
}

// cause drops what the API says itself: which request it is about.
func cause(err error, id string) string {
	return strings.TrimPrefix(err.Error(), "approval: request "+id+": ")
}

func request(v *approval.View) v1.Request {
	r := v1.Request{
		ID: v.ID, Kind: v.Kind, State: v.State, Requester: api.Name(&v.Requester), Resource: v.Resource.Name, Action: v.Action, Expires: v.Expires,
		Created: v.Created, Verb: v.Verb, Database: v.Resource.Database, Reason: v.Reason, Session: v.Session, MayVote: v.MayVote, WhyNot: v.Why,
		From: quorum(v.From), Votes: ballots(v.Votes), Rules: v.Rules, Message: v.Message, Ticket: v.Ticket, Client: v.Client,
		Decision: v.Decision, URL: v.URL, Whole: v.Whole, Comment: v.Comment, Confirm: v.Confirm, Uses: v.Uses,
		Mine: v.Mine, Digest: hex.EncodeToString(v.Digest[:]), Labels: v.Resource.Labels, Changed: v.Changed,
	}
	if len(v.Rules) > 0 {
		r.Rule = v.Rules[0]
	}
	for _, actor := range v.Requester.Chain()[1:] {
		r.Actors = append(r.Actors, api.Name(actor))
	}
	if v.Content != nil {
		r.Action, r.Whole = v.Content.Text, true
		r.Args, r.Binding = arguments(v.Content.Args), bindings(v.Content.Binding)
		for _, p := range v.Content.Parts {
			r.Parts = append(r.Parts, v1.Part{Text: p.Text, Args: arguments(p.Args), Binding: bindings(p.Binding), Rows: p.Rows})
		}
	}
	terms(v, &r)
	background(v, &r)
	return r
}

// terms are how people are asked, and what their answer gives.
func terms(v *approval.View, r *v1.Request) {
	if x := v.Escalate; x != nil {
		r.Escalate = &v1.Escalation{To: quorum(x.To), At: v.Created.Add(x.After), Done: !v.Escalated.IsZero()}
	}
	if g := v.Grant; g != nil {
		r.Grant = &v1.Grant{For: g.For.String(), Uses: g.Uses, Rows: g.Rows}
	}
}

// background is what helps to decide.
func background(v *approval.View, r *v1.Request) {
	if x := v.Expected; x != (approval.Expected{}) {
		r.Expected = &v1.Expected{Rows: x.Rows, Cost: x.Cost, Count: x.Count, Why: x.Why}
	}
	for _, p := range v.Before {
		r.Before = append(r.Before, v1.Past{Time: p.Time, ID: p.ID, Verb: p.Verb, Action: p.Action, Effect: p.Effect, Rows: p.Rows, Error: p.Error})
	}
	for i := range v.Similar {
		p := &v.Similar[i]
		r.Similar = append(r.Similar, v1.Precedent{ID: p.ID, State: p.State, Requester: api.Name(&p.Requester), Created: p.Created,
			Action: p.Action, Same: p.Same, Votes: ballots(p.Votes)})
	}
}

func ballots(votes []store.Vote) (all []v1.Vote) {
	for i := range votes {
		b := &votes[i]
		all = append(all, v1.Vote{By: api.Name(&b.Voter), Approve: b.Approve, Reason: b.Reason, Time: b.Time})
	}
	return all
}

func quorum(from []access.Approvers) []v1.Quorum {
	var out []v1.Quorum
	for _, q := range from {
		out = append(out, v1.Quorum{Group: q.Group, Count: q.Count})
	}
	return out
}

func arguments(args []approval.Arg) (all []string) {
	for _, arg := range args {
		all = append(all, argument(arg))
	}
	return all
}

func bindings(settings []access.Setting) (all []string) {
	for _, b := range settings {
		all = append(all, b.Name+" = "+b.Value)
	}
	return all
}

// argument shows a bound value to an approver, who must see what will run.
func argument(a approval.Arg) string {
	switch {
	case a.Null:
		return "NULL"
	case a.Binary:
		return `\x` + hex.EncodeToString(a.Value)
	default:
		return string(a.Value)
	}
}
