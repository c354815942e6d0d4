package policy

import (
	"slices"
	"strings"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// This file is about the block "approval" of a rule: its meaning, and that of
// several together.

const (
	defaultExpiry = 15 * time.Minute
	maxExpiry     = 7 * 24 * time.Hour
	maxApprovers  = 20 // of one group
	minRemind     = time.Minute
	maxGrant      = 24 * time.Hour
	maxGrantUses  = 10_000
	maxGlass      = 8 * time.Hour
)

func (c *compiler) approval(who string, spec *ruleSpec, r *rule) {
	a := spec.Approval
	if (a != nil) != (r.effect == effApproval) {
		if a == nil {
			c.fail(spec.Effect.Pos, "%s: effect require_approval needs approval: {from: [{group: GROUP, count: N}]}", who)
		} else {
			c.fail(a.Pos, "%s: approval belongs to effect require_approval", who)
		}
		return
	}
	if a == nil {
		return
	}
	r.approval = &access.Quorum{Expires: c.expiry(who, a), From: c.approvers(who, a.Pos, a.From), Rules: []string{r.name},
		Comment: c.required(who, "comment", a.Comment), Confirm: a.Confirm, Remind: c.remind(who, a), Channels: c.channelNames(who, a.Channels),
		Escalate: c.escalation(who, a), Grant: c.grant(who, a), At: c.moment(who, a), Preview: a.Preview.Value == "run", MaxHold: c.maxHold(who, a), Glass: c.glass(who, a)}
	slices.SortFunc(r.approval.From, func(a, b access.Approvers) int { return strings.Compare(a.Group, b.Group) })
	r.wantReason, r.wantTicket = c.required(who, "reason", a.Reason), c.required(who, "ticket", a.Ticket)
}

func (c *compiler) expiry(who string, a *approvalSpec) time.Duration {
	if !a.Expires.Given() {
		return defaultExpiry
	}
	if e := a.Expires.Value; e <= 0 || e > maxExpiry {
		c.fail(a.Expires.Pos, "%s: expires must be more than nothing and at most %s", who, maxExpiry)
	}
	return a.Expires.Value
}

func (c *compiler) approvers(who string, at strictyaml.Pos, specs []approverSpec) []access.Approvers {
	if len(specs) == 0 {
		c.fail(at, "%s: approval names nobody", who)
	}
	var from []access.Approvers
	for _, f := range specs {
		n := 1
		if f.Count != nil {
			n = *f.Count
		}
		if n < 1 || n > maxApprovers || f.Group.Value == "" {
			c.fail(f.Pos, "%s: want a group and a count between 1 and %d", who, maxApprovers)
		}
		from = append(from, access.Approvers{Group: f.Group.Value, Count: n})
	}
	return from
}

// required reads a key that says whether somebody must say something.
func (c *compiler) required(who, key string, t text) bool {
	if t.Given() && t.Value != "required" && t.Value != "optional" {
		c.fail(t.Pos, "%s: %s is required or optional, not %q", who, key, t.Value)
	}
	return t.Value == "required"
}

func (c *compiler) remind(who string, a *approvalSpec) time.Duration {
	if a.Remind.Given() && a.Remind.Value < minRemind {
		c.fail(a.Remind.Pos, "%s: remind at most every %s", who, minRemind)
	}
	return a.Remind.Value
}

func (c *compiler) channelNames(who string, ts texts) (names []string) {
	for _, t := range ts {
		if names = append(names, t.Value); t.Value == "" {
			c.fail(t.Pos, "%s: empty channel name", who)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *compiler) escalation(who string, a *approvalSpec) *access.Escalation {
	e := a.Escalate
	if e == nil {
		return nil
	}
	expires := a.Expires.Value
	if !a.Expires.Given() {
		expires = defaultExpiry
	}
	if e.After.Value <= 0 || e.After.Value >= expires {
		c.fail(e.After.Pos, "%s: escalate.after must lie between nothing and expires (%s)", who, expires)
	}
	return &access.Escalation{After: e.After.Value, To: c.approvers(who, e.Pos, e.To)}
}

// moment reads when people are asked.
func (c *compiler) moment(who string, a *approvalSpec) access.Moment {
	if a.At.Given() && a.At.Value != string(access.AtCommit) {
		c.fail(a.At.Pos, "%s: at is commit, or left out", who)
	}
	if a.Preview.Given() && (a.Preview.Value != "run" || !a.At.Given()) {
		c.fail(a.Preview.Pos, "%s: preview is run, together with at: commit", who)
	}
	return access.Moment(a.At.Value)
}

func (c *compiler) maxHold(who string, a *approvalSpec) time.Duration {
	if h := a.MaxHold; h.Given() && (h.Value < time.Second || h.Value > time.Hour) {
		c.fail(h.Pos, "%s: max_hold must be between 1s and 1h", who)
	}
	return a.MaxHold.Value
}

// grant reads what an answer binds to: one action, or its shape.
func (c *compiler) grant(who string, a *approvalSpec) *access.Grant {
	shape := a.Binds.Value == "shape"
	switch {
	case a.Binds.Given() && a.Binds.Value != "exact" && !shape:
		c.fail(a.Binds.Pos, "%s: unknown binds %q, want exact or shape", who, a.Binds.Value)
	case shape && a.Grant == nil:
		c.fail(a.Binds.Pos, "%s: binds: shape needs grant: {for: 30m, uses: 20, rows: 100}", who)
	case !shape && a.Grant != nil:
		c.fail(a.Grant.Pos, "%s: grant belongs to binds: shape", who)
	}
	g := a.Grant
	if g == nil {
		return nil
	}
	if g.For.Value <= 0 || g.For.Value > maxGrant {
		c.fail(g.For.Pos, "%s: grant.for must be more than nothing and at most %s", who, maxGrant)
	}
	if g.Uses < 1 || g.Uses > maxGrantUses || g.Rows < 1 {
		c.fail(g.Pos, "%s: want grant.uses between 1 and %d, and rows of at least 1", who, maxGrantUses)
	}
	return &access.Grant{For: g.For.Value, Uses: g.Uses, Rows: g.Rows}
}

// glass reads who may go without an answer in an emergency.
func (c *compiler) glass(who string, a *approvalSpec) *access.Glass {
	g := a.Glass
	if g == nil {
		return nil
	}
	out := &access.Glass{Groups: c.strings(who, g.Groups), For: g.For.Value, Review: g.Review.Value, Alert: c.channelNames(who, g.Alert)}
	if len(out.Groups) == 0 || out.For <= 0 || out.For > maxGlass || out.Review <= 0 || out.Review > maxExpiry {
		c.fail(g.Pos, "%s: break_glass wants groups, for (at most %s) and review (at most %s)", who, maxGlass, maxExpiry)
	}
	return out
}

// Glass returns what a subject may break at a resource, and who is asked there
// otherwise: what every rule with a glass for them permits together. Nil: there is
// nothing.
func (s *Set) Glass(subject access.Subject, resource access.Resource) *access.Quorum {
	if s == nil {
		return nil
	}
	var all *access.Quorum
	q := newQuestion(&access.Request{Subject: subject, Resource: resource})
	q.posture = true
	s.forEach(q, func(r *rule) {
		if r.monitor || r.approval == nil || !r.approval.Glass.Opens(subject) || r.possible(q) == no {
			return
		}
		if all == nil {
			one := *r.approval
			all = &one
			return
		}
		merged := all.With(*r.approval)
		merged.Glass = wider(all.Glass, r.approval.Glass)
		all = &merged
	})
	return all
}

// wider is a glass that alerts everybody, for as long as any rule permits: each
// rule still holds what it is about to its own time.
func wider(a, b *access.Glass) *access.Glass {
	g := access.Glass{For: max(a.For, b.For), Review: min(a.Review, b.Review), Alert: union(a.Alert, b.Alert)}
	g.Groups = slices.Concat(a.Groups, b.Groups)
	slices.Sort(g.Groups)
	g.Groups = slices.Compact(g.Groups)
	return &g
}

// union is where both are told; one that is told everywhere stays so.
func union(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// mergeQuorums asks for what all rules demand together.
func mergeQuorums(asks []*finding) access.Quorum {
	q := *asks[0].rule.approval
	for _, f := range asks[1:] {
		q = q.With(*f.rule.approval)
	}
	return q
}

// unexplained returns a rule that wants to know why, and what it wants.
func (j *judgement) unexplained(asks []*finding) (by *finding, missing string) {
	for _, f := range asks {
		switch c := &j.q.r.Context; {
		case f.rule.wantReason && strings.TrimSpace(c.Reason) == "":
			return f, "reason"
		case f.rule.wantTicket && strings.TrimSpace(c.Ticket) == "":
			return f, "ticket"
		}
	}
	return nil, ""
}

// demand denies what would need approval, until the subject says why.
func (j *judgement) demand(d *access.Decision, by *finding, missing string) {
	d.Message = join(by.rule.message, "approval is asked for with a "+missing+" only, and none is given")
	if d.Hint = by.rule.hint; d.Hint == "" {
		d.Hint = "Give one, then send it again."
		if j.q.r.Resource.Protocol == "postgres" {
			d.Hint = "SET sluice." + missing + " = '...', then send it again."
		}
	}
	first := by.explained(j.q)
	first.Message = d.Message
	d.Reasons = j.reasons(first, by.rule)
}

// capped limits what runs under a grant to its number of rows.
func capped(r *access.Request, q *access.Quorum) (access.Limit, bool) {
	a := r.Context.Approved
	if a == nil || a.Grant == nil || len(q.Rules) == 0 {
		return access.Limit{}, false
	}
	l := access.Limit{Rule: q.Rules[0], Rows: a.Grant.Rows}
	if r.Action.Verb.Class() != access.ClassRead {
		l = access.Limit{Rule: q.Rules[0], AffectedRows: a.Grant.Rows}
	}
	return l, true
}
