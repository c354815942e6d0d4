package api

import (
	"fmt"
	"strings"

	"sluice/access"
	v1 "sluice/api/v1"
)

// Explain tells the story of a decision from its event and the events that
// refer to it. full adds what is for administrators and auditors: where each
// rule stands, what it looked at, which rules lost, and what rules in monitor
// mode would have done.
func Explain(decided *access.Event, related []*access.Event, full bool) v1.Decision {
	d := v1.Decision{ID: decided.ID, Time: decided.Time, Session: decided.Session, Why: decided.Reason,
		Subject: Name(decided.Subject), Objects: []string{}, Reasons: []v1.Reason{}, Obligations: []string{}}
	if decided.Resource != nil {
		d.Resource = ResourceName(decided.Resource)
	}
	if decided.Client != nil {
		d.Client = decided.Client.Address
	}
	describeAction(&d, decided.Action)
	describeDecision(&d, decided.Decision, full)
	describeApproval(&d, decided.Approval)
	for _, e := range related {
		describeApproval(&d, e.Approval)
		if e.Type == access.ActionCompleted && e.Outcome != nil {
			d.Outcome = outcome(e.Outcome)
		}
	}
	return d
}

// Name shows a subject with who acts for it: alice, or alice via ci-bot.
func Name(s *access.Subject) string {
	var names []string
	for _, one := range s.Chain() {
		names = append(names, one.ID)
	}
	return strings.Join(names, " via ")
}

// ResourceName shows a resource with its database: shop/orders.
func ResourceName(r *access.Resource) string {
	if r.Database == "" || r.Database == r.Name {
		return r.Name
	}
	return r.Name + "/" + r.Database
}

func describeAction(d *v1.Decision, a *access.Action) {
	if a == nil {
		return
	}
	d.Verb, d.Op, d.Confidence = a.Verb.String(), a.Op, a.Confidence.String()
	d.Text = a.Visible()
	d.Objects = Objects(a.Objects)
}

// Objects names what an action touches, once each, without the server's own catalog.
func Objects(objects []access.Object) []string {
	names := []string{}
	seen := map[string]bool{}
	for _, o := range objects {
		name := o.Qualified()
		if o.Kind != access.KindTable {
			name = string(o.Kind) + " " + name
		}
		if o.Via != "" {
			name += " (via " + o.Via + ")"
		}
		if o.System || seen[name] {
			continue
		}
		seen[name] = true
		names = append(names, name)
	}
	return names
}

func describeDecision(d *v1.Decision, dec *access.Decision, full bool) {
	if dec == nil {
		return
	}
	d.Effect, d.Rule, d.Message, d.Hint = dec.Effect.String(), dec.By(), dec.Message, dec.Hint
	d.Reasons = Reasons(dec.Reasons)
	d.Obligations = Obligations(dec.Obligations)
	if full {
		d.Would, d.Policy = Reasons(dec.Would), dec.Policy
		return
	}
	d.Reasons = brief(d.Reasons)
}

// Reasons spells reasons as the API does.
func Reasons(list []access.Reason) []v1.Reason {
	out := []v1.Reason{}
	for _, r := range list {
		out = append(out, v1.Reason{Rule: r.Name(), Effect: r.Effect, Message: r.Message, File: r.File, Line: r.Line, Because: r.Because, Lost: r.Lost})
	}
	return out
}

// Obligations puts each obligation in a phrase with the rule that asks for it.
func Obligations(list []access.Obligation) []string {
	out := []string{}
	for _, o := range list {
		out = append(out, obligation(o))
	}
	return out
}

func obligation(o access.Obligation) string {
	switch o := o.(type) {
	case access.Mask:
		return fmt.Sprintf("mask %s with %s (%s)", masked(o), o.With, o.Rule)
	case access.Limit:
		return fmt.Sprintf("limit %s (%s)", limited(o), o.Rule)
	case access.Record:
		return fmt.Sprintf("record (%s)", o.Rule)
	case access.Notify:
		return fmt.Sprintf("notify %s (%s)", o.Channel, o.Rule)
	default:
		return fmt.Sprintf("%T", o)
	}
}

func masked(m access.Mask) string {
	switch {
	case len(m.Detect) > 0:
		return "detected " + strings.Join(m.Detect, ", ")
	case m.Column == access.ColumnID{}:
		return "whatever cannot be traced"
	case len(m.Paths) > 0:
		return m.Column.String() + " at " + strings.Join(m.Paths, ", ")
	default:
		return m.Column.String()
	}
}

func limited(l access.Limit) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{l.Rows, "rows"}, {l.Bytes, "bytes"}, {l.AffectedRows, "affected rows"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if l.Timeout > 0 {
		parts = append(parts, l.Timeout.String())
	}
	return strings.Join(parts, ", ")
}

// describeApproval keeps the latest state; events come in the journal's order.
func describeApproval(d *v1.Decision, f *access.ApprovalFact) {
	if f == nil {
		return
	}
	d.Approval = &v1.Approval{Request: f.Request, State: f.State, By: f.By, Reason: f.Reason}
}

func outcome(o *access.Outcome) *v1.Outcome {
	out := &v1.Outcome{Rows: o.Rows, Bytes: o.Bytes, Masked: o.Masked, DurationUS: o.Duration, Error: o.Error, Truncated: o.Truncate, State: "done"}
	switch {
	case o.Unknown:
		out.State = "unknown"
	case o.NotRun:
		out.State = "not_run"
	case o.Undone:
		out.State = "undone"
	case o.Error != "":
		out.State = "failed"
	}
	return out
}
