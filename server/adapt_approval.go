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
)

// approvals gives the API its view of the engine, which itself decides who sees
// and who may answer what.
type approvals struct{ engine *approval.Engine }

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
	v, err := a.engine.Cast(ctx, id, approval.Ballot{Voter: c.Subject, Approve: approve, Reason: reason, Evidence: "api, credential " + c.Credential})
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
	case errors.Is(err, approval.ErrSelf), errors.Is(err, approval.ErrNotHuman), errors.Is(err, approval.ErrNotAsked):
		return api.WithHint(api.Errorf(api.ErrForbidden, "%s", cause(err, id)), "sluice request show "+id+" says who may answer")
	case errors.Is(err, approval.ErrVoted), errors.Is(err, approval.ErrClosed):
		return api.Errorf(api.ErrConflict, "%s", cause(err, id))
	}
	return err
}

// cause drops what the API says itself: which request it is about.
func cause(err error, id string) string {
	return strings.TrimPrefix(err.Error(), "approval: request "+id+": ")
}

func request(v *approval.View) v1.Request {
	r := v1.Request{
		ID: v.ID, State: v.State, Requester: api.Name(&v.Requester), Resource: v.Resource.Name, Action: v.Action, Expires: v.Expires,
		Created: v.Created, Verb: v.Verb, Database: v.Resource.Database, Reason: v.Reason, Session: v.Session, MayVote: v.MayVote,
		From: quorum(v.From),
	}
	if len(v.Rules) > 0 {
		r.Rule = v.Rules[0]
	}
	for _, b := range v.Votes {
		r.Votes = append(r.Votes, v1.Vote{By: api.Name(&b.Voter), Approve: b.Approve, Reason: b.Reason, Time: b.Time})
	}
	if v.Content != nil {
		r.Action = v.Content.Text
		for _, arg := range v.Content.Args {
			r.Args = append(r.Args, argument(arg))
		}
		for _, b := range v.Content.Binding {
			r.Binding = append(r.Binding, b.Name+" = "+b.Value)
		}
	}
	return r
}

func quorum(from []access.Approvers) []v1.Quorum {
	var out []v1.Quorum
	for _, q := range from {
		out = append(out, v1.Quorum{Group: q.Group, Count: q.Count})
	}
	return out
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
