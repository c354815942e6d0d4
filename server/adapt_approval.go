package server

import (
	"context"
	"encoding/hex"
	"errors"
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

func (a approvals) Withdraw(ctx context.Context, c *api.Caller, id string) (v1.Request, error) {
	v, err := a.engine.Withdraw(ctx, id, c.Subject)
	if err != nil {
		return v1.Request{}, votingError(err, id)
	}
	return request(&v), nil
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

func (a approvals) List(ctx context.Context, c *api.Caller, state string) ([]v1.Request, error) {
	if state == "" {
		state = "all"
	}
	views, err := a.engine.List(ctx, c.Subject, approval.Filter{States: []string{state}})
	if err != nil {
		return nil, err
	}
	var out []v1.Request
	for i := range views {
		out = append(out, request(&views[i]))
	}
	return out, nil
}

func (a approvals) Show(ctx context.Context, c *api.Caller, id string) (v1.Request, error) {
	v, err := a.engine.Show(ctx, c.Subject, id)
	if err != nil {
		return v1.Request{}, votingError(err, id)
	}
	return request(&v), nil
}

func (a approvals) Vote(ctx context.Context, c *api.Caller, id string, approve bool, reason string) (v1.Request, error) {
	v, err := a.engine.Cast(ctx, id, approval.Ballot{Voter: c.Subject, Approve: approve, Reason: reason,
		Evidence: approval.Evidence{Channel: "api", Proof: "credential " + c.Credential}})
	if err != nil {
		return v1.Request{}, votingError(err, id)
	}
	return request(&v), nil
}

// votingError says an engine's refusal in the API's words.
func votingError(err error, id string) error {
	switch {
	case errors.Is(err, approval.ErrNotFound):
		return api.WithHint(api.Errorf(api.ErrNotFound, "no request %s", id), "sluice request ls --state all lists those you may see")
	case errors.Is(err, approval.ErrSelf), errors.Is(err, approval.ErrNotHuman), errors.Is(err, approval.ErrNotAsked),
		errors.Is(err, approval.ErrConfirm), errors.Is(err, approval.ErrNotYours):
		return api.WithHint(api.Errorf(api.ErrForbidden, "%s", cause(err, id)), "sluice request show "+id+" says who may answer")
	case errors.Is(err, approval.ErrVoted), errors.Is(err, approval.ErrClosed):
		return api.Errorf(api.ErrConflict, "%s", cause(err, id))
	case errors.Is(err, approval.ErrComment):
		return api.Errorf(api.ErrInvalid, "%s", cause(err, id))
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
