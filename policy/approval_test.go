package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/access"
)

const allowed = "  - {id: all, effect: allow}\n"

// withGrant is a rule that asks for approval of whole shapes.
func withGrant(id, more string) string {
	return "  - {id: " + id + ", match: {access: [write]}, effect: require_approval, approval: {from: [{group: dba}], " + more + "}}\n"
}

func TestApprovalTermsAreMerged(t *testing.T) {
	s := loadRules(t, allowed+
		withGrant("one", "expires: 20m, remind: 5m, channels: [slack], binds: shape, grant: {for: 1h, uses: 9, rows: 5}, escalate: {after: 10m, to: [{group: lead, count: 2}]}")+
		withGrant("two", "expires: 30m, remind: 9m, channels: [mail], comment: required, binds: shape, grant: {for: 2h, uses: 3, rows: 7}")+
		"  - {id: three, match: {verbs: [update]}, effect: require_approval, approval: {from: [{group: security}], confirm: true, escalate: {after: 12m, to: [{group: lead}]}}}\n")
	got := s.Decide(ask(access.VerbInsert)).Approval
	want := access.Quorum{From: []access.Approvers{{Group: "dba", Count: 1}}, Expires: 20 * time.Minute, Remind: 5 * time.Minute,
		Rules: []string{"p/one", "p/two"}, Channels: []string{"mail", "slack"}, Comment: true,
		Grant:    &access.Grant{For: time.Hour, Uses: 3, Rows: 5},
		Escalate: &access.Escalation{After: 10 * time.Minute, To: []access.Approvers{{Group: "dba", Count: 1}, {Group: "lead", Count: 2}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v %+v\nwant %+v", got, got.Grant, got.Escalate, want)
	}
	got = s.Decide(ask(access.VerbUpdate)).Approval
	if got.Grant != nil || got.Channels != nil || !got.Confirm || got.Escalate.After != 12*time.Minute || len(got.Escalate.To) != 2 {
		t.Errorf("with a third rule: %+v %+v", got, got.Escalate)
	}
}

func TestReasonsAreDemanded(t *testing.T) {
	s := loadRules(t, allowed+withGrant("one", "reason: required, ticket: required"))
	for _, c := range []struct {
		reason, ticket, want string
	}{
		{"", "CHG-1", "with a reason only"}, {"  ", "CHG-1", "with a reason only"}, {"fire", "", "with a ticket only"}, {"fire", "CHG-1", ""},
	} {
		d := s.Decide(ask(access.VerbInsert, func(r *access.Request) { r.Context.Reason, r.Context.Ticket = c.reason, c.ticket }))
		if c.want == "" {
			if d.Effect != access.RequireApproval {
				t.Errorf("%+v: %s %s", c, d.Effect, d.Message)
			}
			continue
		}
		if d.Effect != access.Deny || d.By() != "p/one" || !strings.Contains(d.Message, c.want) || !strings.HasPrefix(d.Hint, "SET sluice.") || len(d.Obligations) > 0 {
			t.Errorf("%+v: %s by %s: %s, %s", c, d.Effect, d.By(), d.Message, d.Hint)
		}
	}
	r := ask(access.VerbInsert)
	r.Context.Approved = &access.Approval{Approved: true, By: []access.Subject{person("bob", "dba")}, Digest: r.Digest(), Expires: evening.Add(time.Minute)}
	if d := s.Decide(r); d.Effect != access.Allow {
		t.Errorf("an approved one must explain itself again: %s", d.Message)
	}
}

func TestSecondQuorumIsEnough(t *testing.T) {
	s := loadRules(t, allowed+withGrant("one", "escalate: {after: 5m, to: [{group: lead}]}"))
	r := ask(access.VerbInsert)
	r.Context.Approved = &access.Approval{Approved: true, By: []access.Subject{person("lea", "lead")}, Digest: r.Digest(), Expires: evening.Add(time.Minute)}
	if d := s.Decide(r); d.Effect != access.RequireApproval {
		t.Error("enough before it was asked")
	}
	r.Context.Approved.Escalated = true
	if d := s.Decide(r); d.Effect != access.Allow {
		t.Errorf("not enough: %s", d.Message)
	}
	if d := loadRules(t, allowed+withGrant("one", "expires: 9m")).Decide(r); d.Effect != access.RequireApproval {
		t.Error("the rule does not escalate any more")
	}
}

func TestGrantIsHeldToTheRule(t *testing.T) {
	rule := func(terms string) *Set {
		return loadRules(t, allowed+withGrant("one", "binds: shape, grant: {"+terms+"}"))
	}
	r := ask(access.VerbUpdate, writes("public.orders"))
	r.Action.SQL.Fingerprint = "f"
	grant := access.Grant{For: time.Hour, Uses: 5, Rows: 10}
	r.Context.Approved = &access.Approval{Approved: true, By: []access.Subject{person("bob", "dba")}, Digest: r.Digest(), Expires: evening.Add(time.Minute),
		Grant: &grant, Shape: r.Shape()}
	d := rule("for: 1h, uses: 5, rows: 10").Decide(r)
	if d.Effect != access.Allow || len(d.Obligations) != 1 || d.Obligations[0] != (access.Limit{AffectedRows: 10, Rule: "p/one"}) {
		t.Errorf("%s %+v: %s", d.Effect, d.Obligations, d.Message)
	}
	for _, terms := range []string{"for: 30m, uses: 5, rows: 10", "for: 1h, uses: 4, rows: 10", "for: 1h, uses: 5, rows: 9"} {
		if d := rule(terms).Decide(r); d.Effect != access.RequireApproval {
			t.Errorf("%s: %s", terms, d.Effect)
		}
	}
	if d := loadRules(t, allowed+withGrant("one", "binds: exact")).Decide(r); d.Effect != access.RequireApproval {
		t.Errorf("exact: %s", d.Effect)
	}
	for name, spoil := range map[string]func(*access.Request){
		"another shape":  func(r *access.Request) { r.Action.SQL.Fingerprint = "g" },
		"no shape":       func(r *access.Request) { r.Action.Confidence = access.Partial },
		"another digest": func(r *access.Request) { r.Action.Text = "other" },
	} {
		bad := r
		sql := *r.Action.SQL
		bad.Action.SQL = &sql
		spoil(&bad)
		if d := rule("for: 1h, uses: 5, rows: 10").Decide(bad); d.Effect != access.RequireApproval {
			t.Errorf("%s: %s", name, d.Effect)
		}
	}
}

// One person with two accounts is one person here too.
func TestAccountsOfOnePerson(t *testing.T) {
	s := loadRules(t, allowed+"  - {id: two, match: {access: [write]}, effect: require_approval, approval: {from: [{group: dba, count: 2}]}}\n")
	one, other := person("bob", "dba"), person("bob-at-work", "dba")
	one.Email, other.Email = "bob@example.test", "BOB@example.test"
	r := ask(access.VerbInsert)
	r.Context.Approved = &access.Approval{Approved: true, By: []access.Subject{one, other}, Digest: r.Digest(), Expires: evening.Add(time.Minute)}
	if d := s.Decide(r); d.Effect != access.RequireApproval {
		t.Error("counted twice")
	}
	other.Email = "other@example.test"
	r.Context.Approved.By = []access.Subject{one, other}
	if d := s.Decide(r); d.Effect != access.Allow {
		t.Error(d.Message)
	}
}

func TestMomentsAreMerged(t *testing.T) {
	s := loadRules(t, allowed+withGrant("one", "at: commit, preview: run, max_hold: 5m")+
		"  - {id: two, match: {verbs: [update]}, effect: require_approval, approval: {from: [{group: dba}], at: commit, max_hold: 1m}}\n"+
		"  - {id: three, match: {verbs: [delete]}, effect: require_approval, approval: {from: [{group: dba}]}}\n")
	for verb, want := range map[access.Verb]access.Quorum{
		access.VerbInsert: {At: access.AtCommit, Preview: true, MaxHold: 5 * time.Minute},
		access.VerbUpdate: {At: access.AtCommit, MaxHold: time.Minute},
		access.VerbDelete: {MaxHold: 5 * time.Minute},
	} {
		got := s.Decide(ask(verb)).Approval
		if got.At != want.At || got.Preview != want.Preview || got.MaxHold != want.MaxHold {
			t.Errorf("%s: %+v", verb, got)
		}
	}
	if !s.Posture(ask(access.VerbInsert).Subject, ask(access.VerbInsert).Resource).Restricted {
		t.Error("what is asked about at commit must be what was judged")
	}
}

func TestGlassIsArmedByRules(t *testing.T) {
	const armed = "break_glass: {groups: [oncall, engineering], for: 1h, review: 24h, alert: [pager]}"
	s := loadRules(t, allowed+withGrant("one", armed)+
		"  - {id: two, match: {verbs: [update]}, effect: require_approval, approval: {from: [{group: security}], break_glass: {groups: [engineering], for: 2h, review: 8h, alert: [mail]}}}\n"+
		"  - {id: three, match: {verbs: [delete]}, effect: require_approval, approval: {from: [{group: security}]}}\n")
	r := ask(access.VerbInsert)
	q := s.Glass(r.Subject, r.Resource)
	want := access.Glass{Groups: []string{"engineering", "oncall"}, For: 2 * time.Hour, Review: 8 * time.Hour, Alert: []string{"mail", "pager"}}
	if q == nil || !reflect.DeepEqual(*q.Glass, want) || len(q.From) != 2 {
		t.Fatalf("%+v", q)
	}
	for name, who := range map[string]access.Subject{"another group": person("dora", "sales"),
		"an agent":    {Issuer: "local", ID: "bot", Kind: access.Agent, Groups: []string{"oncall"}},
		"through one": {Issuer: "local", ID: "alice", Kind: access.Human, Groups: []string{"oncall"}, Actor: &access.Subject{Issuer: "local", ID: "bot"}}} {
		if q := s.Glass(who, r.Resource); q != nil {
			t.Errorf("%s: %+v", name, q.Glass)
		}
	}
	behind := func(verb access.Verb, changes ...change) access.Effect {
		r := ask(verb, changes...)
		r.Context.Approved = &access.Approval{Approved: true, Digest: r.Digest(), Expires: evening.Add(time.Minute), Glass: "req-1"}
		return s.Decide(r).Effect
	}
	if got := behind(access.VerbInsert); got != access.Allow {
		t.Error(got)
	}
	if got := behind(access.VerbUpdate); got != access.Allow { // both rules have one for engineering
		t.Error(got)
	}
	if got := behind(access.VerbUpdate, groups("oncall")); got != access.RequireApproval {
		t.Errorf("for one of two rules only: %s", got)
	}
	if got := behind(access.VerbDelete); got != access.RequireApproval {
		t.Errorf("one rule has none: %s", got)
	}
}
